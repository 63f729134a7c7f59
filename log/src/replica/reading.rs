//! What a replica shows: answers, cuts and recent changes, all of what was applied here. Everything that is
//! applied is ordered, and so safe to show; whether it is the newest is for whoever orders to ask.

use std::sync::Arc;

use tidekeep_protocol::op::Class;
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::entry::Entry;
use tidekeep_store::fingerprint::Fingerprint;
use tidekeep_store::intents::{Decision, Intent};
use tidekeep_store::moment::Moment;
use tidekeep_store::reply::Reply;
use tidekeep_store::step::TxnId;
use tidekeep_store::tables::Tables;
use tidekeep_store::view::View;

use crate::backup::Backup;
use crate::clock::Clock;
use crate::commit::{Answers, Call, PendingBackup, Promise};
use crate::feed::{Changed, Changes, TooOld};
use crate::group::Group;
use crate::portion::{NotStill, Portion};
use crate::replica::Replica;
use crate::sync::atomic::Ordering;

/// Transactions that are looked at together.
const LEFT_STEP: usize = 64;

/// Answers reads of one moment. A write among them is refused.
pub(super) fn read(group: &Group, calls: &[Call<'_>], moment: &Moment, answers: &mut dyn Answers) {
    // What is locked after this look is decided later, so whoever reads here comes before it.
    if group.has_locks.load(Ordering::Acquire) {
        return read_beside_locks(group, calls, moment, answers);
    }
    let (mut at, mut shows) = (0, 0);
    while let Some(call) = calls.get(at) {
        debug_assert_eq!(call.request.spec().class, Class::Read);
        match group.get_all(&calls[at..], moment, &mut shows, answers) {
            0 => {
                group.read(&call.request, moment, &mut shows, answers);
                at += 1;
            }
            some => at += some,
        }
    }
}

/// Answers reads while there are locks: a get of what a transaction over groups may write is told who has it.
fn read_beside_locks(
    group: &Group,
    calls: &[Call<'_>],
    moment: &Moment,
    answers: &mut dyn Answers,
) {
    let mut shows = 0;
    for call in calls {
        let lock = {
            let Tables { leases, intents, .. } = &group.order.lock().tables;
            intents.blocking(&call.request, leases, moment.now_ms())
        };
        match lock {
            Some(lock) => answers.answer(Ok(Reply::Locked(Box::new(lock)))),
            None => group.read(&call.request, moment, &mut shows, answers),
        }
    }
}

impl Replica {
    /// What is to be done about transactions over groups that somebody has left behind: those that were
    /// prepared, or decided, until `until_ms`, a few at most.
    pub fn left_behind(&self, until_ms: u64) -> (Vec<Intent>, Vec<(TxnId, Decision)>) {
        let order = self.group.order.lock();
        let intents = &order.tables.intents;
        let prepared = intents.prepared_until(until_ms).take(LEFT_STEP).cloned().collect();
        let decided = intents.decided_until(until_ms).take(LEFT_STEP);
        (prepared, decided.map(|(txn, decision)| (txn, decision.clone())).collect())
    }

    /// Answers reads, of one moment: that of the newest record. A write among them is refused.
    pub fn read(&self, calls: &[Call<'_>], answers: &mut dyn Answers) {
        read(&self.group, calls, &self.group.moment(), answers);
    }

    /// The entry of a key, unless its time is over.
    pub fn peek(&self, key: &[u8]) -> Option<Entry> {
        self.group.peek(key)
    }

    /// Some key, chosen by `random`, that may be there; none of an empty replica.
    pub fn sample(&self, random: u64) -> Option<Entry> {
        self.group.sample(random)
    }

    /// A number for a key, below 2^53, by which [`Self::with_fingerprint`] finds it again.
    pub fn fingerprint(&self, key: &[u8]) -> u64 {
        Fingerprint::from(self.group.spread.hash(key)).number()
    }

    /// The entries of keys with a fingerprint, their time over or not.
    pub fn with_fingerprint(&self, fingerprint: u64) -> Vec<Entry> {
        self.group.with_fingerprint(Fingerprint::new(fingerprint))
    }

    /// A frozen cut of a range.
    pub fn view(&self, range: &KeyRange) -> View {
        self.group.freeze(range)
    }

    /// A consistent cut of everything, to be kept as a file elsewhere, under a store's name.
    pub fn backup(&self, store_id: [u8; 16]) -> PendingBackup {
        let (store_id, estimate) = (u128::from_be_bytes(store_id), self.group.size().1);
        Backup::begin(self.group.cut(), store_id, estimate, None)
    }

    /// A cut of everything, as one group's part of a backup of all: while `hold` keeps its keys as they are, if
    /// there is one.
    ///
    /// # Errors
    /// [`NotStill`]: the hold does not keep them.
    pub fn portion(&self, hold: Option<&TxnId>) -> Result<Portion, NotStill> {
        Portion::of(&self.group, hold)
    }

    /// The time of the newest record, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.time.now_ms()
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.group.positions.safe()
    }

    /// The changes after a revision, oldest first: at most `bytes` of memory, but at least one if there
    /// is one.
    ///
    /// # Errors
    /// [`TooOld`]: some of them have been forgotten.
    pub fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        self.group.tail.read(after, self.revision(), bytes)
    }

    /// A sum over all entries: equal replicas have equal digests.
    pub fn digest(&self) -> u64 {
        self.group.digest()
    }

    /// How many keys are kept, those included whose time is over and that are yet to be removed.
    pub fn keys(&self) -> u64 {
        self.group.size().0
    }

    /// Bytes of memory that the entries take.
    pub fn bytes(&self) -> u64 {
        self.group.size().1
    }

    /// Resolves when there is a change after a revision, or when it has been forgotten.
    pub fn changed(&self, after: u64) -> Changed {
        let group = Arc::clone(&self.group);
        Promise::later(async move { Ok(group.positions.changed(after).await?) })
    }

    /// Gives each figure of the state by name, with its unit last.
    pub fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        self.group.figures(each);
        self.group.lag_figures(each);
    }
}
