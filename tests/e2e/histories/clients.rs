//! A client that does what it likes on a few keys, and writes down what it was told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidekeep_client::protocol::condition;
use tidekeep_client::protocol::entry::Stored;
use tidekeep_client::protocol::op::{self, TxnOp, TxnResult, WriteReply, WriteStatus};
use tidekeep_client::{Client, Code, Error, Expiry, Options, Outcome};
use tidekeep_tests::checker::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Key, Load, Operation, Recorder, Step,
    Value,
};
use tokio::sync::watch;

/// What calls may take. Who is in a hurry gives calls up that may still be applied.
const DEADLINES_MS: [u64; 3] = [250, 700, 1_500];
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(5);
/// Pauses between calls, so that a history is long in time rather than in calls.
const PAUSE_MS: u64 = 12;

/// When a call may end in doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Only when its time is over.
    AtDeadline,
    /// At once, too, when the server begins another history because it may have lost some of this.
    AtLoss,
}

pub(crate) struct Worker {
    doubt: Doubt,
    name: u32,
    client: Client,
    deadline: Duration,
    recorder: Arc<Recorder>,
    load: Load,
    rng: Rng,
}

impl Worker {
    pub(crate) fn new(
        name: u32,
        seed: u64,
        address: &str,
        recorder: Arc<Recorder>,
        doubt: Doubt,
    ) -> Self {
        let deadline = DEADLINES_MS[name as usize % DEADLINES_MS.len()];
        let deadline = Duration::from_millis(deadline);
        let mut options = Options::default().timeout(deadline);
        options.config.backoff_min_ms = 5;
        options.config.backoff_max_ms = 100;
        let client = Client::lazy(address, options).unwrap();
        let mut rng = Rng::with_seed(seed * 1_000 + u64::from(name));
        let load = Load::new(name, rng.fork());
        Self { doubt, name, client, deadline, recorder, load, rng }
    }

    pub(crate) async fn work_until(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let operation = self.load.operation();
            let invoked = self.recorder.tick();
            let start = Instant::now();
            let answer = run(&self.client, &operation).await;
            let ended = self.recorder.tick();
            let took = start.elapsed();
            assert!(took < self.deadline + SLACK, "{operation}: settled only after {took:?}");
            let end = match answer {
                Ok(answer) => {
                    self.load.look(&operation, &answer);
                    End::Answered(ended, answer)
                }
                Err(error) if error.outcome() == Outcome::NotApplied => End::Failed,
                // While there is time, a write is sent again. The client counts whole milliseconds.
                Err(error) => {
                    let over = took + Duration::from_millis(1) >= self.deadline;
                    let lost = self.doubt == Doubt::AtLoss && error.code() == Code::OutcomeUnknown;
                    assert!(over || lost, "{operation}: in doubt after {took:?}: {error:?}");
                    End::Unknown
                }
            };
            self.recorder.add(Call { client: self.name, invoked, operation, end });
            // The pace of the load: nothing is waited for.
            let pause = self.rng.u64(..PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.client.close().await;
    }
}

/// Does it, and puts the reply into the checker's words.
async fn run(client: &Client, operation: &Operation) -> Result<Answer, Error> {
    match operation {
        Operation::One(step) => {
            let (revision, did) = run_step(client, step).await?;
            Ok(Answer { revision: Some(revision), done: Done::One(did) })
        }
        Operation::Txn { compares, then, otherwise } => {
            let texts = Texts::of(operation);
            let txn = op::Txn {
                compares: compares
                    .iter()
                    .map(|(key, it)| op::Compare {
                        key: name(*key),
                        condition: texts.condition(it),
                    })
                    .collect(),
                then: then.iter().map(|step| texts.step(step)).collect(),
                otherwise: otherwise.iter().map(|step| texts.step(step)).collect(),
            };
            let reply = client.call(&txn).await?;
            let reply = reply.decode()?;
            let dids = reply.results.iter().map(|result| match result {
                TxnResult::Get(reply) => Did::Got(reply.entry.map(entry)),
                TxnResult::Put(reply) | TxnResult::Delete(reply) => written(reply, true),
                TxnResult::Increment(reply) => Did::Incremented(reply.value),
                TxnResult::Touch(_) | TxnResult::DeleteRange(_) => {
                    panic!("an answer to what nobody asked for: {result:?}")
                }
            });
            let done = Done::Txn(reply.succeeded, dids.collect());
            Ok(Answer { revision: Some(reply.revision), done })
        }
    }
}

async fn run_step(client: &Client, step: &Step) -> Result<(u64, Did), Error> {
    let operation = Operation::One(step.clone());
    let texts = Texts::of(&operation);
    match texts.step(step) {
        TxnOp::Get(get) => {
            let reply = client.call(&get).await?;
            let reply = reply.decode()?;
            Ok((reply.revision, Did::Got(reply.entry.map(entry))))
        }
        TxnOp::Put(put) => {
            // Some answers shall say no more than that it is done.
            let put = op::Put { previous: put.value.ends_with(b"1"), ..put };
            let reply = client.call(&put).await?;
            let reply = reply.decode()?;
            Ok((reply.revision, written(&reply, put.previous)))
        }
        TxnOp::Delete(delete) => {
            let reply = client.call(&delete).await?;
            let reply = reply.decode()?;
            Ok((reply.revision, written(&reply, delete.previous)))
        }
        TxnOp::Increment(increment) => {
            let reply = client.call(&increment).await?;
            let reply = reply.decode()?;
            Ok((reply.revision, Did::Incremented(reply.value)))
        }
        TxnOp::Touch(_) | TxnOp::DeleteRange(_) => unreachable!("no client does this"),
    }
}

/// The numbers of an operation as the store keeps them.
struct Texts(Vec<(Value, String)>);

impl Texts {
    fn of(operation: &Operation) -> Self {
        let mut texts = Self(Vec::new());
        match operation {
            Operation::One(step) => texts.add_step(step),
            Operation::Txn { compares, then, otherwise } => {
                compares.iter().for_each(|(_, condition)| texts.add_condition(condition));
                then.iter().chain(otherwise).for_each(|step| texts.add_step(step));
            }
        }
        texts
    }

