//! Whoever follows a store's changes may do so at any node, whichever groups that has a replica of: nothing is
//! left out and nothing comes twice, while nodes die and come back, replicas move, and followers pass on
//! to other nodes with their positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::NodeId;
use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::{Change, Commit, EventKind, Feed, TooOld, View};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::cluster::{Cluster, simulate};
use crate::serving::{Served, put, run};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

const GROUPS: u16 = 4;

/// A follower that hears nothing for so long looks whether its node is still there.
const LOOK: Duration = Duration::from_millis(500);

fn content_of(view: &View) -> Content {
    let page = view.page(None, usize::MAX, usize::MAX);
    page.iter().map(|entry| (entry.key().to_vec(), entry.value().to_vec())).collect()
}

/// One that follows a group.
struct Follower {
    group: usize,
    /// The node that it asks, and what serves it there.
    node: u64,
    store: Option<Arc<Served>>,
    at: Option<u64>,
    content: Content,
    changes: u64,
    passed_on: u64,
    began: u64,
}

impl Follower {
    fn new(group: usize, node: u64) -> Self {
        let (at, content) = (None, Content::new());
        Self { group, node, store: None, at, content, changes: 0, passed_on: 0, began: 0 }
    }

    /// Goes to another node, with its position.
    fn pass_on(&mut self) {
        self.node = self.node % 5 + 1;
        self.store = None;
        self.passed_on += 1;
    }

    /// Follows for a while.
    async fn follow(&mut self, cluster: &Cluster) {
        let machine = cluster.machine(NodeId(self.node));
        let Some(store) = machine.store() else { return self.pass_on() };
        let is_same = self.store.as_ref().is_some_and(|known| Arc::ptr_eq(known, &store));
        let feed: &dyn Feed = &*store.feeds()[self.group];
        self.store = Some(Arc::clone(&store));
        let Some(at) = self.at else {
            match SimRuntime::timeout(LOOK * 40, feed.view(&KeyRange::all())).await {
                Ok(Ok(view)) => {
                    self.content = content_of(&view);
                    self.at = Some(view.revision());
                    self.began += 1;
                }
                _ => self.pass_on(),
            }
            return;
        };
        if !is_same && !matches!(SimRuntime::timeout(LOOK * 40, feed.reach(at)).await, Ok(Ok(()))) {
            return self.pass_on();
        }
        if let Ok(Err(_)) = SimRuntime::timeout(LOOK, feed.changed(at)).await {
            return self.pass_on();
        }
        match feed.changes(at, 2_000) {
            Ok(found) => found.changes.iter().for_each(|change| self.take(change)),
            Err(_) => self.at = None,
        }
    }

    fn take(&mut self, change: &Change) {
        let at = self.at.as_mut().expect("it has begun");
        assert_eq!(change.revision, *at + 1, "group {}: no gap and no repeat", self.group);
        *at = change.revision;
        self.changes += 1;
        for event in &change.events {
            let key = event.key().to_vec();
            match event.kind {
                EventKind::Put | EventKind::Touch => {
                    self.content.insert(key, event.entry.value().to_vec());
                }
                EventKind::Delete | EventKind::Expire | EventKind::Evict => {
                    self.content.remove(&key);
                }
            }
        }
    }
}

/// Writes to all groups through all nodes.
async fn write(cluster: &Cluster, random: &mut impl FnMut() -> u64, times: usize) {
    for _ in 0..times {
        let key = format!("key/{:03}", random() % 100).into_bytes();
        let value = random().to_be_bytes();
        let node = NodeId(random() % 5 + 1);
        if let Some(store) = cluster.machine(node).store() {
            // Whether it went through does not matter: the group's order says it.
            let put = [put(&key, &value)];
            if SimRuntime::timeout(LOOK * 2, run(&store, &put)).await.is_err() {
                continue;
            }
        }
        SimRuntime::sleep(Duration::from_millis(random() % 30)).await;
    }
}

/// What the cluster goes through.
async fn goes_through(cluster: &Cluster, seed: u64) -> Vec<u64> {
    let mut random = seeded(seed);
    write(cluster, &mut random, 100).await;
    for _ in 0..2 {
        let away = cluster.machine(NodeId(random() % 5 + 1));
        away.crash().await;
        write(cluster, &mut random, 150).await;
        away.start().await;
        write(cluster, &mut random, 50).await;
    }
    cluster.rest().await;
    let drained = NodeId(random() % 5 + 1);
    cluster.any().drain(drained).await.expect("four others are left");
    write(cluster, &mut random, 150).await;
    cluster.rest().await;
    cluster.keep(drained).await;
    write(cluster, &mut random, 50).await;
    cluster.rest().await;
    let store = cluster.store(NodeId(1));
    let mut newest = Vec::new();
    for feed in store.feeds() {
        newest.push(feed.view(&KeyRange::all()).await.expect("somebody leads").revision());
    }
    newest
}

