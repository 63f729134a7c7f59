//! How a run goes: its sizes, its programs, and every scene that the chosen rows need, once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::results::Results;
use crate::bench::row::Row;
use crate::bench::scene::Scene;
use crate::bench::server::Cores;
use crate::bench::{cluster, connections, curve, many, memory, throughput, web};
use crate::process;
use crate::workspace::Workspace;

/// How much of everything.
#[derive(Clone)]
pub(super) struct Scale {
    /// Keys of a usual store.
    pub(super) keys: u32,
    /// Keys of a large one.
    pub(super) many: u32,
    /// Sizes along the curve.
    pub(super) curve: [u32; 3],
    pub(super) idle_connections: u32,
    /// Keys that expire at about the same time.
    pub(super) expiring: u32,
    /// Log bytes after which a snapshot is written; none for the server's own setting.
    pub(super) snapshot_log_bytes: Option<u64>,
    /// Requests each second where a fixed load is wanted.
    pub(super) rate: u32,
    pub(super) rounds: u32,
    pub(super) seconds: f64,
    pub(super) warmup: f64,
    /// Keys of a cluster, and measured seconds of each of its runs.
    pub(super) cluster_keys: u32,
    pub(super) cluster_seconds: f64,
    /// Bytes that a cluster has when an empty node joins, and requests each second meanwhile.
    pub(super) joined_bytes: u32,
    pub(super) cluster_rate: u32,
    /// Leaders that are killed.
    pub(super) failovers: u32,
    /// Seconds of fixed load before, and at most within, what disturbs it.
    pub(super) calm_seconds: f64,
    pub(super) disturbed_seconds: f64,
}

impl Scale {
    /// As the rows say.
    pub(super) fn full(rounds: u32, seconds: f64) -> Self {
        Self {
            keys: 1_000_000,
            many: 10_000_000,
            curve: [1_000, 1_000_000, 20_000_000],
            idle_connections: 10_000,
            expiring: 1_000_000,
            snapshot_log_bytes: None,
            rate: 20_000,
            rounds,
            seconds,
            warmup: 0.5,
            cluster_keys: 100_000,
            cluster_seconds: 5.0,
            joined_bytes: 1 << 30,
            cluster_rate: 1_000,
            failovers: 50,
            calm_seconds: 8.0,
            disturbed_seconds: 20.0,
        }
    }

    /// Just enough to try everything.
    pub(super) fn small() -> Self {
        Self {
            keys: 2_000,
            many: 20_000,
            curve: [100, 1_000, 2_000],
            idle_connections: 50,
            expiring: 1_000,
            snapshot_log_bytes: Some(4 << 20),
            rate: 2_000,
            rounds: 1,
            seconds: 0.2,
            warmup: 0.1,
            cluster_keys: 1_000,
            cluster_seconds: 0.2,
            joined_bytes: 1 << 20,
            cluster_rate: 200,
            failovers: 1,
            calm_seconds: 1.0,
            disturbed_seconds: 4.0,
        }
    }
}

/// What the servers and the load run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Nothing.
    Usual,
    /// All other work of the machine: a thread shares its core with no other.
    RealTime,
    /// Nearly all other work; threads of a server give way to each other as they do anywhere.
    Favoured,
}

/// A run.
pub(super) struct Plan<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) scale: Scale,
    /// Without Redis and etcd, and without a core for each.
    pub(super) quick: bool,
    pub(super) priority: Priority,
    /// The generator never sleeps.
    pub(super) spin: bool,
}