    fn add_step(&mut self, step: &Step) {
        match step {
            Step::Put(_, value, condition) => {
                self.0.push((*value, value.to_string()));
                self.add_condition(condition);
            }
            Step::Delete(_, condition) => self.add_condition(condition),
            Step::Get(_) | Step::Increment(..) => {}
        }
    }

    fn add_condition(&mut self, condition: &Condition) {
        if let Condition::Value(value) = condition {
            self.0.push((*value, value.to_string()));
        }
    }

    fn text(&self, value: Value) -> &[u8] {
        self.0.iter().find(|(it, _)| *it == value).expect("it was added").1.as_bytes()
    }

    fn condition(&self, condition: &Condition) -> condition::Condition<'_> {
        match condition {
            Condition::Always => condition::Condition::Always,
            Condition::Absent => condition::Condition::Absent,
            Condition::Present => condition::Condition::Present,
            Condition::Revision(revision) => condition::Condition::Revision(*revision),
            Condition::Value(value) => condition::Condition::Value(self.text(*value)),
        }
    }

    fn step(&self, step: &Step) -> TxnOp<'_> {
        let (key, expiry) = (name(step.key()), Expiry::Never);
        match step {
            Step::Get(_) => TxnOp::Get(op::Get { key }),
            Step::Put(_, value, condition) => {
                let (value, condition) = (self.text(*value), self.condition(condition));
                TxnOp::Put(op::Put { key, value, condition, expiry, previous: true })
            }
            Step::Delete(_, condition) => {
                let condition = self.condition(condition);
                TxnOp::Delete(op::Delete { key, condition, previous: true })
            }
            Step::Increment(_, by) => TxnOp::Increment(op::Increment { key, by: *by, expiry }),
        }
    }
}

fn name(key: Key) -> &'static [u8] {
    [b"a", b"b", b"c", b"d", b"e", b"f"][key as usize]
}

fn written(reply: &WriteReply<'_>, previous: bool) -> Did {
    let was = Before::Was(reply.entry.map(entry));
    match reply.status {
        WriteStatus::Applied => Did::Written(if previous { was } else { Before::Unsaid }),
        WriteStatus::NotFound => Did::NotFound,
        WriteStatus::Refused => Did::Refused(was),
    }
}

/// What is no number, nobody has written: it becomes one that fits nothing.
fn entry(stored: Stored<'_>) -> Entry {
    let text = std::str::from_utf8(stored.value).ok();
    let value = text.and_then(|text| text.parse().ok()).unwrap_or(Value::MIN);
    Entry { value, revision: Some(stored.meta.modified) }
}
