//! The large store: how long it takes from a start to the first answer, and what a snapshot of it
//! and a wave of expiring keys do to the answers of a load that goes on.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

use crate::bench::background::{Background, now_ms};
use crate::bench::figures::quantile;
use crate::bench::load::{self, Found, Load};
use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::bench::scene::Part;
use crate::bench::server::{self, Cores, Durability, Kind, Server};
use crate::bench::throughput::CORE;
use crate::process;

const POLL: Duration = Duration::from_millis(10);
/// As `tidekeep-server` has it unless it is told otherwise.
const SNAPSHOT_LOG_BYTES: u64 = 256 << 20;
/// About what a write takes in the log.
const RECORD_BYTES: f64 = 130.0;
/// Each waits for its reply, and a reply to a write for the disk: these are enough for the rate where a
/// sync takes twenty milliseconds. Fewer would measure how long requests wait for a connection.
const PACED_CONNECTIONS: u32 = 400;
const APPROACHES: u32 = 12;
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(120);
/// Behind the keys of the large store.
const EXPIRING_FIRST: u32 = 1 << 30;

pub(super) fn measure(plan: &Plan<'_>, parts: &[Part], results: &mut Results) -> Vec<Error> {
    let mut failures = Vec::new();
    for part in parts {
        for side in part.sides() {
            results.clear(&format!("{}/{side}", part.name()));
        }
    }
    if parts.contains(&Part::Start) && plan.with_peers() {
        failures.extend(redis(plan, results).err());
    }
    match tidekeep(plan) {
        Ok(mut server) => failures.extend(on(plan, &mut server, parts, results)),
        Err(error) => failures.push(error),
    }
    failures
}

fn entries(plan: &Plan<'_>) -> Load {
    Load::sweep(plan, plan.scale.many, 64)
}

fn redis(plan: &Plan<'_>, results: &mut Results) -> Result<()> {
    let flags = server::flags(Kind::Redis, Durability::None);
    let mut server = Server::start(plan, Kind::Redis, flags, Cores::All)?;
    entries(plan).fill(plan, &mut server)?;
    let saved = server.ask("SAVE\r\nQUIT\r\n")?;
    if !saved.starts_with("+OK") {
        bail!("Redis does not save: {saved}");
    }
    starts(plan, &mut server, "start/redis", results)?;
    entries(plan).check(plan, &mut server)
}

/// Filled, by the settings that it has unless it is told otherwise.
fn tidekeep(plan: &Plan<'_>) -> Result<Server> {
    let own = plan.scale.snapshot_log_bytes.map(|bytes| bytes.to_string());
    let flags: Vec<&str> =
        own.iter().flat_map(|bytes| ["--snapshot-log-bytes", bytes.as_str()]).collect();
    let mut server = Server::start(plan, Kind::Tidekeep, &flags, Cores::All)?;
    entries(plan).fill(plan, &mut server)?;
    server.wait_until_quiet()?;
    Ok(server)
}

/// Measures each part; one that fails does not end the others.
fn on(plan: &Plan<'_>, server: &mut Server, parts: &[Part], results: &mut Results) -> Vec<Error> {
    let mut failures = Vec::new();
    for part in [Part::Start, Part::Snapshot, Part::Expiry] {
        if !parts.contains(&part) {
            continue;
        }
        let measured = match part {
            Part::Start => starts(plan, server, "start/tidekeep", results),
            Part::Snapshot => each_round(plan, || snapshot(plan, server, results)),
            Part::Expiry => each_round(plan, || expiry(plan, server, results)),
        };
        failures.extend(measured.err().map(|error| error.context(part.name())));
    }
    let content = entries(plan).check(plan, server);
    if content.is_err() {
        // What was fast and wrong is no figure.
        for (part, side) in parts.iter().flat_map(|part| part.sides().map(|side| (part, side))) {
            results.clear(&format!("{}/{side}", part.name()));
        }
    }
    failures.extend(content.err());
    failures
}

