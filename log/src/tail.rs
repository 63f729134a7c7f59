//! The recent changes, kept for watchers. They are bytes in a row; what is read is made a change again,
//! once for all who follow, one shortly behind the other.
//!
//! ```text
//! writes ─▶ recent ─┬─▶ window ─▶ those who follow
//!                   └─▶ runs ─▶ those far behind, snapshots
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_protocol::planted;
use tidekeep_store::change::Change;
use tidekeep_store::recent::{Recent, Run};

use crate::feed::{Changes, TooOld};
use crate::sync::Mutex;

/// Bytes of changes that the window keeps at most, and as a part of what the history holds.
const WINDOW_BYTES: u64 = 128 << 10;
const WINDOW_PART: u64 = 8;

/// The newest changes of a group.
pub(crate) struct Tail {
    recent: Mutex<Recent>,
    bytes_max: usize,
    /// What the changes hold in memory that the store does not hold as well, in bytes. Written with
    /// `recent` locked.
    held: AtomicU64,
    /// Locked before `recent`, and never by who writes.
    window: Mutex<Window>,
    /// What the window costs, in bytes. Written with it locked.
    window_bytes: AtomicU64,
}

impl Tail {
    /// A tail that begins behind `revision` and keeps changes worth `bytes_max`.
    pub(crate) fn new(revision: u64, bytes_max: usize) -> Self {
        Self::of(Recent::new(revision), bytes_max)
    }

    /// A tail that goes on from changes, of which it keeps those worth `bytes_max`.
    pub(crate) fn of(mut recent: Recent, bytes_max: usize) -> Self {
        recent.forget(recent.newest(), bytes_max, usize::MAX);
        Self {
            held: AtomicU64::new(recent.held() as u64),
            recent: Mutex::new(recent),
            bytes_max,
            window: Mutex::new(Window::default()),
            window_bytes: AtomicU64::new(0),
        }
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
        let held_max = held_max.saturating_sub(self.window_bytes.load(Ordering::Relaxed));
        let held_max = usize::try_from(held_max).unwrap_or(usize::MAX);
        let mut recent = self.recent.lock();
        for change in changes {
            recent.push(change, self.bytes_max.min(held_max));
        }
        recent.forget(safe, self.bytes_max, held_max);
        self.held.store(recent.held() as u64, Ordering::Relaxed);
    }

    /// Forgets all, and goes on where `other` is.
    pub(crate) fn replace(&self, other: Self) {
        let mut window = self.window.lock();
        let mut recent = self.recent.lock();
        (*window, *recent) = (Window::default(), other.recent.into_inner());
        self.window_bytes.store(0, Ordering::Relaxed);
        self.held.store(other.held.into_inner(), Ordering::Relaxed);
    }

    /// What the changes hold in memory that the store does not hold as well, in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed) + self.window_bytes.load(Ordering::Relaxed)
    }

    /// The changes after `after`, up to and with `through`, as many as `bytes` hold, but one at
    /// least if there is one.
    pub(crate) fn read(&self, after: u64, through: u64, bytes: usize) -> Result<Changes, TooOld> {
        let mut window = self.window.lock();
        let (run, last) = {
            let recent = self.recent.lock();
            if after < recent.oldest() {
                if planted::is_awake("forgotten-changes-passed-over") {
                    return Ok(Changes { changes: Vec::new(), through });
                }
                return Err(TooOld { oldest: recent.oldest() });
            }
            let last = through.min(recent.newest());
            if after >= last {
                return Ok(Changes { changes: Vec::new(), through });
            }
            (recent.run(window.reaches(after), last, bytes), last)
        };
        let mut page = Page { changes: Vec::new(), left: bytes, last };
        if window.is_ahead_of(after) {
            // So far behind that nobody is likely to come by soon.
            drop(window);
            run.changes().all(|change| page.takes(&change));
        } else {
            window.begin_behind(after);
            if window.after(after).all(|change| page.takes(change)) {
                run.changes()
                    .take_while(|change| page.takes(change))
                    .for_each(|change| window.push(change));
            }
            let held = self.held.load(Ordering::Relaxed);
            window.trim(WINDOW_BYTES.min(held / WINDOW_PART) as usize);
            self.window_bytes.store(window.bytes as u64, Ordering::Relaxed);
        }
        let given = page.changes.last().map_or(after, |change| change.revision);
        Ok(Changes { changes: page.changes, through: if given < last { given } else { through } })
    }

    /// The changes up to and with `through` that are kept, to be read while others come.
    pub(crate) fn all(&self, through: u64) -> Run {
        self.recent.lock().all(through)
    }

    /// How many changes are kept, and what they cost in bytes.
    pub(crate) fn size(&self) -> (u64, usize) {
        let recent = self.recent.lock();
        (recent.count(), recent.cost())
    }
}

/// What one reader is given.
struct Page {
    changes: Vec<Change>,
    /// Bytes of changes that it may still be given.
    left: usize,
    last: u64,
}

