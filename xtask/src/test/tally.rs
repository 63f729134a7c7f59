//! Reads how many tests ran out of what the test runners print.
//! Known are the closing lines of nextest, `cargo test` and Node's runner.

use std::fmt;
use std::ops::{Add, AddAssign};

/// Tests that passed and that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// A check that is one thing, and held.
    pub(super) fn one() -> Self {
        Self { passed: 1, failed: 0 }
    }

    /// A failed step counts one failure at least, whatever its runner came to count.
    pub(super) fn after_failure(self) -> Self {
        Self { failed: self.failed.max(1), ..self }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Adds up all closing lines in a runner's output.
pub(super) fn read(output: &str) -> Tally {
    output.lines().fold(Tally::default(), |sum, line| sum + read_line(line))
}

fn read_line(line: &str) -> Tally {
    // nextest:    Summary [   0.034s] 9 tests run: 7 passed, 1 failed, 1 timed out, 0 skipped
    // cargo test: test result: ok. 8 passed; 1 failed; 0 ignored; …
    // What nextest shows of its tests' output is indented, and counted in its summary already.
    if line.starts_with("test result:") || line.trim().starts_with("Summary [") {
        let failed = before(line, "failed") + before(line, "timed");
        return Tally { passed: before(line, "passed"), failed };
    }
    let line = line.trim();
    // Node: `# pass 8` in TAP, `ℹ pass 8` in its own style.
    let Some(rest) = line.strip_prefix(['#', 'ℹ']) else { return Tally::default() };
    match rest.trim().split_once(' ') {
        Some(("pass", count)) => Tally { passed: number(count), failed: 0 },
        Some(("fail", count)) => Tally { passed: 0, failed: number(count) },
        _ => Tally::default(),
    }
}

/// The tests that failed, each named once, in the order in which the runners told of them.
pub(super) fn failed_tests(output: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in output.lines().filter_map(failed_test) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn failed_test(line: &str) -> Option<&str> {
    // nextest:    TIMEOUT [  20.012s] (3/9) tidekeep-log::crash every_cut
    // cargo test: test every_cut ... FAILED
    // Node:       not ok 3 - every cut
    let line = line.trim();
    if let Some((word, rest)) = line.split_once(" [") {
        let failed = matches!(word, "FAIL" | "TIMEOUT" | "ABORT") || word.starts_with("SIG");
        return failed.then(|| rest.split_once(']').map(|(_, name)| name.trim())).flatten();
    }
    if let Some(test) = line.strip_prefix("test ") {
        return test.strip_suffix(" ... FAILED");
    }
    let (number, name) = line.strip_prefix("not ok ")?.split_once(" - ")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
}

/// The number in front of a word: 8 for `passed` in `run: 8 passed, 1 failed`.
fn before(line: &str, word: &str) -> u64 {
    let mut words = line.split([' ', ',', ';']).filter(|word| !word.is_empty());
    let mut last = "";
    words
        .find_map(|next| {
            let found = (next == word).then(|| number(last));
            last = next;
            found
        })
        .unwrap_or(0)
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nextest() {
        let text = "     Summary [   0.034s] 9 tests run: 7 passed (1 slow), 2 failed, 3 skipped\n";
        assert_eq!(read(text), Tally { passed: 7, failed: 2 });
        let text = "    test result: ok. 1 passed; 0 failed; 0 ignored\n\
                    \u{20}    Summary [  20.0s] 6 tests run: 5 passed, 1 timed out, 129 skipped\n";
        assert_eq!(read(text), Tally { passed: 5, failed: 1 });
    }

    #[test]
    fn adds_up_cargo_test() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored\n";
        assert_eq!(read(text), Tally { passed: 5, failed: 1 });
    }

    #[test]
    fn names_each_failed_test_once() {
        let text = "        FAIL [   0.034s] (4/9) crate::suite one\n  stdout ───\n\
                    test two ... FAILED\ntest three ... ok\n    not ok 3 - four\n\
                    \u{20}    TIMEOUT [  20.0s] (5/9) crate::suite five\n    SIGABRT [ 1.0s] six\n\
                    \u{20}       PASS [   0.034s] (4/9) crate::suite seven\n\
                    \u{20}       FAIL [   0.034s] (4/9) crate::suite one\nnot ok at all\n";
        let expected = ["(4/9) crate::suite one", "two", "four", "(5/9) crate::suite five", "six"];
        assert_eq!(failed_tests(text), expected);
    }

    #[test]
    fn reads_both_styles_of_node() {
        assert_eq!(read("# tests 4\n# pass 4\n# fail 0\n"), Tally { passed: 4, failed: 0 });
        assert_eq!(read("ℹ pass 3\nℹ fail 1\n"), Tally { passed: 3, failed: 1 });
    }

    #[test]
    fn anything_else_counts_nothing() {
        assert_eq!(read("pass 4\nwe passed 3 tests\n"), Tally::default());
    }
}
