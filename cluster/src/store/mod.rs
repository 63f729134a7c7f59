//! The store that a cluster keeps, as one of its nodes serves it: by its own replica where it has one, by
//! those of others where it has not. Replicas come and go under it as the table says.

mod backup;
mod batch;
mod door;
mod doors;
mod feeds;
mod leases;
mod pages;
mod sizes;
mod splitting;
mod standing;

use std::sync::{Arc, OnceLock};

use tidekeep_log::clock::{Clock, Monotone};
use tidekeep_log::{
    Answers, Call, Commit, Counted, Elsewhere, Entry, Failed, Feed, Identity, Pending,
    PendingBackup, Promise, Sampled, Standing,
};
use tidekeep_protocol::op::Cluster;
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::meta::Numbering;
use crate::node::Node;
use crate::operator::{OwnedRequest, operate};
use crate::peer::Fingerprint;
use crate::raft::Runtime;
use crate::replicated::{Replicated, submit_by};

pub(crate) use doors::Doors;
use feeds::Known;

/// A cluster's store on one of its nodes.
pub struct Store<R: Runtime> {
    node: Node<R>,
    /// The cluster's authority, which tokens name.
    authority: Fingerprint,
    time: Monotone,
    /// The groups that the cluster was founded with.
    founded: Serving<R>,
    /// Those that a split has made of them, as soon as this node knows of it.
    split: OnceLock<Serving<R>>,
}

/// Groups that serve.
struct Serving<R: Runtime> {
    doors: Arc<Doors<R>>,
    /// One for each group.
    feeds: Vec<Arc<dyn Feed>>,
}

impl<R: Runtime> Serving<R> {
    fn new(doors: Arc<Doors<R>>) -> Self {
        let feed = |group| Arc::new(Known::new(Arc::clone(&doors), group)) as Arc<dyn Feed>;
        let feeds = doors.groups().groups().map(feed).collect();
        Self { doors, feeds }
    }
}

impl<R: Runtime> Store<R> {
    /// Serves what a node's cluster keeps. `incarnation` is the cluster's, and so is the number of groups that it was
    /// founded with. If they were split, or are one day, the store goes over to those that are there then.
    pub fn new(
        node: Node<R>,
        authority: Fingerprint,
        clock: Arc<dyn Clock>,
        incarnation: u64,
        groups: GroupCount,
    ) -> Arc<Self> {
        let identity = Identity { store_id: node.cluster().0, incarnation };
        let time = Monotone::new(Arc::clone(&clock), 0);
        let doors =
            Doors::open(node.clone(), Arc::clone(&clock), identity, groups, Numbering::Founded);
        let (founded, split) = (Serving::new(doors), OnceLock::new());
        let this = Arc::new(Self { node, authority, time, founded, split });
        this.node.set_forward(Arc::new(splitting::Passed::of(&this)));
        splitting::go_over_when_split(&this, clock);
        this
    }

    /// The node.
    pub fn node(&self) -> &Node<R> {
        &self.node
    }

    /// The groups that have the keys, as far as this node knows.
    fn serving(&self) -> &Serving<R> {
        self.split.get().unwrap_or(&self.founded)
    }

    fn doors(&self) -> &Arc<Doors<R>> {
        &self.serving().doors
    }

    /// What this node has of a key's group, if it has a replica.
    fn here_of(&self, key: &[u8]) -> Option<Arc<Replicated<R>>> {
        let doors = self.doors();
        doors.here(doors.group_of(key))
    }
}

impl<R: Runtime> Commit for Store<R> {
    fn submit(&self, calls: &[Call<'_>], _: &mut dyn Answers) -> Pending {
        let doors = self.doors();
        match doors.groups() {
            GroupCount::ONE => submit_by(calls, |piece| doors.hand_over(GroupId(0), piece)),
            _ => batch::submit(doors, calls),
        }
    }

    fn operate(&self, request: &Cluster<'_>) -> Pending {
        let (node, authority) = (self.node().clone(), self.authority);
        let request = OwnedRequest::from(request);
        Promise::later(async move { Ok(vec![operate(&node, authority, request).await]) })
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Entry>, Elsewhere> {
        self.here_of(key).ok_or(Elsewhere)?.peek(key)
    }

    fn sample(&self, random: u64) -> Sampled {
        sizes::sample(self.doors(), random)
    }

    fn fingerprint(&self, key: &[u8]) -> u64 {
        self.doors().fingerprint(key).number()
    }

    fn with_fingerprint(&self, fingerprint: u64) -> Vec<Entry> {
        self.doors().all_here().flat_map(|(_, here)| here.with_fingerprint(fingerprint)).collect()
    }

    fn keys(&self) -> Counted {
        sizes::keys(self.doors())
    }

    fn feeds(&self) -> &[Arc<dyn Feed>] {
        &self.serving().feeds
    }

    fn backup(&self) -> PendingBackup {
        let doors = self.doors();
        match doors.here(GroupId(0)) {
            Some(here) if doors.groups() == GroupCount::ONE => here.backup(),
            _ => backup::begin(doors),
        }
    }

    fn time_at(&self, unix_ms: u64) -> u64 {
        let times = self.doors().all_here().map(|(_, here)| here.time_at(unix_ms));
        times.max().unwrap_or_else(|| self.time.at(unix_ms))
    }

    fn identity(&self) -> Identity {
        self.doors().identity()
    }

    fn may_split(&self) -> bool {
        self.doors().groups() == GroupCount::ONE
    }

    fn standing(&self) -> Standing {
        standing::of(self.doors())
    }

    fn warning(&self) -> Option<String> {
        self.node().journal().warning()
    }

    fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        standing::figures(self.doors(), each);
    }

    fn failed(&self) -> Failed {
        let node = self.node().clone();
        Promise::later(async move { node.failed().await })
    }

    fn close(&self) -> Result<(), String> {
        self.founded.doors.close();
        if let Some(split) = self.split.get() {
            split.doors.close();
        }
        self.node().journal().close()
    }
}
