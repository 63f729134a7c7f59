//! A node's part in one group, as the rest of the node sees it: writes that resolves once they are ordered
//! and applied, reads that see all that was confirmed, who leads, and who takes part.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, RaftError};
use openraft::impls::OneshotResponder;
use openraft::raft::ClientWriteResult;
use openraft::type_config::AsyncRuntime;
use openraft::type_config::alias::OneshotReceiverOf;
use openraft::{Instant, Raft, SnapshotPolicy};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use tidekeep_log::{Answer, Replica};
use tidekeep_protocol::slot::GroupCount;

use crate::link::{Link, PeerAddress};
use crate::placement::NodeId;
use crate::raft::filling::Abstains;
use crate::raft::journal::Journal;
use crate::raft::machine::Machine;
use crate::raft::membership::MembershipError;
use crate::raft::network::Network;
use crate::raft::opening::Opened;
use crate::raft::recovered::Recovered;
use crate::raft::serving::Coming;
use crate::raft::splitting::split_record;
use crate::raft::storage::{Entries, Store, stopped};
use crate::raft::told::Told;
use crate::raft::types::{Beside, Proposal, Types};

/// How a member is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node.
    pub node: NodeId,
    /// The group.
    pub group: u32,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// A member that has heard no leader for three to four times this long asks for votes: twice for what the
    /// leader may count on, and once to twice by chance, so that not all ask at once. More than twice a heartbeat.
    pub election: Duration,
    /// Time for a state that another member has sent whole to be taken over: all of it is read, and written
    /// to a disk. Where a reply can be lost without a word, the state is sent again after this.
    pub install: Duration,
}

impl Config {
    /// What a server uses unless it is told otherwise.
    pub fn new(node: NodeId, group: u32) -> Self {
        Self {
            node,
            group,
            heartbeat: Duration::from_millis(150),
            election: Duration::from_millis(300),
            install: Duration::from_secs(600),
        }
    }

    fn engine(&self, abstains: &BTreeSet<Abstains>) -> Result<Arc<openraft::Config>, String> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let election = ms(self.election);
        let config = openraft::Config {
            cluster_name: format!("group {}", self.group),
            heartbeat_interval: ms(self.heartbeat),
            heartbeat_min_interval: Some(ms(self.heartbeat) * 2 / 3),
            election_timeout_min: election,
            election_timeout_max: election * 2,
            // A leader that one node alone still hears must not keep the others from electing one.
            quorum_loss_probe_interval: Some(election * 4),
            enable_elect: abstains.is_empty(),
            enable_pre_vote: Some(true),
            // A leader sends entries before they are on its own disk. One that died in between and led on
            // in its old term would give their places to others, which followers could not tell apart.
            enable_leader_restore: Some(false),
            // "Caught up" is for us to judge, before a learner is promoted.
            replication_lag_threshold: 64,
            max_payload_entries: 1_024,
            // What is kept is counted in bytes, by whoever calls `keep`.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            // For the whole of a state, however large; its chunks have a time of their own.
            install_snapshot_timeout: 3_600_000,
            ..openraft::Config::default()
        };
        config.validate().map(Arc::new).map_err(|error| error.to_string())
    }
}

/// Time between two tries to order a write while nobody is known to lead.
const RETRY: Duration = Duration::from_millis(2);

/// A node's part in a group.
pub struct Member<R: AsyncRuntime> {
    pub(crate) config: Config,
    pub(crate) raft: Raft<Types<R>, Machine<R>>,
    pub(crate) store: Arc<Store>,
    told: Arc<Told<R>>,
    pub(super) link: Arc<dyn Link>,
    /// The state that is coming.
    pub(crate) coming: Mutex<Coming>,
    /// When a leader was heard last.
    pub(crate) heard: Mutex<Option<R::Instant>>,
    pub(crate) filled: AtomicBool,
    /// Whether it is far behind, and not known yet to have caught up.
    pub(crate) lags: AtomicBool,
    /// Whether nobody looks yet when it has.
    pub(crate) lags_anew: AtomicBool,
    /// Why it does not stand for election now.
    pub(crate) abstains: Mutex<BTreeSet<Abstains>>,
}

/// A write that was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Nothing was ordered: another node leads, if one is known, or this one cannot lead now.
    #[error("this node does not lead the group")]
    NotLeader(Option<(NodeId, PeerAddress)>),
    /// Nothing was ordered: the record is longer than a node's log takes at once.
    #[error("the record has {bytes} bytes, and a node's log takes {most} at once")]
    TooLong {
        /// Bytes of the record.
        bytes: usize,
        /// The most that it may have.
        most: usize,
    },
    /// The group was split before it was its turn, and others have its keys: nothing was done.
    #[error("the group was split, and others have its keys")]
    Split,
    /// It may have been ordered or not.
    #[error("what became of the write is not known: {0}")]
    Unknown(String),
}

/// A state, and behind which entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// The last entry that was applied.
    pub applied: Option<u64>,
    /// The newest revision.
    pub revision: u64,
    /// A sum over all keys and values.
    pub digest: u64,
}

