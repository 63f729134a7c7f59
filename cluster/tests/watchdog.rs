//! A node whose disk hangs lets others lead, and does not lead again before the disk answers. With threads
//! and the time of day: a call that hangs is one that has begun.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidekeep_cluster::meta::rules::Introduction;
use tidekeep_cluster::node::{Node, NodeOptions, Timing};
use tidekeep_cluster::peer::ClusterId;
use tidekeep_cluster::{
    Config, Journal, JournalOptions, Lane, Link, LinkFuture, NodeId, PeerAddress, TokioRuntime,
    Unreachable,
};
use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::memory::MemoryDisk;
use tidekeep_log::disk::{Disk, File};
use tidekeep_log::{ReplicaOptions, Upkeep};
use tidekeep_protocol::slot::{GroupCount, GroupId};

const PATIENCE: Duration = Duration::from_secs(60);
const GROUPS: u16 = 12;

/// Time for others to lead once the disk hangs: less than it takes to wait for each group's answer in turn.
const HANDED_OVER: Duration = Duration::from_secs(6);

/// While it is set, no sync returns.
#[derive(Clone, Default)]
struct Hang(Arc<(Mutex<bool>, Condvar)>);

impl Hang {
    fn set(&self, hangs: bool) {
        *self.0.0.lock() = hangs;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut hangs = self.0.0.lock();
        while *hangs {
            self.0.1.wait(&mut hangs);
        }
    }
}

struct HangingDisk(MemoryDisk, Hang);
struct HangingFile(Arc<dyn File>, Hang);

impl HangingDisk {
    fn file(&self, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(HangingFile(file?, self.1.clone())))
    }
}

impl Disk for HangingDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(self.0.create(name))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(self.0.open(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.0.folder(name)
    }

    fn move_into(&self, folder: &str, name: &str) -> io::Result<()> {
        self.0.move_into(folder, name)
    }
}

impl File for HangingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.wait();
        self.0.sync()
    }
}

/// Calls from node to node.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<BTreeMap<NodeId, Node<TokioRuntime>>>>);

/// A node's end of them.
struct Caller(NodeId, Calls);

impl Link for Caller {
    fn call(
        &self,
        to: NodeId,
        _at: &PeerAddress,
        _lane: Lane,
        request: Vec<u8>,
        limit: Duration,
    ) -> LinkFuture {
        let there = self.1.0.lock().get(&to).cloned();
        let from = self.0;
        Box::pin(async move {
            let there = there.ok_or_else(|| Unreachable(format!("{to} is not there")))?;
            let served = tokio::time::timeout(limit, there.serve(from, request)).await;
            served.map_err(|_| Unreachable(format!("{to} does not answer")))
        })
    }
}

fn introduction(id: NodeId) -> Introduction {
    Introduction {
        peer: PeerAddress { address: format!("{}:1", id.0) },
        client: String::new(),
        zone: id.0.to_string(),
        weight: NonZeroU16::MIN,
        version: String::new(),
    }
}

async fn start(id: NodeId, calls: &Calls) -> (Node<TokioRuntime>, Hang) {
    let hang = Hang::default();
    let mut random = fastrand::Rng::with_seed(id.0);
    let opened = Journal::open(JournalOptions {
        disk: Arc::new(HangingDisk(MemoryDisk::new(), hang.clone())),
        segment_bytes: 1 << 20,
        upkeep: Upkeep::Threads,
        appended: None,
        replica: ReplicaOptions::new(id.0),
        random: Box::new(move || random.u64(..)),
    });
    let node = Node::start(NodeOptions {
        id,
        cluster: ClusterId([1; 16]),
        is: introduction(id),
        opened: opened.expect("an empty disk"),
        link: Arc::new(Caller(id, calls.clone())),
        transfers: 0,
        clock: Arc::new(SystemClock),
        member: Config::new(id, 0),
        entries_bytes: 64 << 20,
        timing: Timing { hang: Duration::from_millis(300), ..Timing::default() },
    });
    let node = node.await.expect("a node");
    calls.0.lock().insert(id, node.clone());
    (node, hang)
}

/// Waits for something.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn groups() -> GroupCount {
    GroupCount::new(GROUPS).expect("a number of groups")
}

/// Whether a node knows of each of these groups that somebody leads it of whom this is so.
fn led(node: &Node<TokioRuntime>, groups: &[GroupId], is_so: impl Fn(NodeId) -> bool) -> bool {
    let leader = |group: &GroupId| node.member(*group)?.leader();
    groups.iter().all(|group| leader(group).is_some_and(&is_so))
}

/// Whether a group has three replicas that have all that was ordered, as its leader knows.
fn is_whole(nodes: &[&Node<TokioRuntime>], group: GroupId) -> bool {
    let standings = nodes.iter().filter_map(|node| Some(node.member(group)?.standing()));
    standings.filter(|standing| standing.leads).any(|standing| {
        let followed = standing.followed.values().filter(|&&it| Some(it) == standing.last);
        standing.voters.len() == 3 && followed.count() == 3
    })
}

#[test]
fn a_node_whose_disk_hangs_lets_others_lead_until_it_answers() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(hang_and_answer());
}

async fn hang_and_answer() {
    let calls = Calls::default();
    let (first, hang) = start(NodeId(1), &calls).await;
    first.found(groups(), 3).await.expect("an empty cluster");
    let secret = [9; 32];
    first.add_token("", secret, PATIENCE, 2).await.expect("it leads");
    let mut others = Vec::new();
    for id in [NodeId(2), NodeId(3)] {
        let admitted = first.admit(introduction(id), secret).await.expect("the token is good");
        assert_eq!(admitted.node, id);
        others.push(start(id, &calls).await.0);
    }
    let all = [&first, &others[0], &others[1]];
    until("three replicas of each group, and nothing under way", async || {
        let calm = first
            .status()
            .await
            .is_ok_and(|status| status.under_way.is_empty() && status.coordinator == first.id());
        calm && groups().groups().all(|group| is_whole(&all, group))
    })
    .await;
    let is_its = |group: &GroupId| led(&first, &[*group], |leader| leader == first.id());
    let its: Vec<GroupId> = groups().groups().filter(is_its).collect();
    assert!(its.len() >= 3, "it leads {its:?}");

    let began = Instant::now();
    hang.set(true);
    // Nobody misses a disk that nothing is written to.
    let asks = first.clone();
    let written =
        tokio::spawn(async move { asks.add_token("", [8; 32], PATIENCE, 1).await.is_ok() });
    until("other leaders", async || led(&others[0], &its, |leader| leader != first.id())).await;
    until("another coordinator", async || {
        others[0].status().await.is_ok_and(|status| status.coordinator != first.id())
    })
    .await;
    assert!(began.elapsed() < HANDED_OVER, "{:?}", began.elapsed());

    // The table still says that it should lead them, which it may do once it can.
    hang.set(false);
    until("it to lead again", async || led(&others[0], &its, |leader| leader == first.id())).await;
    let _whether_it_was_done = written.await;
    first.stop().await;
    for node in others {
        node.stop().await;
    }
}
