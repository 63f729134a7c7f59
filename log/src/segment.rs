//! The files of the log: names, headers, and the space they reserve. A segment gets its name
//! only when its header is durable and the segment before it complete, so a named segment with a
//! bad header is damage, never a crash.
//!
//! ```text
//!  0  magic        8 bytes  "TIDELOG\n"
//!  8  format       u32      1
//! 12  zero         u32
//! 16  store id     u128
//! 32  sequence     u64      1, 2, 3, … also in the file name
//! 40  epoch        u64      random; seeds the checksum of every record in the file
//! 48  first index  u64      of the first entry in the file
//! 56  chain        u32      checksum of the last record in the segment before; 0 in the first
//! 60  crc          u32      CRC-32C of bytes 0..60
//! ```

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::envelope::{u32_at, u64_at};
use crate::error::OpenError;
use crate::options::Durability;
use tidekeep_protocol::planted;

/// Bytes of a segment before its first record.
pub(crate) const HEADER: usize = 64;
/// The longest segment that is read; `synced` offsets fit into 32 bits with room to spare.
pub(crate) const MAX_BYTES: u64 = 1 << 30;
/// A segment prepared ahead: zeros, durable, complete.
pub(crate) const SPARE: &str = "spare";
/// A spare that is still being written.
pub(crate) const SPARE_TEMP: &str = "spare.tmp";

const MAGIC: &[u8; 8] = b"TIDELOG\n";
const FORMAT: u32 = 1;
const SUFFIX: &str = ".seg";

/// The first 64 bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store_id: u128,
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    pub(crate) first_index: u64,
    pub(crate) chain: u32,
}

impl Header {
    /// The bytes of the header and its checksum, which the first record names as its `prev`.
    pub(crate) fn encode(&self) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Reads the header of the file `name`; the second part is its checksum.
    ///
    /// # Errors
    /// Damaged bytes, a newer format, another store's id, another sequence than in the name.
    pub(crate) fn decode(
        bytes: &[u8; HEADER],
        name: &str,
        store_id: u128,
    ) -> Result<(Self, u32), OpenError> {
        let damaged =
            |what| OpenError::Damaged { file: name.into(), offset: 0, first: 0, last: 0, what };
        if &bytes[..8] != MAGIC {
            return Err(damaged("not the header of a segment"));
        }
        let found = u32_at(bytes, 8);
        if found > FORMAT {
            return Err(OpenError::NewerFormat { file: name.into(), found, supported: FORMAT });
        }
        let crc = u32_at(bytes, 60);
        if crc != crc32c::crc32c(&bytes[..60]) || found != FORMAT {
            return Err(damaged("the header's checksum does not hold"));
        }
        let header = Self {
            store_id: u128::from_le_bytes(std::array::from_fn(|i| bytes[16 + i])),
            sequence: u64_at(bytes, 32),
            epoch: u64_at(bytes, 40),
            first_index: u64_at(bytes, 48),
            chain: u32_at(bytes, 56),
        };
        if header.store_id != store_id {
            return Err(OpenError::Foreign { file: name.into() });
        }
        if header.first_index == 0 {
            return Err(damaged("records are counted from 1"));
        }
        if Some(header.sequence) != sequence_of(name) {
            return Err(damaged("the file's name and its header disagree"));
        }
        Ok((header, crc))
    }
}

/// The store that the segment `name` says it is of, if its header is whole.
pub(crate) fn store_of(disk: &dyn Disk, name: &str) -> Option<u128> {
    let mut bytes = [0; HEADER];
    disk.open(name).ok()?.read_at(&mut bytes, 0).ok()?;
    let store_id = u128::from_le_bytes(std::array::from_fn(|i| bytes[16 + i]));
    Header::decode(&bytes, name, store_id).is_ok().then_some(store_id)
}

/// File name of the segment with this sequence number.
pub(crate) fn name(sequence: u64) -> String {
    format!("{sequence:016x}{SUFFIX}")
}

/// Sequence number in a segment's file name; `None` if it is not one.
pub(crate) fn sequence_of(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(SUFFIX)?;
    let sequence = u64::from_str_radix(digits, 16).ok()?;
    (name(sequence) == file).then_some(sequence)
}

/// Makes a spare of `bytes` zeros, makes it durable and gives it its name. Where replies wait for syncs
/// the zeros are written; elsewhere they are only reserved.
pub(crate) fn prepare_spare(
    disk: &dyn Disk,
    bytes: u64,
    durability: Durability,
) -> io::Result<Arc<dyn File>> {
    remove_if_there(disk, SPARE_TEMP)?;
    let file = disk.create(SPARE_TEMP)?;
    match durability {
        Durability::Always => file.fill(bytes)?,
        Durability::Interval(_) | Durability::None | Durability::Memory => {
            file.reserve(bytes)?;
            file.sync()?;
        }
    }
    disk.rename(SPARE_TEMP, SPARE)?;
    Ok(file)
}

/// Turns the spare into the segment that `header` describes. Durable when it returns; the
/// checksum is the `prev` of the first record.
pub(crate) fn begin(disk: &dyn Disk, spare: &dyn File, header: &Header) -> io::Result<u32> {
    let (bytes, crc) = header.encode();
    spare.write_at(&bytes, 0)?;
    spare.sync()?;
    disk.rename(SPARE, &name(header.sequence))?;
    if !planted::is_awake("directory-sync-skipped") {
        disk.sync_dir()?;
    }
    Ok(crc)
}

/// Removes a file unless it is gone already.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_record_0_is_damage() {
        let header = |first_index| {
            Header { store_id: 7, sequence: 1, epoch: 3, first_index, chain: 0 }.encode().0
        };
        assert!(Header::decode(&header(1), &name(1), 7).is_ok());
        let refused = Header::decode(&header(0), &name(1), 7);
        assert!(matches!(refused, Err(OpenError::Damaged { .. })));
    }
}
