//! The thread that works ahead of the writer: it reserves the next segment before it is needed, so
//! that an append changes no metadata and never meets a full disk, and it notes in the marker
//! which segment the log has reached, so that a lost last segment is noticed.

use std::io;

use crate::error::{Failure, is_full};
use crate::manifest::{MARKER, Manifest};
use crate::segment;
use crate::shared::{Shared, Spare};

enum Task {
    Note(u64),
    Reserve,
    End,
}

/// Runs until the log is closed or has failed.
pub(crate) fn run(shared: &Shared) {
    let mut noted = shared.manifest.segment;
    loop {
        let outcome = match next_task(shared, noted) {
            Task::Note(sequence) => note(shared, sequence).map(|()| noted = sequence),
            Task::Reserve => reserve(shared),
            Task::End => return,
        };
        if let Err(failure) = outcome {
            tracing::error!(%failure, "the log has failed");
            return shared.fail(failure);
        }
    }
}

/// Sleeps until there is something to do. A full disk is tried again after a while, and at once
/// when a segment has been released.
fn next_task(shared: &Shared, noted: u64) -> Task {
    let mut state = shared.state.lock();
    loop {
        if shared.failed() {
            return Task::End;
        }
        // While the spare is being taken, the new segment is in the list but not yet on disk.
        let taken = matches!(state.spare, Spare::Taken);
        match state.segments.back() {
            Some(last) if last.sequence > noted && !taken => return Task::Note(last.sequence),
            _ if state.closing => return Task::End,
            _ => {}
        }
        match state.spare {
            Spare::Wanted => return Task::Reserve,
            Spare::Ready(_) | Spare::Taken => shared.prepare.wait(&mut state),
            Spare::Full => {
                shared.prepare.wait_for(&mut state, shared.retry_full);
                if !state.closing && !shared.failed() {
                    return Task::Reserve;
                }
            }
        }
    }
}

/// A disk too full for the note is no reason to stop: the next segment's note makes up for it.
fn note(shared: &Shared, sequence: u64) -> Result<(), Failure> {
    let disk = &*shared.disk;
    let manifest = Manifest { segment: sequence, ..shared.manifest };
    match manifest.announce(disk).and_then(|()| Manifest::publish(disk)) {
        Err(error) if !is_full(&error) => Err(Failure::new("replace", MARKER, error)),
        _ => Ok(()),
    }
}

fn reserve(shared: &Shared) -> Result<(), Failure> {
    let spare = match segment::prepare_spare(&*shared.disk, shared.segment_bytes) {
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
