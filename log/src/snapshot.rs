//! Snapshot files: the whole state after one record, in blocks. Written aside, synced, read back,
//! renamed, and only then relied upon. A file is used whole or not at all.
//!
//! ```text
//! header   0  magic       8 bytes  "TIDESNAP"
//!          8  format      u32      1
//!         12  zero        u32
//!         16  store id    u128
//!         32  index       u64      last record that the state includes; also in the file name
//!         40  created     u64      milliseconds since 1970
//!         48  zero        12 bytes
//!         60  crc         u32      CRC-32C of bytes 0..60
//! block    0  len         u32      1 to 16 MiB
//!          4  crc         u32      CRC-32C of len and payload, seeded with the crc before it
//!          8  payload
//! footer   0  all ones    u32
//!          4  crc         u32      of the other 20 bytes, seeded with the last block's crc
//!          8  blocks      u64
//!         16  bytes       u64      payload bytes in sum
//! ```
//! Since each checksum starts from the one before, the footer's covers the whole file.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::envelope::{u32_at, u64_at};
use crate::error::{BoxError, OpenError, SnapshotError, is_full};
use crate::segment::remove_if_there;
use tidekeep_protocol::planted;

/// The longest chunk of a snapshot, in bytes.
pub const MAX_CHUNK: usize = 16 << 20;
/// A snapshot that is still being written.
pub(crate) const TEMP: &str = "snapshot.tmp";

const FORMAT: u32 = 1;
const SUFFIX: &str = ".snap";
const HEADER: usize = 64;
const BLOCK: usize = 8;
const FOOTER: usize = 24;
const END: u32 = u32::MAX;
/// Bytes of a file that are written and synced at once: the log's own syncs wait for what is on its
/// way to the disk.
const SYNC_BYTES: u64 = 64 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// What a file in this format is for; its first eight bytes say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Shortens the log beside it.
    Snapshot,
    /// Makes a store elsewhere; see [`crate::backup`].
    Backup,
}

impl Purpose {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Snapshot => b"TIDESNAP",
            Self::Backup => b"TIDEBACK",
        }
    }

    fn not_one(self) -> &'static str {
        match self {
            Self::Snapshot => "not the header of a snapshot",
            Self::Backup => "not the header of a backup",
        }
    }
}

/// A snapshot that was verified from its first byte to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Last record that the state includes.
    pub index: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Number of chunks.
    pub blocks: u64,
    /// Payload bytes in sum.
    pub bytes: u64,
}

/// What became of a new snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The snapshot.
    pub info: SnapshotInfo,
    /// Log segments removed because no kept snapshot needs them.
    pub released_segments: u64,
}

/// Takes the chunks of a snapshot.
pub struct Writer {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    at: u64,
    /// Up to where the file was synced.
    synced: u64,
    framing: Framing,
}

impl Writer {
    fn create(disk: &dyn Disk, header: &Header) -> io::Result<Self> {
        remove_if_there(disk, TEMP)?;
        let file = disk.create(TEMP)?;
        let mut buffer = Vec::new();
        let framing = Framing::begin(header, &mut buffer);
        Ok(Self { file, buffer, at: 0, synced: 0, framing })
    }

    /// Adds a chunk; empty ones are left out. Chunks come back with the same boundaries.
    ///
    /// # Errors
    /// The disk's, or [`SnapshotError::Feed`] for a chunk longer than [`MAX_CHUNK`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), SnapshotError> {
        if chunk.is_empty() {
            return Ok(());
        }
        if chunk.len() > MAX_CHUNK {
            return Err(SnapshotError::Feed("a chunk is longer than 16 MiB".into()));
        }
        self.framing.block(chunk, &mut self.buffer);
        if self.buffer.len() as u64 >= SYNC_BYTES {
            self.flush().map_err(|error| failed("write", TEMP, error))?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.framing.end(&mut self.buffer);
        self.flush()?;
        if planted::is_awake("snapshot-not-synced") { Ok(()) } else { self.file.sync() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        if self.at - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.at;
        }
        Ok(())
    }
}

/// Turns chunks into the bytes of a file, wherever these go.
pub(crate) struct Framing {
    crc: u32,
    blocks: u64,
    bytes: u64,
}

impl Framing {
    /// Appends the header.
    pub(crate) fn begin(header: &Header, out: &mut Vec<u8>) -> Self {
        let (bytes, crc) = header.encode();
        out.extend_from_slice(&bytes);
        Self { crc, blocks: 0, bytes: 0 }
    }

    /// Appends a block of at most [`MAX_CHUNK`] bytes, and of at least one.
    pub(crate) fn block(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        debug_assert!((1..=MAX_CHUNK).contains(&chunk.len()));
        let len = (chunk.len() as u32).to_le_bytes();
        self.crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, &len), chunk);
        out.extend_from_slice(&len);
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(chunk);
        self.blocks += 1;
        self.bytes += chunk.len() as u64;
    }

    /// Appends the footer: the file is complete.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        let mut footer = [0; FOOTER];
        footer[..4].copy_from_slice(&END.to_le_bytes());
        footer[8..16].copy_from_slice(&self.blocks.to_le_bytes());
        footer[16..].copy_from_slice(&self.bytes.to_le_bytes());
        let crc = footer_crc(&footer, self.crc);
        footer[4..8].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&footer);
    }
}

