//! The recent changes, kept for watchers: bounded by bytes, oldest forgotten first. Revisions follow
//! each other without a hole, so a position is found by subtraction.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_protocol::planted;
use tidekeep_store::change::{self, Change, Event};
use tidekeep_store::few::Few;

use crate::commit::{Changes, TooOld};
use crate::sync::Mutex;

/// The newest changes of a group.
pub(crate) struct Tail {
    kept: Mutex<Kept>,
    bytes_max: usize,
    /// What the changes hold in memory that the store does not hold as well, in bytes. Written with
    /// `kept` locked.
    held: AtomicU64,
}

struct Kept {
    changes: VecDeque<Slot>,
    bytes: usize,
    /// The revision before the oldest change kept.
    oldest: u64,
}

/// A change; its revision follows from its place.
struct Slot {
    at_ms: u64,
    events: Few<Event>,
}

impl Tail {
    /// A tail that begins behind `revision` and keeps changes worth `bytes_max`.
    pub(crate) fn new(revision: u64, bytes_max: usize) -> Self {
        let kept = Kept { changes: VecDeque::new(), bytes: 0, oldest: revision };
        Self { kept: Mutex::new(kept), bytes_max, held: AtomicU64::new(0) }
    }

    /// Adds changes whose revisions follow those before, and forgets old ones until at most
    /// `held_max` bytes of memory are held, a step's worth at a time. What nobody may have seen yet,
    /// being after `safe`, is kept whatever its size.
    pub(crate) fn extend(
        &self,
        changes: impl IntoIterator<Item = Change>,
        safe: u64,
        held_max: u64,
    ) {
        let mut kept = self.kept.lock();
        let mut held = self.held.load(Ordering::Relaxed);
        let mut most = FORGET_STEP;
        for Change { revision, at_ms, events } in changes {
            debug_assert_eq!(revision, kept.oldest + kept.changes.len() as u64 + 1);
            let sizes = change::sizes(&events);
            kept.bytes += sizes.cost;
            held += sizes.held as u64;
            most += 1;
            kept.changes.push_back(Slot { at_ms, events });
        }
        if kept.bytes > self.bytes_max {
            // About as many go as came. Their entries are far away by now: looked at together, they
            // come at once rather than one after the other.
            let going = kept.changes.iter().take(most - FORGET_STEP);
            black_box(change::look(going.map(|slot| &slot.events)));
        }
        while (kept.bytes > self.bytes_max || (held > held_max && most > 0)) && kept.oldest < safe {
            let Some(Slot { events, .. }) = kept.changes.pop_front() else { break };
            most = most.saturating_sub(1);
            let sizes = change::sizes(&events);
            kept.bytes -= sizes.cost;
            held -= sizes.held as u64;
            kept.oldest += 1;
        }
        self.held.store(held, Ordering::Relaxed);
    }

    /// Forgets all, and goes on where `other` is.
    pub(crate) fn replace(&self, other: Self) {
        let mut kept = self.kept.lock();
        *kept = other.kept.into_inner();
        self.held.store(other.held.into_inner(), Ordering::Relaxed);
    }

    /// What the changes hold in memory that the store does not hold as well, in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The changes after `after`, up to and with `through`, as many as `bytes` hold, but one at
    /// least if there is one.
    pub(crate) fn read(&self, after: u64, through: u64, bytes: usize) -> Result<Changes, TooOld> {
        let kept = self.kept.lock();
        let Some(known) = after.checked_sub(kept.oldest) else {
            if planted::is_awake("forgotten-changes-passed-over") {
                return Ok(Changes { changes: Vec::new(), through });
            }
            return Err(TooOld { oldest: kept.oldest });
        };
        let mut read = Changes { changes: Vec::new(), through };
        let mut left = bytes;
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let known = known.min(kept.changes.len());
        let revisions = kept.oldest + known as u64 + 1..=through;
        for (revision, Slot { at_ms, events }) in revisions.zip(kept.changes.range(known..)) {
            let cost = change::sizes(events).cost;
            if cost > left && !read.changes.is_empty() {
                read.through = revision - 1;
                break;
            }
            left = left.saturating_sub(cost);
            read.changes.push(Change { revision, at_ms: *at_ms, events: events.clone() });
        }
        Ok(read)
    }

