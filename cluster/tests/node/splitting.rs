//! A store of one group is split while clients write, read, follow and hold leases: nothing that was confirmed is lost,
//! nothing is done twice, and whoever follows sees every change once, whatever crashes at any stage.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{join, join_all};
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::NodeId;
use tidekeep_log::{Answer, Call, Commit, Numbered, Reply, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{
    Get, Increment, LeaseGrant, LeaseKeepAlive, Order, Projection, Put, Request, Scan,
};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, simulate};
use crate::serving::{Served, ask, put, value_of};

const GROUPS: u16 = 4;

/// Clients that count, each its own key.
const CLIENTS: usize = 8;

/// How long a client waits for an answer before it asks another node.
const PATIENCE: Duration = Duration::from_secs(4);

fn groups() -> GroupCount {
    GroupCount::new(GROUPS).expect("so many there can be")
}

fn key(number: usize) -> String {
    format!("key/{number:03}")
}

async fn sleep(ms: u64) {
    SimRuntime::sleep(Duration::from_millis(ms)).await;
}

/// Waits until the status shows the new groups, all led, and every node serves them.
async fn until_split(cluster: &Cluster) {
    cluster
        .until("the store is split", |status| {
            status.groups.len() == usize::from(GROUPS)
                && status.groups.iter().all(|group| group.leader.is_some())
        })
        .await;
    cluster
        .eventually("all nodes serve the new groups", || async {
            let stores: Vec<_> = cluster.machines().iter().filter_map(|it| it.store()).collect();
            stores.iter().all(|store| store.feeds().len() == usize::from(GROUPS)).then_some(())
        })
        .await;
}

async fn split(cluster: &Cluster) {
    cluster
        .eventually("somebody decides", || async { cluster.any().split(groups()).await.ok() })
        .await;
}

