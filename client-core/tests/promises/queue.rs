//! The queue: a mutation is stored before it is sent, outlives the process, is applied once and in the
//! order of its key; what cannot be is told, never lost.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::condition::Condition;
use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::protocol::op::{Get, Operation, Put, WriteReply, WriteStatus};
use tidekeep_client_core::{Config, Input, Millis, MutationId, QueueInfo};

use crate::dice::Dice;
use crate::pair::{Pair, Seen, put};
use crate::patch::Snapshot;
use crate::rows::split;
use crate::views::{fold, read};

fn opened() -> Pair {
    let mut pair = Pair::new();
    pair.open();
    pair
}

fn offline() -> Pair {
    let mut pair = opened();
    pair.reachable = false;
    pair
}

fn ready() -> Pair {
    let mut pair = opened();
    pair.core.connect(Millis(pair.now));
    pair.run();
    pair.take();
    pair
}

/// The values that were put to a key, in the order in which the store did it.
fn applied(pair: &Pair, key: &[u8]) -> Vec<Vec<u8>> {
    let changes = pair.server.history.iter().flat_map(|(_, changes)| changes);
    changes.filter(|(of, _)| of == key).filter_map(|(_, value)| value.clone()).collect()
}

fn status(reply: &[u8]) -> WriteStatus {
    codec::decode::<WriteReply<'_>>(reply).expect("a write's reply").status
}

fn queued(pair: &Pair, mutation: MutationId) -> bool {
    pair.seen.contains(&Seen::Queued(mutation))
}

fn put_if(key: &'static [u8], value: &'static [u8], revision: u64) -> Put<'static> {
    Put { condition: Condition::Revision(revision), ..put(key, value) }
}

#[test]
fn mutation_is_sent_only_when_its_row_with_its_number_is_stored() {
    let mut pair = ready();
    pair.place.hold = true;
    let mutation = pair.enqueue(&put(b"k", b"1"));
    pair.pass(5_000);
    assert!(pair.server.requests.is_empty() && !queued(&pair, mutation));
    pair.place.hold = false;
    pair.run();
    assert!(queued(&pair, mutation) && pair.end(mutation).is_ok());
    assert_eq!((applied(&pair, b"k"), pair.place.mutations()), (vec![b"1".to_vec()], 0));
    // Made without a connection it has a row at once, and its number in one before it is sent.
    pair.cut();
    let later = pair.enqueue(&put(b"k", b"2"));
    pair.run();
    assert!(queued(&pair, later));
    pair.place.hold = true;
    pair.pass(5_000);
    assert_eq!(pair.server.requests.len(), 1);
    pair.place.hold = false;
    pair.run();
    assert!(pair.end(later).is_ok());
}

#[test]
fn many_mutations_of_a_turn_are_one_batch_and_are_numbered_in_one() {
    let mut pair = offline();
    for n in 0..300_u32 {
        pair.enqueue(&put(&n.to_be_bytes(), b"v"));
    }
    pair.run();
    assert_eq!(pair.place.batches, [300]);
    pair.reachable = true;
    pair.pass(1_000);
    assert_eq!(pair.server.entries.len(), 300);
    assert_eq!(pair.place.batches[1], 301, "all numbers, and what is about all");
    assert_eq!(pair.place.mutations(), 0);
    assert_eq!(pair.core.queue_info(), QueueInfo::default());
}

#[test]
fn crash_after_sending_replays_the_same_number_and_the_answer_is_told() {
    for numbered_only in [false, true] {
        let mut pair = offline();
        let made = [pair.enqueue(&put(b"k", b"1")), pair.enqueue(&put(b"k", b"2"))];
        let other = pair.enqueue(&put(b"other", b"3"));
        pair.run();
        (pair.reachable, pair.server.hold_replies) = (true, true);
        if numbered_only {
            pair.cut_after_out = Some(140);
        }
        pair.pass(1_000);
        pair.crash();
        pair.take();
        pair.server.hold_replies = false;
        pair.core.connect(Millis(pair.now));
        pair.pass(1_000);
        for mutation in [made[0], made[1], other] {
            assert!(pair.end(mutation).is_ok());
        }
        assert_eq!(applied(&pair, b"k"), [b"1", b"2"]);
        assert_eq!(applied(&pair, b"other"), [b"3"]);
        assert_eq!(pair.place.mutations(), 0);
    }
}

