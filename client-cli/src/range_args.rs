//! The keys a command is about: those that begin with a prefix, or a range of keys.

use std::ffi::OsString;

use clap::Args;
use tidekeep_protocol::range::KeyRange;

use crate::failure::Failure;
use crate::input::Reading;

/// A prefix, or a range; neither means every key.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub(crate) struct RangeArgs {
    /// Keys that begin with this; all keys when left out
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Keys from START up to, but without, END; "" as END goes to the last key
    #[arg(long, num_args = 2, value_names = ["START", "END"], allow_hyphen_values = true)]
    range: Option<Vec<OsString>>,
}

impl RangeArgs {
    /// The range of keys.
    pub(crate) fn read(&self, reading: Reading) -> Result<KeyRange, Failure> {
        match (&self.prefix, self.range.as_deref()) {
            (_, Some([start, end])) => between(reading.key(start)?, reading.key(end)?),
            (Some(prefix), _) => Ok(KeyRange::prefix(&reading.key(prefix)?)),
            _ => Ok(KeyRange::all()),
        }
    }

    /// The prefix alone, for what knows no ranges.
    pub(crate) fn prefix(&self, reading: Reading) -> Result<Vec<u8>, Failure> {
        self.prefix.as_deref().map_or(Ok(Vec::new()), |prefix| reading.key(prefix))
    }
}

fn between(start: Vec<u8>, end: Vec<u8>) -> Result<KeyRange, Failure> {
    if end.is_empty() {
        return Ok(KeyRange { start, end: None });
    }
    if end <= start {
        return Err(Failure::invalid("the range ends before it begins")
            .hint("keys are ordered by their bytes; END is the first key left out"));
    }
    Ok(KeyRange { start, end: Some(end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_first_key_and_a_first_key_left_out() {
        let args = |start: &str, end: &str| RangeArgs {
            prefix: None,
            range: Some(vec![start.into(), end.into()]),
        };
        let range = args("b", "d").read(Reading::Exact).unwrap();
        assert!(range.as_range().contains(b"b") && !range.as_range().contains(b"d"));
        assert_eq!(args("b", "").read(Reading::Exact).unwrap().end, None);
        assert!(args("d", "b").read(Reading::Exact).is_err());
    }
}
