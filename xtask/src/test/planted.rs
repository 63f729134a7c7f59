//! Bugs planted on purpose (protocol/src/planted.rs): each is woken in turn, and the tests named
//! beside it must fail. A bug that passes is a hole in the tests. docs/testing.md has this table too.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::test::{Run, Tally};

const LIMIT: Duration = Duration::from_secs(300);
const DESCRIPTION: &str = "docs/testing.md";

/// A bug, and which tests are to notice it.
struct Bug {
    name: &'static str,
    /// What it does, for people.
    what: &'static str,
    /// The tests, as nextest's filter names them.
    caught_by: &'static str,
}

const fn bug(name: &'static str, what: &'static str, caught_by: &'static str) -> Bug {
    Bug { name, what, caught_by }
}

/// The simulation's first twenty worlds: some faults show only where client, storage and server meet.
const TWENTY_WORLDS: &str =
    "package(tidekeep-tests) & binary(simulation) & test(=the_same_seed_is_the_same_world)";

const BUGS: &[Bug] = &[
    bug(
        "reply-before-sync",
        "a write is acknowledged though nothing was synced",
        "package(tidekeep-log) & binary(crash)",
    ),
    bug(
        "directory-sync-skipped",
        "a new segment's name is not made durable",
        "package(tidekeep-log) & binary(crash)",
    ),
    bug(
        "hole-in-the-log-accepted",
        "a damaged record that was durable is taken for a torn tail",
        "package(tidekeep-log) & (binary(crash) | test(reopen::))",
    ),
    bug(
        "torn-tail-left",
        "the bytes of a torn write are left behind the log's end",
        "package(tidekeep-log) & binary(real)",
    ),
    bug(
        "stray-read-accepted",
        "what was read from another place passes for a log without records",
        "package(tidekeep-log) & test(strays::)",
    ),
    bug(
        "originals-not-synced",
        "a repair moves files into a folder that is not made durable",
        "package(tidekeep-log) & test(cuts::)",
    ),
    bug(
        "event-before-durability",
        "watchers are shown a change that can still be lost",
        "package(tidekeep-log) & test(visibility::)",
    ),
    bug(
        "read-before-durability",
        "a get shows a value that can still be lost",
        "package(tidekeep-log) & test(visibility::)",
    ),
    bug(
        "snapshot-not-synced",
        "a snapshot gets its name before its bytes are durable",
        "package(tidekeep-log) & binary(crash)",
    ),
    bug(
        "snapshot-index-one-too-far",
        "a snapshot claims a record that it does not hold",
        "package(tidekeep-log) & test(snapshots::)",
    ),
    bug(
        "sessions-not-in-snapshots",
        "a snapshot forgets the answers to numbered writes",
        "package(tidekeep-log) & test(numbered::)",
    ),
    bug(
        "interval-begins-late",
        "the interval counts from when a slow sync let a write be written",
        "package(tidekeep-log) & test(interval::)",
    ),
    bug(
        "time-goes-back",
        "the store follows a clock that was set back",
        "package(tidekeep-log) & test(expiry::)",
    ),
    bug(
        "expiry-not-woken",
        "nobody is told that a key ends sooner than the others",
        "package(tidekeep-log) & test(expiry::)",
    ),
    bug(
        "forgotten-changes-passed-over",
        "a cursor whose changes were forgotten gets the later ones without a word",
        "package(tidekeep-log) & test(tail::)",
    ),
    bug(
        "retry-run-again",
        "the answers to numbered writes are not looked up",
        "package(tidekeep-log) & test(numbered::)",
    ),
    bug(
        "late-copy-run",
        "a late copy of a write that was settled is run",
        "package(tidekeep-log) & test(numbered::)",
    ),
    bug(
        "transaction-half-applied",
        "a transaction that fails in the middle is not taken back",
        "package(tidekeep-store) & test(model::)",
    ),
    bug(
        "expired-still-readable",
        "a key can be read for a millisecond after its end",
        "package(tidekeep-store) & test(model::)",
    ),
    bug(
        "revision-not-compared",
        "a write under the condition of a revision applies whatever the revision is",
        "package(tidekeep-store) & test(model::)",
    ),
    bug(
        "update-lost",
        "an increment is acknowledged and adds nothing",
        "package(tidekeep-store) & test(model::)",
    ),
    bug(
        "expiry-told-as-delete",
        "watchers cannot tell that a key's time was over",
        "package(tidekeep-store) & test(model::)",
    ),
    bug(
        "scan-ends-early",
        "a page of a scan claims to be the last",
        "package(tidekeep-store) & test(model::)",
    ),
    bug(
        "limit-not-counted",
        "a value over the limit is taken",
        "package(tidekeep-protocol) & test(limits::)",
    ),
    bug(
        "cursor-off-by-one",
        "a cursor stands for one revision more than was sent",
        "package(tidekeep-server) & test(watch::)",
    ),
    bug(
        "transaction-split",
        "watchers get the first change of a transaction alone",
        "package(tidekeep-server) & test(watch::)",
    ),
    bug(
        "two-owners-of-a-session",
        "a connection whose session went on elsewhere is not ended",
        "package(tidekeep-server) & test(retries::)",
    ),
    bug(
        "exec-ignores-watch",
        "a transaction of a Redis client runs though a watched key has changed",
        "package(tidekeep-server) & test(resp::)",
    ),
    bug(
        "keepttl-lost",
        "SET with KEEPTTL takes the end of its key away",
        "package(tidekeep-server) & test(resp::)",
    ),
    bug(
        "retry-under-another-number",
        "a client sends a write again as if it were a new one",
        "package(tidekeep-client-core) & test(once::)",
    ),
    bug(
        "row-under-another-number",
        "a row of the queue is sent again as if it were a new write",
        "package(tidekeep-client-core) & test(queue::)",
    ),
    bug(
        "row-under-another-number",
        "a row of the queue is sent again as if it were a new write, in a whole world",
        TWENTY_WORLDS,
    ),
    bug(
        "conflict-not-rolled-back",
        "an optimistic entry stays after a conflict",
        "package(tidekeep-client-core) & test(views::)",
    ),
    bug(
        "conflict-not-rolled-back",
        "an optimistic entry stays after a conflict, in a whole world",
        TWENTY_WORLDS,
    ),
    bug(
        "deadline-forgotten",
        "a call that was sent waits for ever",
        "package(tidekeep-client-core) & test(calls::)",
    ),
    bug(
        "cursor-not-kept",
        "a watch resumes where it first caught up",
        "package(tidekeep-client-core) & test(resume::)",
    ),
    bug(
        "deletes-not-told",
        "after a gap, a watch is not told which keys are gone",
        "package(tidekeep-client-core) & test(difference)",
    ),
    bug(
        "lease-leaves-keys",
        "a lease that ends takes only one of its keys along",
        "package(tidekeep-log) & test(leases::)",
    ),
    bug(
        "lease-not-kept-alive",
        "keeping a lease alive is acknowledged and changes nothing",
        "package(tidekeep-store) & test(lease)",
    ),
    bug(
        "part-given-up",
        "a group lets its part of a transaction go that was committed",
        "package(tidekeep-store) & test(transactions::)",
    ),
    bug(
        "lock-read-through",
        "a get does not wait for a transaction over groups that may be decided",
        "package(tidekeep-store) & test(transactions::)",
    ),
    bug(
        "memory-not-counted",
        "what entries take is not counted against the memory limit",
        "package(tidekeep-log) & test(memory)",
    ),
];

