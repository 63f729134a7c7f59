//! A client that does what it likes on a few keys, and writes down what it was told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidekeep_client::protocol::condition;
use tidekeep_client::protocol::entry::Stored;
use tidekeep_client::protocol::op::{self, TxnOp, TxnResult, WriteReply, WriteStatus};
use tidekeep_client::{Client, Code, Error, Expiry, Options, Outcome};
use tidekeep_tests::checker::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Key, Operation, Recorder, Step, Value,
};
use tokio::sync::watch;

/// The keys 0 and 1 are joined by transactions, so are 4 and 5; 2 and 3 stand for themselves.
const KEYS: Key = 6;
/// Only added to, so that a sum is a count.
const COUNTER: Key = 4;
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
    rng: Rng,
    writes: Value,
    /// What was last seen of each key.
    seen: [Option<Entry>; KEYS as usize],
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
        let rng = Rng::with_seed(seed * 1_000 + u64::from(name));
        let seen = [None; KEYS as usize];
        Self { doubt, name, client, deadline, recorder, rng, writes: 0, seen }
    }

    pub(crate) async fn work_until(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let operation = self.operation();
            let invoked = self.recorder.tick();
            let start = Instant::now();
            let answer = run(&self.client, &operation).await;
            let ended = self.recorder.tick();
            let took = start.elapsed();
            assert!(took < self.deadline + SLACK, "{operation}: settled only after {took:?}");
            let end = match answer {
                Ok(answer) => {
                    self.look(&operation, &answer);
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

    fn operation(&mut self) -> Operation {
        match self.rng.u32(..10) {
            0 => {
                let compares = vec![(self.rng.u8(..2), self.condition(0))];
                let condition = self.condition(0);
                let value = self.value();
                let put = |key| Step::Put(key, value, Condition::Always);
                let then = match self.rng.u32(..4) {
                    0 => vec![put(0), put(1)],
                    // Refused as a whole if its second step is.
                    2 => vec![put(1), Step::Put(0, value, condition)],
                    1 => vec![Step::Delete(0, Condition::Always), put(1), Step::Get(0)],
                    _ => vec![put(1), Step::Get(0), put(0), Step::Get(1)],
                };
                Operation::Txn { compares, then, otherwise: vec![Step::Get(0), Step::Get(1)] }
            }
            1 => {
                let put = Step::Put(5, self.value(), Condition::Always);
                let then = vec![Step::Increment(COUNTER, 1), put, Step::Get(COUNTER)];
                Operation::Txn { compares: Vec::new(), then, otherwise: Vec::new() }
            }
            2 => Operation::One(Step::Increment(COUNTER, self.rng.i64(1..4))),
            _ => Operation::One(self.step()),
        }
    }

    fn step(&mut self) -> Step {
        let key = self.rng.u8(..KEYS);
        match self.rng.u32(..10) {
            0..4 => Step::Get(key),
            _ if key == COUNTER => Step::Increment(key, 1),
            4..8 => Step::Put(key, self.value(), self.condition(key)),
            _ => Step::Delete(key, self.condition(key)),
        }
    }

    /// A value of its own.
    fn value(&mut self) -> Value {
        self.writes += 1;
        1_000_000 * Value::from(self.name + 1) + self.writes
    }

    fn condition(&mut self, key: Key) -> Condition {
        let seen = self.seen[key as usize];
        match (self.rng.u32(..8), seen) {
            (0, _) => Condition::Absent,
            (1, _) => Condition::Present,
            (2 | 3, Some(Entry { revision: Some(revision), .. })) => Condition::Revision(revision),
            (4 | 5, Some(Entry { value, .. })) => Condition::Value(value),
            _ => Condition::Always,
        }
    }

    fn look(&mut self, operation: &Operation, answer: &Answer) {
        if let (Operation::One(step), Done::One(did)) = (operation, &answer.done) {
            let revision = answer.revision;
            self.seen[step.key() as usize] = match (step, did) {
                (_, Did::Got(entry) | Did::Refused(Before::Was(entry))) => *entry,
                (Step::Put(_, value, _), Did::Written(_)) => {
                    Some(Entry { value: *value, revision })
                }
                (_, Did::Incremented(value)) => Some(Entry { value: *value, revision }),
                _ => None,
            };
        }
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
