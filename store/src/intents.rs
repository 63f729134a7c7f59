//! What a group keeps of transactions over several groups: parts that are prepared, with their locks, what was
//! decided here, and tries that were given up. Part of the state like entries: in snapshots, on every replica.
//!
//! ```text
//! Prepare ─▶ intent, its keys locked ─┬─▶ Decide (at home) ─▶ decision ─▶ Forget
//!                                     ├─▶ Finish ─▶ done or dropped
//!                                     └─▶ Resolve (at home) ─▶ given up, until its deadline
//! ```
//! A key that a transaction may write, or has compared, stays as it is until the transaction has ended: no
//! write, no end of its time and no eviction touches it. Two that only read a key share its lock. A hold
//! ([`crate::holds`]) keeps all keys as they are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Request, Txn, TxnOp};
use tidekeep_protocol::planted;
use tidekeep_protocol::range::Range;

use crate::digest::fnv;
use crate::holds::{Held, Holds, Seal};
use crate::leases::Leases;
use crate::step::{Lock, Outcome, Prepare, TxnId, Votes};

/// A part that is prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// As it was asked for.
    pub prepare: Prepare,
    /// When it was prepared: what was alive then is alive for it.
    pub prepared_ms: u64,
    /// What was found.
    pub votes: Votes,
}

/// A transaction that was committed here, until all its groups have finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The groups that take part.
    pub groups: Vec<u16>,
    /// What was decided.
    pub outcome: Outcome,
    /// When, in milliseconds since 1970.
    pub decided_ms: u64,
}

/// All of them, and whom they are in the way of.
#[derive(Debug, Default)]
pub struct Intents {
    intents: BTreeMap<TxnId, Intent>,
    decisions: BTreeMap<TxnId, Decision>,
    /// Tries that must not be prepared, by their deadlines.
    given_up: BTreeSet<(u64, TxnId)>,
    /// Who holds a key.
    keys: BTreeMap<Vec<u8>, Vec<Hold>>,
    /// Who holds a range: start and end.
    ranges: Vec<(Vec<u8>, Option<Vec<u8>>, TxnId)>,
    /// How many intents tie keys to a lease.
    leases: BTreeMap<u64, u32>,
    holds: Holds,
    bytes: usize,
}

/// Somebody who holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    txn: TxnId,
    writes: bool,
}

/// A row of the table as a snapshot keeps it.
#[derive(Serialize, Deserialize)]
enum Row {
    Intent(Intent),
    Decision(TxnId, Decision),
    GivenUp(u64, TxnId),
    Held(TxnId, Held),
}

