//! The node itself: what it owns, and how it starts and ends.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::future::{Either, FutureExt, select};
use parking_lot::Mutex;
use tidekeep_log::clock::Clock;
use tidekeep_protocol::slot::GroupId;
use tokio::sync::{Notify, watch};

use crate::link::{Link, PeerAddress};
use crate::meta::rules::Introduction;
use crate::meta::{META_GROUP, View};
use crate::node::directory::Directory;
use crate::node::hearing::Picture;
use crate::node::options::{NodeOptions, Timing};
use crate::node::serving::Forward;
use crate::peer::ClusterId;
use crate::placement::NodeId;
use crate::raft::{Config, Given, Instant, Journal, Member, Opened, Runtime};

/// A node of a cluster. Cheap to clone: all clones are the same node.
pub struct Node<R: Runtime>(Arc<Shared<R>>);

struct Shared<R: Runtime> {
    id: NodeId,
    cluster: ClusterId,
    is: Introduction,
    opened: Opened,
    directory: Arc<Directory>,
    transfers: u64,
    clock: Arc<dyn Clock>,
    config: Config,
    entries_bytes: usize,
    timing: Timing,
    began: R::Instant,
    meta: Arc<Member<R>>,
    /// Members of data groups, by their groups' numbers.
    members: Mutex<BTreeMap<u32, Arc<Member<R>>>>,
    /// What the meta group says, as far as it is known here.
    view: Mutex<Arc<View>>,
    life: watch::Sender<Life>,
    forward: OnceLock<Arc<dyn Forward>>,
    /// Whether clients are served by the groups that a split has made.
    has_passed_on: AtomicBool,
    /// Tells those who wait for something that the meta group says.
    learnt: Notify,
    /// When a coordinator looked at it last, in milliseconds of its running.
    looked_at_ms: AtomicU64,
    /// What the coordinator saw last, while it is here.
    picture: Mutex<Option<Arc<Picture>>>,
}

/// Whether a node takes part in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Serving,
    /// It was removed from the cluster: it holds nothing that counts, and nobody asks it any more. Its data
    /// directory can be deleted.
    Removed,
    /// It was stopped.
    Stopped,
}

impl<R: Runtime> Clone for Node<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Runtime> Node<R> {
    /// Starts a node on what its log holds: its part in the meta group, and in each data group that the log
    /// knows of. A node that has just joined has an empty log; it is given its part by the others. It
    /// runs until [`Self::stop`].
    ///
    /// # Errors
    /// A member cannot start on what the log holds.
    pub async fn start(options: NodeOptions) -> io::Result<Self> {
        let NodeOptions {
            id,
            cluster,
            is,
            opened,
            link,
            transfers,
            clock,
            member,
            entries_bytes,
            timing,
        } = options;
        opened.run::<R>();
        let directory = Directory::new(link);
        let known = opened.groups();
        let config = Config { node: id, group: META_GROUP, ..member };
        let link = Arc::clone(&directory) as Arc<dyn Link>;
        let meta = Arc::new(Member::start(config.clone(), &opened, link, transfers).await?);
        let node = Self(Arc::new(Shared {
            id,
            cluster,
            is,
            opened,
            directory,
            transfers,
            clock,
            config,
            entries_bytes,
            timing,
            began: R::Instant::now(),
            meta,
            members: Mutex::default(),
            view: Mutex::default(),
            life: watch::Sender::new(Life::Serving),
            forward: OnceLock::new(),
            has_passed_on: AtomicBool::new(false),
            learnt: Notify::new(),
            looked_at_ms: AtomicU64::new(0),
            picture: Mutex::default(),
        }));
        for group in known.into_iter().filter(|&group| group != META_GROUP) {
            if let Err(error) = node.start_member(group, None).await {
                node.stop().await;
                return Err(error);
            }
        }
        // They end with the node's life.
        let _following = R::spawn(node.clone().follow());
        let _coordinating = R::spawn(node.clone().coordinate());
        let _watching = R::spawn(node.clone().watch_disk());
        let _beating = R::spawn(node.clone().beat());
        Ok(node)
    }

    /// Starts a member of a data group: on what the log holds of it, or empty. One that the group gives to this node
    /// begins as `given` says.
    pub(super) async fn start_member(
        &self,
        group: u32,
        given: Option<Given>,
    ) -> io::Result<Arc<Member<R>>> {
        let shared = &self.0;
        let config = Config { group, ..shared.config.clone() };
        let link = Arc::clone(&shared.directory) as Arc<dyn Link>;
        let (opened, transfers) = (&shared.opened, shared.transfers);
        let member = match given {
            Some(given) => Member::start_given(config, opened, link, transfers, given).await,
            None => Member::start(config, opened, link, transfers).await,
        };
        let member = Arc::new(member?);
        shared.members.lock().insert(group, Arc::clone(&member));
        let _filling = R::spawn(self.clone().fill(group, Arc::clone(&member)));
        Ok(member)
    }

    /// Ends the node's part in everything; what it has is still on its disk.
    pub async fn stop(&self) {
        self.end(Life::Stopped).await;
    }

    pub(super) async fn end(&self, life: Life) {
        self.0.life.send_if_modified(|now| {
            let first = *now == Life::Serving;
            if first {
                *now = life;
            }
            first
        });
        let members = std::mem::take(&mut *self.0.members.lock());
        for member in members.into_values() {
            member.stop().await;
        }
        self.0.meta.stop().await;
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The cluster that it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.0.cluster
    }

    /// Whether it takes part.
    pub fn life(&self) -> Life {
        *self.0.life.borrow()
    }

