//! Planted violations of a store of several groups: the keys 0 and 2 are of the first, 1 and 3 of the second.

use tidekeep_tests::checker::{
    Before, Condition, Did, Done, End, Groups, Operation, Step, Verdict, check_over,
};

use crate::planted::{Script, script};

impl Script {
    /// The last call was a transaction over both groups, and its part in the second has this revision.
    fn elsewhere(mut self, revision: u64) -> Self {
        if let Some(End::Answered(_, answer)) = self.0.last_mut().map(|call| &mut call.end) {
            answer.elsewhere = vec![(1, revision)];
        }
        self
    }

    /// The last call was answered only after all others.
    fn slow(mut self) -> Self {
        if let Some(End::Answered(at, _)) = self.0.last_mut().map(|call| &mut call.end) {
            *at += 1_000;
        }
        self
    }
}

#[track_caller]
fn found(broken: Script, sound: Script) {
    let groups: Groups = [0, 1, 0, 1].into_iter().collect();
    let verdict = check_over(&groups, &sound.0);
    assert!(verdict.holds(), "a false alarm: {verdict:?}");
    let verdict = check_over(&groups, &broken.0);
    assert!(matches!(verdict, Verdict::Violation(_)), "not found, but {verdict:?}");
}

#[test]
fn half_a_transaction() {
    let pairs = || script().pair(1, 1).elsewhere(1).pair(2, 2).elsewhere(2);
    let half = pairs().both(2, (2, 2), (1, 1)).elsewhere(2);
    found(half, pairs().both(2, (2, 2), (2, 2)).elsewhere(2));
}

#[test]
fn a_lost_transaction_that_one_key_shows_and_the_other_does_not() {
    let seen = || {
        let pairs = script().pair(1, 1).elsewhere(1).pair(2, 2).lost();
        pairs.get(0, 2, Some((2, 2)))
    };
    found(seen().get(1, 1, Some((1, 1))), seen().get(1, 2, Some((2, 2))));
}

#[test]
fn a_transaction_under_a_condition_of_another_group_that_did_not_hold() {
    let txn = |script: Script, condition| {
        let then = vec![Step::Put(1, 7, Condition::Always)];
        let (compares, otherwise) = (vec![(0, condition)], Vec::new());
        let done = vec![Did::Written(Before::Unsaid)];
        let operation = Operation::Txn { compares, then, otherwise };
        script.call(operation, 1, Done::Txn(true, done)).elsewhere(1)
    };
    let broken = txn(script().put(0, 1, 1), Condition::Value(2));
    found(broken, txn(script().put(0, 1, 1), Condition::Value(1)));
}

#[test]
fn groups_whose_revisions_are_compared_with_each_other_would_be_a_false_alarm() {
    found(script().put(0, 1, 5).put(2, 2, 1), script().put(0, 1, 5).put(1, 2, 1));
}

#[test]
fn two_writes_of_one_group_with_the_same_revision() {
    let pair = |part| script().pair(1, 1).elsewhere(part).slow().put(3, 9, 1);
    found(pair(1), pair(2));
}

/// A part has its revision when it is done: who has seen the transaction at its home may come before that. At
/// home nobody does.
#[test]
fn a_write_behind_a_transaction_at_a_lower_revision() {
    let seen = || script().pair(7, 2).elsewhere(2).slow().get(0, 2, Some((7, 2)));
    let beside = |key| seen().put(key, 9, 1);
    found(beside(2), beside(3));
}

/// Of one key revisions grow.
#[test]
fn a_part_behind_a_write_of_its_key_at_a_lower_revision() {
    let pair = |part| {
        let begun = script().pair(7, 1).elsewhere(part).slow().put(1, 5, 3);
        begun.get(1, 4, Some((7, part)))
    };
    found(pair(2), pair(4));
}
