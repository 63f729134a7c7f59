//! [`Commit`] on a member of a group: what the server is built on where several nodes keep the store. Calls
//! wait in [`queue`], the first of those that come together ([`crowd`]) for the others; [`sequencer`] has them ordered
//! or passes them on, [`record`] answers them when they are applied.
//!
//! ```text
//! submit ─▶ piece ─▶ queue ─┬─▶ record ─▶ Member::propose ─▶ applied here ─▶ answers
//!                           ├─▶ another node leads: passed on, answered, applied here too
//!                           └─▶ reads: who leads? ─▶ replica
//! ```

mod answers;
mod calls;
mod crowd;
mod elsewhere;
mod ending;
mod following;
mod overtaken;
mod passing;
mod piece;
mod queue;
mod record;
mod sequencer;

use std::sync::Arc;

use openraft::type_config::AsyncRuntime;
use tidekeep_log::clock::{Clock, Monotone};
use tidekeep_log::{
    Answer, Answers, Call, Commit, Counted, Elsewhere as NotHere, Entry, Failed as StorageFailed,
    Feed, Identity, Lost, NotStill, Pending, PendingBackup, Portion, Promise, Sampled, Standing,
};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_store::step::TxnId;

use crate::link::Link;
use crate::placement::NodeId;
use crate::raft::Member;
use following::Following;
use piece::Read;
use sequencer::Sequencer;

pub(crate) use calls::{Calls, Sort};
pub(crate) use elsewhere::{Elsewhere, Holders};
pub use passing::FORWARD;
pub(crate) use piece::{Done, Failed, Onward, Piece};

/// How a group's [`Commit`] is made.
#[derive(Clone)]
pub struct ReplicatedOptions {
    /// The way to the node that leads.
    pub link: Arc<dyn Link>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Which store, and which history of it: the same on every node.
    pub identity: Identity,
}

/// A store that several nodes keep, as one of them serves it.
pub struct Replicated<R: AsyncRuntime> {
    sequencer: Arc<Sequencer<R>>,
    feeds: [Arc<dyn Feed>; 1],
    identity: Identity,
}

/// Bytes of calls that are run together at most, unless a single one has more.
const PIECE_BYTES: usize = 1 << 20;

impl<R: AsyncRuntime> Replicated<R> {
    /// Serves a member's group. Call it where tasks can be spawned.
    pub fn new(member: Arc<Member<R>>, options: ReplicatedOptions) -> Self {
        let ReplicatedOptions { link, clock, identity } = options;
        let clock = Monotone::new(clock, member.replica().now_ms());
        let sequencer = Sequencer::start(member, link, clock);
        ending::start(&sequencer);
        let feeds: [Arc<dyn Feed>; 1] = [Arc::new(Following::new(Arc::clone(&sequencer)))];
        Self { sequencer, feeds, identity }
    }

    /// The member.
    pub fn member(&self) -> &Arc<Member<R>> {
        &self.sequencer.member
    }

    /// The feed of the group.
    pub fn feed(&self) -> &dyn Feed {
        &*self.feeds[0]
    }

    /// How many keys the replica has.
    pub(crate) fn keys_here(&self) -> u64 {
        self.member().replica().keys()
    }

    /// Some key of the replica, chosen by `random`; none if it is empty.
    pub(crate) fn sample_here(&self, random: u64) -> Option<Vec<u8>> {
        self.member().replica().sample(random).map(|entry| entry.key().to_vec())
    }

    /// Whether this node leads the group, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        let member = self.member();
        member.leader() == Some(member.node())
    }

    /// Runs calls behind all that came before.
    pub(crate) fn hand_over(&self, piece: Piece) {
        match piece.calls.writes() {
            0 => self.sequencer.read(Read::Calls(piece)),
            _ => self.sequencer.order(piece),
        }
    }

    /// Hands on what waits and all that comes, once nothing is under way any more: others have the keys.
    pub(crate) async fn retire(&self, onward: Onward) {
        self.sequencer.retire(onward).await;
    }

    /// Refuses what comes, unless it is handed on, and wakes those who follow.
    pub(crate) fn end(&self) {
        self.sequencer.close();
    }

    /// A cut of the newest state, as the group's part of a backup of all; see [`tidekeep_log::Replica::portion`].
    pub(crate) fn portion(
        &self,
        hold: Option<TxnId>,
    ) -> Promise<Result<Result<Portion, NotStill>, Lost>> {
        self.sequencer.look(move |replica| replica.portion(hold.as_ref()))
    }

    /// Runs calls that another node has passed on, if this one leads.
    pub async fn serve(&self, from: NodeId, request: &[u8]) -> Vec<u8> {
        self.sequencer.serve(from, request).await
    }
}

