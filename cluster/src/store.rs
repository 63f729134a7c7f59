//! The store that a cluster keeps, as one of its nodes serves it: by its own replica where it has one, by
//! those of others where it has not. Replicas come and go under it as the table says.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidekeep_log::clock::{Clock, Monotone};
use tidekeep_log::{
    Answers, Call, Changed, Changes, Commit, Entry, Failed, Feed, Identity, Lost, Pending,
    PendingBackup, PendingView, Promise, Standing, TooOld,
};
use tidekeep_protocol::op::Cluster;
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::GroupId;

use crate::link::PeerAddress;
use crate::node::{Forward, Forwarded, Life, Node};
use crate::operator::{OwnedRequest, operate};
use crate::peer::Fingerprint;
use crate::placement::NodeId;
use crate::raft::{Member, Runtime};
use crate::replicated::{Elsewhere, Replicated, ReplicatedOptions, leaderless, submit_by};

/// Between two looks whether a replica has come or gone.
const LOOK: Duration = Duration::from_millis(100);

/// The group that keeps everything.
const GROUP: GroupId = GroupId(0);

/// A cluster's store on one of its nodes.
pub struct Store<R: Runtime> {
    node: Node<R>,
    /// The cluster's authority, which tokens name.
    authority: Fingerprint,
    clock: Arc<dyn Clock>,
    time: Monotone,
    identity: Identity,
    here: Mutex<Option<Arc<Replicated<R>>>>,
    elsewhere: Arc<Elsewhere>,
    feeds: [Arc<dyn Feed>; 1],
}

impl<R: Runtime> Store<R> {
    /// Serves what a node's cluster keeps. `incarnation` is the cluster's.
    pub fn new(
        node: Node<R>,
        authority: Fingerprint,
        clock: Arc<dyn Clock>,
        incarnation: u64,
    ) -> Arc<Self> {
        let identity = Identity { store_id: node.cluster().0, incarnation };
        let asked = node.clone();
        let elsewhere = Elsewhere::start::<R>(
            u32::from(GROUP.0),
            node.link(),
            Box::new(move || holders(&asked)),
        );
        let time = Monotone::new(Arc::clone(&clock), 0);
        let here = Mutex::default();
        let this = Arc::new_cyclic(|this: &Weak<Self>| {
            let feeds: [Arc<dyn Feed>; 1] = [Arc::new(Known(Weak::clone(this)))];
            Self { node, authority, clock, time, identity, here, elsewhere, feeds }
        });
        this.node.set_forward(Arc::new(Passed(Arc::downgrade(&this))));
        let _ends_by_itself = R::spawn(keep_up(Arc::downgrade(&this)));
        this
    }

    /// The node.
    pub fn node(&self) -> &Node<R> {
        &self.node
    }

    /// What this node has of the store, if it has a replica.
    fn here(&self) -> Option<Arc<Replicated<R>>> {
        let member = self.node.member(GROUP);
        let mut here = self.here.lock();
        let is_same = |there: &Arc<Replicated<R>>, member: &Arc<Member<R>>| {
            Arc::ptr_eq(there.member(), member)
        };
        match (&*here, member) {
            (Some(there), Some(member)) if is_same(there, &member) => Some(Arc::clone(there)),
            (_, Some(member)) => {
                let options = ReplicatedOptions {
                    link: self.node.link(),
                    clock: Arc::clone(&self.clock),
                    identity: self.identity,
                };
                let new = Arc::new(Replicated::new(member, options));
                *here = Some(Arc::clone(&new));
                Some(new)
            }
            (_, None) => {
                *here = None;
                None
            }
        }
    }
}

/// Has a replica that has come here seen to, whether or not a client asks this node: if it leads, what has an
/// end is for it to end.
async fn keep_up<R: Runtime>(store: Weak<Store<R>>) {
    loop {
        match store.upgrade() {
            Some(store) if store.node.life() == Life::Serving => drop(store.here()),
            _ => return,
        }
        R::sleep(LOOK).await;
    }
}

/// The nodes that have a replica, the one first that should lead.
fn holders<R: Runtime>(node: &Node<R>) -> Vec<(NodeId, PeerAddress)> {
    let view = node.view();
    let Some(row) = view.table.as_ref().and_then(|table| table.row(GROUP)) else {
        return Vec::new();
    };
    let others = row.voters.iter().filter(|&&voter| voter != row.leader);
    let order = std::iter::once(&row.leader).chain(others).filter(|&&holder| holder != node.id());
    order.filter_map(|&holder| Some((holder, node.address(holder)?))).collect()
}

