//! A client that does what it likes on a few keys, and writes down what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidekeep_client::protocol::condition;
use tidekeep_client::protocol::entry::Stored;
use tidekeep_client::protocol::op::{self, TxnOp, TxnReply, TxnResult, WriteReply, WriteStatus};
use tidekeep_client::protocol::slot::{GroupCount, slot_of};
use tidekeep_client::{Client, Code, Error, Expiry, Options, Outcome};
use tidekeep_tests::checker::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Group, Groups, Key, Load, Operation,
    Recorder, Step, Value,
};
use tokio::sync::watch;

/// What calls may take. Who is in a hurry gives calls up that may still be applied.
const DEADLINES_MS: [u64; 3] = [250, 700, 1_500];
/// The same over groups, of which each may have lost its leader, and each key be locked for a second then: what
/// is given up may have been done, and too much of that leaves too many orders to look for.
const DEADLINES_OVER_GROUPS_MS: [u64; 3] = [1_000, 2_500, 5_000];
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
    groups: Groups,
    rng: Rng,
}

impl Worker {
    pub(crate) fn new(
        name: u32,
        seed: u64,
        address: &str,
        recorder: Arc<Recorder>,
        doubt: Doubt,
        groups: Groups,
    ) -> Self {
        let (deadlines, load): (_, fn(u32, Rng) -> Load) = match groups.are_several() {
            false => (DEADLINES_MS, Load::new),
            true => (DEADLINES_OVER_GROUPS_MS, Load::over_groups),
        };
        let deadline = deadlines[name as usize % deadlines.len()];
        let deadline = Duration::from_millis(deadline);
        let mut options = Options::default().timeout(deadline);
        options.config.backoff_min_ms = 5;
        options.config.backoff_max_ms = 100;
        let client = Client::lazy(address, options).unwrap();
        let mut rng = Rng::with_seed(seed * 1_000 + u64::from(name));
        let load = load(name, rng.fork());
        Self { doubt, name, client, deadline, recorder, load, groups, rng }
    }

    pub(crate) async fn work_until(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let operation = self.load.operation();
            let invoked = self.recorder.tick();
            let start = Instant::now();
            let answer = run(&self.client, &self.groups, &operation).await;
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
async fn run(client: &Client, groups: &Groups, operation: &Operation) -> Result<Answer, Error> {
    match operation {
        Operation::One(step) => {
            let (revision, did) = run_step(client, step).await?;
            Ok(Answer::of(Some(revision), Done::One(did)))
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
            let elsewhere = elsewhere(groups, operation, &reply);
            Ok(Answer { revision: Some(reply.revision), done, elsewhere })
        }
    }
}

/// The revisions of a transaction's parts in the groups beside its home.
fn elsewhere(groups: &Groups, operation: &Operation, reply: &TxnReply<'_>) -> Vec<(Group, u64)> {
    let Operation::Txn { then, otherwise, .. } = operation else { return Vec::new() };
    let ran = if reply.succeeded { then } else { otherwise };
    let mut parts: BTreeMap<Group, u64> = BTreeMap::new();
    for (step, result) in ran.iter().zip(&reply.results) {
        let revision = match result {
            TxnResult::Get(reply) => reply.revision,
            TxnResult::Put(reply) | TxnResult::Delete(reply) => reply.revision,
            TxnResult::Increment(reply) => reply.revision,
            TxnResult::Touch(reply) => reply.revision,
            TxnResult::DeleteRange(reply) => reply.revision,
        };
        // A get before the part's first write shows the group as it was before.
        let newest = parts.entry(groups.of(step.key())).or_default();
        *newest = revision.max(*newest);
    }
    parts.remove(&groups.home(operation));
    parts.into_iter().collect()
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

/// The keys' groups in a store of so many.
pub(crate) fn groups_of(groups: u16) -> Groups {
    let groups = GroupCount::new(groups).expect("a store can have so many groups");
    NAMES.iter().map(|name| groups.group_of(slot_of(*name)).0).collect()
}

/// In a store of four groups the first three are of three, the last two of two.
const NAMES: [&[u8; 1]; 6] = [b"a", b"b", b"o", b"d", b"e", b"f"];

fn name(key: Key) -> &'static [u8] {
    NAMES[key as usize]
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
