//! The store once more, as plainly as it can be written, to make histories and to be given to the
//! other tester.

use std::collections::BTreeMap;

use tidekeep_tests::checker::{
    Answer, Before, Condition, Did, Done, Entry, Key, Operation, Step, Value,
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Naive {
    pub(crate) entries: BTreeMap<Key, (Value, u64)>,
    pub(crate) revision: u64,
}

impl Naive {
    /// Runs an operation with dense revisions; none if it is refused as a whole.
    pub(crate) fn run(&mut self, operation: &Operation) -> Option<Answer> {
        let mut next = self.clone();
        let (done, changed) = match operation {
            Operation::One(step) => {
                let did = next.step(step);
                (Done::One(did), changes(&did))
            }
            Operation::Txn { compares, then, otherwise } => {
                let held = compares.iter().all(|(key, condition)| next.holds(*key, *condition));
                let steps = if held { then } else { otherwise };
                let dids: Vec<Did> = steps.iter().map(|step| next.step(step)).collect();
                if dids.iter().any(|did| matches!(did, Did::Refused(_))) {
                    return None;
                }
                let changed = dids.iter().any(changes);
                (Done::Txn(held, dids), changed)
            }
        };
        next.revision = self.revision + u64::from(changed);
        let revision = Some(next.revision);
        *self = next;
        Some(Answer::of(revision, done))
    }

    fn step(&mut self, step: &Step) -> Did {
        let key = step.key();
        let found = self.entries.get(&key).copied();
        let shown = found.map(|(value, revision)| Entry { value, revision: Some(revision) });
        let revision = self.revision + 1;
        match *step {
            Step::Get(_) => Did::Got(shown),
            Step::Put(_, _, condition) | Step::Delete(_, condition)
                if !self.holds(key, condition) =>
            {
                Did::Refused(Before::Was(shown))
            }
            Step::Put(_, value, _) => {
                self.entries.insert(key, (value, revision));
                Did::Written(Before::Was(shown))
            }
            Step::Delete(..) => match self.entries.remove(&key) {
                Some(_) => Did::Written(Before::Was(shown)),
                None => Did::NotFound,
            },
            Step::Increment(_, by) => {
                let sum = found.map_or(0, |(value, _)| value) + by;
                self.entries.insert(key, (sum, revision));
                Did::Incremented(sum)
            }
        }
    }

    fn holds(&self, key: Key, condition: Condition) -> bool {
        let entry = self.entries.get(&key);
        match condition {
            Condition::Always => true,
            Condition::Absent => entry.is_none(),
            Condition::Present => entry.is_some(),
            Condition::Revision(revision) => entry.is_some_and(|it| it.1 == revision),
            Condition::Value(value) => entry.is_some_and(|it| it.0 == value),
        }
    }
}

pub(crate) fn changes(did: &Did) -> bool {
    matches!(did, Did::Written(_) | Did::Incremented(_))
}
