//! Clients behind the seam: any node serves any key of any group, and what concerns several groups is answered
//! as a whole.

use std::collections::BTreeSet;

use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::{NodeId, Store};
use tidekeep_log::{Answer, Call, Commit, Reply, Standing, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{Children, Get, Order, Projection, Put, Request, Scan};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, simulate};

pub(crate) type Served = Store<SimRuntime>;

/// Runs a batch.
pub(crate) async fn run(store: &Served, requests: &[Request<'_>]) -> Vec<Answer> {
    let requests = requests.iter().cloned();
    let calls: Vec<_> = requests.map(Call::new).collect();
    collect(store, &calls).await.expect("no disk fails")
}

/// Runs a request that nothing refuses.
pub(crate) async fn ask(store: &Served, request: Request<'_>) -> Reply {
    let answers = run(store, std::slice::from_ref(&request)).await;
    match answers.into_iter().next() {
        Some(Ok(reply)) => reply,
        other => panic!("{request:?}: {other:?}"),
    }
}

pub(crate) fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    Request::Put(Put { key, value, condition, expiry, previous: false })
}

pub(crate) fn value_of(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Get(got) => got.entry.as_ref().map(|entry| entry.value()),
        other => panic!("{other:?}"),
    }
}

fn scan(range: &KeyRange, limit: u32, order: Order) -> Request<'_> {
    let projection = Projection::Full;
    Request::Scan(Scan { range: range.as_range(), limit, bytes: 0, order, projection })
}

/// The keys of a range, page by page, and how many pages it took.
async fn scanned(store: &Served, limit: u32, order: Order) -> (Vec<Vec<u8>>, usize) {
    let mut range = KeyRange { start: b"key/".to_vec(), end: Some(b"key0".to_vec()) };
    let (mut keys, mut pages) = (Vec::new(), 0);
    loop {
        let Reply::Scan(page) = ask(store, scan(&range, limit, order)).await else {
            panic!("a page");
        };
        pages += 1;
        assert!(!page.more || page.entries.len() == limit as usize, "a page is full");
        keys.extend(page.entries.iter().map(|entry| entry.key().to_vec()));
        match (page.more, page.entries.last(), order) {
            (false, ..) | (_, None, _) => return (keys, pages),
            (true, Some(last), Order::Ascending) => range.start = [last.key(), &[0]].concat(),
            (true, Some(last), Order::Descending) => range.end = Some(last.key().to_vec()),
        }
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("key/{number:03}").into_bytes()
}

#[test]
fn any_node_serves_any_key_although_none_has_all() {
    simulate(51, async {
        let cluster = Cluster::serving(5, 16).await;
        let stores: Vec<_> = (1..=5).map(|id| cluster.store(NodeId(id))).collect();
        for store in &stores {
            let here = GroupCount::new(16).expect("so many").groups();
            let here = here.filter(|&group| store.node().member(group).is_some()).count();
            assert!((1..16).contains(&here), "{here} of 16 groups");
            assert_eq!(store.standing(), Standing::Ready);
        }
        for number in 0..50 {
            let (here, there) = (&stores[number % 5], &stores[(number + 2) % 5]);
            ask(here, put(&key(number), b"first")).await;
            let got = ask(there, Request::Get(Get { key: &key(number) })).await;
            assert_eq!(value_of(&got), Some(&b"first"[..]));
        }
        let all: Vec<_> = (0..50).map(key).collect();
        for store in &stores {
            let down: Vec<_> = all.iter().rev().cloned().collect();
            assert_eq!(scanned(store, 1_000, Order::Ascending).await, (all.clone(), 1));
            assert_eq!(scanned(store, 7, Order::Ascending).await, (all.clone(), 8));
            assert_eq!(scanned(store, 50, Order::Descending).await, (down.clone(), 1));
            assert_eq!(scanned(store, 1, Order::Descending).await, (down, 50));
        }
    });
}

#[test]
fn a_batch_over_groups_is_answered_in_its_order() {
    simulate(52, async {
        let cluster = Cluster::serving(3, 4).await;
        let store = cluster.store(NodeId(2));
        let keys: Vec<_> = (0..20).map(key).collect();
        let groups = GroupCount::new(4).expect("so many");
        let spread: BTreeSet<GroupId> =
            keys.iter().map(|key| groups.group_of(slot_of(key))).collect();
        assert_eq!(spread.len(), 4);
        let all = KeyRange::prefix(b"key/");
        let mut batch = vec![scan(&all, 0, Order::Ascending)];
        for key in &keys {
            batch.extend([put(key, b"1"), Request::Get(Get { key }), put(key, key)]);
        }
        batch.push(scan(&all, 15, Order::Ascending));
        batch.extend(keys.iter().map(|key| Request::Get(Get { key })));
        batch.extend([put(b"key/9", b"behind"), scan(&all, 0, Order::Descending)]);
        let answers = run(&store, &batch).await;
        let answers: Vec<Reply> =
            answers.into_iter().map(|it| it.expect("none is refused")).collect();
        assert_eq!(answers.len(), batch.len());
        let found = |reply: &Reply| match reply {
            Reply::Scan(page) => (page.entries.len(), page.more),
            other => panic!("{other:?}"),
        };
        assert_eq!(found(&answers[0]), (0, false), "nothing was there before");
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(value_of(&answers[2 + 3 * number]), Some(&b"1"[..]));
            assert_eq!(value_of(&answers[62 + number]), Some(&key[..]));
        }
        assert_eq!(found(&answers[61]), (15, true));
        assert_eq!(found(answers.last().expect("the last")), (21, false));
    });
}

