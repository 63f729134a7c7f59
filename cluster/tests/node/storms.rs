//! Storms from seeds: nodes crash and come back, one at a time or all at once, are cut off, join, drain, and
//! are kept; leaders hand over, logs are shortened, messages are lost. Whatever was confirmed is there
//! when it is over, and the cluster comes to rest.
//!
//! `TIDEKEEP_NODE_SEEDS=500 cargo nextest run -p tidekeep-cluster -E 'test(storms)'` runs that many seeds;
//! `TIDEKEEP_NODE_SEED=17` runs one, and prints what happens.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use parking_lot::Mutex;
use tidekeep_cluster::NodeId;
use tidekeep_protocol::slot::GroupId;

use crate::cluster::{Cluster, simulate};
use crate::seeds;

/// Seeds of the everyday run.
const SEEDS: u64 = 6;

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(150);

/// The most nodes.
const NODES_MAX: usize = 6;

/// Keys of a group whose writes were confirmed.
type Confirmed = Arc<Mutex<Vec<(GroupId, String)>>>;

struct Storm {
    cluster: Arc<Cluster>,
    random: fastrand::Rng,
    told: bool,
}

#[test]
fn what_was_confirmed_outlives_storms() {
    seeds::each(SEEDS, run);
}

fn run(seed: u64, told: bool) {
    simulate(seed, async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let (nodes, groups) = (random.u64(3..=5), random.u16(1..=4));
        let lost = [0, 0, 5, 20][random.usize(..4)];
        let cluster = Arc::new(Cluster::of(nodes, groups).await);
        cluster.wire.lose(lost);
        let confirmed = Confirmed::default();
        let writing = write(Arc::clone(&cluster), Arc::clone(&confirmed), random.fork(), groups);
        let writing = SimRuntime::spawn(writing);
        let mut storm = Storm { cluster: Arc::clone(&cluster), random, told };
        storm.tell(&format!("seed {seed}: {nodes} nodes, {groups} groups"));
        storm.strike().await;
        storm.mend().await;
        writing.await.expect("the writer ends");
        cluster.rest().await;
        let confirmed = confirmed.lock();
        assert!(confirmed.len() > 100, "hardly anything was written: {}", confirmed.len());
        for (group, key) in confirmed.iter() {
            assert!(cluster.has(*group, key), "{key} of {group} is lost");
        }
    });
}

/// Writes one key after the other until the storm has been over for a while.
async fn write(
    cluster: Arc<Cluster>,
    confirmed: Confirmed,
    mut random: fastrand::Rng,
    groups: u16,
) {
    let end = SimInstant::now() + TROUBLE;
    let mut at = 0;
    while SimInstant::now() < end {
        at += 1;
        let (group, key) = (GroupId(random.u16(..groups)), format!("key {at}"));
        cluster.write(group, &key).await;
        confirmed.lock().push((group, key));
        // The pace of the load, in virtual time. Nothing is waited for by it.
        SimRuntime::sleep(Duration::from_millis(random.u64(1..200))).await;
    }
}

impl Storm {
    fn tell(&self, what: &str) {
        if self.told {
            println!("{what}");
        }
    }

    async fn strike(&mut self) {
        let end = SimInstant::now() + TROUBLE;
        while SimInstant::now() < end {
            // The pace at which things go wrong, in virtual time. Nothing is waited for by it.
            self.pause(100..8_000).await;
            let count = self.cluster.machines().len() as u64;
            let one = NodeId(self.random.u64(1..=count));
            match self.random.u8(..12) {
                0..=2 => self.crash(one).await,
                3 => self.cut_off(one).await,
                4 if self.random.u8(..3) == 0 => self.crash_all().await,
                5 | 6 => {
                    self.tell(&format!("{one} drains"));
                    // Too few may be left, or nobody may lead.
                    let _ = self.cluster.any().drain(one).await;
                }
                7 | 8 => self.keep_all().await,
                9 if self.cluster.machines().len() < NODES_MAX => {
                    self.tell("one more joins");
                    self.cluster.try_join().await;
                }
                10 => {
                    self.tell(&format!("group 0 is to be led by {one}"));
                    // It may have no replica.
                    let _ = self.cluster.any().transfer(GroupId(0), one).await;
                }
                _ => {
                    self.tell(&format!("{one} writes a snapshot"));
                    self.cluster.machine(one).snapshot();
                }
            }
        }
    }

    async fn pause(&mut self, ms: std::ops::Range<u64>) {
        SimRuntime::sleep(Duration::from_millis(self.random.u64(ms))).await;
    }

    async fn crash(&mut self, one: NodeId) {
        self.tell(&format!("{one} crashes"));
        let machine = self.cluster.machine(one);
        machine.crash().await;
        // Now and then for longer than it is waited for.
        let most = if self.random.u8(..5) == 0 { 60_000 } else { 5_000 };
        self.pause(10..most).await;
        self.tell(&format!("{one} starts"));
        machine.start().await;
    }

    async fn cut_off(&mut self, one: NodeId) {
        self.tell(&format!("{one} is cut off"));
        for other in self.cluster.machines() {
            self.cluster.wire.cut(one, other.id);
            self.cluster.wire.cut(other.id, one);
        }
        self.pause(100..20_000).await;
        self.cluster.wire.heal();
    }

    async fn crash_all(&mut self) {
        self.tell("all crash");
        for machine in self.cluster.machines() {
            machine.crash().await;
        }
        for machine in self.cluster.machines() {
            self.pause(1..500).await;
            machine.start().await;
        }
    }

    async fn keep_all(&self) {
        for machine in self.cluster.machines() {
            // It may not be known yet, or nobody may lead.
            let _ = self.cluster.any().keep(machine.id).await;
        }
    }

    async fn mend(&self) {
        self.tell("all is mended");
        self.cluster.wire.heal();
        self.cluster.wire.lose(0);
        for machine in self.cluster.machines() {
            self.cluster.keep(machine.id).await;
        }
    }
}
