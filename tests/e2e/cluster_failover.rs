//! Leaders of real clusters are killed under load: nothing that was acknowledged is lost, no write is
//! applied twice, a watch goes on without a gap or a repeat, and leases end at their time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidekeep_client::{ChangeKind, Client, KeyRange, Resync, WatchEvent, WatchOptions};
use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, Proxy, eventually, tidekeep, within};
use tokio::sync::oneshot;

use crate::cluster_load::{Load, impatient, verify};

const KILLS: usize = 6;
const CLIENTS: usize = 6;
const LIMIT: Duration = Duration::from_secs(60);

/// Kills the leader, waits for another, starts the dead one again.
async fn fail_over(cluster: &mut Cluster, load: &mut Load) -> usize {
    load.progress(15).await;
    let leader = cluster.leader();
    cluster.kill(leader);
    load.lead_away(cluster, leader);
    load.progress(15).await;
    cluster.start(leader);
    cluster.wait_until_whole();
    leader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_leaders_take_nothing_with_them_and_nothing_is_applied_twice() {
    let mut cluster = Cluster::form(Shape::default());
    let mut load = Load::start(&cluster, CLIENTS).await;
    for _ in 0..KILLS {
        fail_over(&mut cluster, &mut load).await;
    }
    let told = load.end().await;
    let mut writes = 0;
    for node in 0..3 {
        writes = verify(&cluster, node, &told).await;
    }
    println!("{KILLS} leaders killed, {writes} puts acknowledged and there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_killed_at_once_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::form(Shape::default());
    let load = Load::start(&cluster, CLIENTS).await;
    for _ in 0..3 {
        load.progress(20).await;
        (0..3).for_each(|node| cluster.kill(node));
        (0..3).for_each(|node| cluster.start(node));
        cluster.wait_until_whole();
    }
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_over_fail_overs_without_a_gap_or_a_repeat() {
    let mut cluster = Cluster::form(Shape::default());
    let way = Proxy::start(cluster.address(0), 99).await;
    let client = Client::connect(way.address(), impatient()).await.unwrap();
    let (follows, begun) = oneshot::channel();
    let following = tokio::spawn(follow(client, follows));
    within("the watch to begin", LIMIT, begun).await.unwrap();
    let mut load = Load::start(&cluster, CLIENTS).await;
    for _ in 0..KILLS {
        let killed = fail_over(&mut cluster, &mut load).await;
        way.lead_to(cluster.address((killed + 1) % 3));
    }
    let told = load.end().await;
    verify(&cluster, 0, &told).await;
    assert_eq!(tidekeep(cluster.address(0), &["put", "end", "now"], b"").code, 0);
    let seen = within("the watch to see the last write", LIMIT, following).await.unwrap();
    for (name, client) in told.iter().enumerate() {
        let seen = seen.get(&format!("put/{name}")).map_or(&[][..], Vec::as_slice);
        let mut wanted = client.acknowledged.iter();
        // What ended in doubt may be among what was seen.
        let missing = wanted.find(|number| !seen.contains(number));
        assert_eq!(missing, None, "the watch has missed a put of client {name}");
        assert!(seen.is_sorted_by(|one, other| one < other), "client {name}: {seen:?}");
    }
}

/// The numbers of the puts below each folder in the order in which the watch saw them; says when that has begun.
async fn follow(client: Client, follows: oneshot::Sender<()>) -> BTreeMap<String, Vec<u64>> {
    // A gap that is told as a difference would go unnoticed here.
    let options = WatchOptions { resync: Resync::Reset, ..WatchOptions::default() };
    let mut watch = client.watch(&KeyRange::all(), options);
    let (mut seen, mut last) = (BTreeMap::<String, Vec<u64>>::new(), 0);
    let mut follows = Some(follows);
    while let Some(event) = watch.next().await {
        match event.expect("a watch survives its node") {
            WatchEvent::Changes { revision, changes, .. } => {
                assert!(revision > last, "revision {revision} came after {last}");
                last = revision;
                for change in changes {
                    let ChangeKind::Put(_) = change.kind else { panic!("nobody deletes") };
                    let key = String::from_utf8(change.key.to_vec()).unwrap();
                    match key.rsplit_once('/') {
                        None => return seen,
                        Some((folder, number)) if folder != "count" => {
                            seen.entry(folder.to_owned())
                                .or_default()
                                .push(number.parse().unwrap());
                        }
                        Some(_) => {}
                    }
                }
            }
            WatchEvent::Reset => panic!("a cursor was forgotten over a fail-over"),
            WatchEvent::CaughtUp { .. } => {
                if let Some(follows) = follows.take() {
                    follows.send(()).expect("the test waits for it");
                }
            }
            WatchEvent::Content(_) | WatchEvent::Bookmark { .. } => {}
        }
    }
    panic!("the watch ended by itself")
}

#[test]
fn a_lease_is_neither_cut_nor_renewed_by_a_fail_over() {
    let mut cluster = Cluster::form(Shape::default());
    let leader = cluster.leader();
    let other = (leader + 1) % 3;
    let json = |cluster: &Cluster, words: &[&str]| -> serde_json::Value {
        let words = [words, &["--output", "json"]].concat();
        let run = tidekeep(cluster.address(other), &words, b"");
        serde_json::from_slice(&run.stdout).expect("it prints JSON")
    };
    let grant = json(&cluster, &["lease", "grant", "8s"]);
    let (lease, ends) = (grant["lease"].to_string(), grant["expires_at"].as_u64().unwrap());
    let put = ["put", "here", "yes", "--lease", &lease];
    assert_eq!(tidekeep(cluster.address(other), &put, b"").code, 0);
    cluster.kill(leader);
    let listed = json(&cluster, &["lease", "list"]);
    assert_eq!((&listed["expires_at"], &listed["keys"]), (&ends.into(), &1.into()));
    assert_eq!(tidekeep(cluster.address(other), &["get", "here"], b"").code, 0);
    eventually("the key is gone", LIMIT, || {
        (tidekeep(cluster.address(other), &["get", "here"], b"").code == 1).then_some(())
    });
    // The clock of another leader may be a little behind, and is drawn towards the machine's.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!(now as u64 + 1_000 >= ends, "it is there until its time");
}
