//! Transactions as a person writes them: comparisons, what to do if they hold, what to do if not.
//! Two notations give the same [`Script`]: lines of words ([`language`]) and JSON ([`json`]).

use tidekeep_client::{Condition, DeleteOptions, Expiry, KeyRange, PutOptions, Txn, TxnStep};

use crate::failure::Failure;
use crate::input::Reading;

pub(crate) mod json;
pub(crate) mod language;
pub(crate) mod results;

/// A transaction that remembers what its steps were called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// What must hold of keys.
    pub(crate) compares: Vec<(Vec<u8>, Condition)>,
    /// What to do if it does.
    pub(crate) then: Vec<Step>,
    /// What to do if it does not.
    pub(crate) otherwise: Vec<Step>,
}

/// One operation of a transaction, and the words for it in the results.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The verb.
    pub(crate) verb: &'static str,
    /// The key, or the prefix.
    pub(crate) key: Vec<u8>,
    step: TxnStep,
}

impl Script {
    /// Reads a script in either notation: JSON if it begins with a brace.
    pub(crate) fn parse(text: &[u8], reading: Reading) -> Result<Self, Failure> {
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        let script = match first {
            Some(b'{') => json::parse(text)?,
            _ => language::parse_lines(text, reading)?,
        };
        script.checked()
    }

    /// Reads a script of which each argument is a clause.
    pub(crate) fn from_clauses<'a>(
        clauses: impl Iterator<Item = &'a [u8]>,
        reading: Reading,
    ) -> Result<Self, Failure> {
        language::parse_clauses(clauses, reading)?.checked()
    }

    /// The transaction for the client.
    pub(crate) fn to_txn(&self) -> Txn {
        let mut txn = Txn::new();
        for (key, condition) in &self.compares {
            txn = txn.when(key, condition.clone());
        }
        for step in &self.then {
            txn = txn.then(step.step.clone());
        }
        for step in &self.otherwise {
            txn = txn.otherwise(step.step.clone());
        }
        txn
    }

    fn checked(self) -> Result<Self, Failure> {
        if self.compares.is_empty() && !self.otherwise.is_empty() {
            return Err(Failure::invalid("an else without an if never runs")
                .hint("add a clause such as: if KEY absent"));
        }
        if self.then.is_empty() && self.otherwise.is_empty() && self.compares.is_empty() {
            return Err(Failure::invalid("the transaction is empty")
                .hint("`tidekeep txn --help` shows what one looks like"));
        }
        Ok(self)
    }
}

impl Step {
    /// Reads a key.
    pub(crate) fn get(key: Vec<u8>) -> Self {
        Self { verb: "get", step: TxnStep::get(&key), key }
    }

    /// Sets a key.
    pub(crate) fn put(key: Vec<u8>, value: &[u8], options: PutOptions) -> Self {
        Self { verb: "put", step: TxnStep::put(&key, value, options), key }
    }

    /// Removes a key.
    pub(crate) fn delete(key: Vec<u8>, options: DeleteOptions) -> Self {
        Self { verb: "delete", step: TxnStep::delete(&key, options), key }
    }

    /// Removes the keys that begin with a prefix, as many as the server removes at once.
    pub(crate) fn delete_prefix(prefix: Vec<u8>) -> Self {
        let step = TxnStep::delete_range(&KeyRange::prefix(&prefix), 0);
        Self { verb: "delete --prefix", step, key: prefix }
    }

    /// Moves a key's end.
    pub(crate) fn touch(key: Vec<u8>, expiry: Expiry, condition: Condition) -> Self {
        Self { verb: "touch", step: TxnStep::touch(&key, expiry, condition), key }
    }

    /// Adds to a number.
    pub(crate) fn incr(key: Vec<u8>, by: i64, expiry: Expiry) -> Self {
        Self { verb: "incr", step: TxnStep::increment(&key, by, expiry), key }
    }
}
