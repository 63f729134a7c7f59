//! A cluster of machines, what is done to it, and what must hold of it when it has come to rest.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use parking_lot::Mutex;
use tidekeep_cluster::node::{AdminError, ClusterStatus, Node};
use tidekeep_cluster::{Member, NodeId, Store};
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Answer, Call, Reply};
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::op::{Delete, Get, Request};
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::machine::{ENTRIES_BYTES, Machine, introduction};
use crate::narrow::Narrow;
use crate::simulated::records::{put_of, record_of};
use crate::simulated::wire::Wire;

/// The hash of the secret that all nodes join with.
pub(crate) const SECRET: [u8; 32] = [3; 32];

/// Everything comes to rest within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Everything that a test does ends within this.
const END: Duration = Duration::from_secs(3_600);

/// Time between two looks whether something has come about.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct Cluster {
    pub(crate) wire: Wire,
    pub(crate) narrow: Narrow,
    machines: Mutex<Vec<Arc<Machine>>>,
    groups: GroupCount,
    seed: u64,
    /// Bytes of entries that each node keeps.
    entries_bytes: usize,
}

/// Runs a test in virtual time.
pub(crate) fn simulate(seed: u64, test: impl Future<Output = ()>) {
    SimRuntime::with_seed(seed).block_on(async {
        // The deadline of all its waits: the runtime's own timeout takes only what can change threads.
        let deadline = pin!(SimRuntime::sleep(END));
        match select(pin!(test), deadline).await {
            Either::Left(((), _)) => {}
            Either::Right(((), _)) => panic!("the test does not end within {END:?}"),
        }
    });
}

impl Cluster {
    /// So many nodes, the first of which has founded the cluster, at rest.
    pub(crate) async fn of(nodes: u64, groups: u16) -> Self {
        let cluster = Self::founded(groups).await;
        for _ in 1..nodes {
            cluster.join().await;
        }
        cluster.rest().await;
        cluster
    }

    /// The same, whose nodes serve clients.
    pub(crate) async fn serving(nodes: u64, groups: u16) -> Self {
        let cluster = Self::of(nodes, groups).await;
        cluster.machines().iter().for_each(|machine| machine.serve(cluster.groups));
        cluster
    }

    /// One node.
    pub(crate) async fn founded(groups: u16) -> Self {
        let cluster = Self::founded_on(FaultyDisk::new(11), groups).await;
        for group in cluster.groups.groups() {
            cluster.write(group, "first").await;
        }
        cluster
    }

    /// One node, which has founded the cluster on a disk that may hold a store already.
    pub(crate) async fn founded_on(disk: FaultyDisk, groups: u16) -> Self {
        Self::founded_keeping(disk, groups, ENTRIES_BYTES).await
    }

    /// The same, whose nodes keep so many bytes of entries.
    pub(crate) async fn founded_keeping(
        disk: FaultyDisk,
        groups: u16,
        entries_bytes: usize,
    ) -> Self {
        let groups = GroupCount::new(groups).expect("so many groups there can be");
        let (wire, narrow, machines) = (Wire::new(7), Narrow::default(), Mutex::default());
        let net = (wire.clone(), narrow.clone());
        let cluster = Self { wire, narrow, machines, groups, seed: 11, entries_bytes };
        let machine = Machine::on(disk, groups, NodeId(1), 11 ^ (1 << 8), net, entries_bytes);
        let node = machine.start().await;
        cluster.machines.lock().push(machine);
        node.found(groups, 3).await.expect("nobody has founded it before");
        let lives = Duration::from_secs(3_600);
        node.add_token("test", SECRET, lives, 100).await.expect("it leads");
        cluster
    }

    async fn add(&self, id: NodeId) -> Node<SimRuntime> {
        let seed = self.seed ^ (id.0 << 8);
        let net = (self.wire.clone(), self.narrow.clone());
        let machine = Machine::new(id, seed, net, self.entries_bytes);
        let node = machine.start().await;
        self.machines.lock().push(machine);
        node
    }

