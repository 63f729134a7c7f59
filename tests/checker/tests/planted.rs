//! Violations that were planted, each found; and beside each the history that differs from it only
//! in being right, which passes.

use tidekeep_tests::checker::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Key, Operation, Step, Value, Verdict,
    check,
};

/// Calls one after the other unless they say when they were made.
#[derive(Default)]
pub(crate) struct Script(pub(crate) Vec<Call>);

impl Script {
    pub(crate) fn call(mut self, operation: Operation, revision: u64, done: Done) -> Self {
        let tick = 10 * self.0.len() as u64;
        let answer = Answer::of(Some(revision), done);
        let end = End::Answered(tick + 5, answer);
        self.0.push(Call { client: 0, invoked: tick, operation, end });
        self
    }

    fn one(self, step: Step, revision: u64, did: Did) -> Self {
        self.call(Operation::One(step), revision, Done::One(did))
    }

    pub(crate) fn put(self, key: Key, value: Value, revision: u64) -> Self {
        self.one(Step::Put(key, value, Condition::Always), revision, Did::Written(Before::Unsaid))
    }

    fn delete(self, key: Key, revision: u64) -> Self {
        self.one(Step::Delete(key, Condition::Always), revision, Did::Written(Before::Unsaid))
    }

    fn increment(self, key: Key, sum: Value, revision: u64) -> Self {
        self.one(Step::Increment(key, 1), revision, Did::Incremented(sum))
    }

    /// A get at revision `at` that found this value of that revision.
    pub(crate) fn get(self, key: Key, at: u64, found: Option<(Value, u64)>) -> Self {
        self.one(Step::Get(key), at, Did::Got(found.map(entry)))
    }

    fn swap(self, key: Key, from: Value, to: Value, revision: u64) -> Self {
        let condition = Condition::Value(from);
        self.one(Step::Put(key, to, condition), revision, Did::Written(Before::Unsaid))
    }

    fn refused(self, key: Key, condition: Condition, at: u64, found: Option<(Value, u64)>) -> Self {
        let was = Before::Was(found.map(entry));
        self.one(Step::Put(key, 99, condition), at, Did::Refused(was))
    }

    /// Sets keys 0 and 1 at once.
    pub(crate) fn pair(self, value: Value, revision: u64) -> Self {
        let done = Done::Txn(true, vec![Did::Written(Before::Unsaid); 2]);
        self.call(pair(value), revision, done)
    }

    /// Reads keys 0 and 1 at once.
    pub(crate) fn both(self, at: u64, first: (Value, u64), second: (Value, u64)) -> Self {
        let then = vec![Step::Get(0), Step::Get(1)];
        let operation = Operation::Txn { compares: Vec::new(), then, otherwise: Vec::new() };
        let got = [first, second].map(|it| Did::Got(Some(entry(it)))).to_vec();
        self.call(operation, at, Done::Txn(true, got))
    }

    /// The last call's answer was lost.
    pub(crate) fn lost(mut self) -> Self {
        self.0.last_mut().unwrap().end = End::Unknown;
        self
    }

    /// The last call had no effect.
    fn failed(mut self) -> Self {
        self.0.last_mut().unwrap().end = End::Failed;
        self
    }

    /// The last call began at the same time as the one before it.
    fn beside(mut self) -> Self {
        let count = self.0.len();
        self.0[count - 1].invoked = self.0[count - 2].invoked + 1;
        self
    }
}

fn entry((value, revision): (Value, u64)) -> Entry {
    Entry { value, revision: Some(revision) }
}

fn pair(value: Value) -> Operation {
    let then = [0, 1].map(|key| Step::Put(key, value, Condition::Always)).to_vec();
    Operation::Txn { compares: Vec::new(), then, otherwise: Vec::new() }
}

pub(crate) fn script() -> Script {
    Script::default()
}

#[track_caller]
fn found(broken: Script, sound: Script) {
    let verdict = check(&sound.0);
    assert!(verdict.holds(), "a false alarm: {verdict:?}");
    match check(&broken.0) {
        Verdict::Violation(violation) => println!("{violation}"),
        verdict => panic!("not found, but {verdict:?}"),
    }
    // Without revisions to help, soundness stays what it is.
    let verdict = check(&crate::random::without_revisions(&sound.0));
    assert!(verdict.holds(), "a false alarm without revisions: {verdict:?}");
}

#[test]
fn a_stale_read() {
    let stale = script().put(0, 1, 1).put(0, 2, 2).get(0, 2, Some((1, 1)));
    found(stale, script().put(0, 1, 1).put(0, 2, 2).get(0, 2, Some((2, 2))));
}

