//! Clients of a node whose replicas are yet to be filled, or that was down and is far behind: the states are on their way
//! for long, and the other nodes answer meanwhile, whatever is asked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::RefUnwindSafe;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join, join_all};
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::NodeId;
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Call, Commit, Reply, Standing, collect};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Get, Order, Projection, Request, Scan, Txn, TxnOp};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::backups::take;
use crate::cluster::{Cluster, is_at_rest, simulate};
use crate::moving::{GROUPS, SOON, key_of};
use crate::seeds;
use crate::serving::{Served, ask, put, value_of};

const NODES: u64 = 3;

/// What is written while a state is on its way comes as entries behind it.
const ENTRIES_BYTES: usize = 1 << 20;

const VALUES: usize = 100;
const VALUE_BYTES: usize = 16 << 10;

/// Bytes of a state that arrive in a second.
const RATE: u32 = 32 << 10;

/// A replica is filled for so long at least.
const LONG: Duration = Duration::from_secs(15);

fn groups() -> impl Iterator<Item = GroupId> {
    (0..GROUPS).map(GroupId)
}

/// What was asked was answered as it should be, or why not.
type Told = Result<(), String>;

fn ensure(is_so: bool, else_told: impl FnOnce() -> String) -> Told {
    if is_so { Ok(()) } else { Err(else_told()) }
}

/// Runs a call.
async fn answer(store: &Served, call: Call<'_>) -> Result<Reply, String> {
    let what = format!("{:?}", call.request);
    let answers = collect(store, &[call]).await.expect("no disk fails");
    let answer = answers.into_iter().next().expect("one answer");
    answer.map_err(|refusal| format!("{what}: {refusal}"))
}

async fn write(store: &Served, key: &[u8]) -> Told {
    answer(store, Call::new(put(key, b"v"))).await.map(drop)
}

async fn reads(store: &Served, freshness: Freshness) -> Told {
    for group in groups() {
        let key = key_of(group);
        let get = Call { freshness, ..Call::new(Request::Get(Get { key: &key })) };
        let got = answer(store, get).await?;
        ensure(value_of(&got) == Some(&b"v"[..]), || format!("of {group}: {got:?}"))?;
    }
    Ok(())
}

async fn writes(store: &Served) -> Told {
    for group in groups() {
        write(store, &key_of(group)).await?;
    }
    Ok(())
}

async fn transactions(store: &Served) -> Told {
    let keys: Vec<_> = groups().map(key_of).collect();
    let puts = keys.iter().map(|key| match put(key, b"v") {
        Request::Put(put) => TxnOp::Put(put),
        other => panic!("{other:?}"),
    });
    let puts: Vec<_> = puts.collect();
    for then in puts.chunks(1).chain([&puts[..]]) {
        let txn = Txn { then: then.to_vec(), ..Txn::default() };
        answer(store, Call::new(Request::Txn(txn))).await?;
    }
    Ok(())
}

async fn scans(store: &Served) -> Told {
    let range = KeyRange::prefix(b"large/");
    let (range, order, projection) = (range.as_range(), Order::Ascending, Projection::Count);
    let scan = Scan { range, limit: 0, bytes: 0, order, projection };
    let counted = answer(store, Call::new(Request::Scan(scan))).await?;
    let Reply::Scan(page) = counted else { return Err(format!("no page: {counted:?}")) };
    ensure(page.count == VALUES as u64, || format!("{} entries", page.count))
}

async fn counts(store: &Served) -> Told {
    let keys = store.keys().await.map_err(|refusal| refusal.to_string())?;
    let all = VALUES as u64 + u64::from(GROUPS);
    ensure(keys == all, || format!("{keys} keys"))?;
    for random in 0..u64::from(GROUPS) {
        let sampled = store.sample(random).await.map_err(|refusal| refusal.to_string())?;
        ensure(sampled.is_some(), || format!("no key by {random}"))?;
    }
    Ok(())
}

