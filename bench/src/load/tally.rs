//! The verdict on every reply, and what a run adds up to. A reply that is not what the ledger says
//! is an error, whatever it looks like.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::content::{Ledger, Values, key};
use crate::load::args::{Args, Operation};
use crate::load::work::Ask;
use crate::wire::{Answer, Broken};

/// What is known of the replies so far.
pub(super) struct Tally {
    pub(super) values: Values,
    pub(super) generation: u8,
    /// None when the run was given no ledger: then any write's value will do.
    pub(super) ledger: Option<Ledger>,
    /// Whether this run's own writes may be seen before they are acknowledged.
    writes: bool,
    /// Whether a key that was written may be gone.
    expires: bool,
    /// Replies since the last [`Tally::restart`].
    pub(super) replies: u64,
    /// In nanoseconds, from sending to the reply.
    pub(super) latency: Histogram<u64>,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Tally {
    pub(super) fn new(args: &Args) -> Result<Self, Broken> {
        let ledger = match &args.ledger {
            Some(path) => Some(Ledger::load(path, args.first, args.keys)?),
            None => None,
        };
        Ok(Self {
            values: Values::new(args.value_bytes as usize),
            generation: args.generation,
            ledger,
            writes: matches!(args.operation, Operation::Set | Operation::Mixed),
            expires: args.ttl_ms.is_some(),
            replies: 0,
            latency: histogram(),
            errors: 0,
            first_error: None,
        })
    }

    /// Forgets what came before the measured time; errors stay.
    pub(super) fn restart(&mut self) {
        self.replies = 0;
        self.latency.reset();
    }

    /// Replies that came together, to requests that left together.
    pub(super) fn record(&mut self, sent: Instant, now: Instant, replies: u64) {
        self.replies += replies;
        let nanos = nanos(now.saturating_duration_since(sent));
        self.latency.saturating_record_n(nanos, replies);
    }

    /// Judges one reply.
    #[inline]
    pub(super) fn judge(&mut self, ask: Ask, answer: &Answer<'_>) {
        match (ask, answer) {
            (Ask::Set(number), Answer::Written) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.acknowledge(number, self.generation);
                }
            }
            (Ask::Get(number), Answer::Value(value)) => {
                match (self.values.generation(value, number), &self.ledger) {
                    (Some(_), None) => {}
                    (Some(seen), Some(ledger)) => {
                        let known = ledger.generation(number);
                        if seen != known && !(self.writes && seen == self.generation) {
                            self.wrong(number, &format!("write {seen} is seen, {known} was last"));
                        }
                    }
                    (None, _) => {
                        let seen = String::from_utf8_lossy(value).into_owned();
                        self.wrong(number, &format!("no write gave it {seen:?}"));
                    }
                }
            }
            (Ask::Get(number), Answer::Missing) => {
                let known = self.ledger.as_ref().map(|ledger| ledger.generation(number));
                if known != Some(0) && !self.expires {
                    self.wrong(number, "it is missing");
                }
            }
            (Ask::Get(number) | Ask::Set(number), answer) => {
                self.wrong(number, &format!("answered {answer:?}"));
            }
        }
    }

    #[cold]
    fn wrong(&mut self, number: u32, what: &str) {
        let key = String::from_utf8_lossy(&key(number)).into_owned();
        self.error(format!("key {key}: {what}"));
    }

    /// Something else went wrong.
    #[cold]
    pub(super) fn error(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// From a microsecond to a minute, three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("the bounds are in order")
}