/// A record that was handed over.
pub struct Proposed<R: AsyncRuntime> {
    outcome: OneshotReceiverOf<Types<R>, ClientWriteResult<Types<R>>>,
}

impl<R: AsyncRuntime> Proposed<R> {
    /// Resolves with its place in the order, once it is applied here.
    ///
    /// # Errors
    /// [`WriteError`] says whether it may have been ordered.
    pub async fn ordered(self) -> Result<u64, WriteError> {
        match self.outcome.await {
            Ok(Ok(written)) if written.data.passed_over => Err(WriteError::Split),
            Ok(Ok(written)) => Ok(written.log_id.index),
            Ok(Err(ClientWriteError::ForwardToLeader(to))) => {
                Err(WriteError::NotLeader(leader_of(to)))
            }
            Ok(Err(error)) => Err(WriteError::Unknown(error.to_string())),
            Err(_) => Err(WriteError::Unknown("the member has stopped".into())),
        }
    }
}

/// How a member stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it leads, as far as it knows.
    pub leads: bool,
    /// Who leads, as far as this member knows.
    pub leader: Option<NodeId>,
    /// The term that it knows of.
    pub term: u64,
    /// The last entry that it has.
    pub last: Option<u64>,
    /// The last entry that it has applied.
    pub applied: Option<u64>,
    /// Whose votes count.
    pub voters: BTreeSet<NodeId>,
    /// Who follows without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Up to which entry others have followed; of a leader alone.
    pub followed: BTreeMap<NodeId, u64>,
    /// Why it has stopped, if it has.
    pub stopped: Option<String>,
}

impl<R: AsyncRuntime> Member<R> {
    /// Starts a node's part in a group, with what the node's log holds of it.
    ///
    /// # Errors
    /// The configuration contradicts itself, or what the log holds.
    pub async fn start(
        config: Config,
        opened: &Opened,
        link: Arc<dyn Link>,
        transfers: u64,
    ) -> io::Result<Self> {
        let journal = Arc::clone(&opened.journal);
        let store = match journal.take_born(config.group) {
            Some(born) => born,
            None => {
                let recovered = opened.recovered.lock().remove(&config.group);
                let recovered = match recovered {
                    Some(recovered) => recovered,
                    None => Recovered::new(journal.replica_options()).map_err(io::Error::other)?,
                };
                Store::new(config.group, recovered, journal)
            }
        };
        Self::start_on(config, store, link, transfers).await
    }

    /// The same on what this node has of the group.
    pub(crate) async fn start_on(
        config: Config,
        store: Arc<Store>,
        link: Arc<dyn Link>,
        transfers: u64,
    ) -> io::Result<Self> {
        let abstains = store.is_partial().then_some(Abstains::Partial);
        let abstains = abstains.into_iter().collect();
        let engine = config.engine(&abstains).map_err(io::Error::other)?;
        let network = Network::<R>::new(config.group, Arc::clone(&link), transfers, config.install);
        let told = Arc::new(Told::new(config.node, store.replica.now_ms()));
        let entries = Entries::<R>::new(Arc::clone(&store), Arc::clone(&told));
        let machine = Machine::<R>::new(Arc::clone(&store), Arc::clone(&told));
        let raft = Raft::new(config.node, engine, network, entries, machine).await;
        let raft = raft.map_err(io::Error::other)?;
        Ok(Self {
            config,
            raft,
            store,
            told,
            link,
            coming: Mutex::default(),
            heard: Mutex::new(None),
            filled: AtomicBool::new(false),
            lags: AtomicBool::new(false),
            lags_anew: AtomicBool::new(false),
            abstains: Mutex::new(abstains),
        })
    }

    /// Makes this member the first of its group, together with others that are empty.
    ///
    /// # Errors
    /// The group was founded before.
    pub async fn found(
        &self,
        members: BTreeMap<NodeId, PeerAddress>,
    ) -> Result<(), MembershipError> {
        self.raft.initialize(members).await.map_err(|error| MembershipError(error.to_string()))
    }

    /// Orders a record, and gives the answers to its clients' commands once it is applied. While nobody is
    /// known to lead, it waits for a leader, for as long as an election takes.
    ///
    /// # Errors
    /// [`WriteError`] says whether it may have been ordered.
    pub async fn write(&self, record: Vec<u8>) -> Result<Vec<Answer>, WriteError> {
        let (bytes, most) = (record.len(), self.store.journal.proposal_max());
        if bytes > most {
            return Err(WriteError::TooLong { bytes, most });
        }
        let proposal = Proposal::new(record);
        let patience = R::Instant::now() + self.config.election * 2;
        loop {
            match self.raft.client_write(proposal.clone()).await {
                Ok(written) if written.data.passed_over => return Err(WriteError::Split),
                Ok(written) => return Ok(written.data.answers),
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => {
                    let leader = leader_of(to);
                    if leader.is_some() || R::Instant::now() >= patience {
                        return Err(WriteError::NotLeader(leader));
                    }
                    // Nothing was ordered. Soon a leader is known, or the one that this member is has
                    // heard from the others.
                    R::sleep(RETRY).await;
                }
                Err(error) => return Err(WriteError::Unknown(error.to_string())),
            }
        }
    }

