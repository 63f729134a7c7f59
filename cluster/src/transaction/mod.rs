//! Transactions over several groups: two-phase commit through the groups' logs. Any node coordinates; what it
//! leaves behind is seen to by the nodes that lead the groups.
//!
//! ```text
//! plan ─▶ prepare at all groups ─┬─▶ decide at home ─▶ finish at the others ─▶ answer, forget
//!          └ in somebody's way: given up, and tried again group by group, in order
//! ```
//! The home is the lowest of the groups. Its log has the one record that commits.

mod attempt;
mod locks;
mod orphans;
mod plan;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::Instant;
use parking_lot::Mutex;
use tidekeep_log::clock::Clock;
use tidekeep_log::{Answer, Call};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_protocol::slot::{GroupId, hash64};
use tidekeep_store::reply::Reply;
use tidekeep_store::sessions::Numbered;
use tidekeep_store::step::{Asks, TxnId};

use crate::placement::NodeId;
use crate::raft::Runtime;
use crate::replicated::{Calls, Failed};
use crate::store::Doors;
use attempt::{Attempt, Tried};
use plan::Plan;

pub(crate) use locks::unlocked;
pub(crate) use orphans::watch_over;

/// Time for a transaction to be answered, and for a call to wait for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a lock.
const RETRY: Duration = Duration::from_millis(3);

/// Time for a transaction to be decided, in milliseconds; nodes' clocks may differ by a part of it.
const DEADLINE_MS: u64 = 30_000;

/// Coordinates a node's transactions.
pub(crate) struct Coordinator<R> {
    clock: Arc<dyn Clock>,
    /// For transactions whose clients gave them no number.
    session: SessionId,
    numbers: Mutex<Numbers>,
    attempts: AtomicU64,
    /// The newest time that a group has told.
    seen_ms: AtomicU64,
    runtime: PhantomData<fn() -> R>,
}

/// The numbers of the node's own session.
#[derive(Default)]
struct Numbers {
    last: u64,
    /// Those that are under way.
    open: BTreeSet<u64>,
}

impl<R: Runtime> Coordinator<R> {
    /// `random` is another one each time that a node starts.
    pub(crate) fn new(node: NodeId, random: u64, clock: Arc<dyn Clock>) -> Self {
        let made_ms = clock.now_ms();
        let draw = |salt: u64| {
            let drawn_from = [random, node.0, made_ms, salt].map(u64::to_le_bytes);
            hash64(drawn_from.as_flattened())
        };
        let session = SessionId::new(made_ms, u128::from(draw(0)) << 64 | u128::from(draw(1)));
        Self {
            clock,
            session,
            numbers: Mutex::default(),
            // Far from those of any other node, and of this one before.
            attempts: AtomicU64::new(draw(2)),
            seen_ms: AtomicU64::new(0),
            runtime: PhantomData,
        }
    }

    /// A name for a hold, which no transaction and no other hold has.
    pub(crate) fn name_hold(&self) -> TxnId {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        TxnId { session: self.session.0, sequence: 0, attempt }
    }

    /// Runs a transaction, or a delete of a range: one call.
    pub(crate) async fn run(&self, doors: &Arc<Doors<R>>, asked: &Calls) -> Answer {
        let Some(call) = asked.requests().next() else { return Err(no_transaction()) };
        let plan = Plan::of(&call.request, doors.groups()).ok_or_else(no_transaction)?;
        let own = call.number.is_none().then(|| OwnNumber::open(&self.numbers));
        let numbered = call.number.unwrap_or_else(|| Numbered {
            session: self.session,
            number: own.as_ref().map_or(Number { sequence: 1, oldest: 1 }, |own| own.number),
            retry: false,
        });
        let began = R::Instant::now();
        for tries in 0.. {
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            let now_ms = self.clock.now_ms().max(self.seen_ms.load(Ordering::Relaxed));
            let deadline_ms = now_ms.saturating_add(DEADLINE_MS);
            let attempt =
                Attempt::<R>::new(doors, &plan, numbered, attempt, deadline_ms, began, tries > 0);
            match attempt.run().await {
                Tried::Answered(body, shows) => return answer(&call, &body, shows),
                Tried::Before(kind, body, shows) if kind == call.request.spec().kind => {
                    return answer(&call, &body, shows);
                }
                Tried::Before(..) => return Err(reused()),
                Tried::Refused(refusal) => return Err(refusal),
                Tried::Late(now_ms) => drop(self.seen_ms.fetch_max(now_ms, Ordering::Relaxed)),
                Tried::InTheWay => {}
            }
            if R::Instant::now() - began > PATIENCE {
                break;
            }
            R::sleep(RETRY).await;
        }
        Err(in_the_way())
    }
}

/// The reply to a call, from its body as a transaction.
fn answer(call: &Call<'_>, body: &[u8], shows: u64) -> Answer {
    Reply::decode(&call.request, shows, body).map_err(|_| unlike())
}

/// A number of the node's own session, open until it is dropped.
struct OwnNumber<'n> {
    numbers: &'n Mutex<Numbers>,
    number: Number,
}

impl<'n> OwnNumber<'n> {
    fn open(numbers: &'n Mutex<Numbers>) -> Self {
        let mut all = numbers.lock();
        all.last += 1;
        let sequence = all.last;
        all.open.insert(sequence);
        let oldest = all.open.first().copied().unwrap_or(sequence);
        Self { numbers, number: Number { sequence, oldest } }
    }
}

impl Drop for OwnNumber<'_> {
    fn drop(&mut self) {
        self.numbers.lock().open.remove(&self.number.sequence);
    }
}

/// Has a group take a step.
pub(crate) async fn ask<R: Runtime, S: Asks>(
    doors: &Doors<R>,
    group: GroupId,
    step: S,
) -> Result<S::Reply, Failed> {
    let mut calls = Calls::default();
    calls.push_step(&step.step());
    match doors.ask(group, calls).await?.answers.pop() {
        Some(Ok(Reply::Encoded(encoded))) => {
            encoded.read::<S>().map_err(|_| Failed::Unknown("its answer cannot be read".into()))
        }
        _ => Err(Failed::Unknown("it answered something else".into())),
    }
}

fn no_transaction() -> Refusal {
    Refusal::new(Code::Internal, "this is no write over groups")
}

fn unlike() -> Refusal {
    Refusal::new(Code::Internal, "a group answered something else than it was asked")
}

fn reused() -> Refusal {
    let why = "the write's number is that of another operation, which was answered";
    Refusal::new(Code::InvalidInput, why)
}

fn in_the_way() -> Refusal {
    Refusal::new(Code::Unavailable, "another transaction holds a key; try again in a moment")
}

fn unknown(why: &str) -> Refusal {
    Refusal::new(Code::OutcomeUnknown, format!("it is not known whether the write was made: {why}"))
}
