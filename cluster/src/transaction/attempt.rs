//! One try of a transaction, from the first lock to the answer. Until its home has decided, all of it can be
//! given up; from then on it is done, whoever brings it to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use openraft::Instant;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::slot::GroupId;
use tidekeep_store::sessions::Numbered;
use tidekeep_store::step::{
    Asks, Decide, Decided, Fault, Finish, Finished, Forget, Outcome, Part, Prepare, Prepared,
    TxnId, Votes,
};

use crate::raft::Runtime;
use crate::replicated::{Failed, leaderless};
use crate::store::Doors;
use crate::transaction::locks::see_to;
use crate::transaction::plan::Plan;
use crate::transaction::{PATIENCE, RETRY, ask, in_the_way, unknown, unlike};

/// What came of a try.
pub(super) enum Tried {
    /// It is done: the reply's body, and the newest revision in it.
    Answered(Vec<u8>, u64),
    /// It is not done, or nobody can tell.
    Refused(Refusal),
    /// Nothing was done: the deadline was over at this time of a group.
    Late(u64),
    /// Nothing was done: another transaction was in the way.
    InTheWay,
    /// It was done when the store had a single group: the kind of its request, the reply's body, and the newest
    /// revision in it.
    Before(u8, Vec<u8>, u64),
}

/// A try.
pub(super) struct Attempt<'t, R: Runtime> {
    doors: &'t Arc<Doors<R>>,
    plan: &'t Plan,
    numbered: Numbered,
    txn: TxnId,
    deadline_ms: u64,
    began: R::Instant,
    /// Whether groups are prepared one after the other, each when its locks are free.
    in_order: bool,
}

impl<'t, R: Runtime> Attempt<'t, R> {
    pub(super) fn new(
        doors: &'t Arc<Doors<R>>,
        plan: &'t Plan,
        numbered: Numbered,
        attempt: u64,
        deadline_ms: u64,
        began: R::Instant,
        in_order: bool,
    ) -> Self {
        let (session, sequence) = (numbered.session.0, numbered.number.sequence);
        let txn = TxnId { session, sequence, attempt };
        Self { doors, plan, numbered, txn, deadline_ms, began, in_order }
    }

    pub(super) async fn run(&self) -> Tried {
        let prepared = match self.in_order {
            true => self.prepare_in_order().await,
            false => self.prepare_together().await,
        };
        let (votes, decided) = match self.look_at(prepared) {
            Ok(seen) => seen,
            Err(tried) => {
                self.give_up();
                return tried;
            }
        };
        if let Some(part) = decided {
            // An earlier try was committed. What this one has locked is let go before that is brought to its end.
            self.give_up();
            return self.finish(part).await;
        }
        let succeeded = votes.values().all(|votes| votes.holds);
        if let Some(fault) = self.first_fault(&votes, succeeded) {
            self.give_up();
            return Tried::Refused(refusal_of(fault));
        }
        let decide = Decide { txn: self.txn, succeeded };
        match self.insist(self.plan.home(), decide).await {
            Ok(Decided::Committed(part)) => self.finish(part).await,
            Ok(Decided::Aborted) => {
                self.give_up();
                Tried::InTheWay
            }
            Ok(Decided::Forgotten) => Tried::Refused(unknown("the groups no longer remember it")),
            Err(_) => Tried::Refused(unknown("the group that decides does not answer")),
        }
    }

    async fn prepare_together(&self) -> BTreeMap<GroupId, Result<Prepared, Failed>> {
        let groups = self.plan.parts.keys().copied();
        let asked = groups.map(|group| async move { (group, self.prepare(group).await) });
        join_all(asked).await.into_iter().collect()
    }

    /// Since all who wait do so in the same order, none waits for one that waits for it.
    async fn prepare_in_order(&self) -> BTreeMap<GroupId, Result<Prepared, Failed>> {
        let mut all = BTreeMap::new();
        for &group in self.plan.parts.keys() {
            let prepared = loop {
                let prepared = self.prepare(group).await;
                match &prepared {
                    Ok(Prepared::Conflict(lock)) if !self.is_over() => {
                        see_to(self.doors, group, lock).await;
                    }
                    _ => break prepared,
                }
            };
            let goes_on = matches!(prepared, Ok(Prepared::Locked(_)));
            all.insert(group, prepared);
            if !goes_on {
                break;
            }
        }
        all
    }

    async fn prepare(&self, group: GroupId) -> Result<Prepared, Failed> {
        let prepare = Prepare {
            txn: self.txn,
            oldest: self.numbered.number.oldest,
            retry: self.numbered.retry,
            home: self.plan.home().0,
            groups: self.plan.parts.keys().map(|group| group.0).collect(),
            deadline_ms: self.deadline_ms,
            part: self.plan.parts.get(&group).cloned().unwrap_or_default(),
        };
        ask(&**self.doors, group, prepare).await
    }

