//! The store marker: which store this directory holds. A directory that has the marker must have
//! its log as well; one that has a log must have the marker. Neither is ever guessed or made anew.
//!
//! ```text
//!  0  magic        8 bytes  "TIDEKEEP"
//!  8  format       u32      1
//! 12  lossy        u32      1 while a run is open that confirms before it syncs; else 0
//! 16  store id     u128     random, made with the store
//! 32  incarnation  u64      random, made with the store; part of every watch cursor
//! 40  segment      u64      the log has at least reached the segment of this sequence
//! 48  zero         u32
//! 52  crc          u32      CRC-32C of bytes 0..52
//! ```

use std::io;

use crate::disk::{self, Disk};
use crate::envelope::{u32_at, u64_at};
use crate::error::OpenError;
use crate::segment;

/// Name of the marker of a complete store.
pub(crate) const MARKER: &str = "store";
/// Name of the marker while the store is being made: nothing was acknowledged yet.
pub(crate) const MARKER_TEMP: &str = "store.new";

/// The marker of a store that is being restored. Becomes the marker as the last step.
pub(crate) const RESTORE_BEGUN: &str = "restore.begun";
/// The marker that a repair ends with, while the originals are moved aside.
pub(crate) const REPAIR_BEGUN: &str = "repair.begun";
/// The same, while the repaired files take their places. Becomes the marker as the last step.
pub(crate) const REPAIR_MOVED: &str = "repair.moved";

const MAGIC: &[u8; 8] = b"TIDEKEEP";
const FORMAT: u32 = 1;
const LEN: usize = 56;

/// Who this store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Tells this store's files from those of any other.
    pub store_id: u128,
    /// Tells this history from any other that had the same positions.
    pub incarnation: u64,
    /// A log that ends before this segment lacks files at its end.
    pub(crate) segment: u64,
    /// A run that confirms before it syncs is open, or did not end well: what it showed may be lost,
    /// and the same positions may come to stand for something else.
    pub(crate) lossy: bool,
}

impl Manifest {
    pub(crate) fn random(random: &mut dyn FnMut() -> u64) -> Self {
        let store_id = u128::from(random()) << 64 | u128::from(random());
        Self { store_id, incarnation: random(), segment: 1, lossy: false }
    }

    /// Reads the marker `name`; `None` if there is none.
    pub(crate) fn load(disk: &dyn Disk, name: &str) -> Result<Option<Self>, OpenError> {
        let io_error = |source| OpenError::Io { doing: "read", file: name.into(), source };
        let damaged =
            |what| OpenError::Damaged { file: name.into(), offset: 0, first: 0, last: 0, what };
        let bytes = match disk.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(error)),
            Ok(file) => match disk::read_all(&*file, 4096) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(damaged("longer than a store marker"));
                }
                read => read.map_err(io_error)?,
            },
        };
        if bytes.len() < LEN || &bytes[..8] != MAGIC {
            return Err(damaged("not a store marker"));
        }
        let found = u32_at(&bytes, 8);
        if found > FORMAT {
            return Err(OpenError::NewerFormat { file: name.into(), found, supported: FORMAT });
        }
        let crc_holds = crc32c::crc32c(&bytes[..52]) == u32_at(&bytes, 52);
        let lossy = u32_at(&bytes, 12);
        if !crc_holds || found != FORMAT || bytes.len() != LEN || lossy > 1 {
            return Err(damaged("the store marker's checksum does not hold"));
        }
        Ok(Some(Self {
            store_id: u128::from_le_bytes(std::array::from_fn(|i| bytes[16 + i])),
            incarnation: u64_at(&bytes, 32),
            segment: u64_at(&bytes, 40),
            lossy: lossy == 1,
        }))
    }

    /// First step of making a store: from here on the directory is known to be unfinished. In a
    /// complete store, the first step of replacing its marker.
    pub(crate) fn announce(&self, disk: &dyn Disk) -> io::Result<()> {
        segment::remove_if_there(disk, MARKER_TEMP)?;
        let file = disk.create(MARKER_TEMP)?;
        file.write_at(&self.encode(), 0)?;
        file.sync()?;
        disk.sync_dir()
    }

    /// Writes it as the file `name`, which is whole and durable or not there at all.
    pub(crate) fn write_as(&self, disk: &dyn Disk, name: &str) -> io::Result<()> {
        let temp = format!("{name}.tmp");
        segment::remove_if_there(disk, &temp)?;
        let file = disk.create(&temp)?;
        file.write_at(&self.encode(), 0)?;
        file.sync()?;
        disk.rename(&temp, name)?;
        disk.sync_dir()
    }

    /// Replaces the marker.
    pub(crate) fn replace(&self, disk: &dyn Disk) -> io::Result<()> {
        self.announce(disk)?;
        Self::publish(disk)
    }

    /// Last step of making a store or of replacing its marker.
    pub(crate) fn publish(disk: &dyn Disk) -> io::Result<()> {
        disk.rename(MARKER_TEMP, MARKER)?;
        disk.sync_dir()
    }

    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.lossy).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.segment.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..52]);
        bytes[52..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}
