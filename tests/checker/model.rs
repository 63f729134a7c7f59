//! The map that calls run on, one after the other, and how their answers are compared with it.
//!
//! The revision of a write whose answer was lost is learnt from the first answer that shows its
//! entry; from then on it counts like any other.

use std::fmt;

use super::history::{Answer, Before, Condition, Did, Done, Entry, Key, Operation, Step, Value};

/// Which write set an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// The write of this revision.
    Revision(u64),
    /// The call of this number, whose revision nobody has said.
    Call(u32),
}

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Cell {
    entry: Option<(Value, Origin)>,
    /// Whatever writes the key next has a higher revision than this.
    settled: u64,
}

/// The keys of a partition, and the store's revision as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    cells: Vec<(Key, Cell)>,
    pub(super) revision: u64,
}

/// Why an answer cannot be, in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The answer shows an entry which is not the one that is there.
    Entry { key: Key, there: Option<Entry>, shown: Option<Entry> },
    /// The step would have ended in another way.
    Did { key: Key, would: &'static str },
    /// The sum is another.
    Sum { key: Key, sum: Option<Value> },
    /// The comparisons would have come out differently.
    Compared { holds: bool },
    /// The transaction would have been refused, or would have had other steps.
    Steps,
    /// The store was past this revision already.
    Revision { store: u64 },
}

impl State {
    /// The empty store, of which these keys matter.
    pub(super) fn empty(keys: impl IntoIterator<Item = Key>) -> Self {
        let cells = keys.into_iter().map(|key| (key, Cell::default())).collect();
        Self { cells, revision: 0 }
    }