/// Writes, verifies and publishes a snapshot. On error the directory is as it was.
pub(crate) fn write(
    disk: &dyn Disk,
    store_id: u128,
    index: u64,
    created_ms: u64,
    feed: impl FnOnce(&mut Writer) -> Result<(), SnapshotError>,
) -> Result<SnapshotInfo, SnapshotError> {
    let header = Header { purpose: Purpose::Snapshot, store_id, index, created_ms };
    write_as(disk, &name(index), &header, feed)
}

/// Writes and verifies a file and publishes it as `name`. On error the directory is as it was.
pub(crate) fn write_as(
    disk: &dyn Disk,
    name: &str,
    header: &Header,
    feed: impl FnOnce(&mut Writer) -> Result<(), SnapshotError>,
) -> Result<SnapshotInfo, SnapshotError> {
    let outcome = write_aside(disk, header, feed);
    if outcome.is_err() {
        // Best effort: what is left of it is removed at the next start at the latest.
        let _ = remove_if_there(disk, TEMP);
    }
    let info = outcome?;
    disk.rename(TEMP, name)
        .and_then(|()| disk.sync_dir())
        .map_err(|error| failed("publish", name, error))?;
    Ok(info)
}

fn write_aside(
    disk: &dyn Disk,
    header: &Header,
    feed: impl FnOnce(&mut Writer) -> Result<(), SnapshotError>,
) -> Result<SnapshotInfo, SnapshotError> {
    let io_error = |error| failed("write", TEMP, error);
    let mut writer = Writer::create(disk, header).map_err(io_error)?;
    feed(&mut writer)?;
    let Framing { blocks, bytes, .. } = writer.framing;
    writer.finish().map_err(io_error)?;
    let written =
        SnapshotInfo { index: header.index, created_ms: header.created_ms, blocks, bytes };
    let unreadable = |what| SnapshotError::Unreadable { file: TEMP.into(), what };
    match read(disk, TEMP, header.store_id, &mut |_| Ok(())) {
        Ok(read) if read == written => Ok(written),
        Ok(_) => Err(unreadable("it has other counts")),
        Err(OpenError::Damaged { what, .. }) => Err(unreadable(what)),
        Err(OpenError::Io { source, .. }) => Err(failed("read back", TEMP, source)),
        Err(_) => Err(unreadable("its header differs")),
    }
}

pub(crate) fn failed(doing: &'static str, file: &str, source: io::Error) -> SnapshotError {
    if is_full(&source) {
        return SnapshotError::Full;
    }
    SnapshotError::Io { doing, file: file.into(), source }
}

/// Removes all snapshots but the `kept` ones.
pub(crate) fn remove_others(disk: &dyn Disk, kept: &[SnapshotInfo]) -> io::Result<()> {
    for file in disk.list()? {
        if index_of(&file).is_some_and(|index| kept.iter().all(|info| info.index != index)) {
            disk.remove(&file)?;
        }
    }
    disk.sync_dir()
}

/// The store that the snapshot `name` says it is of, if its header is whole.
pub(crate) fn store_of(disk: &dyn Disk, name: &str) -> Option<u128> {
    let mut reader = Reader::open(disk.open(name).ok()?, name).ok()?;
    reader.header(Purpose::Snapshot).ok().map(|(_, store_id)| store_id)
}

/// File name of the snapshot after record `index`.
pub(crate) fn name(index: u64) -> String {
    format!("{index:016x}{SUFFIX}")
}

/// Index in a snapshot's file name; `None` if it is not one.
pub(crate) fn index_of(file: &str) -> Option<u64> {
    let index = u64::from_str_radix(file.strip_suffix(SUFFIX)?, 16).ok()?;
    (name(index) == file).then_some(index)
}

/// The first 64 bytes of a file.
pub(crate) struct Header {
    pub(crate) purpose: Purpose,
    pub(crate) store_id: u128,
    pub(crate) index: u64,
    pub(crate) created_ms: u64,
}

impl Header {
    fn encode(&self) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(self.purpose.magic());
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.index.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.created_ms.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }
}

fn footer_crc(footer: &[u8; FOOTER], before: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(before, &footer[..4]), &footer[8..])
}

/// Reads the snapshot `name` from its first byte to its last, giving each chunk to `use_chunk`.
///
/// # Errors
/// `Damaged` for whatever does not hold, `NewerFormat`, `Foreign`, `Io`, and `Replay` for an error
/// of `use_chunk`.
pub(crate) fn read(
    disk: &dyn Disk,
    name: &str,
    store_id: u128,
    use_chunk: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
) -> Result<SnapshotInfo, OpenError> {
    let file = disk.open(name).map_err(|source| OpenError::Io {
        doing: "open",
        file: name.into(),
        source,
    })?;
    let (info, of) = read_file(file, name, Purpose::Snapshot, Some(store_id), use_chunk)?;
    debug_assert_eq!(of, store_id);
    Ok(info)
}

