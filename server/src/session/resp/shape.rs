//! What shape the reply to a command takes, made of the answer to its native request.

use tidekeep_log::{Entry, Reply};
use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::WriteStatus;

use super::encode::Encoder;
use super::fail::Fail;
use super::plan::At;

/// The shape of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    // Of a get.
    /// The value, or null.
    Value,
    /// A list of the value, or null.
    OneValue,
    /// The value's length; 0 if there is none.
    Length,
    /// The bytes between two places, counted from the end if negative.
    Range(i64, i64),
    /// 1 if there is an entry.
    Found,
    /// `string` or `none`.
    Kind,
    /// When the key ends.
    Ttl(Ttl),
    /// The memory it takes, or null.
    Memory,
    // Of a write to one key.
    /// `OK`, or null if its condition did not hold.
    Done,
    /// The value before, or null.
    Old,
    /// 1 if it applied.
    Applied,
    /// The number after it.
    Number,
    // Of a transaction.
    /// `OK`.
    AllDone,
    /// 1 if its comparisons held.
    Succeeded,
    /// How many of its writes applied.
    CountApplied,
    /// How many of its gets found something.
    CountFound,
    /// The values that its gets found, or nulls.
    Values,
}

/// How the end of a key is told: how far away it is, or when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    Seconds,
    Millis,
    AtSeconds,
    AtMillis,
}

impl Shape {
    /// Appends the reply.
    pub(crate) fn write(self, answer: &Result<Reply, Refusal>, at: At, to: &mut Encoder<'_>) {
        match answer {
            Ok(Reply::Get(got)) => self.write_entry(got.entry.as_ref(), at, to),
            Ok(Reply::Put(written) | Reply::Delete(written)) => {
                self.write_written(written.status, written.entry.as_ref(), to);
            }
            Ok(Reply::Touch(touched)) => self.write_written(touched.status, None, to),
            Ok(Reply::Increment(reply)) => to.integer(reply.value),
            Ok(Reply::Txn(done)) => self.write_txn(done.succeeded, &done.results, to),
            Ok(_) => to.error(b"ERR the server gave an answer of another kind"),
            Err(refusal) => to.error(Fail::from(refusal).text()),
        }
    }

    /// Appends the reply to a get.
    #[inline]
    pub(crate) fn write_entry(self, entry: Option<&Entry>, at: At, to: &mut Encoder<'_>) {
        let value = entry.map(Entry::value);
        match self {
            Self::Value => to.bulk_or_null(value),
            Self::OneValue => {
                to.list(1);
                to.bulk_or_null(value);
            }
            Self::Length => to.integer(value.map_or(0, |value| value.len() as i64)),
            Self::Range(start, end) => to.bulk(part(value.unwrap_or_default(), start, end)),
            Self::Found => to.integer(entry.is_some().into()),
            Self::Kind => to.simple(if entry.is_some() { "string" } else { "none" }),
            Self::Ttl(ttl) => to.integer(entry.map_or(NO_KEY, |entry| ttl.of(entry, at))),
            Self::Memory => match entry {
                Some(entry) => to.integer(entry.cost() as i64),
                None => to.null(),
            },
            _ => to.error(b"ERR the server gave an answer of another kind"),
        }
    }

    fn write_written(self, status: WriteStatus, entry: Option<&Entry>, to: &mut Encoder<'_>) {
        let applied = status == WriteStatus::Applied;
        match self {
            Self::Done if applied => to.ok(),
            Self::Done => to.null(),
            Self::Old => to.bulk_or_null(entry.map(Entry::value)),
            _ => to.integer(applied.into()),
        }
    }

    fn write_txn(self, succeeded: bool, results: &[Reply], to: &mut Encoder<'_>) {
        let count = |counts: fn(&Reply) -> bool| -> i64 {
            results.iter().filter(|reply| counts(reply)).count() as i64
        };
        match self {
            Self::AllDone => to.ok(),
            Self::Succeeded => to.integer(succeeded.into()),
            Self::CountApplied => to.integer(count(has_applied)),
            Self::CountFound => to.integer(count(|reply| found(reply).is_some())),
            Self::Values => {
                to.list(results.len());
                results.iter().for_each(|reply| to.bulk_or_null(found(reply)));
            }
            _ => to.bulk_or_null(results.first().and_then(found)),
        }
    }
}

/// What Redis says of the end of a key that is not there, and of one that has none.
const NO_KEY: i64 = -2;
const NO_END: i64 = -1;

impl Ttl {
    fn of(self, entry: &Entry, at: At) -> i64 {
        let Some(ends_at) = entry.expires_at() else { return NO_END };
        let left = ends_at.saturating_sub(at.0);
        let value = match self {
            Self::Seconds => (left + 500) / 1000,
            Self::Millis => left,
            Self::AtSeconds => (ends_at + 500) / 1000,
            Self::AtMillis => ends_at,
        };
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

fn has_applied(reply: &Reply) -> bool {
    matches!(reply, Reply::Delete(written) if written.status == WriteStatus::Applied)
}

fn found(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Get(got) => got.entry.as_ref().map(Entry::value),
        _ => None,
    }
}

/// The bytes from `start` to `end`, both included; negative places count from the end.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    let length = value.len() as i64;
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let place = |at: i64| if at < 0 { (length + at).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(length - 1));
    if start > end || length == 0 {
        return b"";
    }
    value.get(start as usize..=end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_as_redis_cuts_it() {
        let value = b"This is a string";
        for (start, end, expected) in [
            (0, 3, &b"This"[..]),
            (-3, -1, b"ing"),
            (0, -1, value),
            (10, 100, b"string"),
            (5, 4, b""),
            (-1, -3, b""),
            (-100, 3, b"This"),
            (-100, -100, b"T"),
            (100, 200, b""),
            (i64::MIN, i64::MAX, value),
        ] {
            assert_eq!(part(value, start, end), expected, "{start} {end}");
        }
        assert_eq!(part(b"", 0, -1), b"");
    }
}