async fn watches(store: &Served) -> Told {
    for (group, feed) in groups().zip(store.feeds()) {
        let view = feed.view(&KeyRange::all()).await.map_err(|lost| lost.to_string())?;
        let key = key_of(group);
        let page = view.page(None, usize::MAX, usize::MAX);
        let has_key = page.iter().any(|entry| entry.key() == &key[..]);
        ensure(has_key, || format!("the view of {group} has {} entries", page.len()))?;
        let at = view.revision();
        write(store, &key).await?;
        feed.reach(at).await.map_err(|lost| lost.to_string())?;
        feed.changed(at).await.map_err(|lost| lost.to_string())?;
        let found = feed.changes(at, 1 << 20).map_err(|why| format!("{group}: {why}"))?;
        ensure(!found.changes.is_empty(), || format!("no change of {group} after {at}"))?;
    }
    Ok(())
}

async fn backups(store: &Served) -> Told {
    let content = take(store).await.ok_or("no backup")?;
    let large = content.values.keys().filter(|key| key.starts_with("large/")).count();
    ensure(large == VALUES, || format!("{large} values"))
}

/// What a client asks again and again.
type Ask = for<'s> fn(&'s Served) -> LocalBoxFuture<'s, Told>;

const ASKED: [(&str, Ask); 9] = [
    ("reads", |store| Box::pin(reads(store, Freshness::Linearizable))),
    ("reads by a lease", |store| Box::pin(reads(store, Freshness::Lease))),
    ("reads of the last while", |store| Box::pin(reads(store, Freshness::Within(500)))),
    ("writes", |store| Box::pin(writes(store))),
    ("transactions", |store| Box::pin(transactions(store))),
    ("scans", |store| Box::pin(scans(store))),
    ("counts", |store| Box::pin(counts(store))),
    ("watches", |store| Box::pin(watches(store))),
    ("backups", |store| Box::pin(backups(store))),
];

/// What is told of what was asked again and again: how long it took at most, and what was wrong.
#[derive(Debug, Default)]
struct Asked {
    longest: Duration,
    wrong: Option<String>,
}

/// A cluster whose nodes serve clients, each group of which has a key of each test.
async fn served() -> Cluster {
    let cluster = Cluster::founded_keeping(FaultyDisk::new(11), GROUPS, ENTRIES_BYTES).await;
    for _ in 1..NODES {
        cluster.join().await;
    }
    cluster.rest().await;
    let groups = GroupCount::new(GROUPS).expect("so many");
    cluster.machines().iter().for_each(|machine| machine.serve(groups));
    cluster.sweep().await;
    writes(&cluster.store(NodeId(1))).await.expect("it is served");
    cluster
}

/// Writes more than is kept as entries.
async fn write_much(cluster: &Cluster) {
    let (store, value) = (cluster.store(NodeId(1)), vec![b'v'; VALUE_BYTES]);
    for number in 0..VALUES {
        let key = format!("large/{number:03}").into_bytes();
        ask(&store, put(&key, &value)).await;
    }
}

