//! The [`Door`]s of all groups, and who is behind them: replicas come and go as the table says.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidekeep_log::Identity;
use tidekeep_log::clock::Clock;
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};
use tidekeep_store::fingerprint::Fingerprint;
use tidekeep_store::read::PageLimits;
use tidekeep_store::shards::Spread;
use tokio::sync::oneshot;

use crate::link::PeerAddress;
use crate::meta::Numbering;
use crate::node::{Forwarded, Life, Node};
use crate::placement::NodeId;
use crate::raft::{Member, Runtime};
use crate::remote::{Ask, Holding, Mirror, Told};
use crate::replicated::{
    Calls, Done, Failed, Holders, Onward, Piece, Replicated, ReplicatedOptions, not_here,
};
use crate::store::door::Door;
use crate::transaction::{Coordinator, watch_over};

/// Between two looks whether a replica has come or gone.
const LOOK: Duration = Duration::from_millis(100);

/// The doors of all groups.
pub(crate) struct Doors<R: Runtime> {
    node: Node<R>,
    clock: Arc<dyn Clock>,
    identity: Identity,
    groups: GroupCount,
    /// Under which numbers other nodes know them.
    numbering: Numbering,
    /// Whether other groups have the keys by now, and their doors what came here.
    retired: AtomicBool,
    /// By the groups' numbers.
    doors: Vec<Arc<Door<R>>>,
    /// The recent changes of each group, as the nodes that have a replica of it tell them.
    mirrors: Vec<Arc<Mirror<R>>>,
    coordinator: Coordinator<R>,
    /// As every replica on this node spreads its keys.
    spread: Spread,
    /// How often a group was drawn.
    drawn: AtomicU64,
    /// What those read here who follow a group that they have no replica of.
    holding: Holding<R>,
}

/// A node that has a replica of a group, or had one when it was asked for something.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) group: GroupId,
    /// None if it is this one.
    at: Option<(NodeId, PeerAddress)>,
}

/// What becomes of calls that a group was asked to run. They run whether or not this is awaited.
pub(crate) struct Asked(oneshot::Receiver<Result<Done, Failed>>);

impl Future for Asked {
    type Output = Result<Done, Failed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Who is to answer may go without a word when its replica does.
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).unwrap_or(Err(Failed::NotLeader)))
    }
}

impl<R: Runtime> Doors<R> {
    /// Opens the doors, and answers what other nodes pass on.
    pub(crate) fn open(
        node: Node<R>,
        clock: Arc<dyn Clock>,
        identity: Identity,
        groups: GroupCount,
        numbering: Numbering,
    ) -> Arc<Self> {
        let options = ReplicatedOptions { link: node.link(), clock: Arc::clone(&clock), identity };
        let find = |group| -> Holders {
            let asked = node.clone();
            Arc::new(move || holders(&asked, numbering, group))
        };
        let history_bytes = node.journal().replica_options().history_bytes;
        let door = |group| Door::open(numbering.number(group), find(group), options.clone());
        let mirror =
            |group| Mirror::new(numbering.number(group), node.link(), find(group), history_bytes);
        let doors = groups.groups().map(door).collect();
        let mirrors = groups.groups().map(mirror).collect();
        let holding = Holding::new();
        let replicas = node.journal().replica_options();
        let spread = Spread::new(replicas.seed, replicas.shards);
        let coordinator = Coordinator::new(node.id(), replicas.seed, Arc::clone(&clock));
        let drawn = AtomicU64::new(node.id().0);
        let this = Arc::new(Self {
            node,
            clock,
            identity,
            groups,
            numbering,
            retired: AtomicBool::new(false),
            doors,
            mirrors,
            coordinator,
            spread,
            drawn,
            holding,
        });
        let _ends_by_itself = R::spawn(keep_up(Arc::downgrade(&this)));
        if groups != GroupCount::ONE {
            let _ends_by_itself = R::spawn(watch_over(Arc::downgrade(&this)));
        }
        this
    }

    /// The node.
    pub(crate) fn node(&self) -> &Node<R> {
        &self.node
    }

    /// Runs transactions over groups.
    pub(crate) fn coordinator(&self) -> &Coordinator<R> {
        &self.coordinator
    }

    /// Whether its node serves, by these groups.
    pub(crate) fn is_open(&self) -> bool {
        self.node.life() == Life::Serving && !self.retired.load(Ordering::Acquire)
    }

    /// The time of day, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Which store it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// How many groups share the keys.
    pub(crate) fn groups(&self) -> GroupCount {
        self.groups
    }

    /// The group of a key.
    pub(crate) fn group_of(&self, key: &[u8]) -> GroupId {
        match self.groups {
            GroupCount::ONE => GroupId(0),
            groups => groups.group_of(slot_of(key)),
        }
    }

