//! Transactions over groups, step by step, in whatever order steps meet: coordinators that stop anywhere, steps
//! that come twice and late, tries that are given up, single keys between them. Held against one store that does
//! each transaction as a whole at the moment at which its home decides: every answer is the same, and when all
//! is over nothing is locked.

use std::collections::BTreeMap;

use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{
    Compare, Delete, DeleteRange, Get, Increment, LeaseGrant, LeaseRevoke, Put, Request, Touch,
    Txn, TxnOp, TxnReply, TxnResult,
};
use tidekeep_protocol::range::Range;
use tidekeep_store::intents::Intents;
use tidekeep_store::record::{Command, Expired};
use tidekeep_store::reply::Reply;
use tidekeep_store::step::{
    Asks, Decide, Decided, Finish, Finished, Forget, Outcome, Part, Prepare, Prepared, Resolve,
    TxnId, Votes,
};

use crate::group::Group;

const GROUPS: usize = 3;
const KEYS: [&str; 6] = ["k0", "k1", "k2", "k3", "k4", "k5"];
const DEADLINE_MS: u64 = 1 << 40;

fn group_of(key: &[u8]) -> usize {
    usize::from(key[1] - b'0') % GROUPS
}

pub(crate) fn ask<S: Asks>(group: &mut Group, now_ms: u64, step: S) -> S::Reply {
    match group.apply(now_ms, &Command::Step(step.step())) {
        Ok((Some(Reply::Encoded(encoded)), _)) => {
            encoded.read::<S>().expect("the answer to what was asked")
        }
        other => panic!("{other:?}"),
    }
}

/// An even row of numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % most as u64) as usize
    }

    fn of<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }
}

/// What a result shows beside revisions, which each group counts for itself.
fn shown(result: &TxnResult<'_>) -> String {
    match result {
        TxnResult::Get(got) => format!("{:?}", got.entry.map(|it| (it.value, it.meta.version))),
        TxnResult::Put(it) | TxnResult::Delete(it) => format!("{:?}", it.status),
        TxnResult::Touch(it) => format!("{:?}", it.status),
        TxnResult::Increment(it) => format!("{}", it.value),
        TxnResult::DeleteRange(it) => format!("{}", it.deleted),
    }
}

/// A random transaction of a few keys: encoded, since it outlives many steps.
fn some_txn(dice: &mut Dice) -> Vec<u8> {
    let put = |key, value, condition| {
        TxnOp::Put(Put { key, value, condition, expiry: Expiry::Never, previous: false })
    };
    let mut txn = Txn::default();
    for _ in 0..2 + dice.below(2) {
        let key = dice.of(&KEYS).as_bytes();
        let condition = match dice.below(4) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 => Condition::Value(b"1"),
            _ => Condition::Always,
        };
        txn.compares.push(Compare { key, condition });
        let key = dice.of(&KEYS).as_bytes();
        txn.then.push(match dice.below(7) {
            0 | 1 => TxnOp::Increment(Increment { key, by: 1, expiry: Expiry::Never }),
            2 => TxnOp::Delete(Delete { key, condition: Condition::Always, previous: false }),
            3 => put(key, b"word", Condition::Always),
            4 => put(key, b"1", Condition::Absent),
            _ => TxnOp::Get(Get { key }),
        });
        let key = dice.of(&KEYS).as_bytes();
        txn.otherwise.push(match dice.below(3) {
            0 => put(key, b"5", Condition::Always),
            _ => TxnOp::Get(Get { key }),
        });
    }
    let mut body = Vec::new();
    codec::encode(&txn, &mut body);
    body
}

fn key_of<'a>(op: &TxnOp<'a>) -> &'a [u8] {
    match op {
        TxnOp::Get(Get { key })
        | TxnOp::Put(Put { key, .. })
        | TxnOp::Delete(Delete { key, .. })
        | TxnOp::Touch(Touch { key, .. })
        | TxnOp::Increment(Increment { key, .. }) => key,
        TxnOp::DeleteRange(_) => unreachable!("no transaction here has one"),
    }
}