/// What became of each that was asked of a node while a replica was on its way there.
async fn ask_all(
    cluster: &Cluster,
    node: NodeId,
    is_on_its_way: impl Fn() -> bool,
) -> BTreeMap<&'static str, Asked> {
    let outcomes = RefCell::new(BTreeMap::<_, Asked>::new());
    let is_over = Cell::new(false);
    let clients = ASKED.iter().map(|(what, asked)| {
        let (is_over, outcomes, is_on_its_way) = (&is_over, &outcomes, &is_on_its_way);
        async move {
            let ready =
                || async { (cluster.store(node).standing() == Standing::Ready).then_some(()) };
            cluster.eventually("the node is ready", ready).await;
            let store = cluster.store(node);
            while !is_over.get() {
                let (began, comes) = (SimInstant::now(), is_on_its_way());
                let told = asked(&store).await;
                if comes || is_on_its_way() {
                    let took = SimInstant::now() - began;
                    let mut outcomes = outcomes.borrow_mut();
                    let outcome = outcomes.entry(*what).or_default();
                    outcome.longest = took.max(outcome.longest);
                    outcome.wrong = outcome.wrong.take().or(told.err());
                }
                SimRuntime::sleep(Duration::from_millis(250)).await;
            }
        }
    });
    let come = async {
        let begins = || async { is_on_its_way().then(SimInstant::now) };
        let began = cluster.eventually("a replica begins to be filled", begins).await;
        let ends = || async { (!is_on_its_way()).then(SimInstant::now) };
        let ended = cluster.eventually("a replica is filled", ends).await;
        assert!(ended - began > LONG, "it took only {:?}", ended - began);
        assert!(cluster.wire.was_sent_a_state(node));
        cluster.until("all replicas have come", is_at_rest).await;
        is_over.set(true);
    };
    join(join_all(clients), come).await;
    outcomes.into_inner()
}

/// What became of each while a replica of the newest node was on its way.
async fn while_one_is_filled() -> BTreeMap<&'static str, Asked> {
    let cluster = served().await;
    write_much(&cluster).await;
    cluster.narrow.slow_states(RATE);
    let newest = cluster.join().await;
    let node = cluster.node(newest);
    cluster.machine(newest).serve(GroupCount::new(GROUPS).expect("so many"));
    let comes = || {
        let table = node.view().table.clone();
        table.is_some_and(|it| it.groups().any(|(_, row)| row.learner == Some(newest)))
    };
    ask_all(&cluster, newest, comes).await
}

/// What became of each while the replicas of a node that was down, and should lead some groups, were brought up to
/// date.
async fn while_one_returns() -> BTreeMap<&'static str, Asked> {
    let cluster = served().await;
    let returning = cluster.machine(NodeId(NODES));
    returning.crash().await;
    // Until others lead what it led.
    SimRuntime::sleep(Duration::from_secs(5)).await;
    write_much(&cluster).await;
    // Until only so many entries are kept.
    SimRuntime::sleep(Duration::from_secs(1)).await;
    let applied = |node: NodeId, group| {
        let member = cluster.node(node).member(group);
        member.and_then(|member| member.standing().applied)
    };
    let goals: Vec<_> = groups().map(|group| (group, applied(NodeId(1), group))).collect();
    cluster.narrow.slow_states(RATE);
    returning.start().await;
    // At first it does not know that it is behind.
    SimRuntime::sleep(SOON).await;
    let comes = || goals.iter().any(|&(group, goal)| applied(returning.id, group) < goal);
    ask_all(&cluster, returning.id, comes).await
}

fn answered_soon(outcomes: impl Fn(u64) -> BTreeMap<&'static str, Asked> + RefUnwindSafe) {
    seeds::each(1, |seed, tells| {
        let outcomes = outcomes(seed);
        if tells {
            println!("{outcomes:#?}");
        }
        assert_eq!(outcomes.len(), ASKED.len(), "all was asked: {outcomes:?}");
        // Each asks every group, one after the other.
        let soon = SOON * u32::from(GROUPS);
        let is_well = |asked: &Asked| asked.longest < soon && asked.wrong.is_none();
        assert!(outcomes.values().all(is_well), "{outcomes:#?}");
    });
}

/// What a test gives that runs in virtual time.
fn outcome_of<T>(seed: u64, test: impl Future<Output = T>) -> T {
    let outcome = Cell::new(None);
    simulate(seed, async { outcome.set(Some(test.await)) });
    outcome.into_inner().expect("it has ended")
}

#[test]
fn others_answer_while_a_replica_is_on_its_way() {
    answered_soon(|seed| outcome_of(8_000 + seed, while_one_is_filled()));
}

#[test]
fn others_answer_while_a_node_that_was_down_is_brought_up_to_date() {
    answered_soon(|seed| outcome_of(8_500 + seed, while_one_returns()));
}
