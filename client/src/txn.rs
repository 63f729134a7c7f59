//! Transactions: comparisons, then one of two lists of steps, all at one revision or not at all.

use bytes::Bytes;
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op;
use tidekeep_protocol::range::KeyRange;

use crate::entry::{Entry, Incremented, Touched, Written};
use crate::error::Error;
use crate::options::{Condition, DeleteOptions, PutOptions};
use crate::verbs::{touched, written};

/// A transaction, as it is put together.
///
/// ```
/// use tidekeep_client::{Condition, PutOptions, Txn, TxnStep};
///
/// let move_it = Txn::new()
///     .when("from", Condition::Value("10".into()))
///     .then(TxnStep::put("from", "0", PutOptions::default()))
///     .then(TxnStep::put("to", "10", PutOptions::default()))
///     .otherwise(TxnStep::get("from"));
/// # let _ = move_it;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    compares: Vec<(Bytes, Condition)>,
    then: Vec<TxnStep>,
    otherwise: Vec<TxnStep>,
}

impl Txn {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a comparison. All of them must hold for the `then` steps to run.
    #[must_use]
    pub fn when(mut self, key: impl AsRef<[u8]>, condition: Condition) -> Self {
        self.compares.push((Bytes::copy_from_slice(key.as_ref()), condition));
        self
    }

    /// Adds a step to be done if the comparisons hold.
    #[must_use]
    pub fn then(mut self, step: TxnStep) -> Self {
        self.then.push(step);
        self
    }

    /// Adds a step to be done if they do not.
    #[must_use]
    pub fn otherwise(mut self, step: TxnStep) -> Self {
        self.otherwise.push(step);
        self
    }

    pub(crate) fn as_request(&self) -> op::Txn<'_> {
        op::Txn {
            compares: self.compares.iter().map(as_compare).collect(),
            then: self.then.iter().map(TxnStep::as_request).collect(),
            otherwise: self.otherwise.iter().map(TxnStep::as_request).collect(),
        }
    }

    /// What the transaction did, from the reply's body.
    pub(crate) fn done(&self, body: &Bytes) -> Result<TxnDone, Error> {
        let reply: op::TxnReply<'_> = codec::decode(body)?;
        let steps = if reply.succeeded { &self.then } else { &self.otherwise };
        if steps.len() != reply.results.len() {
            return Err(mismatch());
        }
        let results =
            steps.iter().zip(&reply.results).map(|(step, result)| step.done(body, result));
        Ok(TxnDone {
            revision: reply.revision,
            succeeded: reply.succeeded,
            results: results.collect::<Result<_, _>>()?,
        })
    }
}

/// One step of a transaction. Steps see the effects of those before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnStep(Step);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Get { key: Bytes },
    Put { key: Bytes, value: Bytes, options: PutOptions },
    Delete { key: Bytes, options: DeleteOptions },
    Touch { key: Bytes, expiry: Expiry, condition: Condition },
    Increment { key: Bytes, by: i64, expiry: Expiry },
    DeleteRange { range: KeyRange, limit: u32 },
}

impl TxnStep {
    /// Reads an entry.
    pub fn get(key: impl AsRef<[u8]>) -> Self {
        Self(Step::Get { key: copy(key) })
    }

