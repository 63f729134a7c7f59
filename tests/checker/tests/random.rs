//! Random histories: clients whose calls take effect somewhere between beginning and end, and
//! answers that are changed afterwards.

use fastrand::Rng;
use tidekeep_tests::checker::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Key, Operation, Step, Value,
};

use crate::naive::Naive;

/// What a history is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) clients: u32,
    pub(crate) calls: usize,
    pub(crate) keys: Key,
    /// Of a hundred operations, those that are transactions.
    pub(crate) transactions: u32,
    /// Of a hundred calls, those whose answer is lost.
    pub(crate) lost: u32,
    /// Whether conditions name revisions.
    pub(crate) revisions: bool,
    /// Whether puts have values of their own, rather than a few.
    pub(crate) own_values: bool,
}

enum Phase {
    Idle,
    Begun(Call),
    Ran(Call, Option<Answer>),
}

/// A history that has an order, because it was made in one.
pub(crate) fn history(shape: Shape, rng: &mut Rng) -> Vec<Call> {
    let mut store = Naive::default();
    let mut clients: Vec<Phase> = (0..shape.clients).map(|_| Phase::Idle).collect();
    let mut history = Vec::new();
    let (mut tick, mut begun, mut names) = (0, 0, shape.clients);
    let mut seen: Vec<u64> = vec![1];
    while history.len() < shape.calls {
        tick += 1;
        let client = rng.usize(..clients.len());
        let phase = std::mem::replace(&mut clients[client], Phase::Idle);
        clients[client] = match phase {
            Phase::Idle if begun == shape.calls => Phase::Idle,
            Phase::Idle => {
                begun += 1;
                let operation = operation(shape, begun as Value, &seen, rng);
                let end = End::Unknown;
                Phase::Begun(Call { client: client as u32, invoked: tick, operation, end })
            }
            Phase::Begun(mut call) if rng.u32(..100) < shape.lost => {
                // Lost on the way there, or on the way back. The caller goes on by another name.
                if rng.bool() {
                    store.run(&call.operation);
                }
                names += 1;
                call.client = names;
                history.push(call);
                Phase::Idle
            }
            Phase::Begun(call) => {
                let answer = store.run(&call.operation);
                Phase::Ran(call, answer)
            }
            Phase::Ran(call, answer) => {
                let end = answer.map_or(End::Failed, |answer| {
                    seen.extend(answer.revision);
                    End::Answered(tick, answer)
                });
                history.push(Call { end, ..call });
                Phase::Idle
            }
        };
    }
    history
}

fn operation(shape: Shape, number: Value, seen: &[u64], rng: &mut Rng) -> Operation {
    if rng.u32(..100) >= shape.transactions {
        return Operation::One(step(shape, number, seen, rng));
    }
    let count = rng.usize(..3);
    let compares = (0..count).map(|_| {
        let step = step(shape, number, seen, rng);
        (step.key(), condition(shape, number, seen, rng))
    });
    let compares = compares.collect();
    let mut steps =
        || (0..rng.usize(..3)).map(|_| step(shape, number, seen, rng)).collect::<Vec<_>>();
    Operation::Txn { compares, then: steps(), otherwise: steps() }
}

fn step(shape: Shape, number: Value, seen: &[u64], rng: &mut Rng) -> Step {
    let key = rng.u8(..shape.keys);
    let value = if shape.own_values { 1_000 * number } else { rng.i64(1..4) };
    match rng.u32(..10) {
        0..3 => Step::Get(key),
        3..6 => Step::Put(key, value, condition(shape, number, seen, rng)),
        6..8 => Step::Delete(key, condition(shape, number, seen, rng)),
        // What puts leave on a key of their own can be told apart.
        _ if shape.own_values => Step::Increment(shape.keys - 1, rng.i64(1..3)),
        _ => Step::Increment(key, rng.i64(1..3)),
    }
}

