//! A disk's pace: the work of a node's log, done call by call in virtual time.

use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::Journal;
use tokio::sync::Notify;

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
