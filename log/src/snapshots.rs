//! The thread that shortens the log: when it has grown enough since the last snapshot, it freezes
//! the state at an exact record and writes it out, while reads and writes go on.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tidekeep_protocol::range::KeyRange;
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::view::View;

use crate::error::SnapshotError;
use crate::group::Group;
use crate::solo::Progress;

const LOOK: Duration = Duration::from_millis(100);
const AFTER_FAILURE: Duration = Duration::from_secs(10);

pub(crate) fn run(group: &Group, progress: &Progress, log_bytes: u64) {
    while !progress.closing.load(Ordering::Acquire) {
        thread::park_timeout(LOOK);
        let grown = group.positions.log().bytes_since_snapshot();
        if grown < log_bytes || grown < data_bytes(group) / 2 {
            continue;
        }
        match write(group, progress) {
            Ok(()) => {}
            Err(SnapshotError::Failed(_)) => return,
            Err(why) => {
                progress.snapshots_failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%why, "no snapshot could be written; the log grows on");
                thread::park_timeout(AFTER_FAILURE);
            }
        }
    }
}

/// Writes a snapshot of the state as it is now.
pub(crate) fn write(group: &Group, progress: &Progress) -> Result<(), SnapshotError> {
    let cut = Cut::freeze(group);
    let written = group.positions.log().write_snapshot(cut.index, cut.head.now_ms, |out| {
        out.write(&cut.head.encode())?;
        snapshot::write(&cut.view, |chunk| out.write(chunk))
    })?;
    progress.snapshots.fetch_add(1, Ordering::Relaxed);
    progress.snapshot_revision.store(cut.head.revision, Ordering::Relaxed);
    progress.snapshot_at_ms.store(cut.head.now_ms, Ordering::Relaxed);
    tracing::info!(
        revision = cut.head.revision,
        keys = cut.head.keys,
        bytes = written.info.bytes,
        segments_released = written.released_segments,
        "a snapshot was written"
    );
    Ok(())
}

/// The whole state between two records.
struct Cut {
    index: u64,
    head: Head,
    view: View,
}

impl Cut {
    fn freeze(group: &Group) -> Self {
        // Under the order lock no record is half applied or half appended.
        let _order = group.order.lock();
        let index = group.positions.log().appended();
        let now_ms = group.now();
        let shards = group.read_all();
        let revision = group.revision.load(Ordering::Acquire);
        let keys = shards.iter().map(|shard| shard.keys() as u64).sum();
        let digest = shards.iter().fold(0, |sum: u64, shard| sum.wrapping_add(shard.digest()));
        let shards = shards.iter().map(|shard| &**shard);
        let view = View::freeze(shards, &KeyRange::all(), now_ms, revision);
        Self { index, head: Head { revision, now_ms, keys, digest }, view }
    }
}

fn data_bytes(group: &Group) -> u64 {
    group.shards.iter().map(|shard| shard.read().bytes() as u64).sum()
}