fn each_round(plan: &Plan<'_>, mut measure: impl FnMut() -> Result<()>) -> Result<()> {
    (0..plan.scale.rounds).try_for_each(|_| measure())
}

/// From the start of the process to the first right answer, on all cores.
fn starts(plan: &Plan<'_>, server: &mut Server, name: &str, results: &mut Results) -> Result<()> {
    let protocol = if server.kind() == Kind::Redis { "resp" } else { "native" };
    let first = Load { protocol, operation: "first", ..entries(plan) };
    for _ in 0..plan.scale.rounds {
        server.end()?;
        let began = Instant::now();
        server.start_again()?;
        first.run(plan, server)?;
        results.add(name, began.elapsed().as_secs_f64());
        server.wait_until_quiet()?;
    }
    Ok(())
}

/// Reads and writes at a fixed rate that leaves the core mostly free.
fn fixed(plan: &Plan<'_>) -> Load {
    let scale = &plan.scale;
    Load {
        operation: "mixed",
        connections: PACED_CONNECTIONS,
        pipeline: 1,
        rate: Some(scale.rate),
        seconds: scale.calm_seconds + scale.disturbed_seconds,
        ..entries(plan)
    }
}

/// From here on it has one core, as where throughput is measured.
fn pin(server: &Server) -> Result<()> {
    let mut taskset = Command::new("taskset");
    let (core, pid) = (CORE.to_string(), server.pid().to_string());
    process::loud(taskset.args(["-a", "-c", "-p", &core, &pid]).stdout(Stdio::null()))?;
    server.wait_until_quiet()
}

fn snapshot(plan: &Plan<'_>, server: &mut Server, results: &mut Results) -> Result<()> {
    pin(server)?;
    let own = plan.scale.calm_seconds * f64::from(plan.scale.rate) / 2.0 * RECORD_BYTES;
    approach_snapshot(plan, server, own)?;
    let (temp, known) = (server.data.path().join("snapshot.tmp"), snapshots(server)?);
    let mut child = Background::start(fixed(plan).command(plan, server), server.data.path())?;
    let (mut began, mut ended) = (None, None);
    while child.is_running()? {
        let (writing, written) = (temp.exists(), snapshots(server)? != known);
        match (began, ended) {
            (None, _) if writing || written => began = Some(now_ms()),
            (Some(_), None) if !writing => ended = Some(now_ms()),
            _ => {}
        }
        thread::sleep(POLL);
    }
    let found = child.found()?;
    let began = began.context("no snapshot began")?;
    compare("snapshot", &found, began, ended.unwrap_or_else(now_ms), results)
}

/// Bytes that the log lacks to begin a snapshot.
fn lacking(plan: &Plan<'_>, server: &Server) -> Result<f64> {
    let wanted = plan.scale.snapshot_log_bytes.unwrap_or(SNAPSHOT_LOG_BYTES);
    let wanted = wanted.max(server.figure("memory_entries_bytes")? / 2);
    Ok(wanted as f64 - server.figure("log_bytes_since_snapshot")? as f64)
}

/// The same once a snapshot that is due has been written: its thread lets everything else go first, so
/// a server may look quiet while it waits for its turn.
fn settled(plan: &Plan<'_>, server: &Server) -> Result<f64> {
    let deadline = Instant::now() + SNAPSHOT_LIMIT;
    loop {
        let lacking = lacking(plan, server)?;
        if lacking > 0.0 {
            return Ok(lacking);
        }
        if Instant::now() > deadline {
            bail!("a snapshot that is due is not written");
        }
        thread::sleep(POLL);
    }
}

/// Writes about so many bytes of log, and waits for what comes of it.
fn write_log(plan: &Plan<'_>, server: &mut Server, bytes: f64) -> Result<()> {
    let requests = Some((bytes / RECORD_BYTES).max(1.0) as u32);
    Load { operation: "set", requests, ..entries(plan) }.run(plan, server)?;
    server.wait_until_quiet()
}