    /// Splits the group into so many, unless it was split before. Resolves when that is done here: the parts are on
    /// this node's disk, and on those of the others as soon as they have applied it.
    ///
    /// # Errors
    /// [`WriteError`]: it may have been ordered, and to ask again is safe.
    pub async fn split(&self, groups: GroupCount) -> Result<(), WriteError> {
        if self.store.replica.is_sealed() {
            return Ok(());
        }
        self.write(split_record(groups)).await.map(drop)
    }

    /// Whether this node has all parts that the group was split into on its disk.
    pub(crate) fn has_split(&self, groups: GroupCount) -> bool {
        self.store.has_split(groups)
    }

    /// Stands for election at once. Others may not be there yet: then it stands again when its time comes.
    pub(crate) async fn stand(&self) {
        if self.is_partial() {
            return;
        }
        if let Err(error) = self.raft.trigger().elect(false).await {
            tracing::debug!(%error, "it does not stand");
        }
    }

    /// Hands a record over to be ordered, behind all that were handed over before. Unlike
    /// [`Self::write`] it does not wait for a leader.
    ///
    /// # Errors
    /// [`WriteError`]: nothing was handed over.
    pub async fn propose(
        &self,
        record: Vec<u8>,
        beside: Arc<dyn Beside>,
    ) -> Result<Proposed<R>, WriteError> {
        let (bytes, most) = (record.len(), self.store.journal.proposal_max());
        if bytes > most {
            return Err(WriteError::TooLong { bytes, most });
        }
        let proposal = Proposal { beside: Some(beside), ..Proposal::new(record) };
        let (responder, outcome) = OneshotResponder::new_pair();
        let sent = self.raft.client_write_ff(proposal, Some(responder)).await;
        // A member that has stopped takes nothing.
        sent.map_err(|_| WriteError::NotLeader(None))?;
        Ok(Proposed { outcome })
    }

    /// The last entry that is applied here.
    pub(crate) fn last_applied(&self) -> Option<u64> {
        self.store.applied.get()
    }

    /// Resolves once an entry is applied here; whether it was within `limit`.
    pub async fn applied(&self, index: u64, limit: Duration) -> bool {
        R::timeout(limit, self.store.applied.until(index)).await.is_ok()
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.config.node
    }

    /// The group.
    pub fn group(&self) -> u32 {
        self.config.group
    }

    /// Who leads, as far as this member knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow_watched().current_leader
    }

    /// Where a node of the group is found, as the group's membership says it.
    pub fn address_of(&self, node: NodeId) -> Option<PeerAddress> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&node).cloned()
    }

    /// Resolves with the reason, once the member has stopped.
    pub async fn stopped(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "the member has ended".into();
            }
        }
    }

    /// The state, as far as it is applied here. Ask [`Self::read`] before, unless anything will do.
    pub fn replica(&self) -> &Replica {
        &self.store.replica
    }

    /// The time that another node has told last, in milliseconds, and when that came.
    pub(crate) fn told(&self) -> Option<(u64, R::Instant)> {
        self.told.last()
    }

    /// What the state is behind which entry: equal for all members that have applied the same.
    pub fn audit(&self) -> Audit {
        let installed = self.store.installed.lock();
        let replica = &self.store.replica;
        Audit {
            applied: installed.applied.map(|applied| applied.index),
            revision: replica.revision(),
            digest: replica.digest(),
        }
    }

    /// The log that it shares with the other groups of its node.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.store.journal
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let replication = metrics.replication.unwrap_or_default();
        Standing {
            leads: metrics.state == openraft::ServerState::Leader,
            leader: metrics.current_leader,
            term: metrics.current_term,
            last: metrics.last_log_index,
            applied: metrics.last_applied.map(|log_id| log_id.index),
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            followed: replication
                .into_iter()
                .filter_map(|(node, log_id)| Some((node, log_id?.index)))
                .collect(),
            stopped: metrics.running_state.err().map(|fatal| fatal.to_string()),
        }
    }

    /// Ends this node's part in the group; what it has is still on its disk.
    pub async fn stop(&self) {
        // It has ended in any case.
        let _ = self.raft.shutdown().await;
    }

    /// Ends this node's part in the group for good: nothing of it comes back at a start. The group must
    /// have taken the node out before, and everybody must know it.
    ///
    /// # Errors
    /// The log has failed: a start may bring it back.
    pub async fn forget(&self) -> io::Result<()> {
        self.stop().await;
        self.store.forget().await.unwrap_or_else(|_| Err(stopped()))
    }
}

pub(super) fn leader_of<R: AsyncRuntime>(
    to: ForwardToLeader<Types<R>>,
) -> Option<(NodeId, PeerAddress)> {
    to.leader_id.zip(to.leader_node)
}
