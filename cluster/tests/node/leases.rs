//! Leases whose keys are in several groups: none of them goes too early, and none stays.

use std::time::Duration;

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::NodeId;
use tidekeep_log::{Call, Commit, Numbered, Reply, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{Get, LeaseGrant, LeaseKeepAlive, LeaseRevoke, Leases, Put, Request};
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, simulate};
use crate::serving::{Served, ask, run, value_of};
use crate::simulated::records::record_of;

const GROUPS: u16 = 4;

/// A key of each group.
fn keys() -> Vec<String> {
    let groups = GroupCount::new(GROUPS).expect("so many");
    let of = |group| {
        let mut names = (0..).map(|number| format!("key/{number}"));
        names.find(|name| groups.group_of(slot_of(name.as_bytes())) == group).expect("there is one")
    };
    groups.groups().map(of).collect()
}

async fn grant(store: &Served, ttl_ms: u64) -> u64 {
    match ask(store, Request::LeaseGrant(LeaseGrant { ttl_ms })).await {
        Reply::Lease(lease) => lease.lease,
        other => panic!("{other:?}"),
    }
}

/// Puts a key of each group under a lease, all in one batch.
async fn tie(store: &Served, keys: &[String], lease: u64) {
    let puts: Vec<Request<'_>> = keys
        .iter()
        .map(|key| {
            let (condition, expiry) = (Condition::Always, Expiry::Lease(lease));
            Request::Put(Put {
                key: key.as_bytes(),
                value: b"held",
                condition,
                expiry,
                previous: false,
            })
        })
        .collect();
    for answer in run(store, &puts).await {
        answer.expect("the lease is in every group");
    }
}

async fn there(store: &Served, keys: &[String]) -> usize {
    let gets: Vec<_> = keys.iter().map(|key| Request::Get(Get { key: key.as_bytes() })).collect();
    let answers = run(store, &gets).await;
    let found = answers
        .iter()
        .filter(|answer| value_of(answer.as_ref().expect("a majority answers")).is_some());
    found.count()
}

async fn keep_alive(store: &Served, lease: u64) -> Result<(), Code> {
    let answers = run(store, &[Request::LeaseKeepAlive(LeaseKeepAlive { lease })]).await;
    answers[0].as_ref().map(drop).map_err(|refusal| refusal.code)
}

/// A lease is kept alive in a store of so many groups, and something happens to it; then it is not any more.
fn lives_and_goes(seed: u64, groups: u16, happens: impl AsyncFn(&Cluster)) {
    simulate(seed, async {
        let cluster = Cluster::serving(3, groups).await;
        let keys = keys();
        // Longer than calls wait for a node that says nothing any more.
        let ttl = Duration::from_secs(20);
        let lease = grant(&cluster.store(NodeId(1)), ttl.as_millis() as u64).await;
        tie(&cluster.store(NodeId(2)), &keys, lease).await;
        let began = SimInstant::now();
        let mut kept = SimInstant::now();
        let mut happened = false;
        while SimInstant::now() - began < ttl * 4 {
            if !happened && SimInstant::now() - began > ttl {
                happens(&cluster).await;
                happened = true;
            }
            let made = SimInstant::now();
            if keep_alive(&cluster.store(NodeId(2)), lease).await == Ok(()) {
                kept = made;
            }
            if SimInstant::now() - kept < ttl {
                let found = there(&cluster.store(NodeId(3)), &keys).await;
                let late = SimInstant::now() - kept >= ttl;
                assert!(found == keys.len() || late, "{found} of {} keys are there", keys.len());
            }
            SimRuntime::sleep(Duration::from_millis(500)).await;
        }
        assert!(SimInstant::now() - kept < ttl, "it was kept alive to the last");
        let all_gone = SimInstant::now();
        cluster
            .eventually("all keys have gone", || async {
                let found = there(&cluster.store(NodeId(3)), &keys).await;
                let early = SimInstant::now() - kept < ttl;
                let lived = SimInstant::now() - kept;
                assert!(found == keys.len() || !early, "{found} are left after {lived:?}");
                (found == 0).then_some(())
            })
            .await;
        assert!(SimInstant::now() - all_gone < ttl * 2, "they went with the lease's time");
        assert_eq!(keep_alive(&cluster.store(NodeId(2)), lease).await, Err(Code::NotFound));
    });
}

#[test]
fn what_is_kept_alive_lives_over_fail_over_and_what_is_not_goes_in_every_group() {
    // A third of the groups is led by each node, so some are led by this one.
    lives_and_goes(61, GROUPS, async |cluster| cluster.machine(NodeId(1)).crash().await);
}

