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
        let wanted = |name: &str| {
            let lower = |pattern: &[u8]| pattern.to_ascii_lowercase();
            args.from(2).any(|pattern| glob::matches(&lower(pattern), name.as_bytes()))
        };
        let settings: Vec<(&str, String)> =
            house.facts.settings().into_iter().filter(|(name, _)| wanted(name)).collect();
        to.map(settings.len());
        for (name, value) in settings {
            to.bulk(name.as_bytes());
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
