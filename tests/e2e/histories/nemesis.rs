//! What goes wrong while clients work: one thing after the other, drawn from a seed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use tidekeep_tests::proxy::{Cut, Weather};
use tidekeep_tests::{Proxy, ServerProcess};
use tokio::time::sleep;

use super::{Arguments, DATA};
use crate::small_disk::SmallDisk;

/// Faults that the nemesis causes by itself in one history, besides random cuts.
const FAULTS: u64 = 16;

pub(super) struct Nemesis<'a> {
    rng: Rng,
    server: Option<ServerProcess>,
    port: u16,
    arguments: Arguments,
    disk: &'a SmallDisk,
    proxies: &'a [Proxy],
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(
        seed: u64,
        server: ServerProcess,
        arguments: Arguments,
        disk: &'a SmallDisk,
        proxies: &'a [Proxy],
    ) -> Self {
        let rng = Rng::with_seed(seed);
        Self { rng, port: server.port(), server: Some(server), arguments, disk, proxies }
    }

    /// Breaks one thing after the other; in the end everything works again. How many faults there
    /// were, cut connections included.
    pub(super) async fn rage(mut self) -> u64 {
        // A store that works is where it begins.
        self.rest(50..200).await;
        for _ in 0..FAULTS {
            match self.rng.u32(..14) {
                0..3 => self.kill().await,
                3..5 => self.pause().await,
                5..9 => self.cut().await,
                9 => self.sever(),
                10 => self.delay().await,
                11 => self.black_hole().await,
                12 => self.stutter().await,
                _ => self.fill().await,
            }
            self.rest(20..120).await;
        }
        self.proxies.iter().for_each(|proxy| proxy.weather(Weather::default()));
        self.rest(200..300).await;
        FAULTS + self.proxies.iter().map(Proxy::cuts).sum::<u64>()
    }

    /// `kill -9`, and a start on what is left.
    async fn kill(&mut self) {
        self.server.take().into_iter().for_each(ServerProcess::kill);
        self.rest(0..50).await;
        self.start();
    }

    fn start(&mut self) {
        let data = self.disk.path().join(DATA);
        self.server = Some(ServerProcess::start_on(self.port, &data, &self.arguments));
    }

    /// The process stands still, longer than some deadlines.
    async fn pause(&mut self) {
        self.signal("STOP");
        self.rest(20..1_000).await;
        self.signal("CONT");
    }

    /// Many short stops, as of a disk that is slow.
    async fn stutter(&mut self) {
        for _ in 0..10 {
            self.signal("STOP");
            self.rest(5..30).await;
            self.signal("CONT");
            self.rest(1..10).await;
        }
    }

    /// The next requests on one way are cut off at chosen places, and some pieces at random bytes.
    async fn cut(&mut self) {
        let proxy = self.any_proxy();
        for _ in 0..self.rng.u32(1..4) {
            proxy.arm(Cut::ALL[self.rng.usize(..Cut::ALL.len())]);
        }
        proxy.weather(Weather { cuts: 50, ..Weather::default() });
        self.rest(50..200).await;
        proxy.weather(Weather::default());
    }

    /// All connections of one way are cut wherever they are.
    fn sever(&mut self) {
        self.any_proxy().sever();
    }

    async fn delay(&mut self) {
        let proxy = self.any_proxy();
        proxy.weather(Weather { delay_ms: 0..80, ..Weather::default() });
        self.rest(100..400).await;
        proxy.weather(Weather::default());
    }

    /// Nothing gets through, and nobody is told.
    async fn black_hole(&mut self) {
        let proxy = self.any_proxy();
        proxy.weather(Weather { black_hole: true, ..Weather::default() });
        self.rest(100..1_800).await;
        proxy.weather(Weather::default());
    }

    /// The disk is full for a while; perhaps the server is killed on it.
    async fn fill(&mut self) {
        let ballast = self.ballast();
        self.disk.fill(&ballast);
        self.rest(50..200).await;
        if self.rng.bool() {
            self.server.take().into_iter().for_each(ServerProcess::kill);
            fs::remove_file(&ballast).unwrap();
            self.start();
        } else {
            fs::remove_file(&ballast).unwrap();
        }
    }

    fn ballast(&self) -> PathBuf {
        self.disk.path().join("ballast")
    }

    fn any_proxy(&mut self) -> &'a Proxy {
        &self.proxies[self.rng.usize(..self.proxies.len())]
    }

    fn signal(&self, name: &str) {
        self.server.iter().for_each(|server| server.signal(name));
    }

    async fn rest(&mut self, milliseconds: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.rng.u64(milliseconds))).await;
    }
}