#[test]
fn crash_before_the_row_is_removed_tells_the_same_again() {
    let mut pair = ready();
    let mutation = pair.enqueue(&put(b"k", b"1"));
    pair.server.hold_replies = true;
    pair.run();
    pair.place.hold = true;
    pair.server.hold_replies = false;
    pair.cut();
    pair.pass(1_000);
    let first = pair.end(mutation);
    // Others write meanwhile; the answer is not acknowledged.
    for _ in 0..5 {
        let call = pair.put(b"other", b"2");
        pair.run();
        assert!(pair.settled(call).is_ok());
    }
    pair.crash();
    pair.take();
    pair.place.hold = false;
    pair.core.connect(Millis(pair.now));
    pair.pass(1_000);
    assert_eq!(pair.end(mutation), first);
    assert_eq!(applied(&pair, b"k"), [b"1"]);
}

#[test]
fn ordinary_writes_of_a_later_life_never_reuse_a_number() {
    let mut pair = ready();
    for life in 0..4_u8 {
        for n in 0..20_u8 {
            let call = pair.put(b"k", &[life, n]);
            pair.run();
            assert!(pair.settled(call).is_ok());
        }
        let session = pair.core.session();
        pair.crash();
        pair.take();
        pair.core.connect(Millis(pair.now));
        pair.run();
        assert_eq!(pair.core.session(), session, "the session goes on");
    }
    assert_eq!(applied(&pair, b"k").len(), 80);
}

#[test]
fn nothing_connects_before_the_life_is_stored_and_without_it_the_session_is_left() {
    for fails in [false, true] {
        let mut pair = ready();
        let session = pair.core.session();
        pair.reachable = false;
        pair.cut();
        let mutation = pair.enqueue(&put(b"k", b"1"));
        pair.run();
        pair.crash();
        pair.take();
        (pair.reachable, pair.place.hold, pair.place.fails) = (true, true, fails);
        let call = pair.put(b"other", b"2");
        pair.pass(2_000);
        assert_eq!(pair.opens(), 0);
        pair.place.hold = false;
        pair.pass(2_000);
        assert!(pair.settled(call).is_ok());
        assert_eq!(pair.core.session() == session, !fails);
        assert_eq!(pair.mutation_ends(mutation).len(), usize::from(!fails));
        let info = pair.core.queue_info();
        assert_eq!((info.held, info.failing, info.waiting), (fails, fails, usize::from(fails)));
        if fails {
            let refused = pair.enqueue(&put(b"k", b"3"));
            pair.run();
            assert_eq!(pair.end(refused).unwrap_err().code, Code::Storage);
            assert_eq!(pair.place.mutations(), 1, "the next life finds it");
            pair.place.fails = false;
            pair.crash();
            pair.core.connect(Millis(pair.now));
            pair.pass(2_000);
            assert!(pair.end(mutation).is_ok());
        }
    }
}

#[test]
fn conflict_is_told_with_the_servers_entry_and_blocks_nothing() {
    let mut pair = ready();
    pair.server.apply(vec![(b"k".to_vec(), Some(b"theirs".to_vec()))]);
    pair.reachable = false;
    pair.cut();
    let mutations = [
        pair.enqueue(&put_if(b"k", b"mine", 77)),
        pair.enqueue(&put(b"k", b"after")),
        pair.enqueue(&put(b"z", b"last")),
    ];
    pair.run();
    pair.reachable = true;
    pair.pass(1_000);
    let reply = pair.end(mutations[0]).unwrap();
    let reply: WriteReply<'_> = codec::decode(&reply).unwrap();
    assert_eq!(reply.status, WriteStatus::Refused);
    assert_eq!(reply.entry.unwrap().value, b"theirs");
    for mutation in &mutations[1..] {
        assert_eq!(status(&pair.end(*mutation).unwrap()), WriteStatus::Applied);
    }
    assert_eq!(applied(&pair, b"k"), [&b"theirs"[..], b"after"]);
}