#[test]
fn a_stale_read_of_an_older_store() {
    let stale = script().put(0, 1, 1).put(0, 2, 2).get(0, 1, Some((1, 1)));
    found(stale, script().put(0, 1, 1).put(0, 2, 2).get(0, 1, Some((1, 1))).beside());
}

#[test]
fn a_lost_update() {
    let lost = script().put(0, 1, 1).swap(0, 1, 2, 2).swap(0, 1, 3, 3).beside();
    let refused = script().put(0, 1, 1).swap(0, 1, 2, 2);
    found(lost, refused.refused(0, Condition::Value(1), 2, Some((2, 2))).beside());
}

#[test]
fn a_lost_increment() {
    let lost = script().increment(0, 1, 1).increment(0, 1, 2).beside();
    found(lost, script().increment(0, 1, 1).increment(0, 2, 2).beside());
}

#[test]
fn an_acknowledged_write_that_is_gone() {
    found(
        script().put(0, 1, 1).get(0, 1, None),
        script().put(0, 1, 1).delete(0, 2).get(0, 2, None),
    );
}

#[test]
fn an_increment_applied_twice() {
    let twice = script().increment(0, 1, 1).get(0, 2, Some((2, 2)));
    found(twice, script().increment(0, 1, 1).get(0, 2, Some((1, 1))));
}

#[test]
fn a_lost_increment_applied_twice() {
    let twice = script().increment(0, 1, 1).lost().get(0, 3, Some((2, 3)));
    found(twice, script().increment(0, 1, 1).lost().get(0, 3, Some((1, 3))));
}

#[test]
fn a_put_that_comes_back() {
    let back = script().put(0, 1, 1).put(0, 2, 2).get(0, 3, Some((1, 3)));
    let sound = script().put(0, 1, 1).put(0, 2, 2).put(0, 1, 9).lost().get(0, 3, Some((1, 3)));
    found(back, sound);
}

#[test]
fn a_lost_put_that_is_applied_a_second_time() {
    let twice = script().put(0, 1, 1).lost().get(0, 1, Some((1, 1)));
    let once = script().put(0, 1, 1).lost().get(0, 1, Some((1, 1)));
    found(twice.put(0, 2, 2).get(0, 3, Some((1, 3))), once.put(0, 2, 2).get(0, 3, Some((2, 2))));
}

#[test]
fn a_value_that_nobody_wrote() {
    found(
        script().put(0, 1, 1).get(0, 1, Some((7, 1))),
        script().put(0, 7, 1).get(0, 1, Some((7, 1))),
    );
}

#[test]
fn a_value_before_it_is_written() {
    let early = script().get(0, 1, Some((1, 1))).put(0, 1, 1);
    found(early, script().get(0, 1, Some((1, 1))).put(0, 1, 1).beside());
}

#[test]
fn a_lost_write_that_is_seen_before_it_was_sent() {
    let early = script().get(0, 1, Some((1, 1))).put(0, 1, 1).lost();
    found(early, script().put(0, 1, 1).lost().get(0, 1, Some((1, 1))));
}

#[test]
fn half_a_transaction() {
    let half = script().pair(1, 1).pair(2, 2).both(2, (2, 2), (1, 1));
    found(half, script().pair(1, 1).pair(2, 2).both(2, (2, 2), (2, 2)));
}

#[test]
fn half_a_transaction_whose_answer_was_lost() {
    let half = script().pair(1, 1).pair(2, 2).lost().both(2, (2, 2), (1, 1));
    found(half, script().pair(1, 1).pair(2, 2).lost().both(2, (2, 2), (2, 2)));
}

#[test]
fn a_transaction_at_two_revisions() {
    let torn = script().pair(2, 2).lost().get(0, 2, Some((2, 2))).get(1, 3, Some((2, 3)));
    found(torn, script().pair(2, 2).lost().get(0, 2, Some((2, 2))).get(1, 3, Some((2, 2))));
}

#[test]
fn two_reads_that_see_two_writes_in_opposite_orders() {
    let opposite = script()
        .put(0, 1, 1)
        .lost()
        .put(0, 2, 2)
        .lost()
        .get(0, 2, Some((2, 2)))
        .get(0, 2, Some((1, 1)))
        .get(0, 2, Some((2, 2)));
    let sound = script().put(0, 1, 1).lost().put(0, 2, 2).lost();
    found(opposite, sound.get(0, 1, Some((1, 1))).get(0, 2, Some((2, 2))).get(0, 2, Some((2, 2))));
}

