//! A store that ran alone becomes a cluster of several groups with all it had; whenever that is cut off, it is the
//! store that it was or the cluster that it becomes.

use std::sync::Arc;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::{NodeId, PeerAddress};
use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::faulty::{Crash, FaultyDisk, seeded};
use tidekeep_log::{Call, Commit, Numbered, Reply, Solo, SoloOptions, Upkeep, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{
    Get, Increment, LeaseGrant, Leases, Order, Projection, Put, Request, Scan, Txn, TxnOp,
};
use tidekeep_protocol::range::Range;
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_protocol::slot::GroupCount;

use crate::cluster::{Cluster, simulate};
use crate::machine::SEGMENT_BYTES;
use crate::serving::{Served, ask, put, value_of};
use crate::simulated::disk::open;

const GROUPS: u16 = 4;
const KEYS: usize = 100;
const LEASED: usize = 10;

fn key(number: usize) -> String {
    format!("key/{number:03}")
}

fn number(sequence: u64, retry: bool) -> Option<Numbered> {
    let (session, oldest) = (SessionId([3; 16]), 1);
    Some(Numbered { session, number: Number { sequence, oldest }, retry })
}

fn increment(key: &str) -> Increment<'_> {
    Increment { key: key.as_bytes(), by: 1, expiry: Expiry::Keep }
}

/// Increments of keys of several groups, in one transaction.
fn txn(keys: &[String]) -> Request<'_> {
    let then = keys.iter().map(|key| TxnOp::Increment(increment(key))).collect();
    Request::Txn(Txn { then, ..Txn::default() })
}

/// What a store alone has left on its disk.
struct Left {
    disk: FaultyDisk,
    revision: u64,
    lease: u64,
    keys: Vec<String>,
}

fn solo(disk: &FaultyDisk) -> Solo {
    let options = SoloOptions::new(Arc::new(disk.clone()), Arc::new(SystemClock), seeded(2));
    let options = SoloOptions { upkeep: Upkeep::Steps, segment_bytes: SEGMENT_BYTES, ..options };
    Solo::open(options).expect("a good disk")
}

fn run(solo: &Solo, call: Call<'_>) -> Reply {
    let pending = collect(solo, &[call]);
    while solo.step() {}
    let answers = pending.into_ready().unwrap_or_else(|it| SimRuntime::with_seed(0).block_on(it));
    answers.expect("it is safe").pop().expect("an answer").expect("nothing is refused")
}

/// A disk on which a store ran alone: with a snapshot, or with its log alone.
fn ran_alone(snapshot: bool) -> Left {
    let disk = FaultyDisk::new(1);
    let solo = solo(&disk);
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    for (number, key) in keys.iter().enumerate() {
        run(&solo, Call::new(Request::Increment(increment(key))));
        if snapshot && number == KEYS / 2 {
            solo.snapshot().expect("there is something new");
        }
    }
    let grant = Request::LeaseGrant(LeaseGrant { ttl_ms: 3_600_000 });
    let Reply::Lease(lease) = run(&solo, Call::new(grant)) else { panic!("a lease") };
    for number in 0..LEASED {
        let key = format!("leased/{number}");
        let (condition, expiry) = (Condition::Always, Expiry::Lease(lease.lease));
        let (key, value) = (key.as_bytes(), &b"here"[..]);
        let put = Put { key, value, condition, expiry, previous: false };
        run(&solo, Call::new(Request::Put(put)));
    }
    let once =
        Call { number: number(1, false), ..Call::new(Request::Increment(increment(&keys[0]))) };
    run(&solo, once);
    let all = Call { number: number(2, false), ..Call::new(txn(&keys)) };
    let Reply::Txn(done) = run(&solo, all) else { panic!("a transaction") };
    solo.close().expect("the disk works");
    drop(solo);
    Left { disk, revision: done.revision, lease: lease.lease, keys }
}

