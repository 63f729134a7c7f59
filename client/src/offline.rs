//! The file behind the queue: batches of rows, one behind the other, each under a checksum and synced
//! before a mutation counts as queued. The core says what is in them (docs/design-client.md); here they
//! are only kept.
//!
//! ```text
//! file    "tkqueue1" · records
//! record  length u32 LE · CRC-32C u32 LE (of the batch) · batch
//! ```
//!
//! A record that is cut at the file's end was never told of, and is dropped; damage before it is an
//! error. The file is written anew, aside and then renamed, when it is opened and when most of it is
//! of no use any more. One process at a time holds it, by a lock on a file beside it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"tkqueue1";

/// Bytes of a record before its batch.
const RECORD_HEAD_BYTES: usize = 8;

/// Bytes of a row before its content: id and length.
const ROW_HEAD_BYTES: usize = 12;

/// A file below this is not worth being written anew.
const COMPACT_BYTES: usize = 1 << 20;

/// An open file, and all rows in it.
#[derive(Debug)]
pub(crate) struct OfflineFile {
    path: PathBuf,
    file: File,
    rows: BTreeMap<u64, Vec<u8>>,
    /// How long the file is.
    bytes: usize,
    /// What was written last is of unknown outcome: the file is to be written anew first.
    doubtful: bool,
    _lock: File,
}

impl OfflineFile {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(beside(path, ".lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::WouldBlock, "another client uses the offline file")
            }
            TryLockError::Error(error) => error,
        })?;
        let rows = match fs::read(path) {
            Ok(content) => read(&content)?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let (file, bytes) = write_anew(path, &rows)?;
        Ok(Self { path: path.to_owned(), file, rows, bytes, doubtful: false, _lock: lock })
    }

    /// All rows, as the core takes them.
    pub(crate) fn rows(&self) -> Vec<u8> {
        batch_of(&self.rows)
    }

    /// Makes a batch durable. After an error nothing of it is.
    pub(crate) fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.doubtful || self.bytes > COMPACT_BYTES.max(4 * batch_bytes(&self.rows)) {
            (self.file, self.bytes) = write_anew(&self.path, &self.rows)?;
            self.doubtful = false;
        }
        self.doubtful = true;
        let record = record(batch);
        self.file.write_all(&record)?;
        self.file.sync_data()?;
        self.doubtful = false;
        self.bytes += record.len();
        apply(&mut self.rows, batch).ok_or_else(|| damaged("a batch has no whole rows"))
    }
}

/// The rows of a file's content.
fn read(content: &[u8]) -> io::Result<BTreeMap<u64, Vec<u8>>> {
    let mut rows = BTreeMap::new();
    let mut rest = content.strip_prefix(MAGIC).ok_or_else(|| damaged("it is no such file"))?;
    while let Some((head, behind)) = rest.split_first_chunk::<RECORD_HEAD_BYTES>() {
        let [length, checksum] = [&head[..4], &head[4..]].map(u32_of);
        let Some((batch, behind)) = behind.split_at_checked(length as usize) else { break };
        if crc32c(batch) != checksum {
            // The last write may have been cut anywhere.
            if behind.is_empty() {
                break;
            }
            return Err(damaged("a record's checksum is not right"));
        }
        apply(&mut rows, batch).ok_or_else(|| damaged("a record has no whole rows"))?;
        rest = behind;
    }
    Ok(rows)
}

/// Does what a batch says; none when it is not made of rows.
fn apply(rows: &mut BTreeMap<u64, Vec<u8>>, mut batch: &[u8]) -> Option<()> {
    while let Some((head, behind)) = batch.split_first_chunk::<ROW_HEAD_BYTES>() {
        let id = u64::from_le_bytes(*head.first_chunk()?);
        let (row, behind) = behind.split_at_checked(u32_of(&head[8..]) as usize)?;
        if row.is_empty() {
            rows.remove(&id);
        } else {
            rows.insert(id, row.to_vec());
        }
        batch = behind;
    }
    batch.is_empty().then_some(())
}

