//! What must hold, whatever happens: an increment is applied once, and its answer is its place in the order;
//! whoever asks after it was confirmed sees it; equal places in the order mean equal states. (A term may have
//! several leaders: of two in the same term openraft heeds the one with the higher id.)

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use tidekeep_cluster::{Audit, NodeId, Standing};

/// What clients and nodes were seen to do.
#[derive(Clone, Default)]
pub(crate) struct Oracle(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    counters: BTreeMap<u8, Counter>,
    /// Who led in which term.
    leaders: BTreeSet<(u64, NodeId)>,
    /// The state behind an entry.
    states: BTreeMap<u64, (u64, u64)>,
    reads: u64,
    trace: DefaultHasher,
}

/// What is known of a key that is only incremented by one.
#[derive(Default)]
struct Counter {
    /// Of each value that was given, when it was.
    given_at: BTreeMap<i64, u64>,
    /// The highest value that was confirmed, and since when it is.
    confirmed: Vec<(u64, i64)>,
    /// Increments that were begun.
    begun: i64,
}

/// What the value must be at least, as known when a call began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    value: i64,
}

impl Counter {
    /// The highest value that was confirmed.
    fn newest(&self) -> i64 {
        self.confirmed.last().map_or(0, |&(_, value)| value)
    }

    /// The same as it was at a time.
    fn newest_at(&self, us: u64) -> i64 {
        let known = self.confirmed.partition_point(|&(since_us, _)| since_us <= us);
        self.confirmed[..known].last().map_or(0, |&(_, value)| value)
    }

    fn confirm(&mut self, value: i64, now_us: u64) {
        if value > self.newest() {
            self.confirmed.push((now_us, value));
        }
    }
}

impl Oracle {
    /// An increment begins.
    pub(crate) fn begin_increment(&self, key: u8) -> Since {
        let mut seen = self.0.lock();
        let counter = seen.counters.entry(key).or_default();
        counter.begun += 1;
        Since { value: counter.newest() }
    }

    /// It was confirmed.
    pub(crate) fn incremented(&self, key: u8, since: Since, value: i64, now_us: u64) {
        let mut seen = self.0.lock();
        ("incremented", key, value, now_us).hash(&mut seen.trace);
        let counter = seen.counters.entry(key).or_default();
        assert!(value > since.value, "key {key}: {value} came after {} was confirmed", since.value);
        assert!(value <= counter.begun, "key {key}: {value} after {} increments", counter.begun);
        let twice = counter.given_at.insert(value, now_us);
        assert!(twice.is_none(), "key {key}: {value} was given twice");
        counter.confirm(value, now_us);
    }

    /// A read begins.
    pub(crate) fn begin_read(&self, key: u8) -> Since {
        let seen = self.0.lock();
        Since { value: seen.counters.get(&key).map_or(0, Counter::newest) }
    }

    /// A read begins that must see what was confirmed by a time.
    pub(crate) fn begin_read_of(&self, key: u8, us: u64) -> Since {
        let seen = self.0.lock();
        Since { value: seen.counters.get(&key).map_or(0, |counter| counter.newest_at(us)) }
    }

    /// It found a value.
    pub(crate) fn read(&self, key: u8, since: Since, value: i64, now_us: u64) {
        let mut seen = self.0.lock();
        ("read", key, value, now_us).hash(&mut seen.trace);
        seen.reads += 1;
        let counter = seen.counters.entry(key).or_default();
        assert!(value >= since.value, "key {key}: {value} was read after {}", since.value);
        assert!(value <= counter.begun, "key {key}: {value} after {} increments", counter.begun);
        // What was shown stays: later answers must not go back behind it.
        counter.confirm(value, now_us);
    }

    /// A member was looked at.
    pub(crate) fn look(&self, node: NodeId, standing: &Standing, audit: Audit) {
        let mut seen = self.0.lock();
        if standing.leads {
            seen.leaders.insert((standing.term, node));
        }
        if let Some(applied) = audit.applied {
            let state = (audit.revision, audit.digest);
            let known = *seen.states.entry(applied).or_insert(state);
            assert_eq!(known, state, "{node} differs from others behind entry {applied}");
        }
    }

    /// All calls have ended, and the members agree on these values.
    pub(crate) fn end(&self, values: &BTreeMap<u8, i64>) {
        let seen = self.0.lock();
        for (key, counter) in &seen.counters {
            let value = values.get(key).copied().unwrap_or(0);
            assert_eq!(value, counter.begun, "key {key} at the end");
            assert_eq!(counter.given_at.len() as i64, counter.begun, "key {key}: answers");
        }
    }

    /// How many leaders there were, how many calls were confirmed, and a sum over what clients saw.
    pub(crate) fn tally(&self) -> (u64, u64, u64) {
        let seen = self.0.lock();
        let increments: usize = seen.counters.values().map(|it| it.given_at.len()).sum();
        let trace = seen.trace.finish();
        (seen.leaders.len() as u64, increments as u64 + seen.reads, trace)
    }
}
