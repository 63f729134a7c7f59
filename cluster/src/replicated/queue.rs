//! What waits, in stages: the calls of a stage are run together, and a stage begins when those before it
//! allow it, so that each connection's calls run in the order in which they came.
//!
//! ```text
//! stage of order: writes, and gets among them, which one record carries
//! stage of reads: reads alone, which one look at who leads lets see the newest state
//! ```
//! Several stages of order are under way at once; they are applied in their order. Stages of reads are
//! under way together, but not beside those of order. Gets join a stage of order that waits anyway.
//! A stage begins beside others once it has as many calls as they, and one of order once those are there that
//! come together ([`Crowd`]): a record costs the same for one call as for a hundred.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::replicated::crowd::Crowd;
use crate::replicated::piece::{Piece, Read};

/// Calls of a stage of order at most, and bytes of their bodies unless a single one has more.
const CALLS_MAX: usize = 4096;
const BYTES_MAX: usize = 1 << 20;

/// Stages of reads that are under way at once.
const READS_MAX: usize = 2;

/// Calls that are run together.
pub(crate) enum Stage {
    Order(Order),
    Reads(Vec<Read>),
}

/// What is to be done now. Times are since some moment, the same for all.
pub(crate) enum Next {
    Begin(Stage),
    /// Nothing until something is added or ends, or until then.
    Nothing(Option<Duration>),
}

/// A stage of order.
pub(crate) struct Order {
    /// Its place among all such stages; it keeps it when it comes back.
    pub(crate) number: u64,
    pub(crate) pieces: Vec<Piece>,
    calls: usize,
    bytes: usize,
}

/// The stages that wait, and how many are under way.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Stage>,
    /// Stages of order that came back, by their numbers: they go first.
    returned: BTreeMap<u64, Order>,
    /// Those of order under way.
    orders: Vec<UnderWay>,
    crowd: Crowd,
    /// Until when the next one of order may wait for others: as long behind the last one as that took.
    patience: Duration,
    /// Stages of reads under way, and how many reads the last one of them has.
    reads: usize,
    reads_last: usize,
    /// Stages of order that there were.
    orders_made: u64,
}

/// A stage of order under way.
struct UnderWay {
    number: u64,
    calls: usize,
    since: Duration,
}

impl Order {
    fn has_room_for(&self, piece: &Piece) -> bool {
        self.calls + piece.calls.count() <= CALLS_MAX
            && self.bytes + piece.calls.bytes() <= BYTES_MAX
    }

    /// The pieces that another node has passed on, which are in it no longer.
    fn take_passed_on(&mut self) -> Vec<Piece> {
        let taken: Vec<_> = self.pieces.extract_if(.., |piece| piece.passed_on).collect();
        for piece in &taken {
            self.calls -= piece.calls.count();
            self.bytes = self.bytes.saturating_sub(piece.calls.bytes());
        }
        taken
    }

    fn push(&mut self, piece: Piece) {
        self.calls += piece.calls.count();
        self.bytes += piece.calls.bytes();
        self.pieces.push(piece);
    }
}

impl Queue {
    /// Adds calls of which some write, or that are to be ordered among writes.
    pub(crate) fn order(&mut self, piece: Piece) {
        if let Some(reads) = self.waiting.pop_back_if(is_quick).and_then(reads_of) {
            reads.into_iter().filter_map(calls_of).for_each(|piece| self.order_behind(piece));
        }
        self.order_behind(piece);
    }

    fn order_behind(&mut self, piece: Piece) {
        if let Some(Stage::Order(order)) = self.waiting.back_mut()
            && order.has_room_for(&piece)
        {
            return order.push(piece);
        }
        self.orders_made += 1;
        let (calls, bytes) = (piece.calls.count(), piece.calls.bytes());
        let order = Order { number: self.orders_made, pieces: vec![piece], calls, bytes };
        self.waiting.push_back(Stage::Order(order));
    }

    /// Adds a read.
    pub(crate) fn read(&mut self, read: Read) {
        match (self.waiting.back_mut(), read) {
            (Some(Stage::Reads(reads)), read) => reads.push(read),
            (Some(Stage::Order(order)), Read::Calls(piece))
                if !piece.calls.has_page() && order.has_room_for(&piece) =>
            {
                order.push(piece);
            }
            (_, read) => self.waiting.push_back(Stage::Reads(vec![read])),
        }
    }

