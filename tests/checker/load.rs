//! What a client likes to do to a few keys: the load of histories, whoever runs it.

use fastrand::Rng;

use super::history::{Answer, Before, Condition, Did, Done, Entry, Key, Operation, Step, Value};

/// The keys 0 and 1 are joined by transactions, so are 4 and 5; 2 and 3 stand for themselves, unless
/// transactions over groups join 2 with 0 and 1.
const KEYS: Key = 6;
/// Only added to, so that a sum is a count.
const COUNTER: Key = 4;

/// One client's draws, which follow from its seed and from what it was told.
pub struct Load {
    name: u32,
    rng: Rng,
    writes: Value,
    /// What was last seen of each key.
    seen: [Option<Entry>; KEYS as usize],
    over_groups: bool,
}

impl Load {
    /// The load of the client of this name.
    pub fn new(name: u32, rng: Rng) -> Self {
        Self { name, rng, writes: 0, seen: [None; KEYS as usize], over_groups: false }
    }

    /// The same of a store of several groups: more transactions, of more keys.
    pub fn over_groups(name: u32, rng: Rng) -> Self {
        Self { over_groups: true, ..Self::new(name, rng) }
    }

    /// What it wants next.
    pub fn operation(&mut self) -> Operation {
        if self.over_groups && self.rng.u32(..6) == 0 {
            return self.over_more_keys();
        }
        match self.rng.u32(..10) {
            0 => {
                let compares = vec![(self.rng.u8(..2), self.condition(0))];
                let condition = self.condition(0);
                let value = self.value();
                let put = |key| Step::Put(key, value, Condition::Always);
                let then = match self.rng.u32(..4) {
                    0 => vec![put(0), put(1)],
                    // Refused as a whole if its second step is.
                    2 => vec![put(1), Step::Put(0, value, condition)],
                    1 => vec![Step::Delete(0, Condition::Always), put(1), Step::Get(0)],
                    _ => vec![put(1), Step::Get(0), put(0), Step::Get(1)],
                };
                Operation::Txn { compares, then, otherwise: vec![Step::Get(0), Step::Get(1)] }
            }
            1 => {
                let put = Step::Put(5, self.value(), Condition::Always);
                let then = vec![Step::Increment(COUNTER, 1), put, Step::Get(COUNTER)];
                Operation::Txn { compares: Vec::new(), then, otherwise: Vec::new() }
            }
            2 => Operation::One(Step::Increment(COUNTER, self.rng.i64(1..4))),
            _ => Operation::One(self.step()),
        }
    }

    /// A transaction that reads all keys of one row, or writes some under a condition of another.
    fn over_more_keys(&mut self) -> Operation {
        let (first, value) = (self.rng.u8(..3), self.value());
        let compares = vec![(first, self.condition(first))];
        let put = |key| Step::Put(key, value, Condition::Always);
        let reads = [0, 1, 2].map(Step::Get).to_vec();
        let then = match self.rng.u32(..6) {
            0 => {
                let (compares, then) = (Vec::new(), vec![Step::Get(COUNTER), Step::Get(5)]);
                return Operation::Txn { compares, then, otherwise: Vec::new() };
            }
            1 => {
                return Operation::Txn { compares: Vec::new(), then: reads, otherwise: Vec::new() };
            }
            2 => vec![put(0), put(1), put(2)],
            3 => vec![put(2), Step::Delete(1, Condition::Always), Step::Get(0)],
            4 => vec![put(0), Step::Put(2, value, self.condition(2)), Step::Get(1)],
            _ => vec![put((first + 1) % 3), Step::Get(first)],
        };
        Operation::Txn { compares, then, otherwise: reads }
    }

    fn step(&mut self) -> Step {
        let key = self.rng.u8(..KEYS);
        match self.rng.u32(..10) {
            0..4 => Step::Get(key),
            _ if key == COUNTER => Step::Increment(key, 1),
            4..8 => Step::Put(key, self.value(), self.condition(key)),
            _ => Step::Delete(key, self.condition(key)),
        }
    }

    /// A value of its own.
    fn value(&mut self) -> Value {
        self.writes += 1;
        1_000_000 * Value::from(self.name + 1) + self.writes
    }

    fn condition(&mut self, key: Key) -> Condition {
        let seen = self.seen[key as usize];
        match (self.rng.u32(..8), seen) {
            (0, _) => Condition::Absent,
            (1, _) => Condition::Present,
            (2 | 3, Some(Entry { revision: Some(revision), .. })) => Condition::Revision(revision),
            (4 | 5, Some(Entry { value, .. })) => Condition::Value(value),
            _ => Condition::Always,
        }
    }

    /// Takes note of what an answer says of a key.
    pub fn look(&mut self, operation: &Operation, answer: &Answer) {
        if let (Operation::One(step), Done::One(did)) = (operation, &answer.done) {
            let revision = answer.revision;
            self.seen[step.key() as usize] = match (step, did) {
                (_, Did::Got(entry) | Did::Refused(Before::Was(entry))) => *entry,
                (Step::Put(_, value, _), Did::Written(_)) => {
                    Some(Entry { value: *value, revision })
                }
                (_, Did::Incremented(value)) => Some(Entry { value: *value, revision }),
                _ => None,
            };
        }
    }
}
