//! Writes the files of a store that begins with a whole state: one snapshot, and an empty log after
//! it. The marker, which makes them a store, is for the caller to put in place.

use std::io;

use crate::disk::{Disk, zero};
use crate::error::SnapshotError;
use crate::segment;
use crate::snapshot::{self, Header, Purpose, Writer};

/// Bytes of the first segment: next to nothing, since the next one is prepared at the start.
const SEGMENT_BYTES: u64 = 4096;

/// Which state it is, and the names of its files.
pub(super) struct Plan<'p> {
    /// Put before each name.
    pub(super) prefix: &'p str,
    pub(super) store_id: u128,
    /// The last record in the state.
    pub(super) index: u64,
    pub(super) created_ms: u64,
    /// Seeds the checksums of the log.
    pub(super) epoch: u64,
}

impl Plan<'_> {
    /// Writes the files. Durable, with their names, when it returns.
    pub(super) fn write(
        &self,
        disk: &dyn Disk,
        feed: impl FnOnce(&mut Writer) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let name = format!("{}{}", self.prefix, segment::name(1));
        self.write_segment(disk, &name).map_err(|error| snapshot::failed("write", &name, error))?;
        let header = Header {
            purpose: Purpose::Snapshot,
            store_id: self.store_id,
            index: self.index,
            created_ms: self.created_ms,
        };
        let name = format!("{}{}", self.prefix, snapshot::name(self.index));
        snapshot::write_as(disk, &name, &header, feed).map(drop)
    }

    fn write_segment(&self, disk: &dyn Disk, name: &str) -> io::Result<()> {
        let header = segment::Header {
            store_id: self.store_id,
            sequence: 1,
            epoch: self.epoch,
            first_index: self.index + 1,
            chain: 0,
        };
        let file = disk.create(name)?;
        zero(&*file, 0, SEGMENT_BYTES)?;
        file.write_at(&header.encode().0, 0)?;
        file.sync()?;
        disk.sync_dir()
    }
}
