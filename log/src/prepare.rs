//! The thread that reserves the next segment before it is needed, so that an append changes no
//! metadata and never meets a full disk.

use crate::error::{Failure, is_full};
use crate::log::{Shared, Spare};
use crate::segment;

/// Keeps one spare ready until the log is closed or has failed.
pub(crate) fn run(shared: &Shared) {
    while wanted(shared) {
        let outcome = segment::prepare_spare(&*shared.disk, shared.segment_bytes);
        let spare = match outcome {
            Ok(file) => Spare::Ready(file),
            Err(error) if is_full(&error) => {
                // What was reserved in part must not keep the space from others.
                let _ = segment::remove_if_there(&*shared.disk, segment::SPARE_TEMP);
                Spare::Full
            }
            Err(error) => {
                return shared.fail(Failure::new("reserve space in", segment::SPARE_TEMP, error));
            }
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
        if is_full != was_full || !is_full {
            shared.room_grew();
            shared.work.notify_all();
        }
    }
}

/// Sleeps until a spare is wanted, or worth another try; `false` when the log ends.
fn wanted(shared: &Shared) -> bool {
    let mut state = shared.state.lock();
    loop {
        if state.closing || shared.failed() {
            return false;
        }
        match state.spare {
            Spare::Wanted => return true,
            Spare::Ready(_) => shared.prepare.wait(&mut state),
            Spare::Full => {
                shared.prepare.wait_for(&mut state, shared.retry_full);
                return !state.closing && !shared.failed();
            }
        }
    }
}