    /// Whether its cluster has other nodes that vote, and so was founded.
    pub fn has_voting_peers(&self) -> bool {
        self.0.meta.standing().voters.iter().any(|&voter| voter != self.0.id)
    }

    /// Resolves when it takes part no longer, with why.
    pub async fn ended(&self) -> Life {
        let mut life = self.0.life.subscribe();
        let ended = life.wait_for(|life| *life != Life::Serving).await;
        // The sender is this node's own.
        ended.map_or(Life::Stopped, |life| *life)
    }

    /// Resolves with the reason, once it cannot go on: it was removed, its disk failed, or its part in the meta
    /// group has stopped.
    pub async fn failed(&self) -> String {
        let removed = async {
            match self.ended().await {
                Life::Removed => "this node was removed from its cluster".to_owned(),
                Life::Serving | Life::Stopped => std::future::pending().await,
            }
        };
        let (removed, disk, meta) =
            (pin!(removed), pin!(self.journal().failed()), pin!(self.0.meta.stopped()));
        match select(removed, select(disk, meta)).await {
            Either::Left((why, _))
            | Either::Right((Either::Left((why, _)) | Either::Right((why, _)), _)) => why,
        }
    }

    /// Its member of a data group, if it holds the group.
    pub fn member(&self, group: GroupId) -> Option<Arc<Member<R>>> {
        self.member_of(self.view().number(group))
    }

    /// What the meta group says, as far as it is known here.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.0.view.lock())
    }

    /// Where other nodes find a node, as far as it is known here.
    pub fn address(&self, node: NodeId) -> Option<PeerAddress> {
        self.0.directory.address(node).or_else(|| self.0.meta.peers().remove(&node))
    }

    /// Whether a node has said nothing since a call to it was given up.
    pub(crate) fn is_silent(&self, node: NodeId) -> bool {
        self.0.directory.is_silent(node)
    }

    /// The log that all its groups share.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.0.opened.journal
    }

    /// The way to the other nodes, by the addresses that they have now.
    pub fn link(&self) -> Arc<dyn Link> {
        Arc::clone(&self.0.directory) as Arc<dyn Link>
    }

    /// Who answers clients' commands that other nodes forward. It is set once, before any come.
    pub fn set_forward(&self, forward: Arc<dyn Forward>) {
        // The first one stays.
        let _ = self.0.forward.set(forward);
    }

    /// Notes that clients are served by the groups that a split has made: those before are not needed here any
    /// more.
    pub(crate) fn note_passed_on(&self) {
        self.0.has_passed_on.store(true, Ordering::Release);
    }

    /// Whether somebody here still waits for the groups before a split.
    pub(super) fn waits_for_founded(&self) -> bool {
        self.forward().is_some() && !self.0.has_passed_on.load(Ordering::Acquire)
    }

    pub(super) fn forward(&self) -> Option<&Arc<dyn Forward>> {
        self.0.forward.get()
    }

    /// Its member of the group with this number, if it has one.
    pub(crate) fn member_of(&self, group: u32) -> Option<Arc<Member<R>>> {
        self.0.members.lock().get(&group).cloned()
    }

    pub(super) fn members(&self) -> BTreeMap<u32, Arc<Member<R>>> {
        self.0.members.lock().clone()
    }

    /// Its members of all groups, the meta group among them.
    pub(super) fn all_members(&self) -> Vec<Arc<Member<R>>> {
        self.members().into_values().chain(std::iter::once(Arc::clone(&self.0.meta))).collect()
    }

    /// Serves a group no longer.
    pub(super) fn take_member(&self, group: u32) -> Option<Arc<Member<R>>> {
        self.0.members.lock().remove(&group)
    }

    /// Serves it again.
    pub(super) fn put_back(&self, group: u32, member: Arc<Member<R>>) {
        self.0.members.lock().insert(group, Arc::clone(&member));
        let _filling = R::spawn(self.clone().fill(group, member));
    }

    /// Its member of the meta group.
    pub(super) fn meta(&self) -> &Arc<Member<R>> {
        &self.0.meta
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(super) fn introduction(&self) -> &Introduction {
        &self.0.is
    }

    pub(super) fn entries_bytes(&self) -> usize {
        self.0.entries_bytes
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.0.timing
    }

    /// The time of day, in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }

    /// How long it has been running, in milliseconds.
    pub(super) fn running_ms(&self) -> u64 {
        (R::Instant::now() - self.0.began).as_millis() as u64
    }

    /// When a coordinator looked at it last, in milliseconds of its running.
    pub(super) fn looked_at_ms(&self) -> u64 {
        self.0.looked_at_ms.load(Ordering::Relaxed)
    }

    pub(super) fn note_looked_at(&self) {
        self.0.looked_at_ms.store(self.running_ms(), Ordering::Relaxed);
    }

    /// Takes in what the meta group says.
    pub(super) fn learn(&self, view: View) {
        self.0.directory.learn(&view);
        *self.0.view.lock() = Arc::new(view);
        self.0.learnt.notify_waiters();
    }

    /// Resolves when something of what the meta group says has become known here since this was called.
    pub(crate) fn learnt(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.0);
        let mut learnt = Box::pin(async move { shared.learnt.notified().await });
        // Polled once, it is told of what follows.
        let _ = learnt.as_mut().now_or_never();
        learnt
    }

    /// What the coordinator saw last, if it is here.
    pub(super) fn picture(&self) -> Option<Arc<Picture>> {
        self.0.picture.lock().clone()
    }

    pub(super) fn set_picture(&self, picture: Option<Arc<Picture>>) {
        *self.0.picture.lock() = picture;
    }
}
