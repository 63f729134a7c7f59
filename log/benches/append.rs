//! Synced appends per second on this machine's disk, by the number of records that wait together.
//! `cargo bench -p tidekeep-log`; the directory is `TIDEKEEP_BENCH_DIR`, else the system's
//! temporary one, which must be on a real disk for the figures to mean anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{BoxError, Durability, Log, Options, Permit, Recovery, Refused};

const PAYLOAD: [u8; 128] = [0x5a; 128];
const TIME: Duration = Duration::from_secs(2);

fn main() -> Result<(), BoxError> {
    println!("{} byte payloads, {} s each", PAYLOAD.len(), TIME.as_secs());
    println!(
        "{:>10} {:>7} {:>12} {:>10} {:>10}",
        "durability", "batch", "appends/s", "syncs/s", "us/batch"
    );
    for batch in [1, 8, 64, 512, 4096] {
        run("always", Durability::Always, batch)?;
    }
    for (name, durability) in [("interval", Durability::INTERVAL), ("none", Durability::None)] {
        run(name, durability, 64)?;
    }
    Ok(())
}

fn run(name: &str, durability: Durability, batch: usize) -> Result<(), BoxError> {
    let dir = match std::env::var_os("TIDEKEEP_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let options = Options { durability, ..Options::new(seeded(1)) };
    let recovery = Recovery::begin(Arc::new(RealDisk::open(dir.path())?), options)?;
    let (log, _) = recovery.replay(|_, _| Ok(()))?;
    let start = Instant::now();
    let mut batches = 0_u32;
    while start.elapsed() < TIME {
        let permit = admit(&log, batch)?;
        let last = log.append(permit, std::iter::repeat_n(&PAYLOAD[..], batch));
        log.ticket(last).wait()?;
        batches += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let stats = log.stats();
    println!(
        "{name:>10} {batch:>7} {:>12.0} {:>10.0} {:>10.1}",
        stats.records as f64 / seconds,
        stats.syncs as f64 / seconds,
        seconds * 1e6 / f64::from(batches),
    );
    Ok(())
}

fn admit(log: &Log, batch: usize) -> Result<Permit<'_>, BoxError> {
    loop {
        match log.admit(batch, batch * PAYLOAD.len()) {
            Err(Refused::Busy(room)) => room.wait()?,
            outcome => return Ok(outcome?),
        }
    }
}
