//! What answers show of calls whose own answers were lost: a value that only one of them can have
//! written proves that it happened, and at which revision.

use std::collections::HashMap;

use super::history::{Answer, Before, Call, Did, Done, End, Entry, Key, Operation, Step, Value};

#[derive(Default)]
pub(super) struct Evidence {
    /// How many steps put this value there.
    writers: HashMap<(Key, Value), usize>,
    /// The revision under which it was shown, and the tick by which it had been.
    shown: HashMap<(Key, Value), (u64, u64)>,
}

impl Evidence {
    pub(super) fn of(calls: &[Call]) -> Self {
        let mut evidence = Self::default();
        let mut counters = 0;
        for call in calls {
            if call.end == End::Failed {
                continue;
            }
            for step in steps(&call.operation) {
                match *step {
                    Step::Put(key, value, _) => {
                        *evidence.writers.entry((key, value)).or_default() += 1;
                    }
                    // Additions can lead to any value.
                    Step::Increment(key, _) => counters |= 1_u64 << key,
                    Step::Get(_) | Step::Delete(..) => {}
                }
            }
            if let End::Answered(at, answer) = &call.end {
                evidence.look(&call.operation, answer, *at);
            }
        }
        evidence.shown.retain(|(key, _), _| counters & (1 << key) == 0);
        evidence
    }

    /// A key that a call certainly changed, at which revision, and the tick by which it had.
    pub(super) fn of_call(&self, operation: &Operation) -> Option<(Key, u64, u64)> {
        self.all_of_call(operation).min_by_key(|&(.., at)| at)
    }

    /// All such keys.
    pub(super) fn all_of_call(
        &self,
        operation: &Operation,
    ) -> impl Iterator<Item = (Key, u64, u64)> {
        let proof = |step: &Step| match *step {
            Step::Put(key, value, _) if self.writers.get(&(key, value)) == Some(&1) => {
                let &(revision, at) = self.shown.get(&(key, value))?;
                (revision > 0).then_some((key, revision, at))
            }
            Step::Get(_) | Step::Put(..) | Step::Delete(..) | Step::Increment(..) => None,
        };
        steps(operation).filter_map(proof)
    }

    fn look(&mut self, operation: &Operation, answer: &Answer, at: u64) {
        let mut note = |key: Key, did: &Did| {
            let (Did::Got(shown)
            | Did::Written(Before::Was(shown))
            | Did::Refused(Before::Was(shown))) = did
            else {
                return;
            };
            if let Some(Entry { value, revision: Some(revision) }) = *shown {
                let first = self.shown.entry((key, value)).or_insert((revision, at));
                first.1 = first.1.min(at);
            }
        };
        match (operation, &answer.done) {
            (Operation::One(step), Done::One(did)) => note(step.key(), did),
            (Operation::Txn { then, otherwise, .. }, Done::Txn(held, dids)) => {
                let ran = if *held { then } else { otherwise };
                ran.iter().zip(dids).for_each(|(step, did)| note(step.key(), did));
            }
            (Operation::One(_) | Operation::Txn { .. }, _) => {}
        }
    }
}

fn steps(operation: &Operation) -> impl Iterator<Item = &Step> {
    let (one, then, otherwise): (Option<&Step>, &[Step], &[Step]) = match operation {
        Operation::One(step) => (Some(step), &[], &[]),
        Operation::Txn { then, otherwise, .. } => (None, then, otherwise),
    };
    one.into_iter().chain(then).chain(otherwise)
}
