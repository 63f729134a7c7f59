//! What has an end keeps it over fail-over: neither cut nor renewed, whoever leads by then.

use std::time::Duration;

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_log::disk::faulty::Crash;
use tidekeep_log::{Call, Reply, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, LeaseGrant, Put, Request};

use crate::node::Node;
use crate::run::found;
use crate::simulated::wire::Wire;

const TTL: Duration = Duration::from_secs(10);

fn call(request: Request<'_>) -> Call<'_> {
    Call::new(request)
}

async fn is_there(node: &Node, key: &str) -> bool {
    let store = node.store().expect("it runs");
    let get = call(Request::Get(Get { key: key.as_bytes() }));
    match &collect(&*store, &[get]).await.expect("the store is there")[..] {
        [Ok(Reply::Get(got))] => got.entry.is_some(),
        other => panic!("{other:?}"),
    }
}

/// Waits until a key is gone; when that was.
async fn gone(node: &Node, key: &str) -> SimInstant {
    let limit = SimInstant::now() + TTL * 3;
    while is_there(node, key).await {
        assert!(SimInstant::now() < limit, "{key} does not end");
        SimRuntime::sleep(Duration::from_millis(20)).await;
    }
    SimInstant::now()
}

#[test]
fn an_end_is_neither_cut_nor_renewed_by_a_fail_over() {
    for seed in 0..20 {
        SimRuntime::with_seed(seed).block_on(async {
            let wire = Wire::new(seed);
            // Their clocks are up to five seconds off.
            let nodes = found(3, &wire, &mut fastrand::Rng::with_seed(seed)).await;
            let first = nodes[0].store().expect("it runs");
            let ttl_ms = TTL.as_millis() as u64;
            let grant = call(Request::LeaseGrant(LeaseGrant { ttl_ms }));
            let began = SimInstant::now();
            let answers = collect(&*first, &[grant]).await.expect("the store is there");
            let [Ok(Reply::Lease(lease))] = &answers[..] else { panic!("{answers:?}") };
            let put = |key, expiry| {
                let (condition, value) = (Condition::Always, &b"v"[..]);
                call(Request::Put(Put { key, value, condition, expiry, previous: false }))
            };
            let puts =
                [put(b"leased", Expiry::Lease(lease.lease)), put(b"timed", Expiry::After(ttl_ms))];
            let answers = collect(&*first, &puts).await.expect("the store is there");
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            drop(first);

            let leads =
                |node: &&std::sync::Arc<Node>| node.member().is_some_and(|it| it.standing().leads);
            let leader = nodes.iter().find(leads).expect("somebody leads").id;
            for node in nodes.iter().filter(|node| node.id == leader) {
                node.crash(Crash::Drop).await;
            }
            let left = nodes.iter().find(|node| node.id != leader).expect("two are left");
            for key in ["leased", "timed"] {
                let lasted = gone(left, key).await - began;
                let slack = TTL / 5;
                assert!(lasted + slack > TTL && lasted < TTL + slack, "{key} lasted {lasted:?}");
            }
            for node in &nodes {
                node.crash(Crash::Drop).await;
            }
        });
    }
}
