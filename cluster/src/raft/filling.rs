//! A replica that its group gives to a node begins empty, and its entries come one after the other: the first ones may
//! say that the group is this node's alone, since it was once, and what the node had promised then is forgotten. So
//! until it has what was ordered when it was given, it counts for nothing.
//!
//! ```text
//! the table gives it ─▶ the leader is asked ─▶ Given ─▶ entries, a state ─▶ the place in Given is reached
//!                                              └── no election, no vote, no leading ──┘
//! ```
//! `Given` is in the node's log before anything of the group, so a start knows it without the table, which may be older.
//! There is no second record that ends it: what the log has of the group says whether the place is reached.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::raft::VoteRequest;
use openraft::type_config::AsyncRuntime;

use crate::link::{Lane, Link, PeerAddress};
use crate::placement::NodeId;
use crate::raft::item::Given;
use crate::raft::member::{Config, Member};
use crate::raft::message::{Reply, Request, decode_reply, encode_request};
use crate::raft::opening::Opened;
use crate::raft::recovered::Recovered;
use crate::raft::storage::Store;
use crate::raft::types::{LogId, Promise};

/// Why a member does not stand for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Abstains {
    /// Its disk hangs.
    Hangs,
    /// It has not yet what was ordered when it was given.
    Partial,
    /// The table says that it is yet to be filled, and its log does not say up to where.
    Filling,
}

/// Asks a node that should lead a group what a replica has to begin with that is given now; none if it does not lead.
pub(crate) async fn ask_given<R: AsyncRuntime>(
    link: &dyn Link,
    group: u32,
    (leader, at): (NodeId, &PeerAddress),
    limit: Duration,
) -> Option<Given> {
    let ask = async |request| {
        let request = encode_request::<R>(group, &request);
        let reply = link.call(leader, at, Lane::Control, request, limit).await.ok()?;
        decode_reply::<R>(&reply)?.ok()
    };
    // A quorum has confirmed the leader when it answers this, and this replica has no part in that.
    let Reply::ReadIndex(index) = ask(Request::ReadIndex).await? else { return None };
    // Nobody grants that, and everybody says in which term he is: the leader in the one above, or in a later one.
    let nothing = VoteRequest::new(Promise::new(0, leader), None);
    let Reply::Vote(told) = ask(Request::PreVote(nothing)).await? else { return None };
    let of = told.vote.leader_id;
    let leads = told.vote.committed && of.node_id == leader;
    leads.then(|| Given { promise: Promise::new(of.term, leader), place: LogId::new(of, index) })
}

impl<R: AsyncRuntime> Member<R> {
    /// Starts a node's part in a group that is given to it, and of which it has nothing.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn start_given(
        config: Config,
        opened: &Opened,
        link: Arc<dyn Link>,
        transfers: u64,
        given: Given,
    ) -> io::Result<Self> {
        let journal = Arc::clone(&opened.journal);
        let recovered = Recovered::given(journal.replica_options(), given);
        let recovered = recovered.map_err(io::Error::other)?;
        let store = Store::new(config.group, recovered, journal);
        store.keep_given();
        Self::start_on(config, store, link, transfers).await
    }

    /// Whether it has not yet what was ordered when it was given to this node.
    pub(crate) fn is_partial(&self) -> bool {
        self.store.is_partial()
    }

    /// Notes that it is partial no longer.
    pub(crate) fn note_complete(&self) {
        self.stand_despite(Abstains::Partial);
    }

    /// Whether it is known to have had all that was confirmed, at some time since it was started.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    pub(crate) fn note_filled(&self) {
        self.filled.store(true, Ordering::Release);
        self.note_caught_up();
        self.stand_despite(Abstains::Filling);
    }

    /// Notes that it is far behind: until it has caught up, nothing is here that was confirmed lately.
    pub(crate) fn note_lagging(&self) {
        if !self.lags.swap(true, Ordering::AcqRel) {
            self.lags_anew.store(true, Ordering::Release);
        }
    }

    /// Whether it is far behind.
    pub(crate) fn lags(&self) -> bool {
        self.lags.load(Ordering::Acquire)
    }

    /// Whether it has begun to lag since this was asked last.
    pub(crate) fn lags_anew(&self) -> bool {
        self.lags_anew.load(Ordering::Acquire) && self.lags_anew.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn note_caught_up(&self) {
        self.lags.store(false, Ordering::Release);
    }

    /// Keeps a member that began to be filled before logs said up to where from standing for election until it is
    /// filled.
    pub(crate) fn note_filling(&self) {
        if !self.store.was_given() {
            self.abstain(Abstains::Filling);
        }
    }

    /// Keeps the member from asking for votes when it hears of no leader.
    pub(crate) fn abstain(&self, why: Abstains) {
        let mut abstains = self.abstains.lock();
        abstains.insert(why);
        self.raft.runtime_config().elect(false);
    }

    /// Lets it ask for votes, unless there is another reason against it.
    pub(crate) fn stand_despite(&self, why: Abstains) {
        let mut abstains = self.abstains.lock();
        abstains.remove(&why);
        self.raft.runtime_config().elect(abstains.is_empty());
    }
}
