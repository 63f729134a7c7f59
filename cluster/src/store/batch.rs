//! A batch over several groups: each call goes to the group of its key, or to all of them, and the answers come
//! back in the order of the calls.
//!
//! ```text
//! calls ─▶ stages ─▶ a part for each group ─▶ doors, all at once ─▶ answers, in the calls' order
//!                                              what all groups answer is made one answer of, with another
//!                                              look at some of them if need be
//! ```
//! Calls for one group run in their order; calls for several have none among each other. A stage ends where a
//! call must not begin before those in front of it are answered: a write behind a page, whose second look
//! must not see it, and anything behind what writes to several groups.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;
use tidekeep_log::{Answer, Call, Pending, Promise, Reply};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Class, Request, Txn, TxnOp};
use tidekeep_protocol::slot::GroupId;

use crate::raft::Runtime;
use crate::replicated::{Calls, Sort, push_bounded, refusals};
use crate::store::doors::{Asked, Doors};
use crate::store::leases;
use crate::store::pages::{Merged, merge_replies, share_of};
use crate::transaction::unlocked;

/// Runs calls of several groups.
pub(super) fn submit<R: Runtime>(doors: &Arc<Doors<R>>, calls: &[Call<'_>]) -> Pending {
    let mut stages = plan(doors, calls).into_iter();
    let Some(first) = stages.next() else { return Promise::ready(Ok(Vec::new())) };
    let running = first.begin(doors);
    let doors = Arc::clone(doors);
    Promise::later(async move {
        let mut answers = running.end(&doors).await;
        for stage in stages {
            answers.extend(stage.begin(&doors).end(&doors).await);
        }
        Ok(answers)
    })
}

/// Who runs a call.
enum Route {
    One(GroupId),
    /// All groups give a page each.
    Page,
    /// Some groups, all or none.
    Txn,
    /// All groups, each for itself.
    Lease,
}

fn route<R: Runtime>(doors: &Doors<R>, request: &Request<'_>) -> Route {
    let of = |key: &[u8]| Route::One(doors.group_of(key));
    match request {
        Request::Get(get) => of(get.key),
        Request::Put(put) => of(put.key),
        Request::Delete(delete) => of(delete.key),
        Request::Touch(touch) => of(touch.key),
        Request::Increment(increment) => of(increment.key),
        Request::Txn(txn) => group_of_txn(doors, txn).map_or(Route::Txn, Route::One),
        Request::DeleteRange(_) => Route::Txn,
        Request::Scan(_) | Request::Children(_) | Request::Leases(_) => Route::Page,
        Request::LeaseGrant(_) | Request::LeaseKeepAlive(_) | Request::LeaseRevoke(_) => {
            Route::Lease
        }
        // No part of a batch.
        Request::Watch(_)
        | Request::Status(_)
        | Request::Backup(_)
        | Request::Cluster(_)
        | Request::Sessions(_) => Route::One(GroupId(0)),
    }
}

/// The group of all keys of a transaction; none if they are of several.
fn group_of_txn<R: Runtime>(doors: &Doors<R>, txn: &Txn<'_>) -> Option<GroupId> {
    let compares = txn.compares.iter().map(|compare| Some(compare.key));
    let ops = txn.then.iter().chain(&txn.otherwise).map(TxnOp::key);
    let mut keys = compares.chain(ops);
    let Some(first) = keys.next() else { return Some(GroupId(0)) };
    let first = doors.group_of(first?);
    keys.all(|key| key.is_some_and(|key| doors.group_of(key) == first)).then_some(first)
}

/// What becomes of a call when the groups have answered.
enum Way {
    /// It has the next answer of a group.
    One(GroupId),
    /// It has the next answer of each group, of which one page is made.
    Page(Calls),
    /// It is a write over several groups.
    Txn(Calls),
    /// Its home has granted a lease that the others are to adopt.
    Grant(GroupId),
    /// All groups were asked to keep a lease alive.
    KeepAlive(u64),
    /// All groups were asked to end a lease.
    Revoke,
}

/// Calls that may be begun together.
#[derive(Default)]
struct Stage {
    parts: BTreeMap<GroupId, Vec<Calls>>,
    ways: Vec<Way>,
    has_page: bool,
    has_txn: bool,
    has_lease: bool,
}

impl Stage {
    /// Whether a call must wait for all of it.
    fn is_in_front_of(&self, route: &Route, writes: bool) -> bool {
        let is_lease = matches!(route, Route::Lease);
        self.has_txn || self.has_page && writes || self.has_lease && !is_lease
    }

    /// Adds what concerns a lease. Each group has such calls in their order.
    fn push_lease<R: Runtime>(&mut self, doors: &Doors<R>, call: &Call<'_>) {
        self.has_lease = true;
        let way = match call.request {
            Request::LeaseGrant(grant) => {
                let home = leases::home(doors, call.number.as_ref());
                let step = leases::grant_at(doors, home, grant, call.number);
                self.parts.entry(home).or_default().push(step);
                self.ways.push(Way::Grant(home));
                return;
            }
            Request::LeaseKeepAlive(keep) => Way::KeepAlive(keep.lease),
            _ => Way::Revoke,
        };
        for group in doors.groups().groups() {
            push_bounded(self.parts.entry(group).or_default(), call);
        }
        self.ways.push(way);
    }
}

fn plan<R: Runtime>(doors: &Doors<R>, calls: &[Call<'_>]) -> Vec<Stage> {
    let groups = usize::from(doors.groups().get());
    let most = doors.page_limits();
    let mut stages = vec![Stage::default()];
    for call in calls {
        let writes = call.request.spec().class == Class::Write;
        let route = route(doors, &call.request);
        if stages.last().is_some_and(|last| last.is_in_front_of(&route, writes)) {
            stages.push(Stage::default());
        }
        let Some(stage) = stages.last_mut() else { continue };
        match route {
            Route::Lease => stage.push_lease(doors, call),
            Route::One(group) => {
                push_bounded(stage.parts.entry(group).or_default(), call);
                stage.ways.push(Way::One(group));
            }
            Route::Page => {
                let request = share_of(&call.request, groups, most);
                let share = Call { freshness: call.freshness, ..Call::new(request) };
                for group in doors.groups().groups() {
                    push_bounded(stage.parts.entry(group).or_default(), &share);
                }
                stage.has_page = true;
                stage.ways.push(Way::Page(Calls::of(call)));
            }
            Route::Txn => {
                stage.has_txn = true;
                stage.ways.push(Way::Txn(Calls::of(call)));
            }
        }
    }
    stages
}

/// A stage that the groups were handed.
struct Running {
    parts: BTreeMap<GroupId, Vec<(Calls, Asked)>>,
    ways: Vec<Way>,
}

impl Stage {
    fn begin<R: Runtime>(self, doors: &Doors<R>) -> Running {
        let ask = |(group, pieces): (GroupId, Vec<Calls>)| {
            let asked = pieces.into_iter().map(|calls| {
                // Asked again if a transaction is in the way of some.
                let kept = calls.clone();
                (kept, doors.ask(group, calls))
            });
            (group, asked.collect())
        };
        Running { parts: self.parts.into_iter().map(ask).collect(), ways: self.ways }
    }
}

type Later<'d> = Pin<Box<dyn Future<Output = (usize, Answer)> + Send + 'd>>;

impl Running {
    /// One answer for each call, in their order.
    async fn end<R: Runtime>(self, doors: &Arc<Doors<R>>) -> Vec<Answer> {
        let parts = self.parts.into_iter().map(|(group, parts)| async move {
            let mut answers = Vec::new();
            for (calls, asked) in parts {
                match asked.await {
                    Ok(done) => answers.extend(unlocked(doors, group, &calls, done).await.answers),
                    Err(failed) => {
                        let sorts: Vec<Sort> = calls.sorts().collect();
                        answers.extend(refusals(&sorts, &failed));
                    }
                }
            }
            (group, answers.into_iter())
        });
        let mut given: BTreeMap<_, _> = join_all(parts).await.into_iter().collect();
        let mut next = |group: GroupId| {
            let answer = given.get_mut(&group).and_then(Iterator::next);
            answer.unwrap_or_else(|| Err(unlike()))
        };
        let mut answers = Vec::with_capacity(self.ways.len());
        let mut later: Vec<Later<'_>> = Vec::new();
        for (place, way) in self.ways.into_iter().enumerate() {
            let mut of_all = || -> Vec<Answer> { doors.groups().groups().map(&mut next).collect() };
            match way {
                Way::Grant(home) => {
                    let granted = next(home);
                    later.push(Box::pin(async move {
                        (place, leases::adopt(doors, home, granted).await)
                    }));
                    answers.push(Err(unlike()));
                }
                Way::KeepAlive(lease) => {
                    let parts = of_all();
                    later.push(Box::pin(async move {
                        (place, leases::kept_alive(doors, lease, parts).await)
                    }));
                    answers.push(Err(unlike()));
                }
                Way::Revoke => answers.push(leases::revoked(of_all())),
                Way::One(group) => answers.push(next(group)),
                Way::Page(whole) => {
                    let parts = of_all();
                    later.push(Box::pin(async move { (place, page(doors, whole, parts).await) }));
                    answers.push(Err(unlike()));
                }
                Way::Txn(call) => {
                    later.push(Box::pin(async move {
                        (place, doors.coordinator().run(doors, &call).await)
                    }));
                    answers.push(Err(unlike()));
                }
            }
        }
        for (place, answer) in join_all(later).await {
            answers[place] = answer;
        }
        answers
    }
}

/// Makes one page of the groups' parts; those that have told too little are asked again.
async fn page<R: Runtime>(doors: &Doors<R>, whole: Calls, parts: Vec<Answer>) -> Answer {
    let mut replies = parts.into_iter().collect::<Result<Vec<Reply>, Refusal>>()?;
    let most = doors.page_limits();
    let mut asked_whole = vec![false; replies.len()];
    loop {
        let merged = {
            let call = whole.requests().next();
            call.and_then(|call| merge_replies(&call.request, &replies, &asked_whole, most))
        };
        // Who was asked for all of it is not asked again.
        match merged.ok_or_else(unlike)? {
            Merged::Whole(reply) => return Ok(reply),
            Merged::Short(groups) => {
                let ask = |place: usize| (place, doors.ask(GroupId(place as u16), whole.clone()));
                let asked: Vec<_> = groups.into_iter().map(ask).collect();
                for (place, asked) in asked {
                    replies[place] = one(&whole, asked).await?;
                    asked_whole[place] = true;
                }
            }
        }
    }
}

/// The answer to a single call.
pub(super) async fn one(call: &Calls, asked: Asked) -> Answer {
    match asked.await {
        Ok(done) => done.answers.into_iter().next().unwrap_or_else(|| Err(unlike())),
        Err(failed) => {
            let sorts: Vec<Sort> = call.sorts().collect();
            refusals(&sorts, &failed).next().unwrap_or_else(|| Err(unlike()))
        }
    }
}

fn unlike() -> Refusal {
    Refusal::new(Code::Internal, "a group answered something else than it was asked")
}