fn condition(shape: Shape, number: Value, seen: &[u64], rng: &mut Rng) -> Condition {
    match rng.u32(..8) {
        0 => Condition::Absent,
        1 => Condition::Present,
        2 if shape.own_values => Condition::Value(1_000 * rng.i64(1..=number)),
        2 => Condition::Value(rng.i64(1..4)),
        3 if shape.revisions => {
            let newest = &seen[seen.len().saturating_sub(4)..];
            Condition::Revision(newest[rng.usize(..newest.len())])
        }
        _ => Condition::Always,
    }
}

/// Changes one answer or one time, so that the history may have lost its order.
pub(crate) fn disturb(history: &mut [Call], rng: &mut Rng) {
    let answers: Vec<Answer> = history
        .iter()
        .filter_map(|call| match &call.end {
            End::Answered(_, answer) => Some(answer.clone()),
            End::Unknown | End::Failed => None,
        })
        .collect();
    let index = rng.usize(..history.len());
    let call = &mut history[index];
    let End::Answered(at, answer) = &mut call.end else {
        return;
    };
    match rng.u32(..6) {
        // Answered sooner than it was.
        0 => *at = call.invoked + (*at - call.invoked) / 2,
        // Begun later than it was.
        1 => call.invoked += (*at - call.invoked) / 2,
        // With a revision near its own.
        2 => answer.revision = answer.revision.map(|it| (it + rng.u64(..4)).saturating_sub(2)),
        // As another was answered.
        3 if answers[0].done != answer.done => {
            let other = &answers[rng.usize(..answers.len())];
            if matches!((&other.done, &answer.done), (Done::One(_), Done::One(_))) {
                answer.done = other.done.clone();
            }
        }
        _ => match &mut answer.done {
            Done::One(did) => disturb_did(did, rng),
            Done::Txn(held, dids) => match dids.len() {
                0 => *held = !*held,
                count => disturb_did(&mut dids[rng.usize(..count)], rng),
            },
        },
    }
}

fn disturb_did(did: &mut Did, rng: &mut Rng) {
    match did {
        Did::Got(entry) => disturb_entry(entry, rng),
        Did::Written(Before::Was(entry)) if rng.bool() => disturb_entry(entry, rng),
        Did::Written(before) => *did = Did::Refused(*before),
        Did::Refused(Before::Was(entry)) if rng.bool() => disturb_entry(entry, rng),
        Did::Refused(before) => *did = Did::Written(*before),
        Did::NotFound => *did = Did::Written(Before::Unsaid),
        Did::Incremented(value) => *value += 1,
    }
}

fn disturb_entry(entry: &mut Option<Entry>, rng: &mut Rng) {
    match entry {
        None => *entry = Some(Entry { value: rng.i64(1..4), revision: Some(rng.u64(1..9)) }),
        Some(_) if rng.bool() => *entry = None,
        Some(Entry { value, .. }) if rng.bool() => *value += 1,
        Some(Entry { revision, .. }) => *revision = revision.map(|it| it + 1),
    }
}

/// The same history with answers that say nothing of revisions.
pub(crate) fn without_revisions(history: &[Call]) -> Vec<Call> {
    let mut history = history.to_vec();
    for call in &mut history {
        let End::Answered(_, answer) = &mut call.end else { continue };
        *answer = mute(answer);
    }
    history
}

/// The same answer without a word about revisions.
pub(crate) fn mute(answer: &Answer) -> Answer {
    let entry = |entry: Option<Entry>| entry.map(|it| Entry { revision: None, ..it });
    let before = |before| match before {
        Before::Was(it) => Before::Was(entry(it)),
        Before::Unsaid => Before::Unsaid,
    };
    let did = |did: Did| match did {
        Did::Got(it) => Did::Got(entry(it)),
        Did::Written(it) => Did::Written(before(it)),
        Did::Refused(it) => Did::Refused(before(it)),
        Did::NotFound | Did::Incremented(_) => did,
    };
    let done = match &answer.done {
        Done::One(it) => Done::One(did(*it)),
        Done::Txn(held, dids) => Done::Txn(*held, dids.iter().copied().map(did).collect()),
    };
    Answer::of(None, done)
}