fn parts_of(body: &[u8]) -> BTreeMap<usize, Vec<u8>> {
    let txn: Txn<'_> = codec::decode(body).expect("a transaction");
    let mut parts: BTreeMap<usize, Txn<'_>> = BTreeMap::new();
    for compare in &txn.compares {
        parts.entry(group_of(compare.key)).or_default().compares.push(*compare);
    }
    for op in &txn.then {
        parts.entry(group_of(key_of(op))).or_default().then.push(*op);
    }
    for op in &txn.otherwise {
        parts.entry(group_of(key_of(op))).or_default().otherwise.push(*op);
    }
    let encoded = |(group, part)| {
        let mut body = Vec::new();
        codec::encode(&part, &mut body);
        (group, body)
    };
    parts.into_iter().map(encoded).collect()
}

/// One try of a transaction, as far as somebody has come with it.
struct Try {
    txn: TxnId,
    body: Vec<u8>,
    parts: BTreeMap<usize, Vec<u8>>,
    votes: BTreeMap<usize, Votes>,
    outcome: Option<Outcome>,
    done: BTreeMap<usize, Part>,
}

impl Try {
    fn home(&self) -> usize {
        *self.parts.keys().next().expect("a transaction has parts")
    }
}

struct World {
    dice: Dice,
    now_ms: u64,
    groups: Vec<Group>,
    /// All keys in one, where each transaction is done at once.
    whole: Group,
    tries: Vec<Try>,
    /// What the whole store answered when a number was decided.
    expected: BTreeMap<u64, (Outcome, Vec<String>)>,
    attempts: u64,
    /// Numbers whose answer was looked at.
    answered: BTreeMap<u64, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            now_ms: 1_000,
            groups: (0..GROUPS as u64).map(|at| Group::new(2, at)).collect(),
            whole: Group::new(4, 9),
            tries: Vec::new(),
            expected: BTreeMap::new(),
            attempts: 0,
            answered: BTreeMap::new(),
        }
    }

    fn begin(&mut self, sequence: u64, body: Vec<u8>) {
        self.attempts += 1;
        let txn = TxnId { session: [7; 16], sequence, attempt: self.attempts };
        let parts = parts_of(&body);
        let (votes, done) = (BTreeMap::new(), BTreeMap::new());
        self.tries.push(Try { txn, body, parts, votes, outcome: None, done });
    }

    fn step(&mut self) {
        self.now_ms += self.dice.below(3) as u64;
        match self.dice.below(12) {
            0 => {
                let body = some_txn(&mut self.dice);
                self.begin(self.attempts + 1, body);
            }
            1 if !self.tries.is_empty() => {
                // The client asks anew, another node begins.
                let at = self.dice.below(self.tries.len());
                let (sequence, body) = (self.tries[at].txn.sequence, self.tries[at].body.clone());
                self.begin(sequence, body);
            }
            2 => self.single_key(),
            3 => self.resolve_somebody(),
            4 if self.tries.len() > 6 => {
                // Nobody goes on with it.
                let at = self.dice.below(self.tries.len());
                self.tries.swap_remove(at);
            }
            _ if !self.tries.is_empty() => {
                let at = self.dice.below(self.tries.len());
                self.go_on(at);
            }
            _ => {}
        }
    }

    fn single_key(&mut self) {
        let key = self.dice.of(&KEYS).as_bytes();
        let request = match self.dice.below(2) {
            0 => Request::Increment(Increment { key, by: 10, expiry: Expiry::Never }),
            _ => Request::Put(Put {
                key,
                value: b"1",
                condition: Condition::Always,
                expiry: Expiry::Never,
                previous: false,
            }),
        };
        let here =
            self.groups[group_of(key)].apply(self.now_ms, &Command::Request(request.clone()));
        if matches!(here, Ok((Some(Reply::Locked(_)), _))) {
            return;
        }
        let there = self.whole.apply(self.now_ms, &Command::Request(request));
        let value = |applied| match applied {
            Ok((Some(Reply::Increment(reply)), _)) => Ok(reply.value),
            Ok(_) => Ok(0),
            Err(refusal) => Err(refusal),
        };
        assert_eq!(value(here), value(there));
    }

    /// Somebody comes upon a lock and has it seen to.
    fn resolve_somebody(&mut self) {
        let at = self.dice.below(GROUPS);
        let left: Vec<_> = intents(&self.groups[at]).prepared_until(u64::MAX).cloned().collect();
        let Some(intent) = left.first() else { return };
        let (txn, home) = (intent.prepare.txn, usize::from(intent.prepare.home));
        let resolve = Resolve { txn, deadline_ms: intent.prepare.deadline_ms };
        let outcome = ask(&mut self.groups[home], self.now_ms, resolve);
        ask(&mut self.groups[at], self.now_ms, Finish { txn, outcome });
    }

    fn go_on(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let mut it = self.tries.swap_remove(at);
        let home = it.home();
        match it.outcome {
            None if it.votes.len() < it.parts.len() || self.dice.below(8) == 0 => {
                let groups: Vec<usize> = it.parts.keys().copied().collect();
                let group = *self.dice.of(&groups);
                let prepare = Prepare {
                    txn: it.txn,
                    oldest: 1,
                    retry: true,
                    home: home as u16,
                    groups: groups.iter().map(|group| *group as u16).collect(),
                    deadline_ms: DEADLINE_MS,
                    part: it.parts[&group].clone(),
                };
                match ask(&mut self.groups[group], now_ms, prepare) {
                    Prepared::Locked(votes) => drop(it.votes.insert(group, votes)),
                    Prepared::Done(part) if group == home => {
                        it.txn.attempt = part.attempt;
                        it.outcome = Some(part.outcome);
                        it.done.insert(group, part);
                    }
                    Prepared::Done(_) | Prepared::Conflict(_) | Prepared::Late { .. } => {
                        return self.abort(&it);
                    }
                    Prepared::Refused(fault) => panic!("{fault:?}"),
                    Prepared::Held => panic!("nobody holds anything"),
                    Prepared::Whole { .. } => {
                        panic!("there were several groups from the beginning")
                    }
                }
            }
            None => return self.decide(it),
            Some(outcome) => {
                let groups: Vec<usize> = it.parts.keys().copied().collect();
                let group = *self.dice.of(&groups);
                let finish = Finish { txn: it.txn, outcome };
                match ask(&mut self.groups[group], now_ms, finish) {
                    Finished::Done(part) => drop(it.done.insert(group, part)),
                    Finished::Nothing => panic!("a part of what was decided is lost"),
                }
            }
        }
        if it.done.len() == it.parts.len() {
            return self.answer(&it);
        }
        self.tries.push(it);
    }

    fn abort(&mut self, it: &Try) {
        for group in it.parts.keys() {
            let finish = Finish { txn: it.txn, outcome: Outcome::Aborted };
            // Some never hear of it.
            if self.dice.below(4) > 0 {
                ask(&mut self.groups[*group], self.now_ms, finish);
            }
        }
    }

    fn decide(&mut self, mut it: Try) {
        let succeeded = it.votes.values().all(|votes| votes.holds);
        let fault = |votes: &Votes| {
            if succeeded { votes.then.is_some() } else { votes.otherwise.is_some() }
        };
        let txn: Txn<'_> = codec::decode(&it.body).expect("a transaction");
        if it.votes.values().any(fault) {
            let held = |group: &usize| intents(&self.groups[*group]).get(&it.txn).is_some();
            if it.parts.keys().all(held) {
                let refused = self.whole.apply(self.now_ms, &Command::Request(Request::Txn(txn)));
                assert!(refused.is_err(), "{:?} {refused:?}", it.votes);
            }
            return self.abort(&it);
        }
        let home = it.home();
        let was_held = intents(&self.groups[home]).get(&it.txn).is_some();
        let decide = Decide { txn: it.txn, succeeded };
        match ask(&mut self.groups[home], self.now_ms, decide) {
            Decided::Committed(part) => {
                it.outcome = Some(part.outcome);
                if was_held {
                    let whole = Command::Request(Request::Txn(txn));
                    let results = match self.whole.apply(self.now_ms, &whole) {
                        Ok((Some(reply), _)) => results_of(&reply),
                        other => panic!("{other:?}"),
                    };
                    let before = self.expected.insert(it.txn.sequence, (part.outcome, results));
                    assert_eq!(before, None, "decided twice");
                }
                it.done.insert(home, part);
            }
            Decided::Aborted => return self.abort(&it),
            Decided::Forgotten => panic!("nothing is forgotten here"),
        }
        self.tries.push(it);
    }

    /// All parts are there: together they are what the whole store answered.
    fn answer(&mut self, it: &Try) {
        let (outcome, expected) = &self.expected[&it.txn.sequence];
        let txn: Txn<'_> = codec::decode(&it.body).expect("a transaction");
        let mut rows: BTreeMap<usize, std::vec::IntoIter<String>> = BTreeMap::new();
        for (group, part) in &it.done {
            assert_eq!(part.outcome, *outcome);
            let reply: TxnReply<'_> = codec::decode(&part.body).expect("a reply");
            let row: Vec<String> = reply.results.iter().map(shown).collect();
            rows.insert(*group, row.into_iter());
        }
        let ops = if *outcome == Outcome::Then { &txn.then } else { &txn.otherwise };
        let results: Vec<_> = ops
            .iter()
            .map(|op| {
                rows.get_mut(&group_of(key_of(op)))
                    .and_then(Iterator::next)
                    .expect("a result for each")
            })
            .collect();
        assert_eq!(results, *expected);
        *self.answered.entry(it.txn.sequence).or_default() += 1;
        let home = it.home();
        ask(&mut self.groups[home], self.now_ms, Forget { txn: it.txn });
    }

    /// Leaders see to all that was left.
    fn mend(&mut self) {
        self.tries.clear();
        for at in 0..GROUPS {
            let left: Vec<_> =
                intents(&self.groups[at]).prepared_until(u64::MAX).cloned().collect();
            for intent in left {
                let (txn, home) = (intent.prepare.txn, usize::from(intent.prepare.home));
                let resolve = Resolve { txn, deadline_ms: intent.prepare.deadline_ms };
                let outcome = ask(&mut self.groups[home], self.now_ms, resolve);
                ask(&mut self.groups[at], self.now_ms, Finish { txn, outcome });
            }
        }
        for at in 0..GROUPS {
            let decided = intents(&self.groups[at]).decided_until(u64::MAX);
            let decided: Vec<_> = decided.map(|(txn, decision)| (txn, decision.clone())).collect();
            for (txn, decision) in decided {
                for group in &decision.groups {
                    let finish = Finish { txn, outcome: decision.outcome };
                    ask(&mut self.groups[usize::from(*group)], self.now_ms, finish);
                }
                ask(&mut self.groups[at], self.now_ms, Forget { txn });
            }
        }
    }

    fn check(&self) {
        for group in &self.groups {
            assert_eq!(intents(group).counts(), (0, 0), "something is locked");
        }
        let of = |group: &Group| -> Vec<(Vec<u8>, Vec<u8>, u64)> {
            let content = group.content();
            content
                .iter()
                .map(|it| (it.key().to_vec(), it.value().to_vec(), it.version()))
                .collect()
        };
        let mut parts: Vec<_> = self.groups.iter().flat_map(of).collect();
        parts.sort();
        assert_eq!(parts, of(&self.whole));
    }
}

