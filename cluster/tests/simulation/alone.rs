//! A store that ran alone becomes a cluster's first member: with all it had, to which the nodes that join
//! come as to any other state.

use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::{NodeId, PeerAddress};
use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::faulty::{Crash, FaultyDisk, seeded};
use tidekeep_log::{Answer, Call, Commit, Numbered, Reply, Solo, SoloOptions, Upkeep, collect};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Get, Increment, Request};
use tidekeep_protocol::session::{Number, SessionId};

use crate::node::Node;
use crate::run::settle;
use crate::simulated::wire::Wire;

const KEYS: u8 = 100;
const SESSION: SessionId = SessionId([3; 16]);

/// The number of the last increment of a store that ran alone.
const LAST: Numbered =
    Numbered { session: SESSION, number: Number { sequence: 1, oldest: 1 }, retry: false };

fn increment(key: &[u8; 1], number: Option<Numbered>) -> Call<'_> {
    let request = Request::Increment(Increment { key, by: 1, expiry: Expiry::Keep });
    Call { number, ..Call::new(request) }
}

fn values(answers: Vec<Answer>) -> Vec<i64> {
    let value = |answer: Answer| match answer {
        Ok(Reply::Increment(reply)) => reply.value,
        Ok(Reply::Get(got)) => {
            let entry = got.entry.expect("the key is there");
            std::str::from_utf8(entry.value()).expect("it is text").parse().expect("a number")
        }
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(value).collect()
}

/// A disk on which a store ran alone: with a snapshot, or with its log alone.
fn ran_alone(snapshot: bool) -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let options = SoloOptions::new(Arc::new(disk.clone()), Arc::new(SystemClock), seeded(2));
    let options = SoloOptions { upkeep: Upkeep::Steps, segment_bytes: 32 << 10, ..options };
    let solo = Solo::open(options).expect("an empty disk");
    let run = |calls: &[Call<'_>]| {
        let pending = collect(&solo, calls);
        while solo.step() {}
        pending.into_ready().unwrap_or_else(block_on).expect("it is safe")
    };
    for key in 0..KEYS {
        run(&[increment(&[key], None)]);
        if snapshot && key == KEYS / 2 {
            solo.snapshot().expect("there is something new");
        }
    }
    assert_eq!(values(run(&[increment(&[0], Some(LAST))])), [2]);
    solo.close().expect("the disk works");
    drop(solo);
    disk
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    SimRuntime::with_seed(0).block_on(future)
}

async fn gets(node: &Node) -> Vec<i64> {
    let keys: Vec<[u8; 1]> = (0..KEYS).map(|key| [key]).collect();
    let get = |key| Call::new(Request::Get(Get { key }));
    let calls: Vec<_> = keys.iter().map(|key| get(&key[..])).collect();
    let store = node.store().expect("it runs");
    values(collect(&*store, &calls).await.expect("it is there"))
}

#[test]
fn a_store_that_ran_alone_is_the_state_of_all_who_join() {
    for snapshot in [false, true] {
        let disk = ran_alone(snapshot);
        SimRuntime::with_seed(3).block_on(async {
            let wire = Wire::new(5);
            let first = Node::on(disk, NodeId(1), 7, 0, wire.clone());
            first.start().await;
            let mut expected = vec![1; usize::from(KEYS)];
            expected[0] = 2;
            assert_eq!(gets(&first).await, expected);
            // It remembers what it answered.
            let again = [increment(&[0], Some(Numbered { retry: true, ..LAST }))];
            let store = first.store().expect("it runs");
            assert_eq!(values(collect(&*store, &again).await.expect("it is there")), [2]);
            assert_eq!(
                values(collect(&*store, &[increment(&[1], None)]).await.expect("it is")),
                [2]
            );
            expected[1] = 2;
            drop(store);

            first.crash(Crash::Drop).await;
            first.start().await;
            assert_eq!(gets(&first).await, expected);

            let second = Node::new(NodeId(2), 8, 0, wire.clone());
            second.start().await;
            let member = first.member().expect("it runs");
            member.add_learner(second.id, PeerAddress::default()).await.expect("it leads");
            while member.promote(second.id).await.is_err() {
                // Until it has the state.
                SimRuntime::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(gets(&second).await, expected);
            settle(&[Arc::clone(&first), Arc::clone(&second)]).await;
            for node in [first, second] {
                node.crash(Crash::Drop).await;
            }
        });
    }
}