    /// Sets a value.
    pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) -> Self {
        Self(Step::Put { key: copy(key), value: copy(value), options })
    }

    /// Removes a key.
    pub fn delete(key: impl AsRef<[u8]>, options: DeleteOptions) -> Self {
        Self(Step::Delete { key: copy(key), options })
    }

    /// Moves a key's end.
    pub fn touch(key: impl AsRef<[u8]>, expiry: Expiry, condition: Condition) -> Self {
        Self(Step::Touch { key: copy(key), expiry, condition })
    }

    /// Adds to a number.
    pub fn increment(key: impl AsRef<[u8]>, by: i64, expiry: Expiry) -> Self {
        Self(Step::Increment { key: copy(key), by, expiry })
    }

    /// Removes the first `limit` keys of a range; 0 leaves it to the server's page size.
    pub fn delete_range(range: &KeyRange, limit: u32) -> Self {
        Self(Step::DeleteRange { range: range.clone(), limit })
    }

    fn as_request(&self) -> op::TxnOp<'_> {
        match &self.0 {
            Step::Get { key } => op::TxnOp::Get(op::Get { key }),
            Step::Put { key, value, options } => op::TxnOp::Put(op::Put {
                key,
                value,
                condition: options.condition.as_request(),
                expiry: options.expiry,
                previous: options.previous,
            }),
            Step::Delete { key, options } => op::TxnOp::Delete(op::Delete {
                key,
                condition: options.condition.as_request(),
                previous: options.previous,
            }),
            Step::Touch { key, expiry, condition } => op::TxnOp::Touch(op::Touch {
                key,
                expiry: *expiry,
                condition: condition.as_request(),
            }),
            Step::Increment { key, by, expiry } => {
                op::TxnOp::Increment(op::Increment { key, by: *by, expiry: *expiry })
            }
            Step::DeleteRange { range, limit } => {
                op::TxnOp::DeleteRange(op::DeleteRange { range: range.as_range(), limit: *limit })
            }
        }
    }

    fn done(&self, body: &Bytes, result: &op::TxnResult<'_>) -> Result<TxnResult, Error> {
        Ok(match (&self.0, result) {
            (Step::Get { key }, op::TxnResult::Get(reply)) => {
                let entry = reply.entry.map(|it| Entry::of_stored(key.clone(), body, it));
                TxnResult::Get(entry)
            }
            (Step::Put { key, .. }, op::TxnResult::Put(reply)) => {
                TxnResult::Put(written(key.clone(), body, *reply)?.ok_or_else(mismatch)?)
            }
            (Step::Delete { key, .. }, op::TxnResult::Delete(reply)) => {
                TxnResult::Delete(written(key.clone(), body, *reply)?)
            }
            (Step::Touch { .. }, op::TxnResult::Touch(reply)) => TxnResult::Touch(touched(reply)?),
            (Step::Increment { .. }, op::TxnResult::Increment(reply)) => {
                let op::IncrementReply { revision, value } = *reply;
                TxnResult::Increment(Incremented { revision, value })
            }
            (Step::DeleteRange { .. }, op::TxnResult::DeleteRange(reply)) => {
                TxnResult::DeleteRange { deleted: reply.deleted, more: reply.more }
            }
            (
                Step::Get { .. }
                | Step::Put { .. }
                | Step::Delete { .. }
                | Step::Touch { .. }
                | Step::Increment { .. }
                | Step::DeleteRange { .. },
                _,
            ) => return Err(mismatch()),
        })
    }
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnDone {
    /// The transaction's revision, or the store's if it changed nothing.
    pub revision: u64,
    /// Whether the comparisons held, so that the `then` steps ran.
    pub succeeded: bool,
    /// One result for each step that ran, in order.
    pub results: Vec<TxnResult>,
}

/// What one step of a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnResult {
    /// The entry, if there is one.
    Get(Option<Entry>),
    /// The write.
    Put(Written),
    /// The write; none when there was no such key.
    Delete(Option<Written>),
    /// The key's new end; none when there was no such key.
    Touch(Option<Touched>),
    /// The number.
    Increment(Incremented),
    /// Keys removed.
    DeleteRange {
        /// How many.
        deleted: u64,
        /// Whether keys are left in the range.
        more: bool,
    },
}

fn as_compare((key, condition): &(Bytes, Condition)) -> op::Compare<'_> {
    op::Compare { key, condition: condition.as_request() }
}

fn copy(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

fn mismatch() -> Error {
    Error::new(Code::Protocol, "the server's results do not match the transaction")
}
