//! Which group each key is of, and what an answer says of its groups' revisions.
//!
//! Each group counts revisions by itself. Those of a call on one group, and those of a transaction at its
//! home, the lowest of its groups, are taken at the moment at which it is done as a whole: along an order
//! they grow. The transaction's part in another group takes its own when it is done there, later. All that
//! is before the transaction has lower ones; what follows it on other keys need not have higher ones.

use std::collections::BTreeSet;

use super::history::{Answer, Did, Done, Key, Operation, Step};

/// A group by its number.
pub type Group = u16;

/// The group of each key, by the keys' numbers. Keys beyond are of group 0: by default all are of one.
#[derive(Debug, Clone, Default)]
pub struct Groups(Vec<Group>);

/// What is known of a call's revision in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) group: Group,
    /// The call's own revision there; if it changed nothing, the group's.
    pub(super) revision: u64,
    pub(super) changed: bool,
    /// Whether what follows the call has no lower one there.
    pub(super) exact: bool,
}

impl Told {
    /// The highest revision that the group may have had before the call.
    pub(super) fn ceiling(&self) -> u64 {
        if self.changed { self.revision.saturating_sub(1) } else { self.revision }
    }
}

impl FromIterator<Group> for Groups {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Self {
        Self(groups.into_iter().collect())
    }
}

impl Groups {
    /// The key's group.
    pub fn of(&self, key: Key) -> Group {
        self.0.get(usize::from(key)).copied().unwrap_or(0)
    }

    /// Whether not all keys are of one group.
    pub fn are_several(&self) -> bool {
        self.0.iter().any(|group| *group != 0)
    }

    /// The groups of an operation's keys; the lowest is where it is decided.
    pub fn touched(&self, operation: &Operation) -> BTreeSet<Group> {
        let keys = operation.keys();
        (0..64).filter(|key| keys & (1 << key) != 0).map(|key| self.of(key)).collect()
    }

    /// Where an operation is decided.
    pub fn home(&self, operation: &Operation) -> Group {
        self.touched(operation).first().copied().unwrap_or(0)
    }

    /// What an answer says.
    pub(super) fn told(&self, operation: &Operation, answer: &Answer) -> Vec<Told> {
        let home = self.home(operation);
        let parts = answer.elsewhere.iter().map(|&(group, revision)| (group, revision, false));
        let own = answer.revision.map(|revision| (home, revision, true));
        let told = |(group, revision, exact)| {
            let changed = self.changes(operation, answer, group);
            Told { group, revision, changed, exact }
        };
        own.into_iter().chain(parts).map(told).collect()
    }

    fn changes(&self, operation: &Operation, answer: &Answer, group: Group) -> bool {
        let changes = |(step, did): (&Step, &Did)| {
            self.of(step.key()) == group && matches!(did, Did::Written(_) | Did::Incremented(_))
        };
        match (operation, &answer.done) {
            (Operation::One(step), Done::One(did)) => changes((step, did)),
            (Operation::Txn { then, otherwise, .. }, Done::Txn(held, dids)) => {
                let ran = if *held { then } else { otherwise };
                ran.iter().zip(dids).any(changes)
            }
            (Operation::One(_) | Operation::Txn { .. }, _) => false,
        }
    }
}