    /// The next stage, if it may begin: at most `window` stages of order are under way at once.
    pub(crate) fn next(&mut self, window: usize, now: Duration) -> Next {
        let begins = match (self.returned.is_empty(), self.waiting.front()) {
            // All that is under way may come back; what came first goes first.
            (false, _) => self.is_idle().then_some(now),
            (true, None) => None,
            (true, Some(Stage::Order(order))) => self.order_begins(order.calls, window, now),
            (true, Some(Stage::Reads(reads))) => self.may_read(reads.len()).then_some(now),
        };
        if begins.is_none_or(|begins| begins > now) {
            return Next::Nothing(begins);
        }
        let returned = self.returned.pop_first().map(|(_, order)| Stage::Order(order));
        let Some(stage) = returned.or_else(|| self.waiting.pop_front()) else {
            return Next::Nothing(None);
        };
        match &stage {
            Stage::Order(order) => {
                self.crowd.begin(order.calls);
                let (number, calls) = (order.number, order.calls);
                self.orders.push(UnderWay { number, calls, since: now });
            }
            Stage::Reads(reads) => {
                self.reads += 1;
                self.reads_last = reads.len();
            }
        }
        Next::Begin(stage)
    }

    /// Whether the first stage has all the calls that it will have.
    fn is_whole(&self) -> bool {
        self.waiting.len() > 1
    }

    /// When the first stage may begin, which is one of order and has so many calls; if that is known.
    fn order_begins(&mut self, calls: usize, window: usize, now: Duration) -> Option<Duration> {
        let beside = self.orders.iter().map(|order| order.calls).sum();
        self.crowd.see(beside + calls);
        if self.reads > 0 || self.orders.len() >= window {
            return None;
        }
        match self.crowd.waits(calls) {
            _ if self.is_whole() => Some(now),
            _ if calls < beside => None,
            false => Some(now),
            true if beside > 0 => None,
            true if now < self.patience => Some(self.patience),
            true => {
                self.crowd.give_up(calls);
                Some(now)
            }
        }
    }

    /// Whether the first stage may begin, which has so many reads.
    fn may_read(&self, reads: usize) -> bool {
        let is_worth_it = self.is_whole() || self.reads == 0 || reads >= self.reads_last;
        self.orders.is_empty() && self.reads < READS_MAX && is_worth_it
    }

    /// A stage of order has ended.
    pub(crate) fn ordered(&mut self, number: u64, now: Duration) {
        let ended = self.orders.extract_if(.., |order| order.number == number);
        if let Some(ended) = ended.last() {
            self.patience = now + Crowd::patience(now.saturating_sub(ended.since));
        }
    }

    /// A stage of order is to be tried again, with what is left of it.
    pub(crate) fn returned(&mut self, number: u64, pieces: Vec<Piece>, now: Duration) {
        self.ordered(number, now);
        let calls = pieces.iter().map(|piece| piece.calls.count()).sum();
        // Nothing is added to it any more.
        let bytes = BYTES_MAX;
        self.returned.insert(number, Order { number, pieces, calls, bytes });
    }

    /// Whether something behind a stage of order was begun and has not ended.
    pub(crate) fn is_followed(&self, number: u64) -> bool {
        let under_way = self.orders.iter().map(|order| order.number);
        under_way.chain(self.returned.keys().copied()).any(|other| other > number)
    }

    /// What another node has passed on and was not begun, of the stages of order.
    pub(crate) fn take_passed_on(&mut self) -> Vec<Piece> {
        let returned = self.returned.values_mut();
        let waiting = self.waiting.iter_mut().filter_map(|stage| match stage {
            Stage::Order(order) => Some(order),
            Stage::Reads(_) => None,
        });
        let taken = returned.chain(waiting).flat_map(Order::take_passed_on).collect();
        self.returned.retain(|_, order| !order.pieces.is_empty());
        self.waiting.retain(|stage| match stage {
            Stage::Order(order) => !order.pieces.is_empty(),
            Stage::Reads(_) => true,
        });
        taken
    }

    /// A stage of reads has ended.
    pub(crate) fn read_through(&mut self) {
        self.reads -= 1;
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.reads == 0
    }

    /// Everything that waits.
    pub(crate) fn drain(&mut self) -> Vec<Stage> {
        let returned = std::mem::take(&mut self.returned).into_values().map(Stage::Order);
        returned.chain(self.waiting.drain(..)).collect()
    }
}

/// Whether a stage has reads of single keys alone.
fn is_quick(stage: &mut Stage) -> bool {
    match stage {
        Stage::Order(_) => false,
        Stage::Reads(reads) => {
            reads.iter().all(|read| matches!(read, Read::Calls(piece) if !piece.calls.has_page()))
        }
    }
}

fn reads_of(stage: Stage) -> Option<Vec<Read>> {
    match stage {
        Stage::Reads(reads) => Some(reads),
        Stage::Order(_) => None,
    }
}