impl<R: AsyncRuntime> Commit for Replicated<R> {
    fn submit(&self, calls: &[Call<'_>], _: &mut dyn Answers) -> Pending {
        submit_by(calls, |piece| self.hand_over(piece))
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Entry>, NotHere> {
        Ok(self.member().replica().peek(key))
    }

    fn sample(&self, random: u64) -> Sampled {
        Promise::ready(Ok(self.sample_here(random)))
    }

    fn fingerprint(&self, key: &[u8]) -> u64 {
        self.member().replica().fingerprint(key)
    }

    fn with_fingerprint(&self, fingerprint: u64) -> Vec<Entry> {
        self.member().replica().with_fingerprint(fingerprint)
    }

    fn keys(&self) -> Counted {
        Promise::ready(Ok(self.keys_here()))
    }

    fn feeds(&self) -> &[Arc<dyn Feed>] {
        &self.feeds
    }

    fn backup(&self) -> PendingBackup {
        let store_id = self.identity.store_id;
        let begun = self.sequencer.look(move |replica| replica.backup(store_id));
        Promise::later(async move { begun.await?.await })
    }

    fn time_at(&self, unix_ms: u64) -> u64 {
        self.sequencer.clock.at(unix_ms).max(self.member().replica().now_ms())
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn standing(&self) -> Standing {
        let standing = self.member().standing();
        match (standing.stopped, standing.leader) {
            (Some(why), _) => Standing::Failed(why),
            (None, None) => Standing::ReadOnly(leaderless()),
            (None, Some(_)) => Standing::Ready,
        }
    }

    fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let member = self.member();
        member.replica().figures(each);
        member.journal().figures(each);
        let standing = member.standing();
        each("cluster_leads", u64::from(standing.leads));
        each("cluster_leader", standing.leader.map_or(0, |leader| leader.0));
        each("cluster_term", standing.term);
        each("cluster_voters", standing.voters.len() as u64);
        each("cluster_learners", standing.learners.len() as u64);
        each("cluster_applied_entry", standing.applied.unwrap_or(0));
        each("cluster_last_entry", standing.last.unwrap_or(0));
    }

    fn failed(&self) -> StorageFailed {
        let member = Arc::clone(self.member());
        Promise::later(async move { member.stopped().await })
    }

    fn close(&self) -> Result<(), String> {
        self.sequencer.close();
        self.member().journal().close()
    }
}

impl<R: AsyncRuntime> Drop for Replicated<R> {
    fn drop(&mut self) {
        self.sequencer.close();
    }
}

/// What another node is told that passes calls on to where no replica is.
pub(crate) fn not_here() -> Vec<u8> {
    answers::encode(&Err(Failed::NotLeader))
}

/// Hands calls over in pieces, and promises their answers.
pub(crate) fn submit_by(calls: &[Call<'_>], mut hand_over: impl FnMut(Piece)) -> Pending {
    let outcomes: Vec<_> = pieces_of(calls)
        .into_iter()
        .map(|calls| {
            let asked: Vec<Sort> = calls.sorts().collect();
            let (piece, outcome) = Piece::new(calls, false);
            hand_over(piece);
            (asked, outcome)
        })
        .collect();
    Promise::later(async move {
        let mut answers = Vec::new();
        for (asked, outcome) in outcomes {
            match outcome.await.unwrap_or(Err(Failed::NotLeader)) {
                Ok(done) if answers.is_empty() => answers = done.answers,
                Ok(Done { answers: more, .. }) => answers.extend(more),
                Err(failed) => answers.extend(refusals(&asked, &failed)),
            }
        }
        Ok(answers)
    })
}

/// The calls, in parts that a record takes.
fn pieces_of(calls: &[Call<'_>]) -> Vec<Calls> {
    let mut pieces: Vec<Calls> = Vec::with_capacity(1);
    calls.iter().for_each(|call| push_bounded(&mut pieces, call));
    pieces
}

/// Adds a call to the last of the parts, or begins another.
pub(crate) fn push_bounded(pieces: &mut Vec<Calls>, call: &Call<'_>) {
    let fits = |piece: &&mut Calls| piece.bytes() + call.body_bytes() <= PIECE_BYTES;
    match pieces.last_mut().filter(fits) {
        Some(piece) => piece.push(call),
        None => {
            let mut piece = Calls::default();
            piece.push(call);
            pieces.push(piece);
        }
    }
}

/// What calls are told that were not answered.
pub(crate) fn refusals(asked: &[Sort], failed: &Failed) -> impl Iterator<Item = Answer> {
    asked.iter().map(|sort| refusal(*sort, failed))
}

/// What a call is told that was not run, or of which that is not known.
fn refusal(sort: Sort, failed: &Failed) -> Answer {
    Err(match (sort, failed) {
        (Sort::Write | Sort::Step, Failed::Unknown(why)) => Refusal::new(
            Code::OutcomeUnknown,
            format!("the node that led has not said what became of the write: {why}"),
        ),
        _ => leaderless(),
    })
}

pub(crate) fn leaderless() -> Refusal {
    Refusal::new(Code::Unavailable, "no node leads the store now; try again in a moment")
}
