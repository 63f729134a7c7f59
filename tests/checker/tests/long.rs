//! Long histories with many lost answers: soundness is decided quickly, and a fault anywhere in them
//! is found.

use fastrand::Rng;
use tidekeep_tests::checker::{Answer, Call, Did, Done, End, Groups, Verdict, check, check_over};

use crate::outages;
use crate::random::{self, Shape};

const LONG: Shape = Shape {
    clients: 8,
    calls: 1_000,
    keys: 6,
    transactions: 10,
    lost: 3,
    revisions: true,
    own_values: true,
};

#[test]
fn long_histories_with_lost_answers_are_decided() {
    for seed in 0..20 {
        let history = random::history(LONG, &mut Rng::with_seed(seed));
        match check(&history) {
            Verdict::Linearizable { nodes } => {
                assert!(nodes < 20 * LONG.calls, "seed {seed}: {nodes} nodes");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn one_wrong_answer_in_a_long_history_is_found() {
    // That no order exists takes longer to say than that one does, so fewer answers are lost here.
    let shape = Shape { lost: 1, transactions: 5, ..LONG };
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let mut history = random::history(shape, &mut rng);
        let planted = plant(&mut history, &mut rng);
        match check(&history) {
            Verdict::Violation(violation) => {
                let words = violation.to_string();
                assert!(words.lines().count() < 120, "seed {seed}: {words}");
            }
            other => panic!("seed {seed}, {planted}: {other:?}"),
        }
    }
}

/// Makes the answer of one get show what it cannot.
fn plant(history: &mut [Call], rng: &mut Rng) -> String {
    loop {
        let index = rng.usize(..history.len());
        let call = &mut history[index];
        let End::Answered(_, Answer { done: Done::One(Did::Got(Some(entry))), .. }) = &mut call.end
        else {
            continue;
        };
        entry.value += 1;
        return call.to_string();
    }
}

/// As many calls without an answer as histories of real clusters have, and twice that.
#[test]
fn histories_with_outages_are_decided() {
    for seed in 0..20 {
        let history = outages::history(if seed % 2 == 0 { 6 } else { 12 }, seed);
        match check(&history) {
            Verdict::Linearizable { nodes } => {
                assert!(nodes < 200_000, "seed {seed}: {nodes} nodes")
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn one_wrong_answer_in_a_history_with_outages_is_found() {
    for seed in 0..20 {
        let mut history = outages::history(3, seed);
        let planted = plant(&mut history, &mut Rng::with_seed(seed));
        match check(&history) {
            Verdict::Violation(_) => {}
            other => panic!("seed {seed}, {planted}: {other:?}"),
        }
    }
}

/// The groups of real clients' keys.
fn several() -> Groups {
    [0, 1, 2, 0, 1, 3].into_iter().collect()
}

#[test]
fn histories_over_groups_with_outages_are_decided() {
    for seed in 0..10 {
        let history = outages::history_over(&several(), if seed % 2 == 0 { 6 } else { 12 }, seed);
        match check_over(&several(), &history) {
            Verdict::Linearizable { nodes } => {
                assert!(nodes < 100_000, "seed {seed}: {nodes} nodes");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn one_wrong_answer_in_a_history_over_groups_is_found() {
    for seed in 0..10 {
        let mut history = outages::history_over(&several(), 3, seed);
        let planted = plant(&mut history, &mut Rng::with_seed(seed));
        match check_over(&several(), &history) {
            Verdict::Violation(_) => {}
            other => panic!("seed {seed}, {planted}: {other:?}"),
        }
    }
}
