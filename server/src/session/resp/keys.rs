//! Commands about keys that look before they change anything: moving, copying, and ends under
//! conditions.

use tidekeep_log::Entry;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::error::Refusal;

use super::args::Args;
use super::encode::Encoder;
use super::fail::{Fail, NO_SUCH_KEY, SYNTAX};
use super::overlay::Overlay;
use super::plan::{Unit, database, end_at};

pub(super) fn rename(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let (from, into) = (args.get(1), args.get(2));
    let entry = overlay.get(from).cloned().ok_or(NO_SUCH_KEY)?;
    if from != into {
        overlay.put(into, entry.value(), end_of(&entry))?;
        overlay.delete(from)?;
    }
    to.ok();
    Ok(())
}

pub(super) fn renamenx(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let (from, into) = (args.get(1), args.get(2));
    let entry = overlay.get(from).cloned().ok_or(NO_SUCH_KEY)?;
    let free = from != into && overlay.get(into).is_none();
    if free {
        overlay.put(into, entry.value(), end_of(&entry))?;
        overlay.delete(from)?;
    }
    to.integer(free.into());
    Ok(())
}

pub(super) fn copy(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let (from, into) = (args.get(1), args.get(2));
    let (mut replace, mut at) = (false, 3);
    while at < args.len() {
        if args.is(at, "replace") {
            replace = true;
        } else if args.is(at, "db") && at + 1 < args.len() {
            at += 1;
            database(args.get(at))?;
        } else {
            return Err(SYNTAX);
        }
        at += 1;
    }
    if from == into {
        return Err(Fail::known("ERR source and destination objects are the same"));
    }
    let Some(entry) = overlay.get(from).cloned() else {
        to.integer(0);
        return Ok(());
    };
    let free = replace || overlay.get(into).is_none();
    if free {
        overlay.put(into, entry.value(), end_of(&entry))?;
    }
    to.integer(free.into());
    Ok(())
}

/// The end that a copy of an entry gets.
fn end_of(entry: &Entry) -> Expiry {
    match (entry.lease(), entry.expires_at()) {
        (Some(lease), _) => Expiry::Lease(lease),
        (None, Some(at)) => Expiry::At(at),
        (None, None) => Expiry::Never,
    }
}

pub(super) fn persist(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let ended = take_end_away(args.get(1), overlay)?;
    to.integer(ended.into());
    Ok(())
}

/// Lets a key stay for good; whether it had an end. What had none is not written, or it would count as
/// changed for those who watch it.
fn take_end_away(key: &[u8], overlay: &mut Overlay<'_>) -> Result<bool, Fail> {
    let ends = overlay.get(key).is_some_and(|entry| entry.expires_at().is_some());
    if ends {
        overlay.touch(key, Expiry::Never)?;
    }
    Ok(ends)
}

pub(super) fn getex(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let (key, at) = (args.get(1), overlay.at());
    let (mut persists, mut end, mut word) = (false, None, 2);
    while word < args.len() {
        if args.is(word, "persist") && end.is_none() {
            persists = true;
            word += 1;
        } else if let Some(unit) = Unit::of(args, word)
            && end.is_none_or(|(before, _)| before == unit)
            && !persists
            && word + 1 < args.len()
        {
            end = Some((unit, args.get(word + 1)));
            word += 2;
        } else {
            return Err(SYNTAX);
        }
    }
    let value = overlay.get(key).cloned();
    match end {
        // A time is looked at only if there is a key to have it.
        Some((unit, text)) if value.is_some() => {
            unit.expiry(text, "getex", at)?;
            let planned = end_at(key, unit.moment(text, "getex", at)?, unit, at);
            overlay.run(&planned).map_err(|refusal: Refusal| Fail::from(&refusal))?;
        }
        None if persists => {
            take_end_away(key, overlay)?;
        }
        _ => {}
    }
    to.bulk_or_null(value.as_ref().map(Entry::value));
    Ok(())
}

pub(super) fn expire(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    end_if(args, Unit::Seconds, "expire", overlay, to)
}

pub(super) fn pexpire(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    end_if(args, Unit::Millis, "pexpire", overlay, to)
}

pub(super) fn expireat(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    end_if(args, Unit::AtSeconds, "expireat", overlay, to)
}

pub(super) fn pexpireat(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    end_if(args, Unit::AtMillis, "pexpireat", overlay, to)
}

/// What must hold of the end before.
#[derive(Default)]
struct If {
    none: bool,
    some: bool,
    later: bool,
    sooner: bool,
}

impl If {
    fn of(args: Args<'_, '_>) -> Result<Self, Fail> {
        let mut condition = Self::default();
        for at in 3..args.len() {
            let field = match () {
                () if args.is(at, "nx") => &mut condition.none,
                () if args.is(at, "xx") => &mut condition.some,
                () if args.is(at, "gt") => &mut condition.later,
                () if args.is(at, "lt") => &mut condition.sooner,
                () => {
                    let text = [b"ERR Unsupported option ", args.get(at)].concat();
                    return Err(Fail::new(text));
                }
            };
            *field = true;
        }
        if condition.none && (condition.some || condition.later || condition.sooner) {
            return Err(Fail::known(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if condition.later && condition.sooner {
            return Err(Fail::known("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// Whether an end may take the place of the one before. No end is later than any.
    fn allows(&self, before: Option<u64>, ends_at: i64) -> bool {
        let before = before.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
        !(self.none && before.is_some()
            || self.some && before.is_none()
            || self.later && before.is_none_or(|before| ends_at <= before)
            || self.sooner && before.is_some_and(|before| ends_at >= before))
    }
}

fn end_if(
    args: Args<'_, '_>,
    unit: Unit,
    command: &str,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let condition = If::of(args)?;
    let (key, at) = (args.get(1), overlay.at());
    let ends_at = unit.moment(args.get(2), command, at)?;
    let allowed =
        overlay.get(key).is_some_and(|entry| condition.allows(entry.expires_at(), ends_at));
    if allowed {
        let planned = end_at(key, ends_at, unit, at);
        overlay.run(&planned).map_err(|refusal: Refusal| Fail::from(&refusal))?;
    }
    to.integer(allowed.into());
    Ok(())
}
