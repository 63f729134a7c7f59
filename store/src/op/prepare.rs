//! A group's part of a transaction over groups: prepared, done, or given up. Every answer is remembered where
//! it decides something, so each step can come again.
//!
//! What was evaluated when it was prepared is what is done when it is finished: its keys are locked meanwhile,
//! and an entry or a lease whose time was not over then is alive for it, however late the end comes.

use core::ops::DerefMut;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{DeleteRange, Operation, Txn, TxnOp};
use tidekeep_protocol::planted;

use super::txn::{compare, step};
use crate::apply::{Stamp, Transition};
use crate::change::Change;
use crate::intents::{Decision, Intent};
use crate::reply::{Encoded, Reply, TxnDone};
use crate::sessions::{Numbered, Recall};
use crate::shard::Shard;
use crate::shards::Writing;
use crate::step::{
    Asks, Decide, Decided, Fault, Finish, Finished, Outcome, Part, Prepare, Prepared, Resolve,
    TxnId, Votes,
};
use crate::tables::Tables;

/// Evaluates a part and locks it.
pub(crate) fn prepare<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    prepare: &Prepare,
) -> Prepared {
    let txn = prepare.txn;
    if let Some(intent) = tables.intents.get(&txn) {
        return Prepared::Locked(intent.votes.clone());
    }
    let numbered = Numbered { retry: prepare.retry, ..txn.numbered() };
    match tables.sessions.recall(&numbered, Prepare::KIND) {
        Recall::New => {}
        Recall::Answered(answer) => match answer.map(|reply| part_of(&reply)) {
            Ok(Some(part)) => return Prepared::Done(part),
            Ok(None) => return refused(Code::InvalidInput, REUSED),
            Err(refusal) => return Prepared::Refused(fault(&refusal)),
        },
        Recall::Reused => {
            let whole = whole_of(tables, &numbered);
            return whole.unwrap_or_else(|| refused(Code::InvalidInput, REUSED));
        }
        Recall::Forgotten => return refused(Code::OutcomeUnknown, FORGOTTEN),
    }
    let now_ms = stamp.now_ms;
    let given_up = tables.intents.is_given_up(txn, prepare.deadline_ms);
    if now_ms > prepare.deadline_ms || given_up {
        return Prepared::Late { now_ms };
    }
    let Ok(part) = codec::decode::<Txn<'_>>(&prepare.part) else {
        return refused(Code::Internal, "the part of a transaction cannot be read");
    };
    if tables.intents.is_held(now_ms) {
        return Prepared::Held;
    }
    if let Some(lock) = tables.intents.conflict(txn, &part, now_ms) {
        return Prepared::Conflict(lock);
    }
    let votes = vote(&mut Transition::tried(writing, tables, stamp), &part);
    let prepare = prepare.clone();
    tables.intents.lock(Intent { prepare, prepared_ms: now_ms, votes: votes.clone() });
    Prepared::Locked(votes)
}

/// What a part comes to; nothing is changed.
fn vote<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    part: &Txn<'_>,
) -> Votes {
    let holds = part.compares.iter().all(|it| compare(transition, it));
    let mut obstacle = |ops: &[TxnOp<'_>]| {
        let found = ops
            .iter()
            .zip(0..)
            .find_map(|(op, at)| step(transition, op).err().map(|refusal| (at, fault(&refusal))));
        transition.undo();
        found
    };
    Votes { holds, then: obstacle(&part.then), otherwise: obstacle(&part.otherwise) }
}

/// Commits a transaction that is prepared here, its home, and does the part of it.
pub(crate) fn decide<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    decide: &Decide,
) -> (Decided, Option<Change>) {
    let Decide { txn, succeeded } = *decide;
    let outcome = if succeeded { Outcome::Then } else { Outcome::Otherwise };
    let Some(intent) = tables.intents.get(&txn) else {
        return match recall(tables, &txn) {
            Ok(Some(part)) => (Decided::Committed(part), None),
            Ok(None) => (Decided::Aborted, None),
            Err(Unknown) => (Decided::Forgotten, None),
        };
    };
    if stamp.now_ms > intent.prepare.deadline_ms {
        tables.intents.unlock(&txn);
        return (Decided::Aborted, None);
    }
    let groups = intent.prepare.groups.clone();
    let (part, change) = perform(writing, tables, stamp, txn, outcome);
    tables.intents.decide(txn, Decision { groups, outcome, decided_ms: stamp.now_ms });
    (part.map_or(Decided::Aborted, Decided::Committed), change)
}

