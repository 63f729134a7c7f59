//! How long nobody can write: from a `kill -9` of the leader to the next acknowledged write, and the
//! longest gap between two acknowledged writes while the leadership is handed over. Small writes to
//! every node, at a steady pace, see it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::bench::cluster::nodes::Cluster;
use crate::bench::load::Load;
use crate::bench::plan::Plan;
use crate::bench::results::Results;

const POLL: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(60);
/// A hand-over is looked at for so long.
const HAND_OVER: Duration = Duration::from_secs(2);
/// Kills for one hand-over.
const SHARE: u32 = 5;
const VALUE_BYTES: u32 = 64;
/// Keys of the probe, behind those of other loads.
const FIRST_KEY: u32 = 1 << 30;
const KEYS: u32 = 1_000;

/// Kills leaders, then hands over.
pub(super) fn measure(
    plan: &Plan<'_>,
    cluster: &mut Cluster<'_>,
    results: &mut Results,
) -> Result<()> {
    let name = cluster.kind().name();
    let [killed, passed] = ["failover", "transfer"].map(|what| format!("cluster-{what}/{name}"));
    results.clear(&killed);
    results.clear(&passed);
    let probe = Probe::start(plan, cluster)?;
    for _ in 0..plan.scale.failovers {
        let leader = cluster.wait_until_whole()?;
        probe.wait_for_write(micros())?;
        let since = micros();
        cluster.nodes[leader].kill()?;
        let next = probe.wait_for_write(since).context("nobody took over")?;
        results.add(&killed, (next - since) as f64 / 1e6);
        cluster.nodes[leader].start_again()?;
    }
    for _ in 0..plan.scale.failovers.div_ceil(SHARE) {
        let leader = cluster.wait_until_whole()?;
        let since = probe.wait_for_write(micros())?;
        cluster.transfer(leader, (leader + 1) % cluster.nodes.len())?;
        probe.wait_for_write(since + HAND_OVER.as_micros())?;
        results.add(&passed, probe.longest_gap(since) as f64);
    }
    Ok(())
}

/// The generator's probe, and the writes that were acknowledged so far.
struct Probe {
    child: Child,
    writes: Arc<Mutex<Vec<Write>>>,
}

/// When a write left and when it was acknowledged, in microseconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Write {
    sent: u128,
    acknowledged: u128,
}

impl Probe {
    fn start(plan: &Plan<'_>, cluster: &mut Cluster<'_>) -> Result<Self> {
        let load = Load {
            protocol: cluster.kind().protocol(),
            operation: "probe",
            first: FIRST_KEY,
            ..Load::sweep(plan, KEYS, VALUE_BYTES)
        };
        let mut target = cluster.target(&cluster.all());
        // The other loads' ledger is of other keys.
        target.ledger.set_extension("probe");
        let mut command = load.command_on(plan, &target);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the probe has no output")?;
        let writes: Arc<Mutex<Vec<Write>>> = Arc::default();
        let told = Arc::clone(&writes);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lock(&told).extend(Write::read(&line));
            }
        });
        Ok(Self { child, writes })
    }

    /// Waits for a write that left at `since` or later; when it was acknowledged.
    fn wait_for_write(&self, since: u128) -> Result<u128> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let first = lock(&self.writes)
                .iter()
                .rev()
                .take_while(|write| write.acknowledged >= since)
                .filter(|write| write.sent >= since)
                .map(|write| write.acknowledged)
                .min();
            if let Some(acknowledged) = first {
                return Ok(acknowledged);
            }
            thread::sleep(POLL);
        }
        bail!("no write was acknowledged for {} s", LIMIT.as_secs())
    }

    /// The longest time without an acknowledgement since then.
    fn longest_gap(&self, since: u128) -> u128 {
        let mut at: Vec<u128> = lock(&self.writes).iter().map(|it| it.acknowledged).collect();
        at.retain(|acknowledged| *acknowledged >= since);
        at.sort_unstable();
        at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Write {
    /// `sent acknowledged`; other lines say something else.
    fn read(line: &str) -> Option<Self> {
        let (sent, acknowledged) = line.split_once(' ')?;
        Some(Self { sent: sent.parse().ok()?, acknowledged: acknowledged.parse().ok()? })
    }
}

fn lock(writes: &Mutex<Vec<Write>>) -> MutexGuard<'_, Vec<Write>> {
    writes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}
