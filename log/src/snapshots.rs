//! The thread that shortens the log: when it has grown enough since the last snapshot, it freezes
//! the state at an exact record and writes it out, while reads and writes go on.
//!
//! A snapshot ends with the remembered changes, so that it does not shorten what watches can resume
//! from after a restart, and no older snapshot has to be loaded for their sake.

use std::thread;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use tidekeep_store::history;
use tidekeep_store::recent::Run;

use crate::background::Tally;
use crate::error::SnapshotError;
use crate::group::{Cut, Group};
use crate::pace::Pace;
use crate::snapshot::Writer;

/// Time between two looks at the log's length.
const LOOK: Duration = Duration::from_millis(100);
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Runs until the store is closed or its log has failed.
pub(crate) fn run(group: &Group, tally: &Tally, log_bytes: u64) {
    while !tally.closing() {
        thread::park_timeout(LOOK);
        if !group.log().wants_snapshot(log_bytes, || group.size().1) {
            continue;
        }
        match write_apart(group, tally) {
            Ok(()) => {}
            Err(SnapshotError::Failed(_)) => return,
            Err(_) if tally.closing() => return,
            Err(why) => {
                tracing::warn!(%why, "no snapshot could be written; the log grows on");
                thread::park_timeout(AFTER_FAILURE);
            }
        }
    }
}

/// Writes a snapshot of the state as it is now, by a thread that gives way to all others of the server.
/// Only the cut is made by this one: who waits for the locks that it takes must not wait for a core.
fn write_apart(group: &Group, tally: &Tally) -> Result<(), SnapshotError> {
    let (cut, changes) = cut(group);
    giving_way(|| publish(group, tally, &cut, &changes))
}

/// Has work done by a thread of its own, which gives way to all others of the server; waits for it.
pub fn giving_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            give_way();
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Lets the other threads of this process go first, whatever the process itself gives way to. Where the
/// system does not allow it, the snapshot is written all the same.
fn give_way() {
    const BEHIND: i32 = 19;
    // On Linux a thread can be named where a process is asked for.
    let outcome = getpriority_process(None)
        .and_then(|own| setpriority_process(Some(gettid()), own.saturating_add(BEHIND).min(LEAST)));
    if let Err(error) = outcome {
        tracing::debug!(%error, "a snapshot is written with the priority of everything else");
    }
}

/// The least that a thread can count for.
const LEAST: i32 = 19;

/// Writes a snapshot of the state as it is now. Given up when the store is closed.
pub(crate) fn write(group: &Group, tally: &Tally) -> Result<(), SnapshotError> {
    let (cut, changes) = cut(group);
    publish(group, tally, &cut, &changes)
}

fn cut(group: &Group) -> (Cut, Run) {
    let cut = group.cut();
    // Before the entries, since writing these takes time in which changes are forgotten.
    let changes = group.tail.all(cut.head.revision);
    (cut, changes)
}

fn publish(group: &Group, tally: &Tally, cut: &Cut, changes: &Run) -> Result<(), SnapshotError> {
    let written = group.log().write_snapshot(cut.index, cut.head.now_ms, |out| {
        let chunk = |out: &mut Writer, chunk: &[u8]| match tally.closing() {
            true => Err(SnapshotError::Feed("the store is being closed".into())),
            false => out.write(chunk),
        };
        cut.write(Pace::giving_way(), |bytes| chunk(out, bytes))?;
        history::write(changes.changes(), |bytes| chunk(out, bytes))
    });
    // One that was given up for the end of the store has not failed.
    if written.is_ok() || !tally.closing() {
        tally.snapshots.note(&written, cut.head.revision, cut.head.now_ms);
    }
    let written = written?;
    tracing::info!(
        revision = cut.head.revision,
        keys = cut.head.keys,
        bytes = written.info.bytes,
        segments_released = written.released_segments,
        "a snapshot was written"
    );
    Ok(())
}