    /// The fingerprint of a key, the same as that of a replica on this node, whether or not there is one.
    pub(crate) fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        Fingerprint::from(self.spread.hash(key))
    }

    /// Another number each time, by which what may be in any group is spread over them.
    pub(crate) fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    /// The bounds of a page.
    pub(crate) fn page_limits(&self) -> PageLimits {
        let limits = &self.node.journal().replica_options().limits;
        // As a replica bounds its own.
        let bytes = (limits.reply_bytes / 2) as usize;
        PageLimits { entries: limits.scan_entries as usize, bytes }
    }

    /// Has a group run calls, behind all that it was asked before. In a piece for a group they run in their
    /// order.
    pub(crate) fn ask(&self, group: GroupId, calls: Calls) -> Asked {
        let (piece, outcome) = Piece::new(calls, false);
        self.hand_over(group, piece);
        Asked(outcome)
    }

    /// The same for a piece.
    pub(crate) fn hand_over(&self, group: GroupId, piece: Piece) {
        let door = self.door(group);
        match self.is_retired() {
            true => door.run(piece),
            false => door.hand_over(self.member(group), piece),
        }
    }

    /// What this node has of a group, if it has a replica that serves clients.
    pub(crate) fn here(&self, group: GroupId) -> Option<Arc<Replicated<R>>> {
        let door = self.doors.get(usize::from(group.0)).filter(|_| !self.is_retired())?;
        door.here(self.member(group))
    }

    /// This node's part in a group. One that is yet to be filled is none: what it was asked would wait for that.
    fn member(&self, group: GroupId) -> Option<Arc<Member<R>>> {
        let number = self.numbering.number(group);
        let member = self.node.member_of(number)?;
        (!self.node.is_filling(&member)).then_some(member)
    }

    fn door(&self, group: GroupId) -> &Arc<Door<R>> {
        &self.doors[usize::from(group.0)]
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// What this node has of each group of which it has a replica.
    pub(crate) fn all_here(&self) -> impl Iterator<Item = (GroupId, Arc<Replicated<R>>)> {
        self.groups.groups().filter_map(|group| Some((group, self.here(group)?)))
    }

    /// Whether there are nodes that have a replica of a group and answer, as far as is known here.
    pub(crate) fn answers(&self, group: GroupId) -> bool {
        self.door(group).answers()
    }

    /// The nodes that have a replica of a group, this one first if it has one.
    pub(crate) fn holders(&self, group: GroupId) -> Vec<Holder> {
        let here = self.here(group).map(|_| Holder { group, at: None });
        let others = holders(&self.node, self.numbering, group).into_iter();
        here.into_iter().chain(others.map(|at| Holder { group, at: Some(at) })).collect()
    }

    /// Asks a node that has a replica of a group, or keeps something of it; none if it does not answer.
    pub(crate) async fn follow(&self, holder: &Holder, ask: &Ask, wait: Duration) -> Option<Told> {
        let request = ask.encode(self.numbering.number(holder.group));
        let reply = match &holder.at {
            None => self.holding.serve(self.here(holder.group).as_deref(), &request).await,
            Some((to, at)) => {
                self.node.link().call(*to, at, ask.lane(), request, wait).await.ok()?
            }
        };
        Told::decode(&reply)
    }

    /// The recent changes of a group, by the nodes that have a replica of it.
    pub(crate) fn mirror(&self, group: GroupId) -> &Arc<Mirror<R>> {
        &self.mirrors[usize::from(group.0)]
    }

    /// Hands all that waits, and all that comes, to others who have the keys now: as soon as nothing is under way.
    pub(crate) async fn retire(&self, onward: Onward) {
        for door in &self.doors {
            door.retire(&onward).await;
        }
        self.retired.store(true, Ordering::Release);
    }

    /// Answers what other nodes pass on, or ask who follow a group.
    pub(crate) fn answer(
        self: &Arc<Self>,
        from: NodeId,
        group: GroupId,
        follows: bool,
        request: Vec<u8>,
    ) -> Forwarded {
        let doors = Arc::clone(self);
        let here = doors.here(group);
        Box::pin(async move {
            match here {
                here if follows => doors.holding.serve(here.as_deref(), &request).await,
                Some(here) => here.serve(from, &request).await,
                None => not_here(),
            }
        })
    }

    /// Refuses what comes.
    pub(crate) fn close(&self) {
        self.doors.iter().for_each(|door| door.close());
        self.mirrors.iter().for_each(|mirror| mirror.close());
    }
}

/// Has a replica that has come here seen to, whether or not a client asks this node: if it leads, what has an
/// end is for it to end.
async fn keep_up<R: Runtime>(doors: Weak<Doors<R>>) {
    loop {
        match doors.upgrade() {
            Some(doors) if doors.is_open() => {
                doors.all_here().for_each(drop);
                doors.holding.tidy();
            }
            _ => return,
        }
        R::sleep(LOOK).await;
    }
}

/// The nodes that have a replica: first the one that should lead, last those that say nothing.
fn holders<R: Runtime>(
    node: &Node<R>,
    numbering: Numbering,
    group: GroupId,
) -> Vec<(NodeId, PeerAddress)> {
    let view = node.view();
    if view.numbering() != numbering {
        return Vec::new();
    }
    let Some(row) = view.table.as_ref().and_then(|table| table.row(group)) else {
        return Vec::new();
    };
    let others = row.voters.iter().filter(|&&voter| voter != row.leader);
    let order = std::iter::once(&row.leader).chain(others).filter(|&&holder| holder != node.id());
    let known = order.filter_map(|&holder| Some((holder, node.address(holder)?)));
    let (silent, mut holders): (Vec<_>, Vec<_>) =
        known.partition(|(holder, _)| node.is_silent(*holder));
    holders.extend(silent);
    holders
}