pub(crate) fn intents(group: &Group) -> &Intents {
    &group.tables.intents
}

fn results_of(reply: &Reply) -> Vec<String> {
    let mut body = Vec::new();
    reply.encode(&mut body);
    let reply: TxnReply<'_> = codec::decode(&body).expect("a reply");
    reply.results.iter().map(shown).collect()
}

#[test]
fn whatever_steps_meet_transactions_are_done_one_after_the_other_and_whole() {
    let (mut decided, mut answered, mut twice) = (0, 0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.mend();
        world.check();
        decided += world.expected.len();
        answered += world.answered.len();
        twice += world.answered.values().filter(|times| **times > 1).count();
    }
    assert!(decided > 2_000 && answered > 2_000 && twice > 100, "{decided} {answered} {twice}");
}

pub(crate) fn txn_id(attempt: u64) -> TxnId {
    TxnId { session: [1; 16], sequence: 1, attempt }
}

/// Prepares a part in a group of its own.
pub(crate) fn prepare(group: &mut Group, now_ms: u64, txn: TxnId, part: &Txn<'_>) -> Prepared {
    let mut body = Vec::new();
    codec::encode(part, &mut body);
    let prepare = Prepare {
        txn,
        oldest: 1,
        retry: false,
        home: 0,
        groups: vec![0, 1],
        deadline_ms: 10_000,
        part: body,
    };
    ask(group, now_ms, prepare)
}