/// Leaves the log `short` bytes short of a snapshot, give or take a quarter.
fn approach_snapshot(plan: &Plan<'_>, server: &mut Server, short: f64) -> Result<()> {
    for _ in 0..APPROACHES {
        let missing = settled(plan, server)? - short;
        if missing.abs() < short / 4.0 {
            return Ok(());
        }
        // Step by step, as records are not of one length. What went too far goes on to the snapshot.
        let bytes = if missing > 0.0 { missing * 0.8 } else { short * 1.5 };
        write_log(plan, server, bytes)?;
    }
    bail!("no moment shortly before a snapshot was found")
}

/// Leaves room for so many bytes of log before the next snapshot.
fn make_room(plan: &Plan<'_>, server: &mut Server, bytes: f64) -> Result<()> {
    for _ in 0..APPROACHES {
        let lacking = settled(plan, server)?;
        if lacking >= bytes {
            return Ok(());
        }
        write_log(plan, server, lacking * 1.1)?;
    }
    bail!("no moment long before a snapshot was found")
}

/// Files of whole snapshots.
fn snapshots(server: &Server) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(server.data.path())? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".snap") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn expiry(plan: &Plan<'_>, server: &mut Server, results: &mut Results) -> Result<()> {
    pin(server)?;
    let base = u64::from(plan.scale.many);
    // A snapshot would begin at the same time if the log were long already.
    let scale = &plan.scale;
    let seconds = scale.calm_seconds + scale.disturbed_seconds;
    let writes = f64::from(scale.rate) / 2.0 * seconds + f64::from(scale.expiring) * 2.0;
    make_room(plan, server, writes * RECORD_BYTES)?;
    let calm = Duration::from_secs_f64(plan.scale.calm_seconds);
    // They are written within the first half of it.
    let ttl = calm * 2;
    let expiring = Load {
        keys: plan.scale.expiring,
        first: EXPIRING_FIRST,
        ttl_ms: Some(ttl.as_millis() as u64),
        ..entries(plan)
    };
    let first_end = now_ms() + ttl.as_millis() as u64;
    expiring.fill(plan, server)?;
    let last_end = now_ms() + ttl.as_millis() as u64;
    let known = snapshots(server)?;
    let mut child = Background::start(fixed(plan).command(plan, server), server.data.path())?;
    let mut gone = None;
    while child.is_running()? {
        if gone.is_none() && now_ms() > first_end && server.figure("keys")? <= base {
            gone = Some(now_ms().max(last_end));
        }
        thread::sleep(POLL * 5);
    }
    let found = child.found()?;
    if snapshots(server)? != known {
        bail!("a snapshot was written at the same time");
    }
    compare("expiry", &found, first_end, gone.context("the keys stayed")?, results)
}

/// The p99 of what came before `began` and of what came up to `ended`.
fn compare(name: &str, found: &Found, began: u64, ended: u64, results: &mut Results) -> Result<()> {
    let p99 = |from, to| found.p99_between(from, to);
    let start = found.slices.first().map_or(0, |slice| slice.ended_ms);
    for (side, p99) in
        [("before", p99(start, began)), ("during", p99(began, ended + load::SLICE_MS))]
    {
        let micros = p99.with_context(|| format!("no reply was timed {side}"))?;
        results.add(&format!("{name}/{side}"), micros as f64);
    }
    let seconds = |ms: u64| (ms.saturating_sub(start)) as f64 / 1_000.0;
    let points = found.slices.iter().filter_map(|slice| {
        let p99 = quantile(slice.counts.iter().copied(), 0.99)?;
        Some((seconds(slice.ended_ms), p99 as f64))
    });
    results.set_curve(&format!("{name}/p99"), points.collect());
    results.set_curve(&format!("{name}/span"), vec![(seconds(began), 0.0), (seconds(ended), 0.0)]);
    Ok(())
}
