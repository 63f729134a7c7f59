//! How many calls come together. Clients that were answered together come back together, and a record costs
//! the same for one call as for a hundred: while nothing is under way, the first of them wait for the others, no longer
//! than a record takes. Where others do not come within that, as from clients that do not wait for answers, nearly
//! all records begin without.

use std::time::Duration;

/// Fewer calls than these are not waited for: their time counts for more than what they would save.
const LEAST: usize = 16;
/// Nor are more: they share a record's cost well enough, and the next one may begin beside it.
const MOST: usize = 256;
/// The first do not wait for longer, however long the last record hung.
const WAIT_MOST: Duration = Duration::from_millis(10);
/// Records that begin without waiting, at most, until it is tried again whether others come.
const PAUSE_MOST: u32 = 1024;

/// The calls of the records of late.
pub(crate) struct Crowd {
    /// Calls that are on their way at once.
    size: usize,
    /// Whether the next record has waited for others.
    has_waited: bool,
    /// Records that still begin without waiting, and how many will when others have not come again.
    pause: u32,
    pause_next: u32,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { size: 0, has_waited: false, pause: 0, pause_next: 1 }
    }
}

impl Crowd {
    /// So many calls wait or are under way.
    pub(crate) fn see(&mut self, calls: usize) {
        self.size = self.size.max(calls);
    }

    /// Whether the next record, which would have so many calls, waits for others.
    pub(crate) fn waits(&mut self, calls: usize) -> bool {
        let waits = self.pause == 0 && self.size >= LEAST && calls < self.size.min(MOST);
        self.has_waited |= waits;
        waits
    }

    /// How long the next record waits at most, behind one that took so long.
    pub(crate) fn patience(took: Duration) -> Duration {
        took.min(WAIT_MOST)
    }

    /// Others did not come in time, so that the next record has so many calls.
    pub(crate) fn give_up(&mut self, calls: usize) {
        self.size = calls;
        self.has_waited = false;
        self.pause = self.pause_next;
        self.pause_next = (self.pause_next * 2).min(PAUSE_MOST);
    }