#[test]
fn edits_in_a_row_stand_upon_each_other_and_fall_with_the_first() {
    for (theirs, crash) in [(false, false), (false, true), (true, false)] {
        let mut pair = ready();
        pair.server.apply(vec![(b"k".to_vec(), Some(b"0".to_vec()))]);
        let view = pair.view(b"", b"");
        pair.run();
        pair.reachable = false;
        pair.cut();
        let mut mutations = Vec::new();
        for value in [&b"1"[..], b"2", b"3"] {
            let shown = read(&pair, view).entries[&b"k"[..]].modified;
            mutations.push(pair.enqueue(&put_if(b"k", value, shown)));
        }
        pair.run();
        if theirs {
            pair.server.apply(vec![(b"k".to_vec(), Some(b"theirs".to_vec()))]);
        }
        pair.reachable = true;
        if crash {
            // The first is applied and its row removed; the process dies before it sends the second.
            pair.cut_after_in = Some(260);
            pair.pass(200);
            pair.crash();
            pair.core.connect(Millis(pair.now));
        }
        pair.pass(5_000);
        for mutation in mutations {
            let ends = pair.mutation_ends(mutation);
            let expected = if theirs { WriteStatus::Refused } else { WriteStatus::Applied };
            assert_eq!(status(ends.last().unwrap().as_ref().unwrap()), expected);
        }
        let left = if theirs { &b"theirs"[..] } else { b"3" };
        assert_eq!(pair.server.entries[&b"k"[..]].0, left);
    }
}

#[test]
fn in_another_history_what_was_perhaps_sent_is_unknown_and_the_rest_gets_new_numbers() {
    for crash in [false, true] {
        let mut pair = ready();
        pair.server.hold_replies = true;
        let sent = pair.enqueue(&put(b"k", b"1"));
        let behind = pair.enqueue(&put(b"k", b"2"));
        pair.run();
        pair.reachable = false;
        pair.cut();
        let fresh = pair.enqueue(&put(b"other", b"3"));
        pair.run();
        if crash {
            pair.crash();
        }
        pair.server.incarnation += 1;
        (pair.reachable, pair.server.hold_replies) = (true, false);
        pair.core.connect(Millis(pair.now));
        pair.pass(1_000);
        let error = pair.end(sent).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::OutcomeUnknown, Outcome::Unknown));
        assert!(pair.end(behind).is_ok() && pair.end(fresh).is_ok());
        assert_eq!(
            (applied(&pair, b"k"), pair.place.mutations()),
            (vec![b"1".to_vec(), b"2".to_vec()], 0)
        );
    }
}

#[test]
fn queue_of_another_store_is_held_until_it_is_empty() {
    let mut pair = ready();
    let view = pair.view(b"", b"");
    pair.run();
    pair.reachable = false;
    pair.cut();
    let mutations = [pair.enqueue(&put(b"a", b"1")), pair.enqueue(&put(b"b", b"2"))];
    pair.run();
    assert_eq!(read(&pair, view).entries.len(), 2);
    (pair.server.store_id, pair.server.incarnation) = ([9; 16], 7);
    pair.reachable = true;
    pair.pass(1_000);
    assert!(pair.core.queue_info().held && pair.server.entries.is_empty());
    assert!(read(&pair, view).entries.is_empty(), "it shows nothing that is not of this store");
    let refused = pair.enqueue(&put(b"c", b"3"));
    let call = pair.put(b"d", b"4");
    pair.run();
    assert_eq!(pair.end(refused).unwrap_err().code, Code::Unavailable);
    assert!(pair.settled(call).is_ok(), "calls go on");
    for mutation in mutations {
        assert!(pair.core.discard(Millis(pair.now), mutation));
        pair.run();
        assert_eq!(pair.end(mutation).unwrap_err().code, Code::Cancelled);
    }
    assert_eq!(pair.core.queue_info(), QueueInfo::default());
    let taken = pair.enqueue(&put(b"c", b"3"));
    pair.run();
    assert!(pair.end(taken).is_ok());
}

#[test]
fn what_cannot_be_stored_is_an_error_of_its_mutation_and_rolls_back() {
    let mut pair = ready();
    let view = pair.view(b"", b"");
    pair.run();
    pair.place.fails = true;
    let mutation = pair.enqueue(&put(b"k", b"1"));
    assert_eq!(read(&pair, view).entries.len(), 1);
    pair.run();
    let error = pair.end(mutation).unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::Storage, Outcome::NotApplied));
    assert_eq!(&*error.message, "no room");
    assert!(read(&pair, view).entries.is_empty() && pair.core.queue_info().failing);
    pair.place.fails = false;
    let next = pair.enqueue(&put(b"k", b"2"));
    pair.run();
    assert!(pair.end(next).is_ok() && !pair.core.queue_info().failing);
    // A number that cannot be stored waits, and so does its mutation.
    pair.cut();
    let mutation = pair.enqueue(&put(b"k", b"3"));
    pair.run();
    pair.place.fails = true;
    pair.pass(5_000);
    assert!(pair.mutation_ends(mutation).is_empty() && pair.core.queue_info().failing);
    pair.place.fails = false;
    pair.pass(1_000);
    assert!(pair.end(mutation).is_ok());
    assert_eq!(
        (applied(&pair, b"k"), pair.place.mutations()),
        (vec![b"2".to_vec(), b"3".to_vec()], 0)
    );
}