    /// Lets one more node join; resolves when it is let in.
    pub(crate) async fn join(&self) -> NodeId {
        let next = self.machines.lock().len() as u64 + 1;
        let is = introduction(&format!("node-{next}"));
        let admitted = self.any().admit(is, SECRET).await.expect("the token is good");
        assert_eq!(admitted.node, NodeId(next));
        let told = |id: u64| admitted.peers.iter().any(|(node, _)| node.0 == id);
        assert!(told(1) && told(next), "{admitted:?}");
        self.add(admitted.node).await;
        admitted.node
    }

    /// Lets one more node join, if the cluster can decide about it now.
    pub(crate) async fn try_join(&self) {
        let next = self.machines.lock().len() as u64 + 1;
        let is = introduction(&format!("node-{next}"));
        if let Ok(admitted) = self.any().admit(is, SECRET).await {
            assert_eq!(admitted.node, NodeId(next));
            self.add(admitted.node).await;
        }
    }

    /// Takes a drain back, as soon as somebody can decide that.
    pub(crate) async fn keep(&self, node: NodeId) {
        self.eventually("somebody decides", || async { self.any().keep(node).await.ok() }).await;
    }

    /// Whether a key is there where its group is led.
    pub(crate) fn has(&self, group: GroupId, key: &str) -> bool {
        let request = Request::Get(Get { key: key.as_bytes() });
        let mut answers: Vec<Answer> = Vec::new();
        let leader = self.leader(group).expect("the cluster is at rest");
        leader.replica().read(&[Call::new(request)], &mut answers);
        matches!(&answers[..], [Ok(Reply::Get(found))] if found.entry.is_some())
    }

    pub(crate) fn machine(&self, id: NodeId) -> Arc<Machine> {
        let machines = self.machines.lock();
        Arc::clone(machines.iter().find(|machine| machine.id == id).expect("a known machine"))
    }

    pub(crate) fn machines(&self) -> Vec<Arc<Machine>> {
        self.machines.lock().clone()
    }

    pub(crate) fn node(&self, id: NodeId) -> Node<SimRuntime> {
        self.machine(id).node().expect("it runs")
    }

    /// What serves clients on a node.
    pub(crate) fn store(&self, id: NodeId) -> Arc<Store<SimRuntime>> {
        self.machine(id).store().expect("it runs, and serves clients")
    }

    /// Some node that runs.
    pub(crate) fn any(&self) -> Node<SimRuntime> {
        self.machines().iter().find_map(|machine| machine.node()).expect("some node runs")
    }

    /// How the cluster is, once somebody coordinates it.
    pub(crate) async fn status(&self) -> ClusterStatus {
        self.eventually("somebody coordinates", || async {
            let asked: Vec<_> = self.machines().iter().filter_map(|it| it.node()).collect();
            for node in asked {
                match node.status().await {
                    Ok(status) => return Some(status),
                    Err(AdminError::NoLeader | AdminError::NotReady | AdminError::Unknown(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            None
        })
        .await
    }

    /// Waits until something has come about.
    pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        let end = SimInstant::now() + PATIENCE;
        loop {
            match look().await {
                Some(seen) => return seen,
                None => assert!(SimInstant::now() < end, "not within {PATIENCE:?}: {what}"),
            }
            SimRuntime::sleep(LOOK).await;
        }
    }

    /// Waits until a status is as it should be, and gives it.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&ClusterStatus) -> bool,
    ) -> ClusterStatus {
        let end = SimInstant::now() + PATIENCE;
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return status;
            }
            assert!(SimInstant::now() < end, "not within {PATIENCE:?}: {what}: {status:#?}");
            SimRuntime::sleep(LOOK).await;
        }
    }

    /// Writes a key of a group, to whoever leads it.
    pub(crate) async fn write(&self, group: GroupId, key: &str) {
        self.order(group, put_of(key, key.as_bytes())).await;
    }