    /// The next record begins, with so many calls.
    pub(crate) fn begin(&mut self, calls: usize) {
        if std::mem::take(&mut self.has_waited) {
            self.pause_next = (self.pause_next / 2).max(1);
        }
        self.pause = self.pause.saturating_sub(1);
        // Some may have gone for good.
        self.size -= self.size.saturating_sub(calls) / 8;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use crate::replicated::queue::tests::{at, page, put, told};
    use crate::replicated::queue::{Next, Queue, Stage};

    /// A queue whose records have lately had so many calls, and which is idle since the moment 10. The last one
    /// took 10.
    fn crowded(calls: usize) -> Queue {
        let mut queue = Queue::default();
        (0..calls).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(0))), format!("order of {calls}"));
        queue.ordered(1, at(10));
        queue
    }

    #[test]
    fn the_first_that_come_back_wait_for_the_others() {
        let mut queue = crowded(20);
        (0..19).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(11))), "nothing until 20");
        queue.order(put());
        assert_eq!(told(queue.next(4, at(12))), "order of 20");
        (0..20).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(13))), "nothing", "there are 40 of them");
        queue.ordered(2, at(14));
        (0..19).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(15))), "nothing until 16");
        queue.order(put());
        assert_eq!(told(queue.next(4, at(15))), "order of 40");
    }

    #[test]
    fn they_wait_no_longer_than_a_record_takes_and_once_in_vain() {
        let mut queue = crowded(100);
        (0..20).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(19))), "nothing until 20");
        assert_eq!(told(queue.next(4, at(20))), "order of 20", "of those that were left");
        queue.ordered(2, at(25));
        (0..20).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(25))), "order of 20");
        let mut queue = crowded(100);
        queue.order(put());
        assert_eq!(told(queue.next(4, at(50))), "order of 1", "nobody came for long");
    }

    #[test]
    fn behind_a_record_that_hung_they_do_not_wait_for_as_long() {
        let mut queue = Queue::default();
        (0..20).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(0))), "order of 20");
        queue.ordered(1, at(5000));
        queue.order(put());
        assert_eq!(told(queue.next(4, at(5000))), "nothing until 5010");
    }

    #[test]
    fn a_few_wait_for_nobody_and_many_share_a_record_anyway() {
        let mut queue = crowded(15);
        queue.order(put());
        assert_eq!(told(queue.next(4, at(11))), "order of 1");
        let mut queue = crowded(1000);
        (0..256).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(11))), "order of 256");
    }

    #[test]
    fn what_something_else_waits_behind_does_not_wait() {
        let mut queue = crowded(20);
        queue.order(put());
        queue.read(page());
        assert_eq!(told(queue.next(4, at(11))), "order of 1");
    }

    /// What became of a load.
    struct Loaded {
        records: usize,
        calls: usize,
        /// Records that waited though they could have begun.
        waited: usize,
    }

    /// Runs 20,000 records at most, each of which takes 0.6 ms and 2 us for each call. `comes` is when the first calls come, and
    /// each answered one is followed by another after `returns`, if it is.
    fn load(comes: Vec<u64>, mut returns: impl FnMut() -> Option<u64>) -> Loaded {
        let mut queue = Queue::default();
        let mut coming: BTreeMap<u64, usize> = BTreeMap::new();
        comes.into_iter().for_each(|at| *coming.entry(at).or_default() += 1);
        let mut ends: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
        let (mut until, mut waits) = (None, false);
        let mut loaded = Loaded { records: 0, calls: 0, waited: 0 };
        while loaded.records < 20_000 {
            let next = [coming.keys().next().copied(), ends.keys().next().copied(), until];
            let Some(now) = next.into_iter().flatten().min() else { break };
            let time = Duration::from_micros(now);
            (0..coming.remove(&now).unwrap_or(0)).for_each(|_| queue.order(put()));
            if let Some((number, calls)) = ends.remove(&now) {
                queue.ordered(number, time);
                let again = (0..calls).filter_map(|_| returns());
                again.for_each(|pause| *coming.entry(now + pause).or_default() += 1);
            }
            until = None;
            match queue.next(4, time) {
                Next::Begin(Stage::Order(order)) => {
                    waits = false;
                    loaded.records += 1;
                    let calls = order.pieces.len();
                    loaded.calls += calls;
                    let mut end = now + 600 + 2 * calls as u64;
                    while ends.contains_key(&end) {
                        end += 1;
                    }
                    ends.insert(end, (order.number, calls));
                }
                Next::Nothing(Some(at)) => {
                    loaded.waited += usize::from(!std::mem::replace(&mut waits, true));
                    until = Some(at.as_micros() as u64);
                }
                Next::Begin(Stage::Reads(_)) | Next::Nothing(None) => {}
            }
        }
        loaded
    }

    #[test]
    fn clients_that_wait_for_their_answers_share_records() {
        let mut random = fastrand::Rng::with_seed(1);
        let comes = (0..100).map(|_| random.u64(0..1000)).collect();
        let loaded = load(comes, || Some(random.u64(50..400)));
        let mean = loaded.calls / loaded.records;
        assert!(mean >= 90, "{mean} of 100");
    }

    #[test]
    fn clients_that_do_not_are_hardly_ever_waited_for() {
        for rate in [3_000, 10_000, 30_000, 100_000] {
            let mut random = fastrand::Rng::with_seed(rate);
            let mut now = 0.0;
            let comes = (0..rate * 4).map(|_| {
                now -= random.f64().ln() * 1e6 / rate as f64;
                now as u64
            });
            let loaded = load(comes.collect(), || None);
            let share = loaded.waited as f64 / loaded.records as f64;
            assert!(share < 0.02, "{share} of the records at {rate} calls a second");
        }
    }
}