impl Page {
    /// Takes a change, if there is room for it.
    fn takes(&mut self, change: &Change) -> bool {
        let cost = change.cost();
        if change.revision > self.last || (cost > self.left && !self.changes.is_empty()) {
            return false;
        }
        self.left = self.left.saturating_sub(cost);
        self.changes.push(change.clone());
        true
    }
}

/// The changes that were read last, one revision after the other.
#[derive(Default)]
struct Window {
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Window {
    /// Whether the change behind `after` has gone by already.
    fn is_ahead_of(&self, after: u64) -> bool {
        self.changes.front().is_some_and(|first| after + 1 < first.revision)
    }

    /// The revision up to which it has all changes after `after`.
    fn reaches(&self, after: u64) -> u64 {
        match self.changes.back() {
            Some(last) if !self.is_ahead_of(after) => after.max(last.revision),
            _ => after,
        }
    }

    /// Begins anew unless the change behind `after` is in it or the next.
    fn begin_behind(&mut self, after: u64) {
        if self.changes.back().is_some_and(|last| last.revision < after) {
            *self = Self::default();
        }
    }

    /// Its changes after `after`.
    fn after(&self, after: u64) -> impl Iterator<Item = &Change> {
        let first = self.changes.front().map_or(0, |first| first.revision);
        self.changes.range(((after + 1 - first.min(after + 1)) as usize).min(self.changes.len())..)
    }

    fn push(&mut self, change: Change) {
        self.bytes += change.cost();
        self.changes.push_back(change);
    }

    /// Lets the oldest go until the rest costs `bytes_max` at most.
    fn trim(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(change) = self.changes.pop_front()
        {
            self.bytes -= change.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::entry::Meta;
    use tidekeep_store::change::{Event, EventKind};
    use tidekeep_store::entry::Entry;
    use tidekeep_store::few::Few;

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
        let one = Tail::new(0, usize::MAX);
        one.extend([change(1)], 1, u64::MAX);
        let (_, cost) = one.size();
        let tail = Tail::new(0, 3 * cost);
        tail.extend((1..=10).map(change), 10, u64::MAX);
        assert_eq!(tail.read(6, 10, usize::MAX).unwrap_err(), TooOld { oldest: 7 });
        assert_eq!(revisions(&tail.read(7, 10, usize::MAX).unwrap().changes), [8, 9, 10]);
        assert_eq!(tail.size(), (3, 3 * cost));
        assert_eq!(revisions(&tail.all(9).changes().collect::<Vec<_>>()), [8, 9]);
        assert_eq!(tail.all(5).changes().count(), 0);
    }

    #[test]
    fn those_who_follow_share_what_the_first_of_them_has_read() {
        let tail = Tail::new(0, usize::MAX);
        tail.extend((1..=1000).map(change), 1000, u64::MAX);
        let memory = |changes: &[Change]| -> Vec<_> {
            changes.iter().map(|change| change.events[0].entry.value().as_ptr()).collect()
        };
        let held = tail.held();
        let first = tail.read(900, 950, usize::MAX).unwrap().changes;
        let second = tail.read(920, 1000, usize::MAX).unwrap().changes;
        assert_eq!(memory(&first)[20..], memory(&second)[..30]);
        assert!(tail.held() > held, "what is shared is counted");
        let behind = tail.read(100, 950, usize::MAX).unwrap().changes;
        assert_eq!(revisions(&behind), (101..=950).collect::<Vec<_>>());
        assert_ne!(memory(&first), memory(&behind)[800..], "it was far away");
    }

    #[test]
    fn whoever_reads_what_and_when_is_given_all_of_it_in_order() {
        let mut random = {
            let mut state = 7_u64;
            move |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % below
            }
        };
        let tail = Tail::new(0, 10_000);
        let (mut newest, mut at, mut passed_over) = (0, [0; 5], 0);
        for _ in 0..5_000 {
            let more = random(20);
            tail.extend((newest + 1..=newest + more).map(change), newest, u64::MAX);
            newest += more;
            let reader = random(5) as usize;
            let through = newest - random(newest.min(30) + 1);
            let bytes = [1, 1_000, 20_000, usize::MAX][random(4) as usize];
            match tail.read(at[reader], through, bytes) {
                Ok(Changes { changes, through: given }) => {
                    let expected = at[reader] + 1..=given.max(at[reader]);
                    assert_eq!(revisions(&changes), expected.collect::<Vec<_>>());
                    assert!(changes.iter().all(|it| *it == change(it.revision)));
                    assert!(given <= through.max(at[reader]));
                    assert!(!changes.is_empty() || through <= at[reader], "one at least");
                    at[reader] = given.max(at[reader]);
                }
                Err(TooOld { oldest }) => {
                    assert!(at[reader] < oldest && oldest <= newest);
                    passed_over += 1;
                    at[reader] = oldest;
                }
            }
            // One falls behind for a while.
            if random(200) == 0 {
                at[reader] = at[reader].saturating_sub(random(100));
            }
        }
        assert!(passed_over > 0, "some were too late");
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