    /// Has whoever leads a group order a record.
    pub(crate) async fn order(&self, group: GroupId, record: Vec<u8>) {
        self.eventually("a write is confirmed", || async {
            let member = self.leader(group)?;
            let written = member.write(record.clone());
            matches!(SimRuntime::timeout(LOOK * 20, written).await, Ok(Ok(_))).then_some(())
        })
        .await;
    }

    /// Deletes what [`Self::write`] has put into every group, whosever key it is: a store of several groups has
    /// each key but once.
    pub(crate) async fn sweep(&self) {
        for group in self.groups.groups() {
            for key in ["first", "last"] {
                let delete = Request::Delete(Delete {
                    key: key.as_bytes(),
                    condition: Condition::Always,
                    previous: false,
                });
                self.order(group, record_of(&delete)).await;
            }
        }
    }

    /// How many keys a group has where it is led.
    pub(crate) fn keys(&self, group: GroupId) -> u64 {
        self.leader(group).map_or(0, |member| member.replica().keys())
    }

    fn leader(&self, group: GroupId) -> Option<Arc<Member<SimRuntime>>> {
        let nodes = self.machines().into_iter().filter_map(|machine| machine.node());
        nodes.filter_map(|node| node.member(group)).find(|member| member.standing().leads)
    }

    /// Waits until nothing is left to do: every group has three replicas that answer (or as many as there
    /// are nodes for), where it should be led. Then holds all replicas against each other.
    pub(crate) async fn rest(&self) -> ClusterStatus {
        let status = self.until("the cluster is at rest", is_at_rest).await;
        let groups: Vec<GroupId> = status.groups.iter().filter_map(|it| it.group).collect();
        for &group in &groups {
            self.write(group, "last").await;
        }
        // Replicas may begin to move once more after that: both are to be so at the same moment.
        self.until("it rests, replicas are equal, and nobody keeps more", |status| {
            is_at_rest(status) && groups.iter().all(|&group| self.is_whole(group, status))
        })
        .await
    }

    /// Whether the replicas of a group are equal, and nobody else has one.
    fn is_whole(&self, group: GroupId, status: &ClusterStatus) -> bool {
        let holders: BTreeSet<NodeId> =
            status.groups[usize::from(group.0)].replicas.iter().map(|it| it.node).collect();
        let nodes: Vec<_> = self.machines().iter().filter_map(|it| it.node()).collect();
        let holding = nodes.iter().filter(|node| node.member(group).is_some());
        let audits = holding.clone().filter_map(|node| Some(node.member(group)?.audit()));
        let mut audits: Vec<_> = audits.collect();
        audits.dedup();
        holding.map(Node::id).collect::<BTreeSet<_>>() == holders && audits.len() == 1
    }
}

/// Whether nothing is left to do.
pub(crate) fn is_at_rest(status: &ClusterStatus) -> bool {
    let nodes = status.nodes.iter().filter(|it| it.up).count();
    let replicas = if nodes >= 3 { 3 } else { 1 };
    let group = |group: &tidekeep_cluster::node::GroupStatus| {
        group.leader == group.preferred
            && group.replicas.len() == replicas
            && group.replicas.iter().all(|it| it.votes && it.lag.is_some())
    };
    status.under_way.is_empty() && status.groups.iter().all(group)
}

/// Replicas of data groups on each node that answers, ascending.
pub(crate) fn spread(status: &ClusterStatus) -> Vec<usize> {
    let mut held: Vec<usize> =
        status.nodes.iter().filter(|node| node.up).map(|node| node.replicas).collect();
    held.sort_unstable();
    held
}

/// Groups led by each node that answers, ascending.
pub(crate) fn led(status: &ClusterStatus) -> Vec<usize> {
    let mut led: Vec<usize> =
        status.nodes.iter().filter(|node| node.up).map(|node| node.leads).collect();
    led.sort_unstable();
    led
}

/// Who votes in the meta group.
pub(crate) fn meta_voters(status: &ClusterStatus) -> Vec<u64> {
    let voters = status.meta.replicas.iter().filter(|replica| replica.votes);
    voters.map(|replica| replica.node.0).collect()
}
