//! The map that calls run on, one after the other, and how their answers are compared with it.
//!
//! The revision of a write whose answer was lost is learnt from the first answer that shows its
//! entry; from then on it counts like any other.

use std::fmt;

use super::groups::{Group, Groups, Told};
use super::history::{Answer, Before, Condition, Did, Done, Entry, Key, Operation, Step, Value};

/// Which write set an entry, in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// The write of this revision.
    Revision(u64),
    /// The call of this number, whose revision nobody has said.
    Call(u32),
}

/// A call, and what is said of its revisions.
#[derive(Clone, Copy)]
struct Author<'a> {
    call: u32,
    told: &'a [Told],
}

impl Author<'_> {
    fn origin(self, group: Group) -> Origin {
        let told = self.told.iter().find(|told| told.group == group);
        told.map_or(Origin::Call(self.call), |told| Origin::Revision(told.revision))
    }
}

/// What an operation without an answer wrote in one group.
pub(super) struct Written {
    pub(super) group: Group,
    /// The keys, as a set of bits.
    pub(super) keys: u64,
    /// Its revision there is higher than this.
    pub(super) after: u64,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cell {
    group: Group,
    entry: Option<(Value, Origin)>,
    /// Whatever writes the key next has a higher revision than this.
    settled: u64,
}

/// The keys of a partition, and their groups' revisions as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    cells: Vec<(Key, Cell)>,
    revisions: Vec<(Group, u64)>,
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
    /// The group was past this revision already.
    Revision { group: Group, there: u64 },
}

impl State {
    /// The empty store, of which these keys matter.
    pub(super) fn empty(groups: &Groups, keys: impl IntoIterator<Item = Key>) -> Self {
        let cell = |key| (key, Cell { group: groups.of(key), entry: None, settled: 0 });
        let cells = keys.into_iter().map(cell).collect();
        Self { cells, revisions: Vec::new() }
    }

