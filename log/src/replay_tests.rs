//! Whatever the records are, all cores together make of them what one does, record by record.

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{
    Delete, DeleteRange, Increment, LeaseGrant, LeaseRevoke, Put, Request, Touch, Txn, TxnOp,
};
use tidekeep_protocol::range::Range;
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_store::apply::apply;
use tidekeep_store::record::{self, Expired};
use tidekeep_store::snapshot::write_tables;

use super::*;

const SHARDS: usize = 7;
const HISTORY_BYTES: usize = 40_000;

fn state() -> State {
    State::new(Spread::new(5, SHARDS), Shard::new)
}

/// Chooses numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % bound
    }

    fn key(&mut self) -> Vec<u8> {
        format!("key-{}", self.below(60)).into_bytes()
    }
}

/// A store that writes its log, as one that runs does.
struct Live {
    state: State,
    tail: Tail,
    log: Vec<Vec<u8>>,
    sequence: u64,
    leases: Vec<u64>,
}

impl Live {
    fn new() -> Self {
        let tail = Tail::new(0, HISTORY_BYTES);
        Self { state: state(), tail, log: Vec::new(), sequence: 0, leases: Vec::new() }
    }

    /// Runs a few commands as one record.
    fn write(&mut self, dice: &mut Dice, kinds: u64) {
        let now_ms = self.state.now_ms + dice.below(3);
        let mut stamp = Stamp { now_ms, revision: self.state.revision };
        let mut bytes = Vec::new();
        record::begin(stamp, &mut bytes);
        for _ in 0..=dice.below(12) {
            self.command(dice, kinds, &mut stamp, &mut bytes);
        }
        (self.state.revision, self.state.now_ms) = (stamp.revision, now_ms);
        self.log.push(bytes);
    }

    fn command(&mut self, dice: &mut Dice, kinds: u64, stamp: &mut Stamp, bytes: &mut Vec<u8>) {
        let (key, other, value) = (dice.key(), dice.key(), dice.key());
        let expiry = match dice.below(4) {
            0 => Expiry::After(dice.below(20)),
            1 => Expiry::Keep,
            2 if !self.leases.is_empty() => Expiry::Lease(self.leases[0]),
            _ => Expiry::Never,
        };
        let condition = if dice.below(3) == 0 { Condition::Absent } else { Condition::Always };
        let put = Put { key: &key, value: &value, condition, expiry, previous: dice.below(2) == 0 };
        let delete = Delete { key: &key, condition: Condition::Always, previous: true };
        let request = match dice.below(kinds) {
            0..=3 => Request::Put(put),
            4 => Request::Delete(delete),
            5 => Request::Touch(Touch { key: &key, expiry, condition }),
            6 => Request::Increment(Increment { key: b"count", by: 2, expiry: Expiry::Keep }),
            7 => Request::Increment(Increment { key: &key, by: 2, expiry: Expiry::Keep }),
            8 => Request::DeleteRange(DeleteRange {
                range: Range { start: &key, end: Some(&other) },
                limit: 3,
            }),
            9 => Request::Txn(Txn {
                compares: Vec::new(),
                then: vec![TxnOp::Put(put), TxnOp::Delete(Delete { key: &other, ..delete })],
                otherwise: Vec::new(),
            }),
            10 => return self.end_by_time(stamp, bytes),
            11 => match self.leases.pop() {
                Some(lease) => Request::LeaseRevoke(LeaseRevoke { lease }),
                None => Request::LeaseGrant(LeaseGrant { ttl_ms: 1 << 40 }),
            },
            _ => unreachable!("there are no more kinds"),
        };
        let numbered = dice.below(2) == 0;
        let kind = request.spec().kind;
        let mut body = Vec::new();
        request.encode(&mut body);
        let revokes = matches!(request, Request::LeaseRevoke(_));
        let grants = matches!(request, Request::LeaseGrant(_));
        if numbered {
            self.sequence += 1;
            let session = SessionId::new(1, (self.sequence % 3).into());
            let oldest = self.sequence.saturating_sub(30).max(1);
            let number = Number { sequence: self.sequence, oldest };
            let numbered = Numbered { session, number, retry: false };
            let command = Command::Numbered { numbered, changed: true, request };
            let changed = self.run(&command, stamp);
            record::push_session(session, bytes);
            record::push_numbered(number, changed, kind, &body, bytes);
        } else if self.run(&Command::Request(request), stamp) {
            record::push_request(kind, &body, bytes);
        }
        if grants {
            self.leases.push(stamp.revision);
        }
        assert!(!revokes || self.state.tables.leases.is_empty(), "there was one");
    }