/// What a request needs of a group.
enum Need<'a> {
    Key { key: &'a [u8], writes: bool },
    Range(Range<'a>),
}

/// What an intent costs beside its part: places in trees.
const INTENT_BYTES: usize = 400;

impl Intents {
    /// Whether nothing is locked or held: the way of nearly every command.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.intents.is_empty() && self.holds.is_empty()
    }

    /// Whether no part is prepared: the way of nearly every read.
    #[inline]
    pub fn has_no_parts(&self) -> bool {
        self.intents.is_empty()
    }

    /// The hold of this name, if its time is not over at `now_ms`.
    pub fn held(&self, id: &TxnId, now_ms: u64) -> Option<Held> {
        self.holds.get(id, now_ms)
    }

    /// Whether anybody holds all keys.
    pub(crate) fn is_held(&self, now_ms: u64) -> bool {
        self.holds.is_held(now_ms)
    }

    /// Keeps all keys as they are for good: the group was split, and others have them.
    pub fn seal(&mut self, seal: Seal) {
        self.holds.seal(seal);
    }

    /// What [`Self::seal`] was told, here or where this state comes from.
    pub fn sealed(&self) -> Option<Seal> {
        self.holds.sealed()
    }

    /// Begins a hold, unless it has begun; gives it as it is.
    pub(crate) fn hold(&mut self, id: TxnId, held: Held, now_ms: u64) -> Held {
        self.holds.forget(now_ms);
        self.holds.begin(id, held);
        self.holds.get(&id, now_ms).unwrap_or(held)
    }

    /// Ends a hold.
    pub(crate) fn let_go(&mut self, id: &TxnId) {
        self.holds.end(id);
    }

    /// Forgets the holds whose time is over.
    pub(crate) fn forget_holds(&mut self, now_ms: u64) {
        if !self.holds.is_empty() {
            self.holds.forget(now_ms);
        }
    }

    /// The lock that is in the way of a client's request at `now_ms`, if there is one.
    pub fn blocking(&self, request: &Request<'_>, leases: &Leases, now_ms: u64) -> Option<Lock> {
        if self.is_free() {
            return None;
        }
        if let Some(lock) = self.holds.lock(now_ms).filter(|_| changes_keys(request)) {
            return Some(lock);
        }
        let key = |key, writes| self.in_the_way(None, &Need::Key { key, writes });
        let txn = match request {
            Request::Get(_) if planted::is_awake("lock-read-through") => None,
            Request::Get(get) => key(get.key, false),
            Request::Put(put) => key(put.key, true),
            Request::Delete(delete) => key(delete.key, true),
            Request::Touch(touch) => key(touch.key, true),
            Request::Increment(increment) => key(increment.key, true),
            Request::DeleteRange(delete) => self.in_the_way(None, &Need::Range(delete.range)),
            Request::Txn(txn) => needs(txn).find_map(|need| self.in_the_way(None, &need)),
            Request::LeaseRevoke(revoke) => self.holder_of_lease(revoke.lease, leases),
            Request::Scan(_)
            | Request::Children(_)
            | Request::Watch(_)
            | Request::Status(_)
            | Request::LeaseGrant(_)
            | Request::LeaseKeepAlive(_)
            | Request::Leases(_)
            | Request::Backup(_)
            | Request::Sessions(_)
            | Request::Cluster(_) => None,
        };
        self.lock_of(txn?, now_ms)
    }

    /// The lock of another transaction, or of another try of this one, that is in the way of a part.
    pub(crate) fn conflict(&self, of: TxnId, part: &Txn<'_>, now_ms: u64) -> Option<Lock> {
        let tries = TxnId { attempt: 0, ..of }..=TxnId { attempt: u64::MAX, ..of };
        let other_try = self.intents.range(tries).map(|(txn, _)| *txn).find(|txn| *txn != of);
        let holder = || needs(part).find_map(|need| self.in_the_way(Some(of), &need));
        self.lock_of(other_try.or_else(holder)?, now_ms)
    }

    /// Whether a key is to stay as it is at `now_ms`.
    pub fn is_locked(&self, key: &[u8], now_ms: u64) -> bool {
        let is_locked = || self.in_the_way(None, &Need::Key { key, writes: true }).is_some();
        !self.is_free() && (self.is_held(now_ms) || is_locked())
    }

    /// Whether a lease is to stay at `now_ms`, or any of its keys.
    pub fn is_lease_held(&self, lease: u64, leases: &Leases, now_ms: u64) -> bool {
        let is_locked = || self.holder_of_lease(lease, leases).is_some();
        !self.is_free() && (self.is_held(now_ms) || is_locked())
    }

    fn holder_of_lease(&self, lease: u64, leases: &Leases) -> Option<TxnId> {
        if self.leases.contains_key(&lease) {
            let ties = |intent: &&Intent| tied(&intent.prepare.part).contains(&lease);
            return self.intents.values().find(ties).map(|intent| intent.prepare.txn);
        }
        let mut keys =
            leases.entries(lease).map(|entry| Need::Key { key: entry.key(), writes: true });
        keys.find_map(|need| self.in_the_way(None, &need))
    }

    /// Who else holds what is needed.
    fn in_the_way(&self, own: Option<TxnId>, need: &Need<'_>) -> Option<TxnId> {
        let other = |hold: &&Hold| own != Some(hold.txn);
        match need {
            Need::Key { key, writes } => {
                let holds = self.keys.get(*key).into_iter().flatten();
                let held = holds.filter(other).find(|hold| *writes || hold.writes);
                held.map(|hold| hold.txn).or_else(|| {
                    let over = |(start, end, txn): &&(Vec<u8>, Option<Vec<u8>>, TxnId)| {
                        own != Some(*txn) && Range { start, end: end.as_deref() }.contains(key)
                    };
                    self.ranges.iter().find(over).map(|(_, _, txn)| *txn)
                })
            }
            Need::Range(range) => {
                let held = |(key, holds): (&Vec<u8>, &Vec<Hold>)| {
                    let hold = range.contains(key).then(|| holds.iter().find(other)).flatten();
                    hold.map(|hold| hold.txn)
                };
                // No bounds are given to the tree: a range may end before it starts.
                self.keys.iter().find_map(held).or_else(|| {
                    let over = |(start, end, txn): &&(Vec<u8>, Option<Vec<u8>>, TxnId)| {
                        own != Some(*txn)
                            && range.end.is_none_or(|last| &start[..] < last)
                            && end.as_deref().is_none_or(|last| range.start < last)
                    };
                    self.ranges.iter().find(over).map(|(_, _, txn)| *txn)
                })
            }
        }
    }

    fn lock_of(&self, txn: TxnId, now_ms: u64) -> Option<Lock> {
        let Intent { prepare, prepared_ms, .. } = self.intents.get(&txn)?;
        let age_ms = now_ms.saturating_sub(*prepared_ms);
        Some(Lock { txn, home: prepare.home, deadline_ms: prepare.deadline_ms, age_ms })
    }

    /// The part of a transaction that is prepared here.
    pub fn get(&self, txn: &TxnId) -> Option<&Intent> {
        self.intents.get(txn)
    }

    /// What was decided of a transaction here and is not forgotten.
    pub(crate) fn decision(&self, txn: &TxnId) -> Option<&Decision> {
        self.decisions.get(txn)
    }

    /// Locks a part that nothing is in the way of.
    pub(crate) fn lock(&mut self, intent: Intent) {
        let txn = intent.prepare.txn;
        let Ok(part) = codec::decode::<Txn<'_>>(&intent.prepare.part) else { return };
        for need in needs(&part) {
            match need {
                Need::Key { key, writes } => {
                    let holds = self.keys.entry(key.to_vec()).or_default();
                    match holds.iter_mut().find(|hold| hold.txn == txn) {
                        Some(hold) => hold.writes |= writes,
                        None => holds.push(Hold { txn, writes }),
                    }
                }
                Need::Range(Range { start, end }) => {
                    self.ranges.push((start.to_vec(), end.map(<[u8]>::to_vec), txn));
                }
            }
        }
        for lease in leases_of(&part) {
            *self.leases.entry(lease).or_default() += 1;
        }
        self.bytes += INTENT_BYTES + 2 * intent.prepare.part.len();
        self.intents.insert(txn, intent);
    }

    /// Takes a part out, and lets its locks go.
    pub(crate) fn unlock(&mut self, txn: &TxnId) -> Option<Intent> {
        let intent = self.intents.remove(txn)?;
        self.bytes -= INTENT_BYTES + 2 * intent.prepare.part.len();
        let Ok(part) = codec::decode::<Txn<'_>>(&intent.prepare.part) else { return Some(intent) };
        for need in needs(&part) {
            if let Need::Key { key, .. } = need
                && let Some(holds) = self.keys.get_mut(key)
            {
                holds.retain(|hold| hold.txn != *txn);
                if holds.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
        self.ranges.retain(|(_, _, holder)| holder != txn);
        for lease in leases_of(&part) {
            if let Some(count) = self.leases.get_mut(&lease) {
                *count -= 1;
                if *count == 0 {
                    self.leases.remove(&lease);
                }
            }
        }
        Some(intent)
    }

    /// Keeps what was decided.
    pub(crate) fn decide(&mut self, txn: TxnId, decision: Decision) {
        self.decisions.insert(txn, decision);
    }

    /// Forgets what was decided.
    pub(crate) fn forget(&mut self, txn: &TxnId) {
        self.decisions.remove(txn);
    }

    /// Lets nobody prepare this try any more. After the deadline nobody can anyway.
    pub(crate) fn give_up(&mut self, txn: TxnId, deadline_ms: u64, now_ms: u64) {
        self.given_up = self.given_up.split_off(&(now_ms, FIRST));
        if deadline_ms >= now_ms {
            self.given_up.insert((deadline_ms, txn));
        }
    }

    /// Whether this try was given up.
    pub(crate) fn is_given_up(&self, txn: TxnId, deadline_ms: u64) -> bool {
        self.given_up.contains(&(deadline_ms, txn))
    }

    /// The parts that were prepared until `until_ms`, with their homes and deadlines.
    pub fn prepared_until(&self, until_ms: u64) -> impl Iterator<Item = &Intent> {
        self.intents.values().filter(move |intent| intent.prepared_ms <= until_ms)
    }

    /// What was decided until `until_ms` and is not forgotten.
    pub fn decided_until(&self, until_ms: u64) -> impl Iterator<Item = (TxnId, &Decision)> {
        let old = self.decisions.iter().filter(move |(_, it)| it.decided_ms <= until_ms);
        old.map(|(txn, decision)| (*txn, decision))
    }

    /// How many parts are prepared, and how many decisions are kept.
    pub fn counts(&self) -> (usize, usize) {
        (self.intents.len(), self.decisions.len())
    }

    /// How many rows a snapshot keeps.
    pub fn rows(&self) -> usize {
        self.intents.len() + self.decisions.len() + self.given_up.len() + self.holds.len()
    }

    /// What the table costs in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes + (self.decisions.len() + self.given_up.len()) * (INTENT_BYTES / 4)
    }

    /// Every row as a snapshot keeps it.
    pub fn packed(&self) -> Vec<Vec<u8>> {
        let intents = self.intents.values().cloned().map(Row::Intent);
        let decisions = self.decisions.iter().map(|(txn, it)| Row::Decision(*txn, it.clone()));
        let given_up = self.given_up.iter().map(|(deadline, txn)| Row::GivenUp(*deadline, *txn));
        let held = self.holds.iter().map(|(id, held)| Row::Held(id, held));
        let rows = intents.chain(decisions).chain(given_up).chain(held);
        let pack = |row: Row| {
            let mut bytes = Vec::new();
            codec::encode(&row, &mut bytes);
            bytes
        };
        rows.map(pack).collect()
    }

    /// Takes a row in that was packed; none when it is none, or one that is there.
    #[must_use = "what cannot be read must not be passed over"]
    pub fn read(&mut self, bytes: &[u8]) -> Option<()> {
        match codec::decode(bytes).ok()? {
            Row::Intent(intent) => {
                let part: Txn<'_> = codec::decode(&intent.prepare.part).ok()?;
                let txn = intent.prepare.txn;
                let is_new = !self.intents.contains_key(&txn);
                (is_new && self.conflict(txn, &part, 0).is_none()).then_some(())?;
                self.lock(intent);
            }
            Row::Decision(txn, decision) => {
                self.decisions.insert(txn, decision).is_none().then_some(())?;
            }
            Row::GivenUp(deadline_ms, txn) => {
                self.given_up.insert((deadline_ms, txn)).then_some(())?;
            }
            Row::Held(id, held) => self.holds.begin(id, held).then_some(())?,
        }
        Some(())
    }

    /// A sum over all rows: equal tables have equal ones.
    pub fn digest(&self) -> u64 {
        self.packed().iter().fold(0, |sum, row| sum.wrapping_add(fnv(row)))
    }
}

/// Before every other.
const FIRST: TxnId = TxnId { session: [0; 16], sequence: 0, attempt: 0 };

/// Whether a request may change keys, as far as can be told from it alone.
fn changes_keys(request: &Request<'_>) -> bool {
    match request {
        Request::Put(_)
        | Request::Delete(_)
        | Request::Touch(_)
        | Request::Increment(_)
        | Request::DeleteRange(_)
        | Request::Txn(_)
        | Request::LeaseRevoke(_) => true,
        Request::Get(_)
        | Request::Scan(_)
        | Request::Children(_)
        | Request::Watch(_)
        | Request::Status(_)
        | Request::LeaseGrant(_)
        | Request::LeaseKeepAlive(_)
        | Request::Leases(_)
        | Request::Backup(_)
        | Request::Sessions(_)
        | Request::Cluster(_) => false,
    }
}

/// What a part reads and writes, whichever way it goes.
fn needs<'t, 'a>(txn: &'t Txn<'a>) -> impl Iterator<Item = Need<'a>> + use<'t, 'a> {
    let compared = txn.compares.iter().map(|it| Need::Key { key: it.key, writes: false });
    let done = txn.then.iter().chain(&txn.otherwise).map(|op| match op {
        TxnOp::Get(get) => Need::Key { key: get.key, writes: false },
        TxnOp::Put(put) => Need::Key { key: put.key, writes: true },
        TxnOp::Delete(delete) => Need::Key { key: delete.key, writes: true },
        TxnOp::Touch(touch) => Need::Key { key: touch.key, writes: true },
        TxnOp::Increment(increment) => Need::Key { key: increment.key, writes: true },
        TxnOp::DeleteRange(delete) => Need::Range(delete.range),
    });
    compared.chain(done)
}

/// The leases that a part may tie keys to.
fn leases_of(txn: &Txn<'_>) -> BTreeSet<u64> {
    let ops = txn.then.iter().chain(&txn.otherwise);
    let expiry = ops.filter_map(|op| match op {
        TxnOp::Put(put) => Some(put.expiry),
        TxnOp::Touch(touch) => Some(touch.expiry),
        TxnOp::Increment(increment) => Some(increment.expiry),
        TxnOp::Get(_) | TxnOp::Delete(_) | TxnOp::DeleteRange(_) => None,
    });
    let lease = |expiry| match expiry {
        Expiry::Lease(lease) => Some(lease),
        Expiry::Never | Expiry::Keep | Expiry::After(_) | Expiry::At(_) => None,
    };
    expiry.filter_map(lease).collect()
}

fn tied(part: &[u8]) -> BTreeSet<u64> {
    codec::decode(part).map_or_else(|_| BTreeSet::new(), |part: Txn<'_>| leases_of(&part))
}