    /// The changes up to and with `through` that are kept, gathered in steps, so that nobody waits
    /// for long.
    pub(crate) fn read_all(&self, through: u64) -> Vec<Change> {
        let mut all: Vec<Change> = Vec::new();
        let mut after = self.kept.lock().oldest;
        while after < through {
            match self.read(after, through, STEP_BYTES) {
                Ok(mut read) => {
                    after = read.through;
                    all.append(&mut read.changes);
                }
                Err(TooOld { oldest }) => {
                    after = oldest;
                    all.clear();
                }
            }
        }
        all
    }

    /// How many changes are kept, and what they cost in bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let kept = self.kept.lock();
        (kept.changes.len(), kept.bytes)
    }
}

/// Changes that are forgotten at once for want of memory, beside one for each that comes.
const FORGET_STEP: usize = 1024;

/// Bytes of changes that are gathered at once.
const STEP_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use tidekeep_protocol::entry::Meta;
    use tidekeep_store::change::EventKind;
    use tidekeep_store::entry::Entry;

    use super::*;

    fn change(revision: u64) -> Change {
        let meta = Meta {
            created: revision,
            modified: revision,
            version: 1,
            expires_at: None,
            lease: None,
        };
        let entry = Entry::new(b"key", b"value", meta, &mut Vec::new());
        let event = Event { kind: EventKind::Put, entry, previous: None };
        Change { revision, at_ms: 0, events: Few::of(event) }
    }

    fn revisions(changes: &[Change]) -> Vec<u64> {
        changes.iter().map(|change| change.revision).collect()
    }

    #[test]
    fn reads_what_is_safe_after_a_position() {
        let tail = Tail::new(10, usize::MAX);
        tail.extend((11..=20).map(change), 10, u64::MAX);
        let read = tail.read(12, 15, usize::MAX).unwrap();
        assert_eq!((revisions(&read.changes), read.through), (vec![13, 14, 15], 15));
        let read = tail.read(15, 15, usize::MAX).unwrap();
        assert_eq!((revisions(&read.changes), read.through), (vec![], 15));
        let read = tail.read(u64::MAX, 15, usize::MAX).unwrap();
        assert_eq!((revisions(&read.changes), read.through), (vec![], 15));
    }

    #[test]
    fn gives_at_least_one_change_and_says_how_far_it_got() {
        let tail = Tail::new(0, usize::MAX);
        tail.extend((1..=3).map(change), 3, u64::MAX);
        let read = tail.read(0, 3, 1).unwrap();
        assert_eq!((revisions(&read.changes), read.through), (vec![1], 1));
        let read = tail.read(1, 3, 2 * change(1).cost()).unwrap();
        assert_eq!((revisions(&read.changes), read.through), (vec![2, 3], 3));
    }

    #[test]
    fn forgets_the_oldest_and_says_so() {
        let cost = change(1).cost();
        let tail = Tail::new(0, 3 * cost);
        tail.extend((1..=10).map(change), 10, u64::MAX);
        assert_eq!(tail.read(6, 10, usize::MAX).unwrap_err(), TooOld { oldest: 7 });
        assert_eq!(revisions(&tail.read(7, 10, usize::MAX).unwrap().changes), [8, 9, 10]);
        assert_eq!(tail.size(), (3, 3 * cost));
        assert_eq!(revisions(&tail.read_all(9)), [8, 9]);
        assert!(tail.read_all(5).is_empty());
    }

    #[test]
    fn keeps_what_nobody_may_have_seen_yet() {
        let tail = Tail::new(0, 1);
        tail.extend((1..=3).map(change), 1, u64::MAX);
        assert_eq!(revisions(&tail.read(1, 3, usize::MAX).unwrap().changes), [2, 3]);
        tail.extend([change(4)], 3, u64::MAX);
        assert_eq!(revisions(&tail.read(3, 4, usize::MAX).unwrap().changes), [4]);
    }
}