    /// The state after call number `call` that was answered like this.
    pub(super) fn answered(
        &self,
        call: u32,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<Self, Mismatch> {
        // The first write of all has revision 1.
        let first = answer.changed() && answer.revision == Some(0);
        if first || self.revision > answer.ceiling() {
            return Err(Mismatch::Revision { store: self.revision });
        }
        let mut next = self.clone();
        let origin = answer.revision.map_or(Origin::Call(call), Origin::Revision);
        match (operation, &answer.done) {
            (Operation::One(step), Done::One(did)) => next.step(step, origin, Some(did))?,
            (Operation::Txn { compares, then, otherwise }, Done::Txn(held, dids)) => {
                let holds = next.holds(compares);
                if holds != *held {
                    return Err(Mismatch::Compared { holds });
                }
                let steps = if holds { then } else { otherwise };
                if steps.len() != dids.len() {
                    return Err(Mismatch::Steps);
                }
                for (step, did) in steps.iter().zip(dids) {
                    next.step(step, origin, Some(did))?;
                }
            }
            (Operation::One(_) | Operation::Txn { .. }, _) => return Err(Mismatch::Steps),
        }
        // An entry that this answer was the first to show may be younger than it can be.
        match answer.revision {
            Some(revision) if next.revision > revision => {
                Err(Mismatch::Revision { store: next.revision })
            }
            Some(revision) => Ok(Self { revision, ..next }),
            None => Ok(next),
        }
    }

    /// The state after a call whose answer is not known, and a revision that its own is higher than; none
    /// if it would change nothing.
    pub(super) fn unanswered(&self, call: u32, operation: &Operation) -> Option<(Self, u64)> {
        let next = self.changed(operation, Origin::Call(call))?;
        let cells = self.cells.iter().zip(&next.cells);
        let written = cells.filter(|((_, old), (_, new))| old.entry != new.entry);
        let settled = written.map(|((_, old), _)| old.settled).max().unwrap_or(0);
        Some((next, settled))
    }

    /// All calls that follow and change something have a higher revision than this.
    pub(super) fn settled(&self) -> u64 {
        self.cells.iter().map(|(_, cell)| cell.settled).min().unwrap_or(0)
    }

    /// The state after a call of which it is only known that it changed something at this revision;
    /// none if it could not.
    pub(super) fn seen(&self, operation: &Operation, revision: u64) -> Option<Self> {
        if self.revision >= revision {
            return None;
        }
        let next = self.changed(operation, Origin::Revision(revision))?;
        Some(Self { revision, ..next })
    }

    fn changed(&self, operation: &Operation, origin: Origin) -> Option<Self> {
        let mut next = self.clone();
        match operation {
            Operation::One(step) => next.step(step, origin, None).ok()?,
            Operation::Txn { compares, then, otherwise } => {
                let steps = if next.holds(compares) { then } else { otherwise };
                for step in steps {
                    next.step(step, origin, None).ok()?;
                }
            }
        }
        (next != *self).then_some(next)
    }

    /// Runs a step and compares it with what it is said to have done. Without that, a step that is
    /// refused is an error: in a transaction it undoes the whole.
    fn step(&mut self, step: &Step, origin: Origin, said: Option<&Did>) -> Result<(), Mismatch> {
        let key = step.key();
        match (step, said) {
            (Step::Get(_), None) => Ok(()),
            (Step::Get(_), Some(Did::Got(shown))) => self.show(key, *shown),
            (Step::Put(_, value, condition), None | Some(Did::Written(_))) => {
                self.show_before(key, said)?;
                self.must_hold(key, *condition)?;
                self.set(key, Some(*value), origin);
                Ok(())
            }
            (Step::Delete(_, condition), None | Some(Did::Written(_))) => {
                self.show_before(key, said)?;
                self.must_hold(key, *condition)?;
                match (self.value(key), said) {
                    (None, Some(_)) => Err(Mismatch::Did { key, would: "find nothing" }),
                    (None, None) => Ok(()),
                    (Some(_), _) => {
                        self.set(key, None, origin);
                        Ok(())
                    }
                }
            }
            (Step::Delete(_, condition), Some(Did::NotFound)) => {
                self.must_hold(key, *condition)?;
                match self.value(key) {
                    None => Ok(()),
                    Some(_) => Err(Mismatch::Did { key, would: "remove something" }),
                }
            }
            (Step::Put(_, _, condition) | Step::Delete(_, condition), Some(Did::Refused(_))) => {
                self.show_before(key, said)?;
                match self.must_hold(key, *condition) {
                    Ok(()) => Err(Mismatch::Did { key, would: "not be refused" }),
                    Err(_) => Ok(()),
                }
            }
            (Step::Increment(_, by), None | Some(Did::Incremented(_))) => {
                let sum = self.value(key).unwrap_or(0).checked_add(*by);
                match (sum, said) {
                    (Some(sum), Some(Did::Incremented(shown))) if sum != *shown => {
                        Err(Mismatch::Sum { key, sum: Some(sum) })
                    }
                    (None, _) => Err(Mismatch::Sum { key, sum: None }),
                    (Some(sum), _) => {
                        self.set(key, Some(sum), origin);
                        Ok(())
                    }
                }
            }
            (Step::Get(_) | Step::Put(..) | Step::Delete(..) | Step::Increment(..), Some(_)) => {
                Err(Mismatch::Steps)
            }
        }
    }

    fn holds(&self, compares: &[(Key, Condition)]) -> bool {
        compares.iter().all(|&(key, condition)| self.must_hold(key, condition).is_ok())
    }

    fn must_hold(&self, key: Key, condition: Condition) -> Result<(), Mismatch> {
        let entry = self.cell(key).entry;
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => entry.is_none(),
            Condition::Present => entry.is_some(),
            Condition::Value(value) => entry.is_some_and(|(there, _)| there == value),
            // Who names a revision has seen it in an answer: one that nobody has said is another.
            Condition::Revision(revision) => {
                entry.is_some_and(|(_, origin)| origin == Origin::Revision(revision))
            }
        };
        if holds { Ok(()) } else { Err(Mismatch::Did { key, would: "be refused" }) }
    }

