//! `CLIENT`: what is known of connections, and what one says of itself.

use super::args::Args;
use super::encode::Encoder;
use super::fail::{Fail, SYNTAX};
use super::house::House;
use super::machine::{Core, Replies};
use super::plan::integer;

/// Runs `CLIENT` with its subcommands.
pub(super) fn run(
    core: &mut Core,
    args: Args<'_, '_>,
    house: &House<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fail> {
    let mut to = Encoder::new(out, core.outlet.version);
    let is = |word| args.is(1, word);
    if is("id") {
        to.integer(core.client.id() as i64);
    } else if is("getname") {
        match core.client.name() {
            name if name.is_empty() => to.null(),
            name => to.bulk(name.as_bytes()),
        }
    } else if is("setname") {
        core.client.set_name(&printable(args.get(2))?);
        to.ok();
    } else if is("setinfo") {
        let value = printable_info(args.get(3))?;
        if args.is(2, "lib-name") {
            core.client.set_library(Some(&value), None);
        } else if args.is(2, "lib-ver") {
            core.client.set_library(None, Some(&value));
        } else {
            let option = String::from_utf8_lossy(args.get(2)).into_owned();
            return Err(Fail::new(format!("ERR Unrecognized option '{option}'")));
        }
        to.ok();
    } else if is("info") {
        to.verbatim(&house.clients.line(&core.client, house.now));
    } else if is("list") {
        list(core, args, house, out)?;
    } else if is("no-evict") || is("no-touch") {
        // No connection is ended to make room, and a use is noted by the store.
        if !args.is(2, "on") && !args.is(2, "off") {
            return Err(SYNTAX);
        }
        to.ok();
    } else if args.is(2, "on") {
        core.seen = Replies::All;
        to.ok();
    } else if args.is(2, "off") {
        core.seen = Replies::None;
    } else if args.is(2, "skip") {
        if core.seen == Replies::All {
            core.seen = Replies::SkipNext;
        }
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}

fn list(core: &Core, args: Args<'_, '_>, house: &House<'_>, out: &mut Vec<u8>) -> Result<(), Fail> {
    let all = |id: u64| -> bool { id > 0 };
    let text = match args.len() {
        2 => house.clients.lines(house.now, all),
        4 if args.is(2, "type") => match () {
            () if args.is(3, "normal") => house.clients.lines_of(house.now, false),
            () if args.is(3, "pubsub") => house.clients.lines_of(house.now, true),
            () if args.is(3, "master") || args.is(3, "replica") || args.is(3, "slave") => {
                String::new()
            }
            () => {
                let kind = String::from_utf8_lossy(args.get(3)).into_owned();
                return Err(Fail::new(format!("ERR Unknown client type '{kind}'")));
            }
        },
        words if words > 3 && args.is(2, "id") => {
            let ids: Result<Vec<i64>, Fail> = args.from(3).map(integer).collect();
            let ids = ids.map_err(|_| Fail::known("ERR Invalid client ID"))?;
            house.clients.lines(house.now, |id| ids.contains(&(id as i64)))
        }
        _ => return Err(SYNTAX),
    };
    Encoder::new(out, core.outlet.version).verbatim(&text);
    Ok(())
}

/// A name without spaces and line ends: it stands in lists.
pub(super) fn printable(name: &[u8]) -> Result<String, Fail> {
    text(name, "ERR Client names cannot contain spaces, newlines or special characters.")
}

fn printable_info(value: &[u8]) -> Result<String, Fail> {
    text(value, "ERR lib-name and lib-ver cannot contain spaces, newlines or special characters.")
}

fn text(bytes: &[u8], unprintable: &'static str) -> Result<String, Fail> {
    if !bytes.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Err(Fail::known(unprintable));
    }
    if bytes.len() > NAME_MAX {
        return Err(Fail::new(format!("ERR the name is longer than {NAME_MAX} bytes")));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// The longest name that is kept: each stands in every list of clients that anybody asks for.
const NAME_MAX: usize = 256;
