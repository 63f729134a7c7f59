//! A load on the server: threads with connections, connections with requests under way, and what
//! they measured together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidekeep_client::Error;
use tokio::sync::{mpsc, watch};

use crate::failure::Failure;
use crate::progress::Pulse;
use crate::session::until_interrupted;

mod load;
pub(crate) mod report;

pub(crate) use load::Measured;

/// What load to make.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The server.
    pub(crate) url: String,
    /// Deadline of a request.
    pub(crate) timeout: Duration,
    /// How many of a hundred requests are puts; the others are gets.
    pub(crate) puts_percent: u8,
    /// Connections, shared evenly by the threads.
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    pub(crate) pipeline: usize,
    /// Size of each value.
    pub(crate) value_bytes: usize,
    /// How many different keys.
    pub(crate) keys: u64,
    /// What they begin with.
    pub(crate) prefix: String,
    /// How long the connections take to join in, unmeasured.
    pub(crate) ramp_up: Duration,
    /// How long to measure.
    pub(crate) seconds: Duration,
    /// Threads.
    pub(crate) threads: usize,
}

/// What all the threads do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Prepare = 0,
    RampUp = 1,
    Measure = 2,
    Stop = 3,
}

/// What the threads share. The stage is both a channel, to wait on, and a number, to look at with
/// every request.
struct Shared {
    stage: AtomicU8,
    done: AtomicU64,
}

impl Shared {
    fn is(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Relaxed) == stage as u8
    }
}

/// Makes the load; what was measured, and for how long.
pub(crate) async fn run(plan: &Plan) -> Result<(Measured, Duration), Failure> {
    let shared = Arc::new(Shared { stage: AtomicU8::new(0), done: AtomicU64::new(0) });
    let (stages, watched) = watch::channel(Stage::Prepare);
    let (ready, mut readies) = mpsc::unbounded_channel();
    let threads = start(plan, &shared, &watched, &ready)?;
    drop(ready);
    let enter = |stage: Stage| {
        shared.stage.store(stage as u8, Ordering::Relaxed);
        stages.send_replace(stage);
    };
    let prepared = until_interrupted(all_ready(&mut readies)).await;
    let mut window = Duration::ZERO;
    if let Some(Ok(())) = prepared {
        enter(Stage::RampUp);
        let _ = until_interrupted(tokio::time::sleep(plan.ramp_up)).await;
        enter(Stage::Measure);
        let begun = Instant::now();
        let _ = until_interrupted(show(&shared, plan.seconds)).await;
        window = begun.elapsed();
    }
    enter(Stage::Stop);
    let measured = join(threads)?;
    prepared.unwrap_or(Ok(()))?;
    Ok((measured, window))
}

type Ready = Result<(), Error>;

fn start(
    plan: &Plan,
    shared: &Arc<Shared>,
    stages: &watch::Receiver<Stage>,
    ready: &mpsc::UnboundedSender<Ready>,
) -> Result<Vec<JoinHandle<Measured>>, Failure> {
    (0..plan.threads)
        .map(|number| {
            let worker = load::Worker {
                plan: plan.clone(),
                number,
                shared: Arc::clone(shared),
                stages: stages.clone(),
            };
            let ready = ready.clone();
            thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || worker.run(ready))
                .map_err(|error| Failure::invalid(format!("no thread for the load: {error}")))
        })
        .collect()
}

/// Waits until every thread has connected and stored what it will read.
async fn all_ready(readies: &mut mpsc::UnboundedReceiver<Ready>) -> Result<(), Failure> {
    while let Some(ready) = readies.recv().await {
        ready?;
    }
    Ok(())
}

/// Shows the rate each second until the time is over.
async fn show(shared: &Shared, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    let mut pulse = Pulse::start();
    let mut before = shared.done.load(Ordering::Relaxed);
    loop {
        let next = tokio::time::Instant::now() + SHOW_EVERY;
        tokio::time::sleep_until(next.min(end)).await;
        if next >= end {
            return pulse.finish();
        }
        let done = shared.done.load(Ordering::Relaxed);
        pulse.rate(done - before);
        before = done;
    }
}

fn join(threads: Vec<JoinHandle<Measured>>) -> Result<Measured, Failure> {
    let mut all = Measured::new();
    for thread in threads {
        let measured =
            thread.join().map_err(|_| Failure::invalid("a thread of the load broke down"))?;
        all.add(measured);
    }
    Ok(all)
}

const SHOW_EVERY: Duration = Duration::from_secs(1);
