//! `txn`: compares, then one of two lists of operations, all at one revision or not at all.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    Delete, DeleteRange, DeleteRangeReply, Get, GetReply, Increment, IncrementReply, Put, Touch,
    TouchReply, WriteReply,
};
use crate::codec::bounded_list;
use crate::condition::Condition;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// The most comparisons and the most operations in one list that are read at all; what a server
/// takes is in [`crate::limits::Limits::txn_operations`].
pub const LIST_MAX: usize = 16_384;

/// Runs `then` if every comparison holds, else `otherwise`. The operations see the effects of those
/// before them. An operation that cannot be done (a refused condition, an increment of what is no
/// number) undoes the whole transaction: it is refused with that operation's error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn<'a> {
    /// What must hold of keys; an empty list holds.
    #[serde(borrow, deserialize_with = "bounded_list::<_, _, LIST_MAX>")]
    pub compares: Vec<Compare<'a>>,
    /// What to do if it does.
    #[serde(borrow, deserialize_with = "bounded_list::<_, _, LIST_MAX>")]
    pub then: Vec<TxnOp<'a>>,
    /// What to do if it does not.
    #[serde(borrow, deserialize_with = "bounded_list::<_, _, LIST_MAX>")]
    pub otherwise: Vec<TxnOp<'a>>,
}

/// What must hold of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// What must hold of it.
    #[serde(borrow)]
    pub condition: Condition<'a>,
}

/// One operation of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnOp<'a> {
    /// Reads an entry.
    #[serde(borrow)]
    Get(Get<'a>),
    /// Sets a value.
    #[serde(borrow)]
    Put(Put<'a>),
    /// Removes a key.
    #[serde(borrow)]
    Delete(Delete<'a>),
    /// Moves a key's end.
    #[serde(borrow)]
    Touch(Touch<'a>),
    /// Adds to a number.
    #[serde(borrow)]
    Increment(Increment<'a>),
    /// Removes a range.
    #[serde(borrow)]
    DeleteRange(DeleteRange<'a>),
}

/// What the transaction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnReply<'a> {
    /// The transaction's revision, or the group's if it changed nothing.
    pub revision: u64,
    /// Whether the comparisons held, so that `then` ran.
    pub succeeded: bool,
    /// One result for each operation that ran, in order.
    #[serde(borrow)]
    pub results: Vec<TxnResult<'a>>,
}

/// The result of one operation of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnResult<'a> {
    /// Of a get.
    #[serde(borrow)]
    Get(GetReply<'a>),
    /// Of a put.
    #[serde(borrow)]
    Put(WriteReply<'a>),
    /// Of a delete.
    #[serde(borrow)]
    Delete(WriteReply<'a>),
    /// Of a touch.
    Touch(TouchReply),
    /// Of an increment.
    Increment(IncrementReply),
    /// Of a range delete.
    DeleteRange(DeleteRangeReply),
}

impl<'a> TxnOp<'a> {
    /// The one key that it looks at or writes; none of a range.
    pub fn key(&self) -> Option<&'a [u8]> {
        match self {
            Self::Get(get) => Some(get.key),
            Self::Put(put) => Some(put.key),
            Self::Delete(delete) => Some(delete.key),
            Self::Touch(touch) => Some(touch.key),
            Self::Increment(increment) => Some(increment.key),
            Self::DeleteRange(_) => None,
        }
    }
}

impl Bounded for Txn<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_parts(self.compares.len() + self.then.len() + self.otherwise.len())?;
        self.compares.iter().try_for_each(|compare| compare.check(limits))?;
        self.then.iter().chain(&self.otherwise).try_for_each(|op| op.check(limits))
    }
}

impl Bounded for Compare<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)?;
        self.condition.check(limits)
    }
}

impl Bounded for TxnOp<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        match self {
            Self::Get(get) => get.check(limits),
            Self::Put(put) => put.check(limits),
            Self::Delete(delete) => delete.check(limits),
            Self::Touch(touch) => touch.check(limits),
            Self::Increment(increment) => increment.check(limits),
            Self::DeleteRange(delete) => delete.check(limits),
        }
    }
}
