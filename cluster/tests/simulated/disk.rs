//! A simulated disk: a node's log is opened on it, and its work is done call by call in virtual time.

use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::{Journal, JournalOptions, Opened};
use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{ReplicaOptions, Upkeep};
use tokio::sync::Notify;

/// The log on a disk, and what is told when there is work for the disk.
pub(crate) fn open(disk: FaultyDisk, segment_bytes: u64, seed: u64) -> (Opened, Arc<Notify>) {
    let appended = Arc::new(Notify::new());
    let replica = ReplicaOptions { shards: 2, history_bytes: 4 << 10, ..ReplicaOptions::new(0) };
    let opened = Journal::open(JournalOptions {
        disk: Arc::new(disk),
        segment_bytes,
        upkeep: Upkeep::Steps,
        appended: Some(Arc::clone(&appended)),
        replica,
        random: Box::new(seeded(seed)),
    });
    (opened.unwrap_or_else(|why| panic!("a node cannot start: {why}")), appended)
}

/// Does the disk's work, each call of which takes a while.
pub(crate) fn turn(
    journal: &Arc<Journal>,
    stuck: Arc<Mutex<bool>>,
    appended: Arc<Notify>,
    seed: u64,
) {
    let journal = Arc::downgrade(journal);
    let mut random = fastrand::Rng::with_seed(seed);
    let _turning = SimRuntime::spawn(async move {
        loop {
            // Whether it was woken or not, it looks.
            let _ = SimRuntime::timeout(Duration::from_millis(500), appended.notified()).await;
            loop {
                SimRuntime::sleep(Duration::from_micros(random.u64(100..2_000))).await;
                if *stuck.lock() {
                    SimRuntime::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                let Some(journal) = journal.upgrade() else { return };
                if !journal.step() {
                    break;
                }
            }
        }
    });
}