/// What the log of the tests that notice a bug is named after.
const NOTICES: &str = "planted-notices";

/// Wakes each bug and runs the tests that are to notice it.
pub(super) fn run(run: &Run<'_>) -> Result<Tally> {
    if !run.test_tools()?.nextest {
        bail!("cargo-nextest is not there; please type: cargo install --locked cargo-nextest");
    }
    let described = fs::read_to_string(run.workspace.path(DESCRIPTION))
        .with_context(|| format!("cannot read {DESCRIPTION}"))?;
    let mut tally = Tally::default();
    for bug in BUGS {
        let noticed = is_noticed(run, bug)?;
        let listed = described.contains(&format!("| `{}` |", bug.name));
        if !noticed {
            println!("test: planted  {} passes: {}", bug.name, bug.what);
        } else if !listed {
            println!("test: planted  {} is not in the table of {DESCRIPTION}", bug.name);
        }
        let passed = u64::from(noticed && listed);
        tally += Tally { passed, failed: 1 - passed };
    }
    println!("suite: planted bugs: {}, caught: {}", BUGS.len(), tally.passed);
    Ok(tally)
}

/// Whether a test fails while the bug is awake.
fn is_noticed(run: &Run<'_>, bug: &Bug) -> Result<bool> {
    let mut tests = run.nextest()?;
    tests.args(["--profile=planted", "--filterset", bug.caught_by]);
    // What fails for a planted bug is no seed to keep.
    tests.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    // A log of their own: a test that has noticed a bug is none that failed.
    match run.quiet(NOTICES, tests.env("TIDEKEEP_PLANTED", bug.name), LIMIT) {
        Ok(()) => Ok(false),
        Err(_) if run.log_tally(NOTICES).failed > 0 => Ok(true),
        Err(error) => Err(error.context(format!("the tests for {} did not run", bug.name))),
    }
}