    fn show_before(&mut self, key: Key, said: Option<&Did>) -> Result<(), Mismatch> {
        match said {
            Some(Did::Written(Before::Was(shown)) | Did::Refused(Before::Was(shown))) => {
                self.show(key, *shown)
            }
            _ => Ok(()),
        }
    }

    /// Compares an entry with one that an answer shows, and learns its revision from that.
    fn show(&mut self, key: Key, shown: Option<Entry>) -> Result<(), Mismatch> {
        let cell = self.cell(key);
        let (there, settled) = (cell.entry, cell.settled);
        let fits = match (there, shown) {
            (None, None) => true,
            (Some((value, _)), Some(Entry { value: shown, revision: None })) => value == shown,
            (Some((value, origin)), Some(Entry { value: shown, revision: Some(revision) })) => {
                value == shown
                    && match origin {
                        Origin::Revision(known) => known == revision,
                        Origin::Call(call) => revision > settled && self.learn(call, revision),
                    }
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if fits {
            return Ok(());
        }
        let there = there.map(|(value, origin)| match origin {
            Origin::Revision(revision) => Entry { value, revision: Some(revision) },
            Origin::Call(_) => Entry { value, revision: None },
        });
        Err(Mismatch::Entry { key, there, shown })
    }

    /// From now on the writes of `call` have this revision. It must be new.
    fn learn(&mut self, call: u32, revision: u64) -> bool {
        let known =
            |cell: &Cell| matches!(cell.entry, Some((_, Origin::Revision(it))) if it == revision);
        if self.cells.iter().any(|(_, cell)| known(cell)) {
            return false;
        }
        for (_, cell) in &mut self.cells {
            if let Some((_, origin @ Origin::Call(_))) = &mut cell.entry
                && *origin == Origin::Call(call)
            {
                *origin = Origin::Revision(revision);
                cell.settled = cell.settled.max(revision);
            }
        }
        self.revision = self.revision.max(revision);
        true
    }

    fn set(&mut self, key: Key, value: Option<Value>, origin: Origin) {
        if let Some((_, cell)) = self.cells.iter_mut().find(|(it, _)| *it == key) {
            cell.entry = value.map(|value| (value, origin));
            if let Origin::Revision(revision) = origin {
                cell.settled = revision;
            }
        }
    }

    fn value(&self, key: Key) -> Option<Value> {
        self.cell(key).entry.map(|(value, _)| value)
    }

    fn cell(&self, key: Key) -> &Cell {
        let found = self.cells.iter().find(|(it, _)| *it == key);
        &found.expect("a partition has all keys of its calls").1
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, cell) in &self.cells {
            match cell.entry {
                None => write!(f, "k{key} absent, ")?,
                Some((value, Origin::Revision(revision))) => {
                    write!(f, "k{key}={value}@{revision}, ")?;
                }
                Some((value, Origin::Call(_))) => write!(f, "k{key}={value}@?, ")?,
            }
        }
        write!(f, "store at revision {}", self.revision)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = |entry: &Option<Entry>| {
            entry.map_or_else(|| "nothing".to_owned(), |entry| entry.to_string())
        };
        match self {
            Self::Entry { key, there, shown } => {
                write!(f, "k{key} holds {}, the answer shows {}", entry(there), entry(shown))
            }
            Self::Did { key, would } => write!(f, "on k{key} it would {would}"),
            Self::Sum { key, sum: Some(sum) } => write!(f, "k{key} would become {sum}"),
            Self::Sum { key, sum: None } => write!(f, "k{key} would overflow"),
            Self::Compared { holds: true } => f.write_str("its comparisons hold"),
            Self::Compared { holds: false } => f.write_str("its comparisons do not hold"),
            Self::Steps => f.write_str("its answer is to other steps"),
            Self::Revision { store } => write!(f, "the store is at revision {store} already"),
        }
    }
}