impl Plan<'_> {
    /// Whether there are a Redis and an etcd to measure.
    pub(super) fn with_peers(&self) -> bool {
        !self.quick
    }

    /// A program of ours as it was just built.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.workspace.program(name)
    }

    /// A program that is to run on these cores.
    pub(super) fn command(&self, cores: Cores, program: &Path) -> Command {
        // A server would outlive a run that is broken off.
        let mut words: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL"].map(Into::into).into();
        words.extend(match self.priority {
            Priority::Usual => Vec::new(),
            Priority::RealTime => ["chrt", "--fifo", "1"].map(OsString::from).into(),
            Priority::Favoured => ["nice", "-n", "-20"].map(OsString::from).into(),
        });
        // The bench's own test runs beside other tests, perhaps on a single core.
        if let (Cores::One(core), false) = (cores, self.quick) {
            words.extend(["taskset".into(), "--cpu-list".into(), core.to_string().into()]);
        }
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Whose keys and values the npm package is held against.
    fn nats(&self) -> String {
        let program = self.with_peers().then_some("nats-server");
        let said = program.and_then(|program| process::probe(program, &["--version"]));
        let version = said.as_deref().and_then(|said| said.trim().rsplit_once(": v"));
        format!("NATS {}", version.map_or("absent", |(_, version)| version))
    }

    /// Where the numbers come from.
    fn conditions(&self, scene: &Scene) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(": "))
            .map_or(std::env::consts::ARCH, |(_, model)| model);
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .map_or(std::env::consts::OS, |name| name.trim_matches('"'));
        let redis = process::probe("redis-server", &["--version"]).unwrap_or_default();
        let version = redis.split_whitespace().find_map(|word| word.strip_prefix("v="));
        let version = version.unwrap_or("absent");
        let Scale { rounds, seconds, cluster_seconds, .. } = self.scale;
        let (peer, seconds) = match scene {
            Scene::Cluster(_) => (cluster::peer(self), cluster_seconds),
            Scene::Rates => (self.nats(), seconds),
            _ => (format!("Redis {version}"), seconds),
        };
        let ahead = match self.priority {
            Priority::Usual => "",
            Priority::RealTime | Priority::Favoured => ", before all other work",
        };
        let spin = if self.spin { "" } else { ", by a generator that sleeps while it waits" };
        format!(
            "{cores} cores ({model}), {system}, {peer}, medians of {rounds} rounds of \
             {seconds} s{ahead}{spin}"
        )
    }

    /// Measures the scenes of these rows; a scene that fails is named and the others go on.
    pub(super) fn measure(&self, rows: &[&Row], results: &mut Results) -> Result<Vec<String>> {
        let mut scenes: Vec<Scene> = Vec::new();
        for scene in rows.iter().map(|row| row.scene()) {
            match scenes.iter_mut().find(|known| known.is_like(&scene)) {
                Some(known) => known.merge(&scene),
                None => scenes.push(scene),
            }
        }
        let progress = progress(scenes.len());
        let mut failures = Vec::new();
        for scene in &scenes {
            progress.set_message(scene.name());
            // Without a terminal there is no bar.
            if progress.is_hidden() {
                println!("bench: {}/{} {}", progress.position() + 1, scenes.len(), scene.name());
            }
            let failed = match scene {
                Scene::Throughput(load, arms) => {
                    let size = (self.scale.keys, self.scale.rounds);
                    throughput::measure(self, &[*load], size, arms, results)
                }
                Scene::Memory => memory::measure(self, results),
                Scene::Connections => connections::measure(self, results),
                Scene::Curve => curve::measure(self, results),
                Scene::Cluster(parts) => cluster::measure(self, parts, results),
                Scene::Sizes => web::sizes(self, results),
                Scene::Rates => web::rates(self, results),
                Scene::Many(parts) => {
                    let priority = match self.priority {
                        Priority::RealTime => Priority::Favoured,
                        other => other,
                    };
                    let shared = Plan { priority, scale: self.scale.clone(), ..*self };
                    many::measure(&shared, parts, results)
                }
            };
            // By now a scene has what it installs. What is weighed does not depend on the machine.
            if !matches!(scene, Scene::Sizes) {
                results.state_conditions(&scene.name(), &self.conditions(scene));
            }
            let named = failed.into_iter().map(|error| format!("{}: {error:#}", scene.name()));
            failures.extend(named);
            results.keep()?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(failures)
    }
}

fn progress(scenes: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("bench: {pos}/{len} {wide_bar} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(scenes as u64).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}
