//! `CONFIG GET`: the settings that tools ask for, as they are here. None can be set while the server
//! runs.

use super::args::Args;
use super::encode::Encoder;
use super::fail::Fail;
use super::glob;
use super::house::House;

/// Runs `CONFIG` with its subcommands.
pub(super) fn run(args: Args<'_, '_>, house: &House<'_>, to: &mut Encoder<'_>) -> Result<(), Fail> {
    if args.is(1, "get") {
        let settings = house.facts.settings();
        let wanted: Vec<(&[u8], &str)> = settings
            .iter()
            .filter_map(|(name, value)| Some((shown_as(name, args)?, value.as_str())))
            .collect();
        to.map(wanted.len());
        for (name, value) in wanted {
            to.bulk(name);
            to.bulk(value.as_bytes());
        }
        Ok(())
    } else if args.is(1, "resetstat") {
        Err(Fail::known("ERR counters of this server are never set back"))
    } else {
        let name = String::from_utf8_lossy(args.get(2)).into_owned();
        Err(Fail::new(format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable \
             config"
        )))
    }
}

/// How a setting that is asked for is named in the reply: as it was written, unless by a pattern.
fn shown_as<'b>(name: &'b str, args: Args<'_, 'b>) -> Option<&'b [u8]> {
    let fits = |word: &&[u8]| glob::matches(&word.to_ascii_lowercase(), name.as_bytes());
    let word = args.from(2).find(fits)?;
    let is_pattern = word.iter().any(|byte| b"[*?".contains(byte));
    Some(if is_pattern { name.as_bytes() } else { word })
}
