//! The thread that works ahead of the writer: it reserves the next segment before it is needed, so
//! that an append changes no metadata and never meets a full disk, and it notes in the marker
//! which segment the log has reached, so that a lost last segment is noticed.

use std::io;
use std::ops::ControlFlow;

use crate::error::{Failure, is_full};
use crate::manifest::{MARKER, Manifest};
use crate::segment;
use crate::shared::{Shared, Spare, State};

enum Task {
    Note(u64),
    Reserve,
    End,
}

/// Runs until the log is closed or has failed.
pub(crate) fn run(shared: &Shared) {
    let mut noted = shared.manifest.segment;
    loop {
        let task = next_task(shared, noted);
        if perform(shared, &task, &mut noted).is_break() {
            return;
        }
    }
}

/// Does the next task, if there is one now; whether there was. A full disk is tried again at every
/// step and counts as none.
pub(crate) fn step(shared: &Shared, noted: &mut u64) -> bool {
    let (task, was_full) = {
        let state = shared.state.lock();
        let was_full = matches!(state.spare, Spare::Full);
        let again = (was_full && !state.closing && !shared.failed()).then_some(Task::Reserve);
        (find_task(shared, &state, *noted).or(again), was_full)
    };
    let done = task.is_some_and(|task| perform(shared, &task, noted).is_continue());
    done && !(was_full && matches!(shared.state.lock().spare, Spare::Full))
}

fn perform(shared: &Shared, task: &Task, noted: &mut u64) -> ControlFlow<()> {
    let outcome = match task {
        Task::Note(sequence) => note(shared, *sequence).map(|()| *noted = *sequence),
        Task::Reserve => reserve(shared),
        Task::End => return ControlFlow::Break(()),
    };
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            tracing::error!(%failure, "the log has failed");
            shared.fail(failure);
            ControlFlow::Break(())
        }
    }
}

/// Sleeps until there is something to do. A full disk is tried again after a while, and at once
/// when a segment has been released.
fn next_task(shared: &Shared, noted: u64) -> Task {
    let mut state = shared.state.lock();
    loop {
        if let Some(task) = find_task(shared, &state, noted) {
            return task;
        }
        if matches!(state.spare, Spare::Full) {
            shared.prepare.wait_for(&mut state, shared.retry_full);
            if !state.closing && !shared.failed() {
                return Task::Reserve;
            }
        } else {
            shared.prepare.wait(&mut state);
        }
    }
}

fn find_task(shared: &Shared, state: &State, noted: u64) -> Option<Task> {
    if shared.failed() {
        return Some(Task::End);
    }
    // While the spare is being taken, the new segment is in the list but not yet on disk.
    let taken = matches!(state.spare, Spare::Taken);
    match state.segments.back() {
        Some(last) if last.sequence > noted && !taken => Some(Task::Note(last.sequence)),
        _ if state.closing => Some(Task::End),
        _ => matches!(state.spare, Spare::Wanted).then_some(Task::Reserve),
    }
}

/// A disk too full for the note is no reason to stop: the next segment's note makes up for it.
fn note(shared: &Shared, sequence: u64) -> Result<(), Failure> {
    let disk = &*shared.disk;
    let manifest = Manifest { segment: sequence, ..shared.manifest };
    match manifest.replace(disk) {
        Err(error) if !is_full(&error) => Err(Failure::new("replace", MARKER, error)),
        _ => Ok(()),
    }
}

fn reserve(shared: &Shared) -> Result<(), Failure> {
    let spare = match segment::prepare_spare(&*shared.disk, shared.segment_bytes, shared.durability)
    {
        Ok(file) => Spare::Ready(file),
        Err(error) if is_full(&error) => {
            // What was reserved in part must not keep the space from others.
            give_up(shared).map_err(|error| Failure::new("remove", segment::SPARE_TEMP, error))?;
            Spare::Full
        }
        Err(error) => return Err(Failure::new("reserve space in", segment::SPARE_TEMP, error)),
    };
    let mut state = shared.state.lock();
    let was_full = matches!(state.spare, Spare::Full);
    let is_full = matches!(spare, Spare::Full);
    state.spare = spare;
    drop(state);
    if is_full && !was_full {
        tracing::warn!("disk full: writes are refused once the current segment is used up");
    } else if was_full && !is_full {
        tracing::info!("disk space is back: writes are admitted again");
    }
    if !(was_full && is_full) {
        shared.room_grew();
    }
    Ok(())
}

fn give_up(shared: &Shared) -> io::Result<()> {
    segment::remove_if_there(&*shared.disk, segment::SPARE_TEMP)
}