pub(crate) fn put(key: &'static str, expiry: Expiry) -> Put<'static> {
    let (key, condition) = (key.as_bytes(), Condition::Always);
    Put { key, value: b"v", condition, expiry, previous: false }
}

pub(crate) fn run(group: &mut Group, now_ms: u64, request: Request<'_>) -> Reply {
    group.apply(now_ms, &Command::Request(request)).expect("it is applied").0.expect("a reply")
}

pub(crate) fn is_locked(reply: &Reply) -> bool {
    matches!(reply, Reply::Locked(_))
}

#[test]
fn what_was_alive_when_it_was_prepared_is_there_until_the_end() {
    let mut group = Group::new(3, 2);
    run(&mut group, 1_000, Request::Put(put("ends", Expiry::After(100))));
    let lease = match run(&mut group, 1_000, Request::LeaseGrant(LeaseGrant { ttl_ms: 100 })) {
        Reply::Lease(reply) => reply.lease,
        other => panic!("{other:?}"),
    };
    run(&mut group, 1_000, Request::Put(put("leased", Expiry::Lease(lease))));
    let other = match run(&mut group, 1_000, Request::LeaseGrant(LeaseGrant { ttl_ms: 100 })) {
        Reply::Lease(reply) => reply.lease,
        other => panic!("{other:?}"),
    };
    let part = Txn {
        compares: vec![Compare { key: b"ends", condition: Condition::Present }],
        then: vec![
            TxnOp::Get(Get { key: b"ends" }),
            TxnOp::Touch(Touch {
                key: b"leased",
                expiry: Expiry::Keep,
                condition: Condition::Present,
            }),
            TxnOp::Put(put("new", Expiry::Lease(other))),
        ],
        otherwise: vec![],
    };
    let txn = txn_id(1);
    let Prepared::Locked(votes) = prepare(&mut group, 1_099, txn, &part) else { panic!() };
    assert_eq!((votes.holds, votes.then), (true, None));
    // Their time is over, and every command that ends something comes.
    let expired = vec![Expired { key: b"ends", modified: 1 }];
    let ends = [
        Command::Expire(expired.clone()),
        Command::Evict(expired.clone()),
        Command::EndLease(lease),
        Command::EndLease(other),
    ];
    for command in &ends {
        assert_eq!(group.apply(2_000, command).unwrap().1, None);
    }
    let part = match ask(&mut group, 2_001, Finish { txn, outcome: Outcome::Then }) {
        Finished::Done(part) => part,
        Finished::Nothing => panic!(),
    };
    let reply: TxnReply<'_> = codec::decode(&part.body).unwrap();
    let results: Vec<_> = reply.results.iter().map(shown).collect();
    assert_eq!(results, ["Some(([118], 1))", "Applied", "Applied"]);
    // Now they end.
    for command in &ends {
        group.apply(2_002, command).unwrap();
    }
    assert_eq!(group.keys(), 0);
}

#[test]
fn a_lock_lets_readers_of_what_is_read_pass_and_nobody_else() {
    let mut group = Group::new(3, 2);
    run(&mut group, 1_000, Request::Put(put("read", Expiry::Never)));
    let lease = match run(&mut group, 1_000, Request::LeaseGrant(LeaseGrant { ttl_ms: 9_000 })) {
        Reply::Lease(reply) => reply.lease,
        other => panic!("{other:?}"),
    };
    let part = Txn {
        compares: vec![Compare { key: b"read", condition: Condition::Present }],
        then: vec![TxnOp::Put(put("written", Expiry::Lease(lease)))],
        otherwise: vec![],
    };
    let txn = txn_id(1);
    assert!(matches!(prepare(&mut group, 1_001, txn, &part), Prepared::Locked(_)));
    let blocked = |group: &Group, request: &Request<'_>| {
        let tables = &group.tables;
        let lock = tables.intents.blocking(request, &tables.leases, 1_050);
        lock.map(|lock| (lock.txn, lock.home, lock.age_ms))
    };
    let get = |key: &'static str| Request::Get(Get { key: key.as_bytes() });
    let range = |start: &'static str, end: &'static str| {
        let range = Range { start: start.as_bytes(), end: Some(end.as_bytes()) };
        Request::DeleteRange(DeleteRange { range, limit: 0 })
    };
    let by = Some((txn, 0, 49));
    assert_eq!(blocked(&group, &get("read")), None);
    assert_eq!(blocked(&group, &get("written")), by);
    assert_eq!(blocked(&group, &get("other")), None);
    assert_eq!(blocked(&group, &Request::Put(put("read", Expiry::Never))), by);
    assert_eq!(blocked(&group, &range("a", "z")), by);
    assert_eq!(blocked(&group, &range("a", "b")), None);
    assert_eq!(blocked(&group, &range("z", "a")), None);
    assert!(is_locked(&run(&mut group, 1_050, Request::LeaseRevoke(LeaseRevoke { lease }))));
    // Another one that reads the same goes on beside it, one that writes it does not.
    let reader = Txn { then: vec![TxnOp::Get(Get { key: b"read" })], ..Txn::default() };
    let (second, third) = (TxnId { sequence: 2, ..txn_id(2) }, TxnId { sequence: 3, ..txn_id(3) });
    assert!(matches!(prepare(&mut group, 1_050, second, &reader), Prepared::Locked(_)));
    let all = Range { start: b"a", end: None };
    let writer = Txn {
        then: vec![TxnOp::DeleteRange(DeleteRange { range: all, limit: 0 })],
        ..Txn::default()
    };
    assert!(matches!(prepare(&mut group, 1_050, third, &writer), Prepared::Conflict(_)));
    for txn in [txn, second] {
        ask(&mut group, 1_060, Finish { txn, outcome: Outcome::Aborted });
    }
    assert!(matches!(prepare(&mut group, 1_060, third, &writer), Prepared::Locked(_)));
    assert!(is_locked(&run(&mut group, 1_061, Request::Put(put("new", Expiry::Never)))));
    ask(&mut group, 1_062, Finish { txn: third, outcome: Outcome::Then });
    assert!(!is_locked(&run(&mut group, 1_063, Request::Put(put("new", Expiry::Never)))));
    assert_eq!(group.keys(), 1);
}