#[test]
fn queue_is_bounded_and_counted() {
    let config = Config { mutations: 3, mutation_bytes: 100, ..Config::default() };
    let mut pair = Pair::with(config);
    pair.open();
    pair.reachable = false;
    for n in 0..3_u8 {
        pair.enqueue(&put(&[n], b"v"));
    }
    let over = pair.enqueue(&put(b"k", b"v"));
    pair.run();
    assert_eq!(pair.end(over).unwrap_err().code, Code::ResourceExhausted);
    let info = QueueInfo { waiting: 3, bytes: 3 * 8, ..QueueInfo::default() };
    assert!(pair.seen.contains(&Seen::Queue(info)), "{:?}", pair.seen);
    pair.reachable = true;
    pair.pass(1_000);
    assert!(pair.seen.contains(&Seen::Queue(QueueInfo::default())));
    let long = pair.enqueue(&put(b"k", &[0; 100]));
    let read = pair.enqueue(&Get { key: b"k" });
    pair.run();
    assert_eq!(pair.end(long).unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(pair.end(read).unwrap_err().code, Code::InvalidInput);
    let rows = [0_u8; 40];
    let mut other = Pair::new();
    assert!(other.core.open_queue(Millis(0), 0, &rows).is_err(), "rows of no known version");
}

#[test]
fn mutation_that_is_refused_for_now_waits_and_only_its_key_waits_with_it() {
    let mut pair = ready();
    pair.server.refuse_writes = Some((Code::MemoryFull, 300));
    let first = [pair.enqueue(&put(b"k", b"1")), pair.enqueue(&put(b"k", b"2"))];
    pair.pass(100);
    pair.server.refuse_writes = None;
    let other = pair.enqueue(&put(b"other", b"3"));
    pair.run();
    assert!(pair.end(other).is_ok() && pair.mutation_ends(first[0]).is_empty());
    pair.pass(86_400_000);
    assert!(pair.end(first[0]).is_ok() && pair.end(first[1]).is_ok());
    assert_eq!(applied(&pair, b"k"), [b"1", b"2"]);
}

#[test]
fn mutation_waits_for_a_server_whose_disk_has_failed() {
    let mut pair = ready();
    pair.server.refuse_writes = Some((Code::Storage, 0));
    let mutations = [pair.enqueue(&put(b"k", b"1")), pair.enqueue(&put(b"k", b"2"))];
    let call = pair.put(b"other", b"3");
    pair.pass(5_000);
    assert_eq!(pair.settled(call).unwrap_err().code, Code::Storage, "who waits for it is told");
    assert!(pair.mutation_ends(mutations[0]).is_empty());
    pair.server.refuse_writes = None;
    pair.pass(5_000);
    assert!(pair.end(mutations[0]).is_ok() && pair.end(mutations[1]).is_ok());
    assert_eq!(applied(&pair, b"k"), [b"1", b"2"]);
}

#[test]
fn mutation_that_was_not_sent_can_be_taken_back() {
    let mut pair = offline();
    let (kept, back) = (pair.enqueue(&put(b"k", b"1")), pair.enqueue(&put(b"k", b"2")));
    pair.run();
    assert!(pair.core.discard(Millis(pair.now), back));
    assert!(!pair.core.discard(Millis(pair.now), back), "once");
    pair.run();
    let mut rows = Vec::new();
    pair.core.mutations(&mut rows);
    let rows = split(&rows).expect("whole rows");
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [kept.0]);
    assert_eq!((pair.place.mutations(), rows[0].1[1]), (1, Put::SPEC.kind));
    pair.reachable = true;
    pair.pass(1_000);
    assert_eq!(applied(&pair, b"k"), [b"1"]);
}