#[test]
fn keys_with_one_tag_fill_their_pages_too() {
    simulate(53, async {
        let cluster = Cluster::serving(3, 16).await;
        let store = cluster.store(NodeId(1));
        for number in 0..60 {
            ask(&store, put(format!("{{user}}/{number:02}").as_bytes(), b"v")).await;
        }
        let range = KeyRange::prefix(b"{user}/");
        for (limit, more) in [(59, true), (60, false), (0, false)] {
            let Reply::Scan(page) = ask(&store, scan(&range, limit, Order::Ascending)).await else {
                panic!("a page");
            };
            assert_eq!((page.count, page.more), (if more { 59 } else { 60 }, more));
        }
        let projection = Projection::Count;
        let (range, order) = (range.as_range(), Order::Ascending);
        let count = Scan { range, limit: 0, bytes: 0, order, projection };
        let Reply::Scan(page) = ask(&store, Request::Scan(count)).await else { panic!("a count") };
        assert_eq!((page.count, page.more, page.entries.len()), (60, false, 0));
    });
}

#[test]
fn a_folder_lists_what_any_group_has_below_it() {
    simulate(54, async {
        let cluster = Cluster::serving(3, 16).await;
        let store = cluster.store(NodeId(3));
        let mut names = BTreeSet::new();
        for number in 0..40 {
            let name =
                if number % 4 == 0 { format!("f{number:02}") } else { format!("d{}/", number % 4) };
            let key =
                if number % 4 == 0 { format!("in/{name}") } else { format!("in/{name}{number}") };
            ask(&store, put(key.as_bytes(), b"v")).await;
            names.insert(name.into_bytes());
        }
        let mut listed: Vec<Vec<u8>> = Vec::new();
        loop {
            let after = listed.last().cloned();
            let children =
                Children { prefix: b"in/", delimiter: b"/", after: after.as_deref(), limit: 5 };
            let Reply::Children(page) = ask(&store, Request::Children(children)).await else {
                panic!("names");
            };
            listed.extend(page.names.iter().map(|(name, _)| name.clone()));
            if !page.more {
                break;
            }
            assert_eq!(page.names.len(), 5);
        }
        assert!(names.iter().eq(&listed), "{listed:?}");
    });
}

#[test]
fn a_group_without_a_majority_is_told_and_the_others_are_served() {
    simulate(55, async {
        let cluster = Cluster::serving(5, 16).await;
        let status = cluster.rest().await;
        let lost = status
            .groups
            .iter()
            .find(|group| group.replicas.iter().all(|replica| replica.node != status.coordinator));
        let lost = lost.expect("the coordinator has not all");
        for replica in lost.replicas.iter().take(2) {
            cluster.machine(replica.node).crash().await;
        }
        let lost = lost.group.expect("a data group");
        let store = cluster.store(status.coordinator);
        let groups = GroupCount::new(16).expect("so many");
        let of_lost = |key: &Vec<u8>| groups.group_of(slot_of(key)) == lost;
        let keys: Vec<_> = (0..200).map(key).collect();
        let inside = keys.iter().find(|key| of_lost(key)).expect("one of 200");
        let refused = run(&store, &[put(inside, b"v")]).await;
        let code = refused[0].as_ref().map_err(|refusal| refusal.code);
        assert!(matches!(code, Err(Code::Unavailable | Code::OutcomeUnknown)), "{code:?}");
        let up = |group: GroupId| {
            let group = &status.groups[usize::from(group.0)];
            let runs = |node| cluster.machine(node).node().is_some();
            group.replicas.iter().filter(|replica| runs(replica.node)).count() >= 2
        };
        let served = keys.iter().filter(|key| up(groups.group_of(slot_of(key)))).take(40);
        for key in served {
            // A node that is down may have led this group until just now: the first are not told what became
            // of them.
            let written = || async {
                let answers = run(&store, &[put(key, b"v")]).await;
                match &answers[0] {
                    Ok(_) => Some(()),
                    Err(refusal) if refusal.code == Code::OutcomeUnknown => None,
                    Err(refusal) => panic!("{refusal}"),
                }
            };
            cluster.eventually("the group is served", written).await;
        }
    });
}