#[test]
fn a_try_that_was_given_up_is_never_prepared_again_and_a_late_one_neither() {
    let mut group = Group::new(3, 2);
    let part = Txn { then: vec![TxnOp::Put(put("k", Expiry::Never))], ..Txn::default() };
    let resolve = Resolve { txn: txn_id(1), deadline_ms: 10_000 };
    assert_eq!(ask(&mut group, 1_000, resolve), Outcome::Aborted);
    assert_eq!(prepare(&mut group, 1_001, txn_id(1), &part), Prepared::Late { now_ms: 1_001 });
    assert!(matches!(prepare(&mut group, 1_002, txn_id(2), &part), Prepared::Locked(_)));
    let decide = Decide { txn: txn_id(2), succeeded: true };
    assert_eq!(ask(&mut group, 10_001, decide), Decided::Aborted, "its deadline is over");
    assert_eq!(prepare(&mut group, 10_001, txn_id(2), &part), Prepared::Late { now_ms: 10_001 });
    assert_eq!((group.keys(), intents(&group).counts()), (0, (0, 0)));
}

#[test]
fn rows_come_back_from_a_snapshot_and_bad_bytes_do_not() {
    let mut group = Group::new(3, 2);
    let part = |key| Txn { then: vec![TxnOp::Put(put(key, Expiry::Never))], ..Txn::default() };
    prepare(&mut group, 1_000, txn_id(1), &part("a"));
    ask(&mut group, 1_000, Decide { txn: txn_id(1), succeeded: true });
    let second = TxnId { sequence: 2, ..txn_id(2) };
    prepare(&mut group, 1_001, second, &part("b"));
    ask(&mut group, 1_001, Resolve { txn: txn_id(9), deadline_ms: 10_000 });
    let rows = intents(&group).packed();
    assert_eq!((rows.len(), intents(&group).counts()), (3, (1, 1)));
    let mut back = Intents::default();
    for row in &rows {
        assert_eq!(back.read(row), Some(()));
        assert_eq!(back.read(row), None, "each but once");
        for end in 0..row.len() {
            assert_eq!(Intents::default().read(&row[..end]), None);
        }
    }
    assert_eq!((back.packed(), back.digest()), (rows, intents(&group).digest()));
    assert!(back.is_locked(b"b", 0) && !back.is_locked(b"a", 0));
    assert_ne!(back.digest(), Intents::default().digest());
}