/// Does a part as it was decided.
pub(crate) fn finish<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    finish: &Finish,
) -> (Finished, Option<Change>) {
    let Finish { txn, outcome } = *finish;
    if outcome == Outcome::Aborted || planted::is_awake("part-given-up") {
        tables.intents.unlock(&txn);
        return (Finished::Nothing, None);
    }
    let (part, change) = perform(writing, tables, stamp, txn, outcome);
    let part = part.or_else(|| recall(tables, &txn).ok().flatten());
    (part.map_or(Finished::Nothing, Finished::Done), change)
}

/// What becomes of a transaction, whose home this is; what is open is given up.
pub(crate) fn resolve(tables: &mut Tables, stamp: Stamp, resolve: &Resolve) -> Outcome {
    let Resolve { txn, deadline_ms } = *resolve;
    if let Some(decision) = tables.intents.decision(&txn) {
        return decision.outcome;
    }
    // A decision that was forgotten is still in the session's memory.
    if tables.intents.get(&txn).is_none()
        && let Ok(Some(part)) = recall(tables, &txn)
    {
        return part.outcome;
    }
    tables.intents.unlock(&txn);
    tables.intents.give_up(txn, deadline_ms, stamp.now_ms);
    Outcome::Aborted
}

/// Does one of the lists of a prepared part, and remembers the answer under the transaction's number.
fn perform<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    txn: TxnId,
    outcome: Outcome,
) -> (Option<Part>, Option<Change>) {
    let Some(intent) = tables.intents.unlock(&txn) else { return (None, None) };
    let Ok(part) = codec::decode::<Txn<'_>>(&intent.prepare.part) else { return (None, None) };
    let succeeded = outcome == Outcome::Then;
    let ops = if succeeded { &part.then } else { &part.otherwise };
    let mut transition = Transition::settled(writing, tables, stamp, intent.prepared_ms);
    // Each was tried when it was prepared, and nothing has changed since.
    let results = ops.iter().filter_map(|op| step(&mut transition, op).ok()).collect();
    let done = Reply::Txn(TxnDone { revision: transition.revision(), succeeded, results });
    let (shows, change) = (transition.revision(), transition.into_change());
    let Encoded { body, .. } = Encoded::of(&done, Prepare::KIND);
    let part = Part { attempt: txn.attempt, body: body.to_vec(), outcome };
    let Prepare { oldest, .. } = intent.prepare;
    let mut numbered = txn.numbered();
    numbered.number.oldest = oldest;
    let answer = Encoded::answer::<Prepare>(&Prepared::Done(part.clone()), shows);
    tables.sessions.remember(&numbered, stamp.now_ms, Ok(answer));
    (Some(part), change)
}

/// Nobody knows any more what became of a number.
struct Unknown;

/// What this very try did here, if it was committed and is remembered.
fn recall(tables: &Tables, txn: &TxnId) -> Result<Option<Part>, Unknown> {
    match tables.sessions.recall(&txn.numbered(), Prepare::KIND) {
        Recall::Answered(Ok(reply)) => {
            Ok(part_of(&reply).filter(|part| part.attempt == txn.attempt))
        }
        Recall::New | Recall::Reused => Ok(None),
        Recall::Answered(Err(_)) | Recall::Forgotten => Err(Unknown),
    }
}

/// The reply under a number to a transaction or the delete of a range that was no part of anything.
fn whole_of(tables: &Tables, numbered: &Numbered) -> Option<Prepared> {
    let kinds = [Txn::SPEC.kind, DeleteRange::SPEC.kind];
    kinds.into_iter().find_map(|kind| match tables.sessions.recall(numbered, kind) {
        Recall::Answered(Ok(Reply::Encoded(Encoded { shows, kind, body }))) => {
            Some(Prepared::Whole { kind, shows, body: body.to_vec() })
        }
        _ => None,
    })
}

fn part_of(reply: &Reply) -> Option<Part> {
    let Reply::Encoded(encoded) = reply else { return None };
    match encoded.read::<Prepare>() {
        Ok(Prepared::Done(part)) => Some(part),
        _ => None,
    }
}

fn fault(refusal: &Refusal) -> Fault {
    Fault { code: refusal.code.number(), message: refusal.message.clone().into_owned() }
}

fn refused(code: Code, message: &str) -> Prepared {
    Prepared::Refused(Fault { code: code.number(), message: message.into() })
}

const REUSED: &str = "the write's number is that of another operation, which was answered";
const FORGOTTEN: &str = "the write was sent before, and what became of it is no longer known";