async fn read(store: &Served, key: &str) -> Option<String> {
    let got = ask(store, Request::Get(Get { key: key.as_bytes() })).await;
    value_of(&got).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// A client that increments its own key again and again under numbers, and asks any node until it is answered: what
/// it is answered is how often it has done so.
struct Counting {
    key: String,
    session: SessionId,
    sequence: u64,
}

impl Counting {
    fn new(number: usize) -> Self {
        let session = SessionId([number as u8 + 1; 16]);
        Self { key: format!("count/{number}"), session, sequence: 0 }
    }

    /// One increment more.
    async fn step(&mut self, cluster: &Cluster, at: u64) {
        self.sequence += 1;
        let mut retry = false;
        for turn in 0.. {
            assert!(turn < 500, "{}: {} is not answered", self.key, self.sequence);
            let nodes = cluster.machines();
            let place = ((at + turn) % nodes.len() as u64) as usize;
            let Some(store) = nodes[place].store() else {
                sleep(20).await;
                continue;
            };
            let number = Number { sequence: self.sequence, oldest: self.sequence };
            let number = Some(Numbered { session: self.session, number, retry });
            let (key, expiry) = (self.key.as_bytes(), Expiry::Keep);
            let request = Request::Increment(Increment { key, by: 1, expiry });
            let call = Call { number, ..Call::new(request) };
            let asked = SimRuntime::timeout(PATIENCE, collect(&*store, &[call]));
            if let Ok(Ok(answers)) = asked.await
                && let Some(Ok(reply)) = answers.into_iter().next()
            {
                let mut body = Vec::new();
                reply.encode(&mut body);
                let seen = read_now(&store, &self.key).await;
                if let Some(seen) = seen {
                    assert_eq!(seen, self.sequence.to_string(), "{}", self.key);
                }
                return;
            }
            retry = true;
            sleep(50).await;
        }
    }
}

/// What a key has now; none if nobody can tell.
async fn read_now(store: &Served, key: &str) -> Option<String> {
    let calls = [Call::new(Request::Get(Get { key: key.as_bytes() }))];
    let asked = SimRuntime::timeout(PATIENCE, collect(store, &calls)).await;
    let answers: Vec<Answer> = asked.ok()?.ok()?;
    match answers.into_iter().next()? {
        Ok(reply) => value_of(&reply).map(|value| String::from_utf8_lossy(value).into_owned()),
        Err(_) => None,
    }
}

/// All keys of a prefix, with their values.
async fn all(store: &Served, prefix: &str) -> BTreeMap<String, String> {
    let range = KeyRange::prefix(prefix.as_bytes());
    let (order, projection) = (Order::Ascending, Projection::Full);
    let scan = Scan { range: range.as_range(), limit: 0, bytes: 0, order, projection };
    let Reply::Scan(page) = ask(store, Request::Scan(scan)).await else { panic!("a page") };
    assert!(!page.more);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    page.entries.iter().map(|it| (text(it.key()), text(it.value()))).collect()
}

#[test]
fn a_store_of_one_group_becomes_several_with_all_that_it_had() {
    for nodes in [1, 3, 5] {
        simulate(101 + nodes, async {
            let cluster = Cluster::serving(nodes, 1).await;
            let store = cluster.store(NodeId(1));
            for number in 0..60 {
                ask(&store, put(key(number).as_bytes(), b"before")).await;
            }
            let grant = Request::LeaseGrant(LeaseGrant { ttl_ms: 60_000 });
            let Reply::Lease(lease) = ask(&store, grant).await else { panic!("a lease") };
            let (condition, expiry) = (Condition::Always, Expiry::Lease(lease.lease));
            let leased = Put { key: b"leased", value: b"x", condition, expiry, previous: false };
            ask(&store, Request::Put(leased)).await;
            let revision = store.feeds()[0].revision();
            split(&cluster).await;
            until_split(&cluster).await;
            for id in 1..=nodes {
                let store = cluster.store(NodeId(id));
                let values = all(&store, "key/").await;
                assert_eq!(values.len(), 60, "at {id} of {nodes}");
                for number in 0..60 {
                    assert_eq!(read(&store, &key(number)).await.as_deref(), Some("before"));
                }
            }
            // What follows is behind what was, and no lease has the number of another.
            let Reply::Put(done) = ask(&store, put(key(7).as_bytes(), b"after")).await else {
                panic!("a put");
            };
            assert!(done.revision > revision);
            let keep = Request::LeaseKeepAlive(LeaseKeepAlive { lease: lease.lease });
            assert!(matches!(ask(&store, keep).await, Reply::Lease(_) | Reply::Encoded(_)));
            let mut leases = BTreeSet::from([lease.lease]);
            for _ in 0..20 {
                let grant = Request::LeaseGrant(LeaseGrant { ttl_ms: 60_000 });
                let Reply::Lease(lease) = ask(&store, grant).await else { panic!("a lease") };
                assert!(leases.insert(lease.lease), "{} was granted before", lease.lease);
            }
            // The old group goes, and all that is left comes up again from the disks.
            cluster
                .eventually("the old group is forgotten", || async {
                    let nodes = cluster.machines();
                    let left = nodes.iter().filter_map(|it| it.node());
                    let holds = |node: &tidekeep_cluster::node::Node<SimRuntime>| {
                        node.journal().groups().contains(&0)
                    };
                    (!left.into_iter().any(|node| holds(&node))).then_some(())
                })
                .await;
            for machine in cluster.machines() {
                machine.snapshot();
                machine.crash().await;
            }
            for machine in cluster.machines() {
                machine.start().await;
            }
            until_split(&cluster).await;
            let values = all(&cluster.store(NodeId(1)), "key/").await;
            assert_eq!(values.len(), 60);
            assert_eq!(values[&key(7)], "after");
            for machine in cluster.machines() {
                let node = machine.node().expect("it runs");
                for group in groups().groups() {
                    let Some(member) = node.member(group) else { continue };
                    let Ok(keys) = keys_of(member.replica()) else { panic!("it can be read") };
                    let foreign = |key: &Vec<u8>| groups().group_of(slot_of(key)) != group;
                    assert!(!keys.iter().any(foreign), "{group} has keys of others");
                }
            }
        });
    }
}

fn keys_of(replica: &tidekeep_log::Replica) -> Result<Vec<Vec<u8>>, ()> {
    let range = KeyRange::all();
    let (order, projection) = (Order::Ascending, Projection::Full);
    let scan = Scan { range: range.as_range(), limit: 0, bytes: 0, order, projection };
    let mut answers: Vec<Answer> = Vec::new();
    replica.read(&[Call::new(Request::Scan(scan))], &mut answers);
    match answers.pop() {
        Some(Ok(Reply::Scan(page))) => {
            Ok(page.entries.iter().map(|entry| entry.key().to_vec()).collect())
        }
        _ => Err(()),
    }
}

/// Counts at all nodes while it is split, and whatever `breaks` does goes on.
fn counts_go_on(seed: u64, breaks: impl AsyncFn(&Cluster)) {
    simulate(seed, async {
        let cluster = Cluster::serving(3, 1).await;
        let stop = Cell::new(false);
        let done: Vec<Cell<u64>> = vec![Cell::new(0); CLIENTS];
        let counting = done.iter().enumerate().map(|(number, done)| {
            let (cluster, stop) = (&cluster, &stop);
            async move {
                let mut client = Counting::new(number);
                while !stop.get() {
                    client.step(cluster, number as u64).await;
                    done.set(client.sequence);
                    sleep(3).await;
                }
                client
            }
        });
        let breaking = async {
            sleep(300).await;
            split(&cluster).await;
            breaks(&cluster).await;
            for machine in cluster.machines() {
                if machine.node().is_none() {
                    machine.start().await;
                }
            }
            until_split(&cluster).await;
            let goals: Vec<u64> = done.iter().map(|done| done.get() + 20).collect();
            cluster
                .eventually("all clients go on", || async {
                    done.iter().zip(&goals).all(|(done, goal)| done.get() >= *goal).then_some(())
                })
                .await;
            stop.set(true);
        };
        let (clients, ()) = join(join_all(counting), breaking).await;
        for machine in cluster.machines() {
            machine.crash().await;
        }
        for machine in cluster.machines() {
            machine.start().await;
        }
        until_split(&cluster).await;
        for client in clients {
            for id in 1..=3 {
                let seen = read(&cluster.store(NodeId(id)), &client.key).await;
                assert_eq!(seen, Some(client.sequence.to_string()), "{}", client.key);
            }
        }
    });
}

#[test]
fn clients_go_on_over_a_split_and_nothing_is_done_twice() {
    for seed in 0..3 {
        counts_go_on(200 + seed, async move |cluster: &Cluster| {
            let began = SimInstant::now();
            until_split(cluster).await;
            let took = SimInstant::now() - began;
            assert!(took < Duration::from_secs(5), "{took:?}");
        });
    }
}

#[test]
fn a_node_that_dies_at_any_stage_of_a_split_loses_nothing() {
    for seed in 0..6 {
        counts_go_on(300 + seed, async move |cluster: &Cluster| {
            sleep(40 * seed).await;
            let victim = cluster.machine(NodeId(1 + seed % 3));
            victim.crash().await;
            sleep(700).await;
            victim.start().await;
            until_split(cluster).await;
        });
    }
}

#[test]
fn all_nodes_die_at_any_stage_of_a_split_and_nothing_is_lost() {
    for seed in 0..6 {
        counts_go_on(400 + seed, async move |cluster: &Cluster| {
            sleep(30 * seed).await;
            if seed % 2 == 0 {
                cluster.machine(NodeId(1 + seed % 3)).snapshot();
            }
            for machine in cluster.machines() {
                machine.crash().await;
            }
            sleep(100).await;
            for machine in cluster.machines() {
                machine.start().await;
            }
        });
    }
}

#[test]
fn a_node_that_was_away_over_a_split_is_given_its_part() {
    counts_go_on(500, async |cluster: &Cluster| {
        let late = cluster.machine(NodeId(3));
        late.crash().await;
        cluster
            .eventually("the others have split", || async {
                let status = cluster.status().await;
                (status.groups.len() == usize::from(GROUPS)).then_some(())
            })
            .await;
        sleep(2_000).await;
        late.start().await;
    });
}

#[test]
fn a_split_is_refused_where_it_cannot_be() {
    simulate(601, async {
        let cluster = Cluster::serving(3, 4).await;
        let refused = cluster.any().split(GroupCount::new(8).expect("so many")).await;
        let why = refused.expect_err("there are four groups").to_string();
        assert!(why.contains("only a store of one group can be split"), "{why}");
        let refused = cluster.any().split(GroupCount::new(2).expect("so many")).await;
        let why = refused.expect_err("it has more").to_string();
        assert!(why.contains("has 4 groups already"), "{why}");
    });
    simulate(602, async {
        let cluster = Cluster::serving(3, 1).await;
        cluster.machine(NodeId(3)).crash().await;
        cluster
            .until("it is seen to be down", |status| status.nodes.iter().any(|node| !node.up))
            .await;
        let refused = cluster.any().split(groups()).await;
        let why = refused.expect_err("a node is down").to_string();
        assert!(why.contains("node 3 does not answer"), "{why}");
        cluster.machine(NodeId(3)).start().await;
        split(&cluster).await;
        until_split(&cluster).await;
        cluster.any().split(groups()).await.expect("it is done");
        let refused = cluster.any().split(GroupCount::new(8).expect("so many")).await;
        let why = refused.expect_err("it was split before").to_string();
        assert!(why.contains("only a store of one group"), "{why}");
        assert!(cluster.any().member(GroupId(3)).is_some());
    });
}

#[test]
fn who_follows_sees_every_change_of_its_keys_once() {
    simulate(701, async {
        let cluster = Cluster::serving(3, 1).await;
        let store = cluster.store(NodeId(2));
        let before = store.feeds()[0].revision();
        let keys: Vec<String> = (0..20).map(key).collect();
        for round in 0..5 {
            for key in &keys {
                ask(&store, put(key.as_bytes(), round.to_string().as_bytes())).await;
            }
        }
        // A replica here remembers few changes.
        let middle = before + 80;
        split(&cluster).await;
        until_split(&cluster).await;
        for key in &keys {
            ask(&store, put(key.as_bytes(), b"5")).await;
        }
        // From where somebody was in the middle of the changes before the split: each new feed goes on there.
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut revisions = 0;
        for feed in store.feeds() {
            let mut after = middle;
            loop {
                let found = feed.changes(after, 1 << 20).expect("it is remembered");
                if found.changes.is_empty() {
                    break;
                }
                for change in found.changes {
                    assert_eq!(change.revision, after + 1, "there is no hole");
                    after = change.revision;
                    for event in change.events.iter() {
                        revisions += 1;
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        let entry = text(event.entry.value());
                        seen.entry(text(event.key())).or_default().push(entry);
                    }
                }
            }
        }
        assert_eq!(revisions, 20 + keys.len(), "none is missing, and none comes twice");
        for key in &keys {
            assert_eq!(seen[key], ["4", "5"], "{key}");
        }
    });
}
