//! What clients did and what they were told: the operations of the store on numbered keys with
//! numbers as values, so that a state is small and every write can have a value of its own.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::groups::Group;

/// A key by its number, below 64.
pub type Key = u8;

/// A value.
pub type Value = i64;

/// What must hold of a key before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing.
    Always,
    /// The key is not there.
    Absent,
    /// The key is there.
    Present,
    /// The key's last write had this revision.
    Revision(u64),
    /// The key has this value.
    Value(Value),
}

/// One thing done to one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Reads.
    Get(Key),
    /// Sets the value if the condition holds.
    Put(Key, Value, Condition),
    /// Removes the key if the condition holds.
    Delete(Key, Condition),
    /// Adds to the number; an absent key counts from 0.
    Increment(Key, Value),
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One step on its own.
    One(Step),
    /// `then` if all comparisons hold, else `otherwise`; all of it or nothing.
    Txn {
        /// What is compared.
        compares: Vec<(Key, Condition)>,
        /// Done if all of it holds.
        then: Vec<Step>,
        /// Done if not.
        otherwise: Vec<Step>,
    },
}

/// An entry as an answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// The revision of the write that set it; none when the answer does not say.
    pub revision: Option<u64>,
}

/// What an answer says of the entry that a write found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Before {
    /// Nothing.
    Unsaid,
    /// This is what was there.
    Was(Option<Entry>),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Did {
    /// A get found this.
    Got(Option<Entry>),
    /// A put or a delete was done.
    Written(Before),
    /// A delete found nothing to remove.
    NotFound,
    /// The condition did not hold.
    Refused(Before),
    /// The number after the addition.
    Incremented(Value),
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Done {
    /// A step on its own.
    One(Did),
    /// A transaction: whether the comparisons held, and each step that ran.
    Txn(bool, Vec<Did>),
}

/// An answer: what was done, and the write's own revision; if nothing was changed, the revision of
/// the store at which that was found. Of several groups it is the revision of the lowest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// None when the answer does not say.
    pub revision: Option<u64>,
    /// What was done.
    pub done: Done,
    /// Of a transaction over groups, the revisions of its parts in the others than the lowest.
    pub elsewhere: Vec<(Group, u64)>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With an answer, at this tick.
    Answered(u64, Answer),
    /// Nobody knows what became of it: it may take effect at any time after its beginning, or never.
    Unknown,
    /// It certainly had no effect.
    Failed,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who called.
    pub client: u32,
    /// The tick before it was sent.
    pub invoked: u64,
    /// What was asked.
    pub operation: Operation,
    /// What came of it.
    pub end: End,
}

/// Collects the calls of concurrent clients, in ticks of one counter.
#[derive(Debug, Default)]
pub struct Recorder {
    ticks: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    /// A tick that is later than all before it.
    pub fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Adds a call that has ended.
    pub fn add(&self, call: Call) {
        self.calls.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(call);
    }

    /// All calls.
    pub fn into_history(self) -> Vec<Call> {
        self.calls.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Step {
    /// The step's key.
    pub fn key(&self) -> Key {
        match *self {
            Self::Get(key)
            | Self::Put(key, ..)
            | Self::Delete(key, _)
            | Self::Increment(key, _) => key,
        }
    }

    /// Whether the key afterwards is the same whatever it was before.
    pub(super) fn is_blind(&self) -> bool {
        matches!(self, Self::Put(_, _, Condition::Always) | Self::Delete(_, Condition::Always))
    }
}

impl Operation {
    /// The keys that the operation can look at or change, as a set of bits.
    pub(super) fn keys(&self) -> u64 {
        let bit = |key: Key| 1 << key;
        match self {
            Self::One(step) => bit(step.key()),
            Self::Txn { compares, then, otherwise } => {
                let compared = compares.iter().map(|&(key, _)| key);
                let stepped = then.iter().chain(otherwise).map(Step::key);
                compared.chain(stepped).fold(0, |keys, key| keys | bit(key))
            }
        }
    }

    /// Whether all it can do is to look.
    pub(super) fn only_reads(&self) -> bool {
        match self {
            Self::One(step) => matches!(step, Step::Get(_)),
            Self::Txn { then, otherwise, .. } => {
                then.iter().chain(otherwise).all(|step| matches!(step, Step::Get(_)))
            }
        }
    }
}

impl Answer {
    /// The answer of one group.
    pub fn of(revision: Option<u64>, done: Done) -> Self {
        Self { revision, done, elsewhere: Vec::new() }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => Ok(()),
            Self::Absent => f.write_str(" if absent"),
            Self::Present => f.write_str(" if present"),
            Self::Revision(revision) => write!(f, " if @{revision}"),
            Self::Value(value) => write!(f, " if {value}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(key) => write!(f, "get k{key}"),
            Self::Put(key, value, condition) => write!(f, "put k{key}={value}{condition}"),
            Self::Delete(key, condition) => write!(f, "delete k{key}{condition}"),
            Self::Increment(key, by) => write!(f, "increment k{key} by {by}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(step) => step.fmt(f),
            Self::Txn { compares, then, otherwise } => {
                f.write_str("txn")?;
                compares.iter().try_for_each(|(key, condition)| write!(f, " k{key}{condition}"))?;
                f.write_str(" {")?;
                then.iter().try_for_each(|step| write!(f, " {step};"))?;
                f.write_str(" } else {")?;
                otherwise.iter().try_for_each(|step| write!(f, " {step};"))?;
                f.write_str(" }")
            }
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = |f: &mut fmt::Formatter<'_>, before: &Before| match before {
            Before::Unsaid => Ok(()),
            Before::Was(None) => f.write_str(" (was absent)"),
            Before::Was(Some(entry)) => write!(f, " (was {entry})"),
        };
        match self {
            Self::Got(None) => f.write_str("absent"),
            Self::Got(Some(entry)) => entry.fmt(f),
            Self::Written(was) => f.write_str("done").and_then(|()| before(f, was)),
            Self::NotFound => f.write_str("not found"),
            Self::Refused(was) => f.write_str("refused").and_then(|()| before(f, was)),
            Self::Incremented(value) => write!(f, "now {value}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.done {
            Done::One(did) => did.fmt(f)?,
            Done::Txn(held, dids) => {
                f.write_str(if *held { "held:" } else { "did not hold:" })?;
                dids.iter().try_for_each(|did| write!(f, " {did};"))?;
            }
        }
        self.revision.map_or(Ok(()), |revision| write!(f, ", revision {revision}"))?;
        let mut parts = self.elsewhere.iter();
        parts.try_for_each(|(group, revision)| write!(f, ", of group {group} {revision}"))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, invoked, operation, end } = self;
        match end {
            End::Answered(at, answer) => {
                write!(f, "client {client} [{invoked}..{at}] {operation} → {answer}")
            }
            End::Unknown => write!(f, "client {client} [{invoked}..] {operation} → unknown"),
            End::Failed => write!(f, "client {client} [{invoked}..] {operation} → failed"),
        }
    }
}