fn batch_of(rows: &BTreeMap<u64, Vec<u8>>) -> Vec<u8> {
    let mut batch = Vec::with_capacity(batch_bytes(rows));
    for (id, row) in rows {
        batch.extend_from_slice(&id.to_le_bytes());
        batch.extend_from_slice(&(row.len() as u32).to_le_bytes());
        batch.extend_from_slice(row);
    }
    batch
}

fn batch_bytes(rows: &BTreeMap<u64, Vec<u8>>) -> usize {
    rows.values().map(|row| ROW_HEAD_BYTES + row.len()).sum()
}

fn record(batch: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_HEAD_BYTES + batch.len());
    record.extend_from_slice(&(batch.len() as u32).to_le_bytes());
    record.extend_from_slice(&crc32c(batch).to_le_bytes());
    record.extend_from_slice(batch);
    record
}

/// Writes a file with these rows and puts it in the place of the old one; how long it is.
fn write_anew(path: &Path, rows: &BTreeMap<u64, Vec<u8>>) -> io::Result<(File, usize)> {
    let mut content = MAGIC.to_vec();
    if !rows.is_empty() {
        content.extend_from_slice(&record(&batch_of(rows)));
    }
    let aside = beside(path, ".new");
    let mut file = File::create(&aside)?;
    file.write_all(&content)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    #[cfg(unix)]
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    let file = OpenOptions::new().append(true).open(path)?;
    Ok((file, content.len()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// CRC-32C, bit by bit: what is stored is short beside the sync behind it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 > 0 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    let add = |crc: u32, &byte: &u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc));
    !bytes.iter().fold(u32::MAX, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[(u64, &[u8])]) -> Vec<u8> {
        let mut batch = Vec::new();
        for (id, row) in rows {
            batch.extend_from_slice(&id.to_le_bytes());
            batch.extend_from_slice(&(row.len() as u32).to_le_bytes());
            batch.extend_from_slice(row);
        }
        batch
    }

    #[test]
    fn checksum_is_the_one_that_everybody_means() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn rows_are_there_again_after_a_cut_at_any_byte_and_whole_batches_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue");
        let mut file = OfflineFile::open(&path).unwrap();
        let batches = [
            batch(&[(1, b"one"), (2, b"two")]),
            batch(&[(1, b""), (3, b"three")]),
            batch(&[(2, b"other"), (0, b"about all")]),
        ];
        let mut ends = vec![(fs::read(&path).unwrap().len(), file.rows())];
        for batch in &batches {
            file.append(batch).unwrap();
            ends.push((fs::read(&path).unwrap().len(), file.rows()));
        }
        assert_eq!(file.rows(), batch(&[(0, b"about all"), (2, b"other"), (3, b"three")]));
        assert_eq!(
            OfflineFile::open(&path).unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "one process at a time"
        );
        drop(file);
        let whole = fs::read(&path).unwrap();
        for cut in MAGIC.len()..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let rows = OfflineFile::open(&path).unwrap().rows();
            let expected = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap();
            assert_eq!(rows, expected.1, "cut at {cut}");
        }
        for flipped in MAGIC.len() + 4..ends[1].0 {
            let mut damaged = whole.clone();
            damaged[flipped] ^= 4;
            fs::write(&path, &damaged).unwrap();
            let opened = OfflineFile::open(&path);
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::InvalidData, "at {flipped}");
        }
    }

    #[test]
    fn file_does_not_grow_with_what_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue");
        let mut file = OfflineFile::open(&path).unwrap();
        let row = vec![7; 100_000];
        for id in 1..60 {
            file.append(&batch(&[(id, &row)])).unwrap();
            file.append(&batch(&[(id, b"")])).unwrap();
            assert!(fs::metadata(&path).unwrap().len() < 2 * COMPACT_BYTES as u64);
        }
        assert!(file.rows().is_empty());
    }
}
