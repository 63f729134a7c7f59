//! The plain store with several groups, each of which counts revisions by itself. A part of a transaction
//! over groups takes its revision late: others, on other keys, may come before it.

use std::collections::BTreeMap;

use fastrand::Rng;
use tidekeep_tests::checker::{
    Answer, Before, Condition, Did, Done, Entry, Group, Groups, Key, Operation, Step,
};

use crate::naive::{Naive, changes};

/// By how many revisions a part is late, at most.
const LATE: u64 = 4;

pub(crate) struct Several {
    groups: Groups,
    rng: Rng,
    /// All in one, with revisions of the whole.
    store: Naive,
    /// Each group's revision.
    revisions: BTreeMap<Group, u64>,
    /// Revisions of the whole by those of a group.
    wholes: BTreeMap<(Group, u64), u64>,
    /// And the other way round.
    own: BTreeMap<(Group, u64), u64>,
    /// Keys of parts that are not done, and the revisions that these take.
    late: Vec<(Group, Vec<Key>, u64)>,
}

impl Several {
    pub(crate) fn new(groups: Groups, rng: Rng) -> Self {
        let (store, revisions) = (Naive::default(), BTreeMap::new());
        let (wholes, own, late) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { groups, rng, store, revisions, wholes, own, late }
    }

    /// Every part is done: a transaction was answered, or somebody waits for a key.
    pub(crate) fn finish(&mut self) {
        self.finish_where(|_| true);
    }

    fn finish_where(&mut self, ends: impl Fn(&[Key]) -> bool) {
        let revisions = &mut self.revisions;
        self.late.retain(|(group, keys, revision)| {
            if !ends(keys) {
                return true;
            }
            let newest = revisions.entry(*group).or_default();
            *newest = (*newest).max(*revision);
            false
        });
    }

    /// Runs an operation; none if it is refused as a whole.
    pub(crate) fn run(&mut self, operation: &Operation) -> Option<Answer> {
        let keys = keys_of(operation);
        self.finish_where(|late| late.iter().any(|key| keys.contains(key)));
        let Answer { done, .. } = self.store.run(&self.translated(operation))?;
        let whole = self.store.revision;
        let (steps, dids): (&[Step], Vec<Did>) = match (operation, &done) {
            (Operation::One(step), Done::One(did)) => (std::slice::from_ref(step), vec![*did]),
            (Operation::Txn { then, otherwise, .. }, Done::Txn(held, dids)) => {
                (if *held { then } else { otherwise }, dids.clone())
            }
            (Operation::One(_) | Operation::Txn { .. }, _) => unreachable!("it answers in kind"),
        };
        let home = self.groups.home(operation);
        let mut told = BTreeMap::new();
        for group in self.groups.touched(operation) {
            let of_group = |key: Key| self.groups.of(key) == group;
            let ran = steps.iter().zip(&dids).filter(|(step, _)| of_group(step.key()));
            let written = ran.filter(|(_, did)| changes(did)).map(|(step, _)| step.key());
            let written: Vec<Key> = written.collect();
            let is_part = steps.iter().any(|step| of_group(step.key()));
            let revision = match written.is_empty() {
                true => self.revisions.get(&group).copied().unwrap_or(0),
                false => self.take(group, whole, written, group != home),
            };
            if is_part || group == home {
                told.insert(group, revision);
            }
        }
        let shown = |step: &Step, did: &Did| self.shown(step.key(), *did);
        let mut dids = steps.iter().zip(&dids).map(|(step, did)| shown(step, did));
        let done = match done {
            Done::One(_) => Done::One(dids.next().expect("it had one")),
            Done::Txn(held, _) => Done::Txn(held, dids.collect()),
        };
        let revision = told.remove(&home);
        Some(Answer { revision, done, elsewhere: told.into_iter().collect() })
    }

    /// A revision of a group for what was written.
    fn take(&mut self, group: Group, whole: u64, keys: Vec<Key>, late: bool) -> u64 {
        let newest = self.revisions.get(&group).copied().unwrap_or(0);
        let late = if late { self.rng.u64(..LATE) } else { 0 };
        let is_free = |revision: &u64| !self.wholes.contains_key(&(group, *revision));
        let revision = (newest + 1 + late..).find(is_free).expect("there are enough");
        self.wholes.insert((group, revision), whole);
        self.own.insert((group, whole), revision);
        match late {
            0 => drop(self.revisions.insert(group, revision)),
            _ => self.late.push((group, keys, revision)),
        }
        revision
    }

    /// The operation with the revisions of the whole.
    fn translated(&self, operation: &Operation) -> Operation {
        let condition = |key: Key, condition: Condition| match condition {
            Condition::Revision(revision) => {
                let whole = self.wholes.get(&(self.groups.of(key), revision));
                Condition::Revision(whole.copied().unwrap_or(u64::MAX))
            }
            other => other,
        };
        let step = |step: &Step| match *step {
            Step::Put(key, value, it) => Step::Put(key, value, condition(key, it)),
            Step::Delete(key, it) => Step::Delete(key, condition(key, it)),
            Step::Get(_) | Step::Increment(..) => step.clone(),
        };
        match operation {
            Operation::One(one) => Operation::One(step(one)),
            Operation::Txn { compares, then, otherwise } => Operation::Txn {
                compares: compares.iter().map(|&(key, it)| (key, condition(key, it))).collect(),
                then: then.iter().map(step).collect(),
                otherwise: otherwise.iter().map(step).collect(),
            },
        }
    }

    /// What was done with the revisions of the key's group.
    fn shown(&self, key: Key, did: Did) -> Did {
        let entry = |it: Entry| {
            let own = it.revision.and_then(|whole| self.own.get(&(self.groups.of(key), whole)));
            Entry { revision: own.copied(), ..it }
        };
        let before = |it: Before| match it {
            Before::Was(shown) => Before::Was(shown.map(entry)),
            Before::Unsaid => Before::Unsaid,
        };
        match did {
            Did::Got(shown) => Did::Got(shown.map(entry)),
            Did::Written(it) => Did::Written(before(it)),
            Did::Refused(it) => Did::Refused(before(it)),
            Did::NotFound | Did::Incremented(_) => did,
        }
    }
}

fn keys_of(operation: &Operation) -> Vec<Key> {
    match operation {
        Operation::One(step) => vec![step.key()],
        Operation::Txn { compares, then, otherwise } => {
            let compared = compares.iter().map(|(key, _)| *key);
            compared.chain(then.iter().chain(otherwise).map(Step::key)).collect()
        }
    }
}