/// Reads a file of this format from its first byte to its last; also gives the store that it is of,
/// which must be `store_id` if that is given.
pub(crate) fn read_file(
    file: Arc<dyn File>,
    name: &str,
    purpose: Purpose,
    store_id: Option<u128>,
    use_chunk: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
) -> Result<(SnapshotInfo, u128), OpenError> {
    let mut reader = Reader::open(file, name)?;
    let (header, of) = reader.header(purpose)?;
    if store_id.is_some_and(|expected| expected != of) {
        return Err(OpenError::Foreign { file: name.into() });
    }
    let (mut blocks, mut bytes) = (0, 0);
    loop {
        let before = reader.crc;
        let start: [u8; BLOCK] = reader.array()?;
        let (len, crc) = (u32_at(&start, 0), u32_at(&start, 4));
        if len == END {
            let mut footer = [0; FOOTER];
            footer[..BLOCK].copy_from_slice(&start);
            footer[BLOCK..].copy_from_slice(&reader.array::<{ FOOTER - BLOCK }>()?);
            let counts = (u64_at(&footer, 8), u64_at(&footer, 16));
            if crc != footer_crc(&footer, before) || counts != (blocks, bytes) {
                return Err(reader.damaged("the footer does not fit what was read"));
            }
            if reader.left() > 0 {
                return Err(reader.damaged("bytes follow the footer"));
            }
            return Ok((SnapshotInfo { blocks, bytes, ..header }, of));
        }
        if len as usize > MAX_CHUNK || len == 0 {
            return Err(reader.damaged("a block has an impossible length"));
        }
        let payload = reader.take(len as usize)?;
        let actual = crc32c::crc32c_append(crc32c::crc32c_append(before, &start[..4]), payload);
        if crc != actual {
            return Err(reader.damaged("a block's checksum does not hold"));
        }
        use_chunk(payload).map_err(|source| OpenError::Replay {
            file: name.into(),
            index: header.index,
            source,
        })?;
        reader.crc = crc;
        blocks += 1;
        bytes += u64::from(len);
    }
}

/// A bounded window that moves over the file.
struct Reader<'a> {
    name: &'a str,
    file: Arc<dyn File>,
    file_len: u64,
    /// Offset in the file just after the window.
    read_to: u64,
    window: Vec<u8>,
    /// Bytes of the window already taken.
    taken: usize,
    crc: u32,
}

impl<'a> Reader<'a> {
    fn open(file: Arc<dyn File>, name: &'a str) -> Result<Self, OpenError> {
        let file_len = file.len().map_err(|source| OpenError::Io {
            doing: "measure",
            file: name.into(),
            source,
        })?;
        Ok(Self { name, file, file_len, read_to: 0, window: Vec::new(), taken: 0, crc: 0 })
    }

    fn header(&mut self, purpose: Purpose) -> Result<(SnapshotInfo, u128), OpenError> {
        let bytes: [u8; HEADER] = self.array()?;
        if &bytes[..8] != purpose.magic() {
            return Err(self.damaged(purpose.not_one()));
        }
        let found = u32_at(&bytes, 8);
        if found > FORMAT {
            let file = self.name.into();
            return Err(OpenError::NewerFormat { file, found, supported: FORMAT });
        }
        self.crc = u32_at(&bytes, 60);
        if self.crc != crc32c::crc32c(&bytes[..60]) || found != FORMAT {
            return Err(self.damaged("the header's checksum does not hold"));
        }
        let store_id = u128::from_le_bytes(std::array::from_fn(|i| bytes[16 + i]));
        let (index, created_ms) = (u64_at(&bytes, 32), u64_at(&bytes, 40));
        if index_of(self.name).is_some_and(|named| named != index) {
            return Err(self.damaged("the file's name and its header disagree"));
        }
        Ok((SnapshotInfo { index, created_ms, blocks: 0, bytes: 0 }, store_id))
    }

    /// Bytes of the file not yet taken.
    fn left(&self) -> u64 {
        self.file_len - self.read_to + (self.window.len() - self.taken) as u64
    }

    fn damaged(&self, what: &'static str) -> OpenError {
        let last = index_of(self.name).unwrap_or(0);
        let offset = self.file_len - self.left();
        OpenError::Damaged { file: self.name.into(), offset, first: last.min(1), last, what }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let bytes = self.take(N)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    /// The next `len` bytes; never more memory than the file has bytes.
    fn take(&mut self, len: usize) -> Result<&[u8], OpenError> {
        if self.left() < len as u64 {
            return Err(self.damaged("the file ends too early"));
        }
        if self.window.len() - self.taken < len {
            self.window.drain(..self.taken);
            self.taken = 0;
            let have = self.window.len();
            let more = (self.file_len - self.read_to).min((len - have).max(READ_BYTES) as u64);
            self.window.resize(have + more as usize, 0);
            self.file.read_at(&mut self.window[have..], self.read_to).map_err(|source| {
                OpenError::Io { doing: "read", file: self.name.into(), source }
            })?;
            self.read_to += more;
        }
        self.taken += len;
        Ok(&self.window[self.taken - len..self.taken])
    }
}