    /// The state after call number `call` that was answered like this.
    pub(super) fn answered(
        &self,
        call: u32,
        operation: &Operation,
        answer: &Answer,
        told: &[Told],
    ) -> Result<Self, Mismatch> {
        for it in told {
            let (group, there) = (it.group, self.revision(it.group));
            // The first write of all has revision 1.
            let first = it.changed && it.revision == 0;
            if first || there > it.ceiling() {
                return Err(Mismatch::Revision { group, there });
            }
        }
        let mut next = self.clone();
        let author = Author { call, told };
        match (operation, &answer.done) {
            (Operation::One(step), Done::One(did)) => next.step(step, author, Some(did))?,
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
                    next.step(step, author, Some(did))?;
                }
            }
            (Operation::One(_) | Operation::Txn { .. }, _) => return Err(Mismatch::Steps),
        }
        for it in told {
            // An entry that this answer was the first to show may be younger than it can be.
            let (group, there) = (it.group, next.revision(it.group));
            if there > it.revision {
                return Err(Mismatch::Revision { group, there });
            }
            if it.exact {
                next.reach(group, it.revision);
            }
        }
        Ok(next)
    }

    /// The state after a call whose answer is not known, and what it wrote; none if it would change
    /// nothing.
    pub(super) fn unanswered(
        &self,
        call: u32,
        operation: &Operation,
    ) -> Option<(Self, Vec<Written>)> {
        let next = self.changed(operation, Author { call, told: &[] })?;
        let mut written: Vec<Written> = Vec::new();
        for ((key, old), (_, new)) in self.cells.iter().zip(&next.cells) {
            let (group, keys, after) = (old.group, 1 << key, old.settled);
            match written.iter_mut().find(|it| it.group == group) {
                _ if old.entry == new.entry => {}
                Some(it) => (it.keys, it.after) = (it.keys | keys, it.after.max(after)),
                None => written.push(Written { group, keys, after }),
            }
        }
        Some((next, written))
    }

    /// All calls that follow and change something in a group have a higher revision there than this.
    pub(super) fn settled(&self, group: Group) -> u64 {
        let cells = self.cells.iter().filter(|(_, cell)| cell.group == group);
        cells.map(|(_, cell)| cell.settled).min().unwrap_or(0)
    }

    /// The state after a call of which it is only known that it changed something at this revision of a
    /// group; none if it could not.
    pub(super) fn seen(&self, call: u32, operation: &Operation, told: &[Told]) -> Option<Self> {
        if told.iter().any(|it| self.revision(it.group) > it.ceiling()) {
            return None;
        }
        let mut next = self.changed(operation, Author { call, told })?;
        for it in told.iter().filter(|it| it.exact) {
            next.reach(it.group, it.revision);
        }
        Some(next)
    }

    fn changed(&self, operation: &Operation, author: Author<'_>) -> Option<Self> {
        let mut next = self.clone();
        match operation {
            Operation::One(step) => next.step(step, author, None).ok()?,
            Operation::Txn { compares, then, otherwise } => {
                let steps = if next.holds(compares) { then } else { otherwise };
                for step in steps {
                    next.step(step, author, None).ok()?;
                }
            }
        }
        (next != *self).then_some(next)
    }

    /// Runs a step and compares it with what it is said to have done. Without that, a step that is
    /// refused is an error: in a transaction it undoes the whole.
    fn step(
        &mut self,
        step: &Step,
        author: Author<'_>,
        said: Option<&Did>,
    ) -> Result<(), Mismatch> {
        let key = step.key();
        match (step, said) {
            (Step::Get(_), None) => Ok(()),
            (Step::Get(_), Some(Did::Got(shown))) => self.show(key, author, *shown),
            (Step::Put(_, value, condition), None | Some(Did::Written(_))) => {
                self.show_before(key, author, said)?;
                self.must_hold(key, *condition)?;
                self.set(key, Some(*value), author);
                Ok(())
            }
            (Step::Delete(_, condition), None | Some(Did::Written(_))) => {
                self.show_before(key, author, said)?;
                self.must_hold(key, *condition)?;
                match (self.value(key), said) {
                    (None, Some(_)) => Err(Mismatch::Did { key, would: "find nothing" }),
                    (None, None) => Ok(()),
                    (Some(_), _) => {
                        self.set(key, None, author);
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
                self.show_before(key, author, said)?;
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
                        self.set(key, Some(sum), author);
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

    fn show_before(
        &mut self,
        key: Key,
        author: Author<'_>,
        said: Option<&Did>,
    ) -> Result<(), Mismatch> {
        match said {
            Some(Did::Written(Before::Was(shown)) | Did::Refused(Before::Was(shown))) => {
                self.show(key, author, *shown)
            }
            _ => Ok(()),
        }
    }

    /// Compares an entry with one that an answer shows, and learns its revision from that.
    fn show(&mut self, key: Key, author: Author<'_>, shown: Option<Entry>) -> Result<(), Mismatch> {
        let cell = self.cell(key);
        let (there, settled, group) = (cell.entry, cell.settled, cell.group);
        let fits = match (there, shown) {
            (None, None) => true,
            (Some((value, _)), Some(Entry { value: shown, revision: None })) => value == shown,
            (Some((value, origin)), Some(Entry { value: shown, revision: Some(revision) })) => {
                value == shown
                    && match origin {
                        Origin::Revision(known) => known == revision,
                        Origin::Call(call) => {
                            revision > settled && self.learn(call, group, revision)
                        }
                    }
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if fits {
            // Whoever sees an entry is behind its write, in the group too; and whoever writes over it is
            // behind who has seen it.
            if let Some(Entry { revision: Some(revision), .. }) = shown {
                self.reach(group, revision);
                self.settle(key, author);
            }
            return Ok(());
        }
        let there = there.map(|(value, origin)| match origin {
            Origin::Revision(revision) => Entry { value, revision: Some(revision) },
            Origin::Call(_) => Entry { value, revision: None },
        });
        Err(Mismatch::Entry { key, there, shown })
    }

    /// From now on the writes of `call` in a group have this revision. It must be new.
    fn learn(&mut self, call: u32, group: Group, revision: u64) -> bool {
        let known =
            |cell: &Cell| matches!(cell.entry, Some((_, Origin::Revision(it))) if it == revision);
        if self.cells.iter().any(|(_, cell)| cell.group == group && known(cell)) {
            return false;
        }
        for (_, cell) in self.cells.iter_mut().filter(|(_, cell)| cell.group == group) {
            if let Some((_, origin @ Origin::Call(_))) = &mut cell.entry
                && *origin == Origin::Call(call)
            {
                *origin = Origin::Revision(revision);
                cell.settled = cell.settled.max(revision);
            }
        }
        true
    }

    /// Whether the entries, and what is known of who wrote them, are the same.
    pub(super) fn holds_like(&self, other: &Self) -> bool {
        let mut cells = self.cells.iter().zip(&other.cells);
        cells.all(|((_, cell), (_, other))| cell.entry == other.entry)
    }

    pub(super) fn revision(&self, group: Group) -> u64 {
        let known = self.revisions.iter().find(|(it, _)| *it == group);
        known.map_or(0, |&(_, revision)| revision)
    }

    /// The group has this revision now, if not a higher one.
    fn reach(&mut self, group: Group, revision: u64) {
        match self.revisions.binary_search_by_key(&group, |&(it, _)| it) {
            Ok(at) => self.revisions[at].1 = self.revisions[at].1.max(revision),
            Err(at) => self.revisions.insert(at, (group, revision)),
        }
    }

    fn settle(&mut self, key: Key, author: Author<'_>) {
        if let Some((_, cell)) = self.cells.iter_mut().find(|(it, _)| *it == key)
            && let Origin::Revision(revision) = author.origin(cell.group)
        {
            cell.settled = cell.settled.max(revision);
        }
    }

    fn set(&mut self, key: Key, value: Option<Value>, author: Author<'_>) {
        if let Some((_, cell)) = self.cells.iter_mut().find(|(it, _)| *it == key) {
            let origin = author.origin(cell.group);
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
        f.write_str("at revision")?;
        let mut revisions = self.revisions.iter();
        revisions.try_for_each(|(group, revision)| write!(f, " {revision} of group {group}"))
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
            Self::Revision { group, there } => {
                write!(f, "group {group} is at revision {there} already")
            }
        }
    }
}
