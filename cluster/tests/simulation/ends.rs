//! What has an end keeps it over fail-over: neither cut nor renewed, whoever leads by then.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::Replicated;
use tidekeep_log::disk::faulty::Crash;
use tidekeep_log::{Call, Reply, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, LeaseGrant, Put, Request};

use crate::node::Node;
use crate::run::found;
use crate::simulated::wire::Wire;

const TTL: Duration = Duration::from_secs(10);
/// What a look adds to a tenth, and a fail-over where it falls into the end.
const SLACK: Duration = Duration::from_millis(500);

fn call(request: Request<'_>) -> Call<'_> {
    Call::new(request)
}

fn put(key: &str, expiry: Expiry) -> Call<'_> {
    let (key, condition, value) = (key.as_bytes(), Condition::Always, &b"v"[..]);
    call(Request::Put(Put { key, value, condition, expiry, previous: false }))
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
    on_every_cluster(async |store: Arc<Replicated<SimRuntime>>| {
        let ttl_ms = TTL.as_millis() as u64;
        let grant = call(Request::LeaseGrant(LeaseGrant { ttl_ms }));
        let answers = collect(&*store, &[grant]).await.expect("the store is there");
        let [Ok(Reply::Lease(lease))] = &answers[..] else { panic!("{answers:?}") };
        let puts = [put("leased", Expiry::Lease(lease.lease)), put("timed", Expiry::After(ttl_ms))];
        let answers = collect(&*store, &puts).await.expect("the store is there");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        vec!["leased", "timed"]
    });
}

#[test]
fn who_leads_next_goes_on_from_the_time_of_a_record_that_it_has_not_applied() {
    on_every_cluster(async |store: Arc<Replicated<SimRuntime>>| {
        let put = put("timed", Expiry::After(TTL.as_millis() as u64));
        let answers = collect(&*store, &[put]).await.expect("the store is there");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        vec!["timed"]
    });
}

/// Writes keys that live for [`TTL`], has another node lead at once, and sees them end in time: in clusters that
/// were founded just now, and in ones in which nothing told the time for a minute.
fn on_every_cluster(write: impl AsyncFn(Arc<Replicated<SimRuntime>>) -> Vec<&'static str>) {
    for (seed, calm_s) in (0..20).flat_map(|seed| [(seed, 0), (seed, 60)]) {
        SimRuntime::with_seed(seed).block_on(async {
            let wire = Wire::new(seed);
            // Their clocks are up to five seconds off.
            let nodes = found(3, &wire, &mut fastrand::Rng::with_seed(seed)).await;
            SimRuntime::sleep(Duration::from_secs(calm_s)).await;
            let began = SimInstant::now();
            let keys = write(nodes[0].store().expect("it runs")).await;
            let leads = |node: &&Arc<Node>| node.member().is_some_and(|it| it.standing().leads);
            let leader = nodes.iter().find(leads).expect("somebody leads").id;
            for node in nodes.iter().filter(|node| node.id == leader) {
                node.crash(Crash::Drop).await;
            }
            let left = nodes.iter().find(|node| node.id != leader).expect("two are left");
            for key in keys {
                let lasted = gone(left, key).await - began;
                let case = format!("seed {seed}, {calm_s} s: {key} lasted {lasted:?}");
                assert!(lasted > TTL * 9 / 10 && lasted < TTL * 10 / 9 + SLACK, "{case}");
            }
            for node in &nodes {
                node.crash(Crash::Drop).await;
            }
        });
    }
}