#[test]
fn a_delete_that_is_undone() {
    let undone = script().put(0, 1, 1).delete(0, 2).get(0, 2, Some((1, 1)));
    found(undone, script().put(0, 1, 1).delete(0, 2).get(0, 2, None));
}

#[test]
fn two_winners_of_one_key() {
    let first = |script: Script, revision| {
        let step = Step::Put(0, revision as Value, Condition::Absent);
        script.one(step, revision, Did::Written(Before::Unsaid))
    };
    let loser = |script: Script| script.refused(0, Condition::Absent, 1, Some((1, 1))).beside();
    found(first(first(script(), 1), 2).beside(), loser(first(script(), 1)));
}

#[test]
fn a_refusal_though_the_condition_holds() {
    let refused = script().put(0, 1, 1).refused(0, Condition::Revision(1), 1, Some((1, 1)));
    found(refused, script().put(0, 1, 1).refused(0, Condition::Revision(7), 1, Some((1, 1))));
}

#[test]
fn a_write_that_failed_and_is_there() {
    let there = script().put(0, 1, 1).failed().get(0, 1, Some((1, 1)));
    found(there, script().put(0, 1, 1).failed().get(0, 1, None));
}

#[test]
fn two_writes_with_one_revision() {
    found(script().put(0, 1, 1).put(1, 2, 1).beside(), script().put(0, 1, 1).put(1, 2, 2).beside());
}

#[test]
fn a_revision_of_another_key_that_goes_back() {
    found(script().put(0, 1, 2).put(1, 2, 1), script().put(0, 1, 2).put(1, 2, 1).beside());
}

#[test]
fn an_entry_under_the_revision_of_another_write() {
    let wrong = script().put(0, 1, 1).put(0, 1, 2).get(0, 2, Some((1, 1)));
    found(wrong, script().put(0, 1, 1).put(0, 1, 2).get(0, 2, Some((1, 2))));
}

/// Found as a false alarm: what proves that the transaction happened says nothing of the sum in it,
/// so that an addition before it looked as if it could wait.
#[test]
fn a_lost_addition_before_a_lost_transaction_is_no_violation() {
    let then = vec![Step::Increment(0, 1), Step::Put(1, 7, Condition::Always)];
    let txn = Operation::Txn { compares: Vec::new(), then, otherwise: Vec::new() };
    let done = Done::Txn(true, vec![Did::Incremented(3), Did::Written(Before::Unsaid)]);
    let lost = |script: Script| {
        script
            .increment(0, 1, 1)
            .increment(0, 2, 2)
            .lost()
            .call(txn.clone(), 3, done.clone())
            .lost()
    };
    let broken = lost(script()).get(1, 3, Some((7, 3))).get(0, 3, Some((4, 3)));
    found(broken, lost(script()).get(1, 3, Some((7, 3))).get(0, 3, Some((3, 3))));
}

#[test]
fn the_words_name_the_calls_around_the_violation() {
    let stale = script().put(0, 1, 1).put(0, 2, 2).get(0, 2, Some((1, 1))).get(0, 2, None);
    let Verdict::Violation(violation) = check(&stale.0) else { panic!("a stale read passed") };
    let words = violation.to_string();
    assert!(words.contains("get k0 → 1@1, revision 2"), "{words}");
    assert!(words.contains("k0 holds 2@2, the answer shows 1@1"), "{words}");
    assert!(!words.contains("absent"), "what comes after the violation is not shown: {words}");
    assert_eq!(violation.stuck_calls().count(), 1);
}

/// Two additions were lost, but there is one revision for them.
#[test]
fn two_lost_writes_where_one_revision_is_free() {
    let lost = |last| {
        let script = script().increment(0, 1, 1).increment(0, 2, 2).lost();
        script.increment(0, 3, 3).lost().increment(0, 4, last)
    };
    found(lost(3), lost(4));
}

/// The only free revision is older than a write that was answered before the lost one began.
#[test]
fn a_lost_write_whose_only_free_revision_was_over_before_it_began() {
    let lost = |before| {
        let script = script().put(1, 7, 1).put(1, 8, before).increment(0, 1, 9).lost();
        script.increment(0, 2, 4)
    };
    found(lost(3), lost(2));
}

/// Another key's lost write has the only revision that was free.
#[test]
fn a_lost_write_whose_revision_is_shown_of_another_key() {
    let lost = |last| {
        let script = script().put(1, 7, 9).lost().increment(0, 1, 9).lost();
        script.get(1, 1, Some((7, 1))).increment(0, 2, last)
    };
    found(lost(2), lost(3));
}