#[test]
fn what_was_taken_back_is_told_so_only_when_it_cannot_come_back() {
    let mut pair = offline();
    let mutation = pair.enqueue(&put(b"k", b"1"));
    pair.run();
    pair.place.hold = true;
    assert!(pair.core.discard(Millis(pair.now), mutation));
    pair.run();
    assert_eq!(pair.core.queue_info().waiting, 0, "it is not sent any more");
    assert!(pair.mutation_ends(mutation).is_empty(), "its row is still there");
    pair.place.hold = false;
    pair.run();
    let error = pair.end(mutation).unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::NotApplied));
    pair.crash();
    pair.reachable = true;
    pair.core.connect(Millis(pair.now));
    pair.pass(1_000);
    assert!(applied(&pair, b"k").is_empty());
}

#[test]
fn a_row_that_is_on_its_way_when_the_client_closes_leaves_the_outcome_open() {
    let mut pair = offline();
    pair.place.hold = true;
    let mutation = pair.enqueue(&put(b"k", b"1"));
    pair.handle(Input::Tick);
    pair.core.close(Millis(pair.now));
    pair.pass(10_000);
    let error = pair.end(mutation).unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::Closed, Outcome::Unknown));
    // It becomes durable, and the next life sends it.
    pair.place.store_unheard();
    pair.crash();
    (pair.reachable, pair.place.hold) = (true, false);
    pair.core.connect(Millis(pair.now));
    pair.pass(1_000);
    assert_eq!(applied(&pair, b"k"), [b"1"]);
}

#[test]
fn queue_in_memory_is_the_same_without_rows_and_ends_with_the_client() {
    let mut pair = Pair::new();
    pair.reachable = false;
    let view = pair.view(b"", b"");
    let one = pair.enqueue(&put(b"k", b"1"));
    pair.run();
    assert_eq!(read(&pair, view).value(b"k"), Some(("1", true)));
    pair.reachable = true;
    pair.pass(1_000);
    assert!(pair.end(one).is_ok() && pair.place.batches.is_empty());
    pair.reachable = false;
    pair.cut();
    let lost = pair.enqueue(&put(b"k", b"2"));
    pair.core.close(Millis(pair.now));
    pair.run();
    assert_eq!(pair.end(lost).unwrap_err().code, Code::Closed);
}