    fn end_by_time(&mut self, stamp: &mut Stamp, bytes: &mut Vec<u8>) {
        let due = self.state.shards.iter().flat_map(|(_, shard)| shard.due(stamp.now_ms));
        let due: Vec<_> = due.cloned().collect();
        let expired: Vec<_> =
            due.iter().map(|it| Expired { key: it.key(), modified: it.modified() }).collect();
        if self.run(&Command::Expire(expired.clone()), stamp) {
            record::push_expire(&expired, bytes);
        }
    }

    /// Whether it changed something.
    fn run(&mut self, command: &Command<'_>, stamp: &mut Stamp) -> bool {
        let State { spread, shards, tables, .. } = &mut self.state;
        let applied = apply(&mut Writing::new(*spread, shards), tables, *stamp, command);
        let Ok((_, Some(change))) = applied else { return false };
        stamp.revision = change.revision;
        self.tail.extend([change], stamp.revision, u64::MAX);
        true
    }

    fn logged(&self) -> Vec<Logged<'_>> {
        (1..).zip(&self.log).map(|(index, bytes)| (index, &bytes[..])).collect()
    }
}

/// Everything that a state and its tail are.
fn all_of(state: &State, tail: &Tail) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut tables = Vec::new();
    let gather = |bytes: &[u8]| {
        tables.extend_from_slice(bytes);
        Ok::<(), ()>(())
    };
    write_tables(&state.tables.save(), gather).expect("nothing fails");
    let shards: Vec<_> = state
        .shards
        .iter()
        .map(|(_, shard)| (shard.written(), shard.bytes(), shard.next_due(), shard.keys()))
        .collect();
    (state.head(), shards, tables, tail.all(u64::MAX).changes().collect::<Vec<_>>(), tail.size())
}

fn replayed(live: &Live, threads: usize) -> (State, Tail) {
    let (mut state, tail) = (state(), Tail::new(0, HISTORY_BYTES));
    let mut replay = Replay { state: &mut state, tail: &tail, threads, commands_min: 1 };
    replay.records(&live.logged()).expect("they are read");
    (state, tail)
}

#[test]
fn all_cores_make_of_a_log_what_one_does() {
    for seed in 0..40 {
        let (mut live, mut dice) = (Live::new(), Dice(seed));
        // Single keys alone, then everything else among them.
        for kinds in [8, 11, 12, 8] {
            (0..60).for_each(|_| live.write(&mut dice, kinds));
        }
        let expected = all_of(&live.state, &live.tail);
        for threads in [1, 2, 3, SHARDS] {
            let (state, tail) = replayed(&live, threads);
            assert_eq!(all_of(&state, &tail), expected, "by {threads}, of seed {seed}");
        }
    }
}

#[test]
fn what_does_not_add_up_is_refused_by_its_index() {
    let put = |key: &[u8], bytes: &mut Vec<u8>| {
        let put = Put {
            key,
            value: b"v",
            condition: Condition::Absent,
            expiry: Expiry::Never,
            previous: false,
        };
        record::push_decoded(&Request::Put(put), bytes);
    };
    let record = |revision: u64, keys: &[&[u8]]| {
        let mut bytes = Vec::new();
        record::begin(Stamp { now_ms: 1, revision }, &mut bytes);
        keys.iter().for_each(|key| put(key, &mut bytes));
        bytes
    };
    let whole = record(0, &[b"a", b"b", b"c"]);
    let (unlike, apart) = (record(3, &[b"d", b"a"]), record(4, &[b"d"]));
    let cut = record(3, &[b"d", b"e"]);
    let cut = &cut[..cut.len() - 1];
    for (second, why) in [(&unlike[..], "does not change"), (&apart, "follows"), (cut, "ends")] {
        for threads in [1, 2, 3] {
            let (mut state, tail) = (state(), Tail::new(0, HISTORY_BYTES));
            let mut replay = Replay { state: &mut state, tail: &tail, threads, commands_min: 1 };
            let refused = replay.records(&[(1, &whole), (2, second), (3, &whole)]);
            let Unusable { index, source } = refused.expect_err("it is refused");
            assert_eq!(index, 2);
            assert!(source.to_string().contains(why), "{source} by {threads}");
        }
    }
}