#[test]
fn followers_at_every_node_miss_nothing_whatever_befalls_the_nodes() {
    for seed in 1..=2 {
        simulate(600 + seed, async {
            let cluster = Cluster::serving(5, GROUPS).await;
            let end: Mutex<Option<Vec<u64>>> = Mutex::new(None);
            let places =
                (0..usize::from(GROUPS)).flat_map(|group| (1..=5).map(move |n| (group, n)));
            let followers = places.map(|(group, node)| {
                let (cluster, end) = (&cluster, &end);
                async move {
                    let mut follower = Follower::new(group, node);
                    let mut steps = 0;
                    loop {
                        follower.follow(cluster).await;
                        let end = end.lock().as_ref().map(|end| end[group]);
                        if end.is_some() && end == follower.at {
                            return follower;
                        }
                        steps += 1;
                        // Now and then one goes elsewhere for no reason.
                        if steps % (40 + node) == 0 {
                            follower.pass_on();
                        }
                    }
                }
            });
            let scenario = async {
                let newest = goes_through(&cluster, seed).await;
                *end.lock() = Some(newest);
            };
            let (followers, ()) = join(join_all(followers), scenario).await;
            for group in 0..usize::from(GROUPS) {
                let feed = Arc::clone(&cluster.store(NodeId(2)).feeds()[group]);
                let truth = content_of(&feed.view(&KeyRange::all()).await.expect("it is led"));
                assert!(!truth.is_empty());
                for follower in followers.iter().filter(|it| it.group == group) {
                    assert_eq!(follower.content, truth, "seed {seed}, group {group}");
                }
            }
            let sum = |of: fn(&Follower) -> u64| followers.iter().map(of).sum::<u64>();
            let (changes, passed_on, began) =
                (sum(|it| it.changes), sum(|it| it.passed_on), sum(|it| it.began));
            assert!(changes > 1_500 && passed_on > 50, "{changes} changes, {passed_on} passed on");
            assert!(began < 3 * 20, "followers began anew {began} times");
        });
    }
}

#[test]
fn a_cut_of_a_group_elsewhere_comes_in_pages_and_what_follows_comes_behind_it() {
    simulate(620, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        let groups = GroupCount::new(GROUPS).expect("so many").groups();
        let away: Vec<(GroupId, Arc<Served>)> = groups
            .flat_map(|group| (1..=5).map(move |node| (group, NodeId(node))))
            .map(|(group, node)| (group, cluster.store(node)))
            .filter(|(group, store)| store.node().member(*group).is_none())
            .collect();
        assert_eq!(away.len(), 8, "each group is missing at two nodes");
        let (group, store) = &away[0];
        let feed = Arc::clone(&store.feeds()[usize::from(group.0)]);
        assert!(!feed.is_at_hand());
        for number in 0..300 {
            let key = format!("key/{number:03}").into_bytes();
            run(store, &[put(&key, &[7; 10_000])]).await;
        }
        let view = feed.view(&KeyRange::all()).await.expect("somebody answers");
        let held = content_of(&view);
        assert!(held.len() > 30, "{} keys, 10 kB each: several pages", held.len());
        let first = held.keys().nth(3).expect("it is there");
        run(store, &[put(first, b"changed")]).await;
        feed.changed(view.revision()).await.expect("somebody answers");
        let found = feed.changes(view.revision(), usize::MAX).expect("it is remembered");
        let events: Vec<_> = found.changes.iter().flat_map(|change| &change.events).collect();
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!((event.key(), event.entry.value()), (&first[..], &b"changed"[..]));
        assert_eq!(content_of(&view), held, "the cut stays as it was");
        // What is older than all that a node has followed yet is fetched when it is asked for.
        for number in 0..10_u8 {
            run(store, &[put(first, &[number])]).await;
        }
        let (_, other) = away.iter().rfind(|(its, _)| its == group).expect("another such node");
        let feed = Arc::clone(&other.feeds()[usize::from(group.0)]);
        let newest = feed.view(&KeyRange::all()).await.expect("somebody answers").revision();
        assert!(feed.changes(newest - 5, usize::MAX).is_err(), "it follows from here on");
        feed.reach(newest - 5).await.expect("somebody answers");
        let found = feed.changes(newest - 5, usize::MAX).expect("it is remembered");
        let revisions: Vec<u64> = found.changes.iter().map(|change| change.revision).collect();
        assert_eq!(revisions, (newest - 4..=newest).collect::<Vec<_>>());
    });
}

/// All changes of a group that can be had at a node: its revision, and theirs.
async fn remembered(store: &Served, group: usize) -> (u64, Vec<u64>) {
    let feed = &store.feeds()[group];
    feed.reach(0).await.expect("somebody has a replica");
    let newest = feed.view(&KeyRange::all()).await.expect("somebody leads").revision();
    let mut at = match feed.changes(0, 1) {
        Err(TooOld { oldest }) => oldest,
        Ok(_) => 0,
    };
    let mut revisions = Vec::new();
    while at < newest {
        let found = feed.changes(at, 1_000).expect("nobody writes, so nothing is forgotten");
        let more = found.changes.iter().map(|change| change.revision);
        revisions.extend(more);
        at = found.through;
    }
    (newest, revisions)
}

#[test]
fn what_a_group_remembers_is_told_at_nodes_without_a_replica_too() {
    simulate(640, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        write(&cluster, &mut seeded(640), 400).await;
        cluster.rest().await;
        for group in 0..usize::from(GROUPS) {
            for node in 1..=5 {
                let (newest, told) = remembered(&cluster.store(NodeId(node)), group).await;
                assert!(told.len() > 5, "group {group} at node {node}: {} changes", told.len());
                assert!((told.len() as u64) < newest, "group {group}: some are forgotten");
                let last: Vec<u64> = (newest - told.len() as u64 + 1..=newest).collect();
                assert_eq!(
                    told, last,
                    "group {group} at node {node}: the last ones, none left out"
                );
            }
        }
    });
}
