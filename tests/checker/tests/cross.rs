//! On small histories the checker says what stateright's tester says.

use fastrand::Rng;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use tidekeep_tests::checker::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Operation, Step, Verdict, check,
};

use crate::naive::{Naive, changes};
use crate::random::{self, Shape, mute};

const HISTORIES: u64 = 3_000;

const SMALL: Shape = Shape {
    clients: 3,
    calls: 8,
    keys: 2,
    transactions: 25,
    lost: 0,
    revisions: false,
    own_values: false,
};

#[test]
fn values_are_judged_as_by_the_other_tester() {
    let shape = Shape { lost: 15, ..SMALL };
    agree("values", shape, |history| {
        let history = random::without_revisions(history);
        (check(&history), theirs(&history, Values(Naive::default())), Relation::Same)
    });
}

#[test]
fn revisions_are_judged_as_by_the_other_tester() {
    let shape = Shape { revisions: true, ..SMALL };
    agree("revisions", shape, |history| {
        (check(history), theirs(history, Growing(Naive::default())), Relation::Same)
    });
}

/// The other tester is told here that revisions have no holes, which the checker cannot know of a
/// store with more keys; so it may find a violation where the checker finds none.
#[test]
fn revisions_that_were_lost_never_make_a_false_alarm() {
    let few_values = Shape { lost: 20, ..SMALL };
    let own_values = Shape { own_values: true, keys: 3, transactions: 50, lost: 35, ..SMALL };
    for (name, shape) in [("lost revisions", few_values), ("lost own values", own_values)] {
        agree(name, shape, |history| {
            (check(history), theirs(history, Dense(Naive::default())), Relation::NoFalseAlarm)
        });
    }
}

#[derive(PartialEq)]
enum Relation {
    Same,
    NoFalseAlarm,
}

fn agree(name: &str, shape: Shape, judge: impl Fn(&[Call]) -> (Verdict, bool, Relation)) {
    let (mut sound, mut broken) = (0, 0);
    for seed in 0..HISTORIES {
        let mut rng = Rng::with_seed(seed);
        let mut history = random::history(shape, &mut rng);
        for _ in 0..rng.usize(..3) {
            random::disturb(&mut history, &mut rng);
        }
        let (ours, theirs, relation) = judge(&history);
        let same = ours.holds() == theirs || (relation == Relation::NoFalseAlarm && !theirs);
        let lines = || history.iter().map(|call| format!("{call}\n")).collect::<String>();
        assert!(same, "{name}, seed {seed}: stateright says {theirs}, {ours:?}\n{}", lines());
        if theirs { sound += 1 } else { broken += 1 }
    }
    println!("{name}: {sound} histories with an order, {broken} without");
    assert!(sound > HISTORIES / 5 && broken > HISTORIES / 5, "{sound} and {broken}: one-sided");
}

fn theirs<S>(history: &[Call], spec: S) -> bool
where
    S: SequentialSpec<Op = Operation, Ret = Option<Answer>> + Clone,
{
    let mut events: Vec<(u64, bool, &Call)> = Vec::new();
    for call in history {
        match &call.end {
            End::Answered(at, _) => {
                events.push((call.invoked, false, call));
                events.push((*at, true, call));
            }
            End::Unknown => events.push((call.invoked, false, call)),
            End::Failed => {}
        }
    }
    events.sort_by_key(|&(tick, end, _)| (tick, end));
    let mut tester = LinearizabilityTester::new(spec);
    for (_, end, call) in events {
        match (end, &call.end) {
            (true, End::Answered(_, answer)) => {
                tester.on_return(call.client, Some(answer.clone())).unwrap();
            }
            _ => {
                tester.on_invoke(call.client, call.operation.clone()).unwrap();
            }
        }
    }
    tester.is_consistent()
}

/// Judges values alone.
#[derive(Clone)]
struct Values(Naive);

impl SequentialSpec for Values {
    type Op = Operation;
    type Ret = Option<Answer>;

    fn invoke(&mut self, operation: &Operation) -> Option<Answer> {
        self.0.run(operation).map(|answer| mute(&answer))
    }

    fn is_valid_step(&mut self, operation: &Operation, said: &Option<Answer>) -> bool {
        matches!((self.invoke(operation), said), (Some(ours), Some(said)) if fits(&ours, said))
    }
}

/// Takes every revision as the only one that could be.
#[derive(Clone)]
struct Dense(Naive);

impl SequentialSpec for Dense {
    type Op = Operation;
    type Ret = Option<Answer>;

    fn invoke(&mut self, operation: &Operation) -> Option<Answer> {
        self.0.run(operation)
    }

    fn is_valid_step(&mut self, operation: &Operation, said: &Option<Answer>) -> bool {
        matches!((self.invoke(operation), said), (Some(ours), Some(said)) if fits(&ours, said))
    }
}

/// Takes any revisions that grow.
#[derive(Clone)]
struct Growing(Naive);

impl SequentialSpec for Growing {
    type Op = Operation;
    type Ret = Option<Answer>;

    fn invoke(&mut self, operation: &Operation) -> Option<Answer> {
        self.0.run(operation)
    }

    fn is_valid_step(&mut self, operation: &Operation, said: &Option<Answer>) -> bool {
        let Some(Answer { revision: Some(said_revision), done, .. }) = said else { return false };
        let dids = match done {
            Done::One(did) => std::slice::from_ref(did),
            Done::Txn(_, dids) => dids,
        };
        // A write takes the revision that it says it took, if that is free.
        if dids.iter().any(changes) {
            if *said_revision <= self.0.revision {
                return false;
            }
            self.0.revision = said_revision - 1;
        } else if *said_revision < self.0.revision {
            return false;
        } else {
            self.0.revision = *said_revision;
        }
        matches!((self.invoke(operation), said), (Some(ours), Some(said)) if fits(&ours, said))
    }
}

fn fits(ours: &Answer, said: &Answer) -> bool {
    ours.revision == said.revision
        && match (&ours.done, &said.done) {
            (Done::One(ours), Done::One(said)) => did_fits(ours, said),
            (Done::Txn(held, ours), Done::Txn(said_held, said)) => {
                held == said_held
                    && ours.len() == said.len()
                    && ours.iter().zip(said).all(|(ours, said)| did_fits(ours, said))
            }
            _ => false,
        }
}

fn did_fits(ours: &Did, said: &Did) -> bool {
    match (ours, said) {
        (Did::Written(_), Did::Written(Before::Unsaid))
        | (Did::Refused(_), Did::Refused(Before::Unsaid)) => true,
        _ => ours == said,
    }
}

/// The comparison itself notices a difference: the other tester is given a wrong store.
#[test]
fn a_difference_would_be_seen() {
    let put = Operation::One(Step::Put(0, 1, Condition::Always));
    let entry = Some(Entry { value: 1, revision: None });
    let got = Answer::of(None, Done::One(Did::Got(entry)));
    let written = Answer::of(None, Done::One(Did::Written(Before::Unsaid)));
    let history = [
        Call { client: 0, invoked: 0, operation: put, end: End::Answered(1, written) },
        Call {
            client: 0,
            invoked: 2,
            operation: Operation::One(Step::Get(0)),
            end: End::Answered(3, got),
        },
    ];
    assert!(check(&history).holds());
    assert!(theirs(&history, Values(Naive::default())));
    let mut full = Naive { revision: 7, ..Naive::default() };
    full.entries.insert(0, (9, 7));
    assert!(!theirs(&history[1..], Values(full)));
    assert!(!check(&history[1..]).holds());
}