/// All that was there is there, and what was answered is answered so again.
async fn check(store: &Served, left: &Left) {
    let (order, projection) = (Order::Ascending, Projection::Full);
    let range = Range { start: b"key/", end: Some(b"leased0") };
    let scan = Scan { range, limit: 0, bytes: 0, order, projection };
    let Reply::Scan(page) = ask(store, Request::Scan(scan)).await else { panic!("a page") };
    let values: Vec<_> = page.entries.iter().map(|it| (it.key(), it.value())).collect();
    assert_eq!(values.len(), KEYS + LEASED, "{values:?}");
    for (at, (found, value)) in values.iter().take(KEYS).enumerate() {
        let expected = if at == 0 { b"3" } else { b"2" };
        assert_eq!((*found, *value), (left.keys[at].as_bytes(), &expected[..]));
    }
    assert!(page.entries.iter().all(|entry| entry.modified() <= left.revision));
    let leases = Request::Leases(Leases { after: 0, limit: 0 });
    let Reply::Leases(leases) = ask(store, leases).await else { panic!("leases") };
    let told: Vec<_> = leases.leases.iter().map(|it| (it.lease, it.keys)).collect();
    assert_eq!(told, [(left.lease, LEASED as u64)]);

    let again = |sequence, request| Call { number: number(sequence, true), ..Call::new(request) };
    let once = again(1, Request::Increment(increment(&left.keys[0])));
    let all = again(2, txn(&left.keys));
    let mut answers = collect(store, &[once, all]).await.expect("no disk fails").into_iter();
    let mut body = Vec::new();
    answers.next().expect("an answer").expect("it is remembered").encode(&mut body);
    assert_eq!(body.last(), Some(&4), "the value 2, as it is written on the wire");
    match answers.next() {
        Some(Ok(Reply::Txn(done))) => {
            assert_eq!((done.revision, done.results.len()), (left.revision, KEYS));
        }
        other => panic!("{other:?}"),
    }
    let got = ask(store, Request::Get(Get { key: left.keys[1].as_bytes() })).await;
    assert_eq!(value_of(&got), Some(&b"2"[..]));
}

#[test]
fn a_store_that_ran_alone_becomes_several_groups_with_all_that_it_had() {
    for snapshot in [false, true] {
        let left = ran_alone(snapshot);
        simulate(91, async {
            let cluster = Cluster::founded_on(left.disk.clone(), GROUPS).await;
            let first = cluster.machine(NodeId(1));
            let groups = GroupCount::new(GROUPS).expect("so many");
            first.serve(groups);
            check(&cluster.store(NodeId(1)), &left).await;
            for group in groups.groups() {
                assert!(cluster.keys(group) > 10, "{group} has hardly any");
            }
            first.crash().await;
            first.start().await;
            check(&cluster.store(NodeId(1)), &left).await;
            // Also from a snapshot of the groups, and by nodes that never had the log.
            first.snapshot();
            first.crash().await;
            first.start().await;
            for _ in 0..2 {
                cluster.join().await;
            }
            cluster
                .until("all have joined", |status| {
                    status.groups.iter().all(|group| group.replicas.len() == 3)
                })
                .await;
            let was_sent = |id| cluster.wire.was_sent_a_state(NodeId(id));
            assert!(was_sent(2) && was_sent(3), "no entries lead to what the store had alone");
            cluster.machines().iter().for_each(|machine| machine.serve(groups));
            for id in 1..=3 {
                check(&cluster.store(NodeId(id)), &left).await;
            }
            let store = cluster.store(NodeId(2));
            for number in 0..20 {
                let key = format!("new/{number}");
                let Reply::Put(put) = ask(&store, put(key.as_bytes(), b"value")).await else {
                    panic!("a put");
                };
                assert!(put.revision > left.revision, "revisions never go back");
            }
        });
    }
}

#[test]
fn wherever_it_is_cut_off_it_is_the_store_that_it_was_or_the_groups() {
    let left = ran_alone(true);
    let groups = GroupCount::new(GROUPS).expect("so many");
    let (mut alone, mut divided) = (0, 0);
    for call in 0.. {
        for crash in [Crash::Drop, Crash::Keep, Crash::Tear(512)] {
            let disk = left.disk.crash(Crash::Drop);
            let (opened, _) = open(disk.clone(), SEGMENT_BYTES, 5);
            disk.cut_after(disk.calls() + call);
            opened.adopt(NodeId(1), PeerAddress::default(), groups).expect("there is memory");
            while opened.journal.step() {}
            let is_whole = !disk.is_off();
            drop(opened);
            let disk = disk.crash(crash);
            let (found, _) = open(disk.crash(Crash::Drop), SEGMENT_BYTES, 6);
            if found.is_alone() {
                assert_eq!(found.groups(), [0]);
                drop(found);
                let solo = solo(&disk);
                assert_eq!(solo.keys().into_ready().ok(), Some(Ok((KEYS + LEASED) as u64)));
                alone += 1;
            } else {
                assert_eq!(found.groups(), [0, 1, 2, 3]);
                drop(found);
                simulate(92, async {
                    let cluster = Cluster::founded_on(disk, GROUPS).await;
                    cluster.machine(NodeId(1)).serve(groups);
                    check(&cluster.store(NodeId(1)), &left).await;
                });
                divided += 1;
            }
            if is_whole {
                assert!(alone > 0 && divided > 0, "{alone} and {divided}");
                return;
            }
        }
    }
}