    /// The votes, if all have prepared, or what the home did in an earlier try; else what becomes of this one.
    fn look_at(
        &self,
        prepared: BTreeMap<GroupId, Result<Prepared, Failed>>,
    ) -> Result<(BTreeMap<GroupId, Votes>, Option<Part>), Tried> {
        let (mut votes, mut worst) = (BTreeMap::new(), None);
        for (group, prepared) in prepared {
            let tried = match prepared {
                Ok(Prepared::Locked(found)) => {
                    votes.insert(group, found);
                    continue;
                }
                Ok(Prepared::Done(part)) if group == self.plan.home() => {
                    return Ok((votes, Some(part)));
                }
                // The home says so too when it is asked next.
                Ok(Prepared::Done(_) | Prepared::Conflict(_)) if self.is_over() => {
                    Tried::Refused(match self.numbered.retry {
                        true => unknown("what an earlier copy of it did is not known"),
                        false => in_the_way(),
                    })
                }
                Ok(Prepared::Done(_) | Prepared::Conflict(_)) => Tried::InTheWay,
                Ok(Prepared::Late { now_ms }) => Tried::Late(now_ms),
                Ok(Prepared::Refused(fault)) => Tried::Refused(refusal_of(&fault)),
                Ok(Prepared::Whole { kind, shows, body }) => Tried::Before(kind, body, shows),
                Ok(Prepared::Held) if self.is_over() => Tried::Refused(in_the_way()),
                Ok(Prepared::Held) => Tried::InTheWay,
                // Nothing is decided without it.
                Err(_) => Tried::Refused(leaderless()),
            };
            worst.get_or_insert(tried);
        }
        match worst {
            Some(tried) => Err(tried),
            None => Ok((votes, None)),
        }
    }

    /// What is in the way of the operations that are to run: of the first of them, as in a single group.
    fn first_fault<'v>(
        &self,
        votes: &'v BTreeMap<GroupId, Votes>,
        succeeded: bool,
    ) -> Option<&'v Fault> {
        let faults = votes.iter().filter_map(|(group, votes)| {
            let fault = if succeeded { &votes.then } else { &votes.otherwise };
            let (at, fault) = fault.as_ref()?;
            Some((self.plan.operation(succeeded, *group, *at), fault))
        });
        faults.min_by_key(|(at, _)| *at).map(|(_, fault)| fault)
    }

    /// Lets go what this try has locked. It is not decided, and nobody else decides it.
    fn give_up(&self) {
        let groups = self.plan.parts.keys();
        let finish = Finish { txn: self.txn, outcome: Outcome::Aborted };
        let doors = self.doors;
        // Asked here, so that whatever follows from this node comes behind it.
        let asked: Vec<_> = groups.map(|group| begin(doors, *group, finish)).collect();
        // Those that do not hear of it ask the home.
        let _ends_by_itself = R::spawn(async move {
            join_all(asked).await;
        });
    }

    /// Brings a transaction that was committed to its end everywhere. `part` is what the home did.
    async fn finish(&self, part: Part) -> Tried {
        let (outcome, home) = (part.outcome, self.plan.home());
        let txn = TxnId { attempt: part.attempt, ..self.txn };
        let others = self.plan.parts.keys().copied().filter(|group| *group != home);
        let finished = others
            .map(|group| async move { (group, self.insist(group, Finish { txn, outcome }).await) });
        let mut done = BTreeMap::from([(home, part)]);
        for (group, finished) in join_all(finished).await {
            match finished {
                Ok(Finished::Done(part)) => drop(done.insert(group, part)),
                Ok(Finished::Nothing) => {
                    return Tried::Refused(unknown("the groups no longer remember it"));
                }
                Err(_) => return Tried::Refused(unknown("a group does not answer")),
            }
        }
        let forget = begin(self.doors, home, Forget { txn });
        let _ends_by_itself = R::spawn(forget);
        match self.plan.merge(&done) {
            Some((body, shows)) => Tried::Answered(body, shows),
            None => Tried::Refused(unlike()),
        }
    }

    /// Asks until there is an answer, or it has taken too long.
    async fn insist<S: Asks + Copy>(&self, group: GroupId, step: S) -> Result<S::Reply, Failed> {
        loop {
            match ask(&**self.doors, group, step).await {
                Err(_) if !self.is_over() => R::sleep(RETRY).await,
                outcome => return outcome,
            }
        }
    }

    fn is_over(&self) -> bool {
        R::Instant::now() - self.began > PATIENCE
    }
}

/// Asks a group for a step at once; what it answers may be awaited.
fn begin<R: Runtime, S: Asks>(
    doors: &Doors<R>,
    group: GroupId,
    step: S,
) -> impl Future<Output = ()> + Send + use<R, S> {
    let mut calls = crate::replicated::Calls::default();
    calls.push_step(&step.step());
    let asked = doors.ask(group, calls);
    async move { drop(asked.await) }
}

fn refusal_of(fault: &Fault) -> Refusal {
    let code = Code::from_number(fault.code).unwrap_or(Code::Internal);
    Refusal::new(code, fault.message.clone())
}