/// What one seed's client did, and where it should have come to.
struct Round {
    pair: Pair,
    dice: Dice,
    /// Every mutation: its key, and the value that it puts, which grows.
    made: BTreeMap<MutationId, (Vec<u8>, Vec<u8>)>,
    ends: BTreeMap<MutationId, Vec<Result<Vec<u8>, tidekeep_client_core::Error>>>,
    values: u32,
    view: tidekeep_client_core::WatchId,
    shown: Snapshot,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut pair = opened();
        let view = pair.view(b"", b"");
        let (made, ends) = (BTreeMap::new(), BTreeMap::new());
        let shown = Snapshot::default();
        Self { pair, dice: Dice(seed), made, ends, values: 0, view, shown }
    }

    fn throw(&mut self, sides: u64) -> u64 {
        self.dice.throw(sides)
    }

    /// Looks at what came, before it is forgotten.
    fn look(&mut self) {
        self.pair.handle(Input::Tick);
        fold(&mut self.pair, self.view, &mut self.shown);
        assert_eq!(self.shown, read(&self.pair, self.view), "patches tell all there is");
        for seen in self.pair.take() {
            if let Seen::Settled(mutation, key, result) = seen {
                assert_eq!(self.made[&mutation].0, key);
                self.ends.entry(mutation).or_default().push(result);
            }
        }
    }

    fn crash(&mut self) {
        self.look();
        if self.throw(2) > 0 {
            self.pair.place.store_unheard();
        }
        let mut saved = Vec::new();
        if self.throw(2) > 0 {
            self.pair.core.save_view(self.view, &mut saved);
        }
        (self.pair.place.hold, self.pair.place.fails) = (false, false);
        self.pair.crash();
        self.view = self.pair.view(b"", &saved);
        self.shown = Snapshot::default();
        self.pair.run();
    }

    fn step(&mut self) {
        for _ in 0..self.throw(6) {
            let key = vec![b'a' + self.throw(4) as u8];
            self.values += 1;
            let value = format!("{:06}", self.values).into_bytes();
            let condition = if self.throw(5) == 0 { Condition::Absent } else { Condition::Always };
            let mutation = self.pair.enqueue(&Put { condition, ..put(&key, &value) });
            self.made.insert(mutation, (key, value));
        }
        if self.throw(3) == 0 {
            self.pair.put(b"x", b"of an ordinary call");
        }
        match self.throw(16) {
            0..=2 => self.pair.cut_after_in = Some(self.dice.throw(600) as usize),
            3..=4 => self.pair.cut_after_out = Some(self.dice.throw(500) as usize),
            5 => self.pair.cut(),
            6..=7 => self.crash(),
            8 => self.pair.server.hold_replies = self.dice.throw(2) > 0,
            9 => self.pair.server.hold_events = self.dice.throw(2) > 0,
            10 => self.pair.reachable = self.dice.throw(3) > 0,
            11 => self.pair.place.hold = self.dice.throw(2) > 0,
            12 => self.pair.place.fails = self.dice.throw(3) == 0,
            13 => {
                let refused = (Code::RateLimited, self.dice.throw(300) as u32);
                self.pair.server.refuse_writes = (self.dice.throw(2) > 0).then_some(refused);
            }
            14 if self.dice.throw(4) == 0 => self.pair.server.forget(),
            _ => self.pair.handle(Input::Woke),
        }
        self.pair.slice = 1 + self.dice.throw(300) as usize;
        let ms = self.throw(400);
        self.pair.pass(ms);
        self.look();
    }

    /// Lets everything come to rest, and looks whether it is where it should be.
    fn finish(&mut self) {
        let Pair { server, place, .. } = &mut self.pair;
        (server.hold_replies, server.hold_events, server.refuse_writes) = (false, false, None);
        (place.hold, place.fails) = (false, false);
        (self.pair.cut_after_in, self.pair.cut_after_out) = (None, None);
        self.pair.reachable = true;
        self.pair.cut();
        self.pair.pass(60_000);
        self.look();
        if self.pair.core.queue_info().held {
            // This life was never stored.
            self.crash();
            self.pair.pass(60_000);
            self.look();
        }
        assert_eq!(self.pair.core.queue_info(), QueueInfo::default());
        assert_eq!(self.pair.place.mutations(), 0);
        for key in [b"a", b"b", b"c", b"d"] {
            let applied = applied(&self.pair, key);
            assert!(applied.is_sorted_by(|one, next| one < next), "in order, once: {applied:?}");
        }
        let store = &self.pair.server.entries;
        let shown = self.shown.entries.iter();
        let shown = shown.map(|(key, it)| (key.clone(), (it.value.clone(), it.modified)));
        assert_eq!(shown.collect::<BTreeMap<_, _>>(), *store);
        assert!(self.shown.entries.values().all(|it| !it.optimistic));
        for (mutation, (key, value)) in &self.made {
            let was_applied = applied(&self.pair, key).contains(value);
            let ends = self.ends.get(mutation).map_or(&[][..], |ends| ends);
            // Without an end it was lost before its row was stored.
            assert!(!ends.is_empty() || !was_applied);
            for end in ends {
                match end {
                    Ok(reply) => assert_eq!(status(reply) == WriteStatus::Applied, was_applied),
                    Err(error) => {
                        assert_eq!(error.outcome, Outcome::NotApplied, "{error}");
                        assert!(!was_applied && error.code == Code::Storage, "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn thousands_of_crashes_apply_every_stored_mutation_once_in_order() {
    let rounds = std::env::var("TIDEKEEP_QUEUE_SEEDS").map_or(150, |it| it.parse().unwrap());
    let (mut repeated, mut made, mut stored) = (0, 0, 0);
    for seed in 0..rounds {
        let round = std::panic::catch_unwind(|| {
            let mut round = Round::new(seed);
            for _ in 0..60 {
                round.step();
            }
            round.finish();
            let memory = round.pair.server.memory.as_ref().map_or(0, |memory| memory.repeated);
            (memory, round.made.len(), round.ends.len())
        });
        match round {
            Ok(it) => (repeated, made, stored) = (repeated + it.0, made + it.1, stored + it.2),
            Err(panic) => {
                println!("the round of seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(repeated as u64 > 5 * rounds, "the memory was needed: {repeated} times");
    assert!(stored > made / 2, "{stored} of {made} had an end");
}