/// Calls that other nodes pass on to this one.
struct Passed<R: Runtime>(Weak<Store<R>>);

impl<R: Runtime> Forward for Passed<R> {
    fn forward(&self, _from: NodeId, group: u32, request: Vec<u8>) -> Forwarded {
        let here = self.0.upgrade().filter(|_| group == u32::from(GROUP.0));
        let here = here.and_then(|store| store.here());
        Box::pin(async move {
            match here {
                Some(here) => here.serve(&request).await,
                None => crate::replicated::not_here(),
            }
        })
    }
}

/// What is told where the state itself is asked for, which this node has not.
fn no_replica() -> Lost {
    Lost::new(
        "this node holds no replica of the store; ask one that `tidekeep cluster status` names",
    )
}

impl<R: Runtime> Commit for Store<R> {
    fn submit(&self, calls: &[Call<'_>], answers: &mut dyn Answers) -> Pending {
        match self.here() {
            Some(here) => here.submit(calls, answers),
            None => submit_by(calls, |piece| self.elsewhere.add(piece)),
        }
    }

    fn operate(&self, request: &Cluster<'_>) -> Pending {
        let (node, authority) = (self.node.clone(), self.authority);
        let request = OwnedRequest::from(request);
        Promise::later(async move { Ok(vec![operate(&node, authority, request).await]) })
    }

    fn peek(&self, key: &[u8]) -> Option<Entry> {
        self.here()?.peek(key)
    }

    fn sample(&self, random: u64) -> Option<Entry> {
        self.here()?.sample(random)
    }

    fn fingerprint(&self, key: &[u8]) -> u64 {
        self.here().map_or(0, |here| here.fingerprint(key))
    }

    fn with_fingerprint(&self, fingerprint: u64) -> Vec<Entry> {
        self.here().map_or_else(Vec::new, |here| here.with_fingerprint(fingerprint))
    }

    fn keys(&self) -> u64 {
        self.here().map_or(0, |here| here.keys())
    }

    fn feeds(&self) -> &[Arc<dyn Feed>] {
        &self.feeds
    }

    fn backup(&self) -> PendingBackup {
        match self.here() {
            Some(here) => here.backup(),
            None => Promise::ready(Err(no_replica())),
        }
    }

    fn time_at(&self, unix_ms: u64) -> u64 {
        self.here().map_or_else(|| self.time.at(unix_ms), |here| here.time_at(unix_ms))
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn standing(&self) -> Standing {
        match (self.node.life(), self.here()) {
            (Life::Removed, _) => Standing::Failed(
                "this node was removed from its cluster; its data can be deleted".into(),
            ),
            (_, Some(here)) => here.standing(),
            (_, None) => Standing::ReadOnly(leaderless()),
        }
    }

    fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        each("cluster_node", self.node.id().0);
        match self.here() {
            Some(here) => here.figures(each),
            None => self.node.journal().figures(each),
        }
    }

    fn failed(&self) -> Failed {
        let node = self.node.clone();
        Promise::later(async move { node.failed().await })
    }

    fn close(&self) -> Result<(), String> {
        self.elsewhere.close();
        *self.here.lock() = None;
        self.node.journal().close()
    }
}

/// The feed of the group, by the replica that this node has now.
struct Known<R: Runtime>(Weak<Store<R>>);

impl<R: Runtime> Known<R> {
    fn here(&self) -> Option<Arc<Replicated<R>>> {
        self.0.upgrade()?.here()
    }
}

impl<R: Runtime> Feed for Known<R> {
    fn revision(&self) -> u64 {
        self.here().map_or(0, |here| here.feed().revision())
    }

    fn last_revision(&self) -> u64 {
        self.here().map_or(u64::MAX, |here| here.feed().last_revision())
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        match self.here() {
            Some(here) => here.feed().changes(after, bytes),
            None => Err(TooOld { oldest: u64::MAX }),
        }
    }

    fn changed(&self, after: u64) -> Changed {
        match self.here() {
            Some(here) => here.feed().changed(after),
            None => Promise::ready(Err(no_replica())),
        }
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        match self.here() {
            Some(here) => here.feed().view(range),
            None => Promise::ready(Err(no_replica())),
        }
    }
}
