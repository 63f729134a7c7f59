//! One thread of a load: a runtime of its own, some connections, and on each of them as many tasks
//! as requests shall be under way. Nothing is shared between threads but two counters.

use std::cell::RefCell;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tidekeep_client::{Client, Code, Error, Options};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, Put};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use super::{Plan, Ready, Shared, Stage};

/// What was measured.
pub(crate) struct Measured {
    /// Time of each request that ended well, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Requests that failed.
    pub(crate) errors: u64,
    /// The first of the failures.
    pub(crate) error: Option<Error>,
}

impl Measured {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS)
            .expect("the bounds are constants that a histogram can have");
        Self { latency, errors: 0, error: None }
    }

    /// Adds what another thread measured.
    pub(super) fn add(&mut self, other: Self) {
        // Every histogram has the same bounds, so everything fits.
        let _ = self.latency.add(&other.latency);
        self.errors += other.errors;
        self.error = self.error.take().or(other.error);
    }
}

/// One thread.
pub(super) struct Worker {
    pub(super) plan: Plan,
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) stages: watch::Receiver<Stage>,
}

impl Worker {
    /// Works until the load stops. `ready` is dropped once this thread can begin.
    pub(super) fn run(self, ready: mpsc::UnboundedSender<Ready>) -> Measured {
        let runtime = Builder::new_current_thread().enable_all().build();
        let measured = Rc::new(RefCell::new(Measured::new()));
        match runtime {
            Ok(runtime) => {
                let local = LocalSet::new();
                local.block_on(&runtime, self.work(ready, Rc::clone(&measured)));
            }
            Err(_) => measured.borrow_mut().errors += 1,
        }
        Rc::try_unwrap(measured).map_or_else(|_| Measured::new(), RefCell::into_inner)
    }

    async fn work(self, ready: mpsc::UnboundedSender<Ready>, measured: Rc<RefCell<Measured>>) {
        let requesters = match self.prepare().await {
            Ok(requesters) => requesters,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        drop(ready);
        let mut stages = self.stages.clone();
        if stages.wait_for(|stage| *stage != Stage::Prepare).await.is_err() {
            return;
        }
        let mut tasks = JoinSet::new();
        let clients: Vec<Client> =
            requesters.iter().map(|requester| requester.client.clone()).collect();
        for requester in requesters {
            tasks.spawn_local(requester.requests(Rc::clone(&measured)));
        }
        while tasks.join_next().await.is_some() {}
        for client in clients {
            client.close().await;
        }
    }

    /// Connects, and stores every key that this thread's requests may read.
    async fn prepare(&self) -> Result<Vec<Requester>, Error> {
        let plan = &self.plan;
        let mut requesters = Vec::new();
        for connection in (self.number..plan.connections).step_by(plan.threads) {
            let options = Options::default().timeout(plan.timeout);
            let client = Client::connect(&plan.url, options).await?;
            let share = connection as f64 / plan.connections as f64;
            for lane in 0..plan.pipeline {
                requesters.push(Requester {
                    client: client.clone(),
                    plan: plan.clone(),
                    lane: (connection * plan.pipeline + lane) as u64,
                    shared: Arc::clone(&self.shared),
                    delay: plan.ramp_up.mul_f64(share),
                });
            }
        }
        if plan.puts_percent < 100 {
            let mut tasks = JoinSet::new();
            for requester in &requesters {
                tasks.spawn_local(requester.clone().fill());
            }
            while let Some(filled) = tasks.join_next().await {
                filled.unwrap_or(Ok(()))?;
            }
        }
        Ok(requesters)
    }
}

/// One request at a time, again and again.
#[derive(Clone)]
struct Requester {
    client: Client,
    plan: Plan,
    lane: u64,
    shared: Arc<Shared>,
    delay: Duration,
}

impl Requester {
    fn write_key(&self, index: u64, key: &mut Vec<u8>) {
        key.clear();
        let _ = write!(key, "{}{index:08}", self.plan.prefix);
    }

    fn value(&self) -> Vec<u8> {
        let mut value = vec![0; self.plan.value_bytes];
        fastrand::Rng::with_seed(self.lane).fill(&mut value);
        value
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let put = Put {
            key,
            value,
            condition: Condition::Always,
            expiry: Expiry::Never,
            previous: false,
        };
        self.client.call(&put).await.map(drop)
    }

    /// Stores this requester's share of the keys.
    async fn fill(self) -> Result<(), Error> {
        let (mut key, value) = (Vec::new(), self.value());
        let lanes = (self.plan.connections * self.plan.pipeline) as u64;
        let mut index = self.lane;
        while index < self.plan.keys && !self.shared.is(Stage::Stop) {
            self.write_key(index, &mut key);
            self.put(&key, &value).await?;
            index += lanes;
        }
        Ok(())
    }

    async fn requests(self, measured: Rc<RefCell<Measured>>) {
        tokio::time::sleep(self.delay).await;
        let mut random = fastrand::Rng::new();
        let (mut key, value) = (Vec::new(), self.value());
        while !self.shared.is(Stage::Stop) {
            self.write_key(random.u64(..self.plan.keys), &mut key);
            let put = random.u8(..100) < self.plan.puts_percent;
            let begun = Instant::now();
            let result = if put {
                self.put(&key, &value).await
            } else {
                self.client.call(&Get { key: &key }).await.map(drop)
            };
            let took = begun.elapsed();
            if !self.shared.is(Stage::Measure) {
                continue;
            }
            match result {
                Ok(()) => {
                    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    measured.borrow_mut().latency.saturating_record(took);
                    self.shared.done.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => failed(error, &measured).await,
            }
        }
    }
}

async fn failed(error: Error, measured: &RefCell<Measured>) {
    let gone = matches!(error.code(), Code::Network | Code::Closed | Code::Unavailable);
    {
        let mut measured = measured.borrow_mut();
        measured.errors += 1;
        measured.error.get_or_insert(error);
    }
    if gone {
        // A server that is away is not asked thousands of times a second.
        tokio::time::sleep(GONE_PAUSE).await;
    }
}

const LATENCY_MAX_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;
const GONE_PAUSE: Duration = Duration::from_millis(100);
