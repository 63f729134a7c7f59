//! The suites whose size is a number: how much of each runs every day, and how much by `--long`. A
//! variable that is set already is left as it is, so that one suite can be run at any size.

use std::env;
use std::process::Command;

use crate::test::Length;

/// A suite of tests that takes its size from a variable.
pub(super) struct Suite {
    /// What it counts.
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    everyday: u32,
    long: u32,
}

/// Every suite, with the step that runs it told by its name.
pub(super) const SUITES: [Suite; 14] = [
    suite("unit: cases of each property", "PROPTEST_CASES", 256, 10_000),
    suite("unit: rounds of cuts after every disk call", "TIDEKEEP_CRASH_ROUNDS", 1, 100),
    suite("unit: rounds of flipped bits and strayed calls", "TIDEKEEP_FLIP_ROUNDS", 1, 45),
    suite("unit: operations of one store", "TIDEKEEP_MODEL_OPERATIONS", 100_000, 10_000_000),
    suite("e2e: histories of real processes", "TIDEKEEP_HISTORIES", 10, 500),
    suite("e2e: histories of real clusters", "TIDEKEEP_CLUSTER_HISTORIES", 5, 200),
    suite("e2e: cuts between request and reply", "TIDEKEEP_CUTS", 1_000, 50_000),
    suite("e2e: reconnects", "TIDEKEEP_RECONNECTS", 1_000, 10_000),
    suite("npm: reconnects of a page", "TIDEKEEP_PAGE_RECONNECTS", 500, 10_000),
    suite("e2e: keys that end under load", "TIDEKEEP_EXPIRING_KEYS", 10_000, 100_000),
    suite("fuzz: seconds for each target", "TIDEKEEP_FUZZ_SECONDS", 15, 1_800),
    suite("unit: worlds of the simulation", "TIDEKEEP_SIMULATION_SEEDS", 300, 50_000),
    suite("unit: clusters under a seed", "TIDEKEEP_CLUSTER_SEEDS", 300, 20_000),
    suite("threads: preemptions in each order", "TIDEKEEP_PREEMPTIONS", 2, 3),
];

const fn suite(name: &'static str, variable: &'static str, everyday: u32, long: u32) -> Suite {
    Suite { name, variable, everyday, long }
}

impl Suite {
    /// How much of it runs.
    pub(super) fn size(&self, length: Length) -> u32 {
        match length {
            Length::Everyday => self.everyday,
            Length::Long => self.long,
        }
    }
}

/// Tells a test runner the sizes of all suites.
pub(super) fn tell(command: &mut Command, length: Length) {
    for suite in &SUITES {
        if env::var_os(suite.variable).is_none() {
            command.env(suite.variable, suite.size(length).to_string());
        }
    }
}

/// The size of the suite with this variable, which may have been set by hand.
pub(super) fn size_of(variable: &str, length: Length) -> Option<u32> {
    let set = env::var(variable).ok().and_then(|text| text.parse().ok());
    let listed = SUITES.iter().find(|suite| suite.variable == variable);
    set.or_else(|| listed.map(|suite| suite.size(length)))
}

/// The lines in which suites say what they have done.
pub(super) fn summaries(output: &str) -> Vec<&str> {
    // Node's runner makes a comment of what a test prints.
    let lines = output.lines().map(|line| line.trim().trim_start_matches("# "));
    lines.filter(|line| line.starts_with("suite: ")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fingerprint::files_below;
    use crate::workspace::Workspace;

    #[test]
    fn a_long_run_is_longer_in_every_suite() {
        assert!(SUITES.iter().all(|suite| suite.long > suite.everyday && suite.everyday > 0));
    }

    #[test]
    fn each_suite_has_a_variable_of_its_own() {
        for (number, suite) in SUITES.iter().enumerate() {
            let others = &SUITES[number + 1..];
            assert!(others.iter().all(|other| other.variable != suite.variable));
        }
    }

    #[test]
    fn each_variable_is_read_by_somebody() {
        let workspace = Workspace::find().unwrap();
        let skip = ["target", "node_modules", "dist"];
        let files = files_below(workspace.root(), &skip).unwrap();
        let sources = files.iter().filter(|file| {
            let source = file.extension().is_some_and(|it| it == "rs" || it == "ts");
            source && !file.ends_with(file!())
        });
        let sources: Vec<String> = sources.map(|file| fs::read_to_string(file).unwrap()).collect();
        // proptest reads its own.
        for suite in SUITES.iter().filter(|suite| suite.variable.starts_with("TIDEKEEP_")) {
            let read = sources.iter().any(|text| text.contains(suite.variable));
            assert!(read, "nobody reads {}", suite.variable);
        }
    }

    #[test]
    fn summaries_are_found_among_other_lines() {
        let output =
            "    Summary [1s]\n    suite: cuts: 50000, none twice\nnot a suite: x\n# suite: y\n";
        assert_eq!(summaries(output), ["suite: cuts: 50000, none twice", "suite: y"]);
    }
}
