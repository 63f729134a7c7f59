//! One node of a cluster has a disk that is full, hangs, or is slow: the others go on, nothing that was acknowledged is
//! lost, and the node comes back by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, eventually, tidekeep};

use crate::cluster_load::{Load, verify};
use crate::freezing_disk::FreezingDisk;
use crate::small_disk::SmallDisk;

const CLIENTS: usize = 6;
const LIMIT: Duration = Duration::from_secs(60);
const FLAGS: [&str; 2] = ["--segment-bytes", "5242880"];
/// Of a small disk: the log is shortened before it fills the disk by itself.
const SPARING: [&str; 6] =
    ["--segment-bytes", "5242880", "--snapshot-log-bytes", "5242880", "--history-bytes", "65536"];
/// Together more than a log has ready on a disk that is full.
const BIG: usize = 512 << 10;
const BIGS: usize = 30;
/// Room for all that the test writes, and then some.
const DISK_BYTES: usize = 128 << 20;
/// The figure of how long no snapshot could be written.
const FAILING: &str = "tidekeep_store_snapshot_failing_ms ";
/// What each sync takes longer: a tenth of what makes a disk one that hangs.
const SYNC: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_full_holds_nobody_up_and_comes_back_when_there_is_room() {
    let disks = [(); 3].map(|()| SmallDisk::with(DISK_BYTES));
    let folders = disks.each_ref().map(|disk| disk.path().join("data"));
    let shape = Shape { arguments: &SPARING, folders: &folders, ..Shape::default() };
    let cluster = Cluster::form(shape);
    let mut load = Load::start(&cluster, CLIENTS).await;
    let leader = cluster.leader();
    for full in [(leader + 1) % 3, leader] {
        load.progress(10).await;
        let ballast = disks[full].path().join("ballast");
        disks[full].fill(&ballast);
        load.lead_away(&cluster, full);
        let other = (full + 1) % 3;
        for _ in 0..BIGS {
            put_big(&cluster, other);
        }
        load.progress(10).await;
        if full == leader {
            // It has in memory what it ordered, and the others have that on their disks.
            eventually("another node to lead", LIMIT, || (cluster.leader() != full).then_some(()));
        } else {
            let got = tidekeep(cluster.address(full), &["get", "big", "--timeout", "1s"], b"");
            assert_ne!(got.code, 0, "the node has written all of it: its disk is not full");
        }
        let said = fetch(&cluster, full, "/readyz");
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("disk is full"), "{said}");
        eventually("the node to tell that its log cannot be shortened", LIMIT, || {
            let metrics = fetch(&cluster, full, "/metrics");
            let mut lines = metrics.lines();
            let failing = lines.find_map(|line| line.strip_prefix(FAILING))?;
            (failing.trim() != "0").then_some(())
        });
        fs::remove_file(&ballast).unwrap();
        eventually("the node to have what was written meanwhile", LIMIT, || {
            let words = ["get", "big", "--output", "raw", "--timeout", "2s"];
            let got = tidekeep(cluster.address(full), &words, b"");
            (got.code == 0 && got.stdout.len() == BIG).then_some(())
        });
        eventually("the node to be ready", LIMIT, || {
            fetch(&cluster, full, "/readyz").starts_with("HTTP/1.1 200").then_some(())
        });
    }
    let told = load.end().await;
    let deleted = tidekeep(cluster.address(0), &["delete", "big"], b"");
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_hangs_lets_others_lead_says_so_and_comes_back() {
    let disks = [(); 3].map(|()| FreezingDisk::mount());
    let [Some(first), Some(second), Some(third)] = &disks else {
        return println!("this kernel has no loop devices to spare: nothing was tried");
    };
    let disks = [first, second, third];
    let folders = disks.map(|disk| disk.path().join("data"));
    let shape = Shape { arguments: &SPARING, folders: &folders, ..Shape::default() };
    let cluster = Cluster::form(shape);
    let mut load = Load::start(&cluster, CLIENTS).await;
    load.progress(10).await;
    let hung = cluster.leader();
    let other = (hung + 1) % 3;
    load.lead_away(&cluster, hung);
    let frozen = disks[hung].freeze();
    let began = Instant::now();
    eventually("another node to lead", LIMIT, || {
        let leader = cluster.standing(other)?.leader?;
        (leader != cluster.address(hung)).then_some(())
    });
    load.progress(10).await;
    println!("suite: a node of three whose disk hangs, answers after {:?}", began.elapsed());
    let said = fetch(&cluster, hung, "/readyz");
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("disk hangs"), "{said}");
    drop(frozen);
    eventually("the node to be ready", LIMIT, || {
        fetch(&cluster, hung, "/readyz").starts_with("HTTP/1.1 200").then_some(())
    });
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}

/// What a node answers to a GET.
fn fetch(cluster: &Cluster, node: usize, path: &str) -> String {
    let mut stream = TcpStream::connect(cluster.address(node)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

fn put_big(cluster: &Cluster, node: usize) {
    let put = tidekeep(cluster.address(node), &["put", "big", "-"], &vec![b'x'; BIG]);
    assert_eq!(put.code, 0, "{}", put.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_do_not_wait_for_the_one_node_whose_disk_is_slow() {
    let mut cluster = Cluster::form(Shape { arguments: &FLAGS, ..Shape::default() });
    let mut load = Load::start(&cluster, CLIENTS).await;
    let slow = cluster.leader();
    load.progress(10).await;
    cluster.terminate(slow);
    cluster.start_with_slow_syncs(slow, SYNC);
    cluster.wait_until_whole();
    load.lead_away(&cluster, slow);
    load.progress(1).await;
    // Each of a client's answers is of two writes, one after the other.
    let (answers, began) = (20, Instant::now());
    load.progress(answers).await;
    let took = began.elapsed();
    println!("suite: a slow node of three, {} writes of each client in {took:?}", 2 * answers);
    assert!(took < SYNC * answers as u32, "writes wait for a sync of the slow disk: {took:?}");
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}
