//! What goes wrong with a cluster while clients work: one thing after the other, drawn from a seed.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use tidekeep_tests::proxy::{Cut, Weather};
use tidekeep_tests::{Cluster, Proxy};
use tokio::time::sleep;

/// Faults of one history, besides random cuts.
const FAULTS: u64 = 12;
/// As long as it takes to elect a leader, and then some.
const LONG_MS: Range<u64> = 300..2_500;
const SHORT_MS: Range<u64> = 20..300;
/// Between faults of a cluster with several groups, of which mostly one has just lost its leader: so that
/// transactions over them come to their end, too.
const CALM_MS: Range<u64> = 50..600;

pub(super) struct Nemesis<'a> {
    rng: Rng,
    cluster: Cluster,
    ways: &'a [Proxy],
    /// Whether ways between nodes can be cut.
    parts: bool,
    /// How long nothing breaks between two faults.
    between: Range<u64>,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(seed: u64, cluster: Cluster, ways: &'a [Proxy], parts: bool) -> Self {
        Self { rng: Rng::with_seed(seed), cluster, ways, parts, between: SHORT_MS }
    }

    /// The same with more time between faults.
    pub(super) fn calmer(self) -> Self {
        Self { between: CALM_MS, ..self }
    }

    /// Breaks one thing after the other; in the end everything works again. How many faults there
    /// were, cut connections included.
    pub(super) async fn rage(mut self) -> u64 {
        self.rest(SHORT_MS).await;
        for _ in 0..FAULTS {
            let kinds = if self.parts { 14 } else { 10 };
            match self.rng.u32(..kinds) {
                0..3 => self.kill().await,
                3 => self.kill_all().await,
                4..6 => self.pause().await,
                6..8 => self.cut_clients().await,
                8 => self.swallow().await,
                9 => self.lead_on(),
                10 => self.one_way().await,
                11 => self.alone().await,
                12 => self.bridge().await,
                _ => self.slow().await,
            }
            self.rest(self.between.clone()).await;
        }
        self.ways.iter().for_each(|way| way.weather(Weather::default()));
        self.cluster.wait_until_whole();
        self.rest(SHORT_MS).await;
        FAULTS + self.ways.iter().map(Proxy::cuts).sum::<u64>()
    }

    /// `kill -9` of the leader more often than of another, and a start on what is left.
    async fn kill(&mut self) {
        let node = self.victim();
        self.cluster.kill(node);
        self.lead_some_on();
        self.rest(0..2_500).await;
        self.cluster.start(node);
    }

    async fn kill_all(&mut self) {
        let nodes = self.cluster.nodes();
        (0..nodes).for_each(|node| self.cluster.kill(node));
        self.rest(SHORT_MS).await;
        (0..nodes).for_each(|node| self.cluster.start(node));
    }

    /// A process stands still, as if its machine did.
    async fn pause(&mut self) {
        let node = self.victim();
        self.cluster.stop(node);
        self.lead_some_on();
        self.rest(LONG_MS).await;
        self.cluster.go_on(node);
    }

    /// The next requests on one client's way are cut off at chosen places.
    async fn cut_clients(&mut self) {
        let way = &self.ways[self.rng.usize(..self.ways.len())];
        for _ in 0..self.rng.u32(1..4) {
            way.arm(Cut::ALL[self.rng.usize(..Cut::ALL.len())]);
        }
        way.weather(Weather { cuts: 50, ..Weather::default() });
        self.rest(SHORT_MS).await;
        way.weather(Weather::default());
    }

    /// Nothing of one client gets through, and nobody is told.
    async fn swallow(&mut self) {
        let way = &self.ways[self.rng.usize(..self.ways.len())];
        way.weather(Weather { black_hole: true, ..Weather::default() });
        self.rest(100..1_800).await;
        way.weather(Weather::default());
    }

    /// A client goes on at another node.
    fn lead_on(&mut self) {
        let node = self.rng.usize(..self.cluster.nodes());
        let way = &self.ways[self.rng.usize(..self.ways.len())];
        way.lead_to(self.cluster.address(node));
    }

    /// About half of the clients go on at nodes that are not those they were at.
    fn lead_some_on(&mut self) {
        for _ in 0..self.ways.len() / 2 {
            self.lead_on();
        }
    }

    /// What one node sends to another does not arrive.
    async fn one_way(&mut self) {
        let from = self.victim();
        let to = (from + 1 + self.rng.usize(..2)) % self.cluster.nodes();
        if self.rng.bool() {
            self.cluster.network().cut(from, to);
        } else {
            self.cluster.network().cut(to, from);
        }
        self.mend_later().await;
    }

    /// A node hears nothing of the others, nor they of it.
    async fn alone(&mut self) {
        let node = self.victim();
        for other in (0..self.cluster.nodes()).filter(|other| *other != node) {
            self.cluster.network().part(node, other);
        }
        self.lead_some_on();
        self.mend_later().await;
    }

    /// Two nodes hear of each other through a third alone.
    async fn bridge(&mut self) {
        let one = self.victim();
        let other = (one + 1 + self.rng.usize(..2)) % self.cluster.nodes();
        self.cluster.network().part(one, other);
        self.mend_later().await;
    }

    async fn slow(&mut self) {
        let node = self.victim();
        self.cluster.network().slow(node);
        self.mend_later().await;
    }

    async fn mend_later(&mut self) {
        self.rest(LONG_MS).await;
        self.cluster.network().mend();
    }

    fn victim(&mut self) -> usize {
        if self.rng.u32(..3) > 0 {
            return self.cluster.leader();
        }
        self.rng.usize(..self.cluster.nodes())
    }

    async fn rest(&mut self, milliseconds: Range<u64>) {
        sleep(Duration::from_millis(self.rng.u64(milliseconds))).await;
    }
}