#[test]
fn what_is_kept_alive_lives_over_a_split_and_what_is_not_goes_in_every_group() {
    lives_and_goes(65, 1, async |cluster| {
        let groups = GroupCount::new(GROUPS).expect("so many");
        cluster.any().split(groups).await.expect("it may be split");
    });
}

#[test]
fn a_lease_that_one_group_has_lost_is_lost_everywhere() {
    simulate(62, async {
        let cluster = Cluster::serving(3, GROUPS).await;
        let (keys, store) = (keys(), cluster.store(NodeId(1)));
        let lease = grant(&store, 60_000).await;
        tie(&store, &keys, lease).await;
        assert_eq!(keep_alive(&cluster.store(NodeId(3)), lease).await, Ok(()));
        let revoke = record_of(&Request::LeaseRevoke(LeaseRevoke { lease }));
        cluster.order(GroupId(2), revoke).await;
        assert_eq!(there(&store, &keys).await, keys.len() - 1);
        assert_eq!(keep_alive(&store, lease).await, Err(Code::NotFound));
        assert_eq!(there(&store, &keys).await, 0);
        let Reply::Leases(page) = ask(&store, Request::Leases(Leases::default())).await else {
            panic!("a page");
        };
        assert!(page.leases.is_empty(), "{page:?}");
    });
}

#[test]
fn a_lease_is_listed_once_and_revoked_as_a_whole() {
    simulate(63, async {
        let cluster = Cluster::serving(3, GROUPS).await;
        let (keys, store) = (keys(), cluster.store(NodeId(2)));
        let mut leases = Vec::new();
        for _ in 0..6 {
            leases.push(grant(&store, 60_000).await);
        }
        leases.sort_unstable();
        leases.dedup();
        assert_eq!(leases.len(), 6, "no two have a number");
        tie(&store, &keys, leases[3]).await;
        let mut listed = Vec::new();
        loop {
            let after = listed.last().map_or(0, |lease: &tidekeep_protocol::op::Lease| lease.lease);
            let Reply::Leases(page) =
                ask(&store, Request::Leases(Leases { after, limit: 4 })).await
            else {
                panic!("a page");
            };
            listed.extend(page.leases);
            if !page.more {
                break;
            }
        }
        assert_eq!(listed.iter().map(|lease| lease.lease).collect::<Vec<_>>(), leases);
        let counts: Vec<_> = listed.iter().map(|lease| lease.keys).collect();
        assert_eq!(counts, [0, 0, 0, u64::from(GROUPS), 0, 0]);
        let revoke = Request::LeaseRevoke(LeaseRevoke { lease: leases[3] });
        let Reply::LeaseRevoke(revoked) = ask(&store, revoke.clone()).await else {
            panic!("a revocation");
        };
        assert_eq!(revoked.deleted, u64::from(GROUPS));
        assert_eq!(there(&store, &keys).await, 0);
        let again = run(&store, &[revoke]).await;
        assert_eq!(again[0].as_ref().map_err(|refusal| refusal.code), Err(Code::NotFound));
    });
}

#[test]
fn a_grant_that_is_asked_for_again_is_the_same_lease() {
    simulate(64, async {
        let cluster = Cluster::serving(3, GROUPS).await;
        let session = SessionId([9; 16]);
        let numbered =
            |sequence, retry| Numbered { session, number: Number { sequence, oldest: 1 }, retry };
        let granted = async |node, number| {
            let request = Request::LeaseGrant(LeaseGrant { ttl_ms: 5_000 });
            let call = Call { number: Some(number), ..Call::new(request) };
            let store: std::sync::Arc<Served> = cluster.store(NodeId(node));
            let answers = collect(&*store as &dyn Commit, &[call]).await.expect("no disk fails");
            match &answers[..] {
                [Ok(Reply::Lease(lease))] => lease.lease,
                other => panic!("{other:?}"),
            }
        };
        let first = granted(1, numbered(1, false)).await;
        assert_eq!(granted(2, numbered(1, true)).await, first);
        assert_ne!(granted(2, numbered(2, false)).await, first);
        let store = cluster.store(NodeId(3));
        assert_eq!(keep_alive(&store, first).await, Ok(()));
        SimRuntime::sleep(Duration::from_secs(30)).await;
        assert_eq!(granted(3, numbered(1, true)).await, first, "it is told, and is over");
        assert_eq!(keep_alive(&store, first).await, Err(Code::NotFound));
    });
}