fn calls_of(read: Read) -> Option<Piece> {
    match read {
        Read::Calls(piece) => Some(piece),
        Read::Look(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tidekeep_log::Call;
    use tidekeep_protocol::condition::{Condition, Expiry};
    use tidekeep_protocol::op::{Children, Get, Put, Request};

    use super::*;
    use crate::replicated::calls::Calls;

    fn piece(requests: &[Request<'_>]) -> Piece {
        let mut calls = Calls::default();
        for request in requests {
            calls.push(&Call::new(request.clone()));
        }
        Piece::new(calls, false).0
    }

    pub(in crate::replicated) fn put() -> Piece {
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let put = Put { key: b"k", value: b"v", condition, expiry, previous: false };
        piece(&[Request::Put(put)])
    }

    fn get() -> Read {
        Read::Calls(piece(&[Request::Get(Get { key: b"k" })]))
    }

    pub(in crate::replicated) fn page() -> Read {
        let children = Children { prefix: b"", delimiter: b"/", after: None, limit: 0 };
        Read::Calls(piece(&[Request::Children(children)]))
    }

    pub(in crate::replicated) fn told(next: Next) -> String {
        match next {
            Next::Nothing(None) => "nothing".into(),
            Next::Nothing(Some(until)) => format!("nothing until {}", until.as_millis()),
            Next::Begin(Stage::Order(order)) => format!("order of {}", order.pieces.len()),
            Next::Begin(Stage::Reads(reads)) => format!("reads of {}", reads.len()),
        }
    }

    /// A moment so many milliseconds behind the first.
    pub(in crate::replicated) const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn gets_ride_with_the_writes_around_them_and_pages_do_not() {
        let mut queue = Queue::default();
        queue.read(get());
        queue.order(put());
        queue.read(get());
        queue.read(page());
        queue.order(put());
        assert_eq!(told(queue.next(8, at(0))), "order of 3");
        assert_eq!(told(queue.next(8, at(0))), "nothing");
        queue.ordered(1, at(0));
        assert_eq!(told(queue.next(8, at(0))), "reads of 1");
        assert_eq!(told(queue.next(8, at(0))), "nothing");
        queue.read_through();
        assert_eq!(told(queue.next(8, at(0))), "order of 1");
    }

    #[test]
    fn as_many_records_are_under_way_as_may_be() {
        let mut queue = Queue::default();
        for calls in [1, 1, 2] {
            (0..calls).for_each(|_| queue.order(put()));
            assert_eq!(told(queue.next(3, at(0))), format!("order of {calls}"));
        }
        (0..4).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(3, at(0))), "nothing");
        queue.ordered(2, at(0));
        assert_eq!(told(queue.next(3, at(0))), "order of 4");
    }

    #[test]
    fn a_stage_waits_for_as_many_calls_as_are_under_way() {
        let mut queue = Queue::default();
        (0..3).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(0))), "order of 3");
        (0..2).for_each(|_| queue.order(put()));
        assert_eq!(told(queue.next(4, at(0))), "nothing");
        queue.order(put());
        assert_eq!(told(queue.next(4, at(0))), "order of 3");
        queue.order(put());
        queue.read(page());
        assert_eq!(told(queue.next(4, at(0))), "order of 1", "no other write comes to it");
        queue.drain();
        (1..4).for_each(|number| queue.ordered(number, at(0)));
        (0..3).for_each(|_| queue.read(get()));
        assert_eq!(told(queue.next(4, at(0))), "reads of 3");
        (0..2).for_each(|_| queue.read(get()));
        assert_eq!(told(queue.next(4, at(0))), "nothing");
        queue.read_through();
        assert_eq!(told(queue.next(4, at(0))), "reads of 2");
    }

    #[test]
    fn what_came_back_goes_first_and_one_by_one() {
        let mut queue = Queue::default();
        let mut begin = || {
            queue.order(put());
            match queue.next(8, at(0)) {
                Next::Begin(Stage::Order(order)) => order.number,
                _ => 0,
            }
        };
        let (first, second) = (begin(), begin());
        queue.order(put());
        queue.returned(second, vec![put()], at(0));
        assert_eq!(told(queue.next(8, at(0))), "nothing", "the first may come back too");
        queue.returned(first, vec![put(), put()], at(0));
        assert_eq!(told(queue.next(8, at(0))), "order of 2");
        assert_eq!(told(queue.next(8, at(0))), "nothing");
        queue.returned(first, vec![put(), put()], at(0));
        assert_eq!(told(queue.next(8, at(0))), "order of 2", "it keeps its place");
        queue.ordered(first, at(0));
        assert_eq!(told(queue.next(8, at(0))), "order of 1");
        queue.ordered(second, at(0));
        assert_eq!(told(queue.next(8, at(0))), "order of 1");
    }

    #[test]
    fn a_stage_ends_where_a_record_does() {
        let mut queue = Queue::default();
        for _ in 0..=CALLS_MAX {
            queue.order(put());
        }
        assert_eq!(told(queue.next(8, at(0))), format!("order of {CALLS_MAX}"));
        queue.ordered(1, at(0));
        assert_eq!(told(queue.next(8, at(0))), "order of 1");
    }
}
