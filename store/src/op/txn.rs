//! `txn`: compares, then one of two lists of operations, all or nothing.

use alloc::vec::Vec;
use core::ops::DerefMut;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Compare, Txn, TxnOp, WriteStatus};

use super::{delete, delete_range, increment, put, touch};
use crate::apply::{Transition, holds};
use crate::reply::{Got, Reply, TxnDone};
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    txn: &Txn<'_>,
) -> Result<TxnDone, Refusal> {
    let succeeded = txn.compares.iter().all(|it| compare(transition, it));
    let ops = if succeeded { &txn.then } else { &txn.otherwise };
    let results: Result<Vec<Reply>, Refusal> = ops.iter().map(|op| step(transition, op)).collect();
    match results {
        Ok(results) => Ok(TxnDone { revision: transition.revision(), succeeded, results }),
        Err(refusal) => {
            transition.undo();
            Err(refusal)
        }
    }
}

/// Whether what is compared holds.
pub(super) fn compare<G: DerefMut<Target = Shard>>(
    transition: &Transition<'_, '_, G>,
    compare: &Compare<'_>,
) -> bool {
    holds(&compare.condition, transition.live(transition.find(compare.key)))
}

/// Runs one operation of a transaction.
pub(super) fn step<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    op: &TxnOp<'_>,
) -> Result<Reply, Refusal> {
    let reply = match op {
        TxnOp::Get(get) => {
            let entry = transition.live(transition.find(get.key)).cloned();
            let revision = transition.revision();
            return Ok(Reply::Get(Got { revision, entry, shows: revision }));
        }
        TxnOp::Put(put) => Reply::Put(put::run(transition, put)?),
        TxnOp::Delete(delete) => Reply::Delete(delete::run(transition, delete)),
        TxnOp::Touch(touch) => Reply::Touch(touch::run(transition, touch)?),
        TxnOp::Increment(increment) => Reply::Increment(increment::run(transition, increment)?),
        TxnOp::DeleteRange(range) => Reply::DeleteRange(delete_range::run(transition, range)),
    };
    match status(&reply) {
        Some(WriteStatus::Refused) => {
            Err(Refusal::new(Code::Conflict, "a condition inside the transaction does not hold"))
        }
        _ => Ok(reply),
    }
}

fn status(reply: &Reply) -> Option<WriteStatus> {
    match reply {
        Reply::Put(written) | Reply::Delete(written) => Some(written.status),
        Reply::Touch(touched) => Some(touched.status),
        _ => None,
    }
}
