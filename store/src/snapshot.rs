//! The bytes of a snapshot: a head with the cut's place in the order, then the tables, then packed
//! entries in chunks, then what is remembered of the changes before the cut (see
//! [`crate::history`]).
//!
//! ```text
//! head chunk:     | version u8 | revision u64 | now_ms u64 | keys u64 | digest u64 |
//!                 | sessions u64 | forgotten_ms u64 | leases u64 | intents u64 |;
//!                 version 1 ends before `sessions`, version 2 before `intents`
//! sessions chunks: `sessions` of them in all, each | length u32 | session, see [`crate::sessions`] |
//! leases chunks:  `leases` of them in all, each | length u32 | lease, see [`crate::leases`] |
//! intents chunks: `intents` of them in all, each | length u32 | row of [`crate::intents`] |
//! entries chunks: `keys` entries in all, each | length u32 | packed entry |
//! history chunks: the rest
//! ```

use alloc::vec::Vec;

use crate::entry::Entry;
use crate::tables::SavedTables;
use crate::view::View;

/// The newest version of heads that are read. Written where there are intents; else the one before, which older
/// versions of this program read.
pub const VERSION: u8 = 3;
const NUMBERS: usize = 8;
/// Numbers in the head of version 2.
const NUMBERS_OF_2: usize = 7;
/// Numbers in the head of version 1.
const NUMBERS_OF_1: usize = 4;
const CHUNK_BYTES: usize = 64 << 10;

/// Where in the order a snapshot was cut, and what it must add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The group's revision.
    pub revision: u64,
    /// The stamp of the last record, in milliseconds since the Unix epoch: time never goes back
    /// behind it.
    pub now_ms: u64,
    /// How many entries there are.
    pub keys: u64,
    /// The sum of the shards' digests.
    pub digest: u64,
    /// How many client sessions there are.
    pub sessions: u64,
    /// See [`crate::sessions::Sessions::forgotten_ms`].
    pub forgotten_ms: u64,
    /// How many leases there are.
    pub leases: u64,
    /// How many rows there are of transactions over several groups.
    pub intents: u64,
}

impl Head {
    /// The head chunk.
    pub fn encode(&self) -> Vec<u8> {
        let Self { revision, now_ms, keys, digest, sessions, forgotten_ms, leases, intents } =
            *self;
        let numbers: [u64; NUMBERS] =
            [revision, now_ms, keys, digest, sessions, forgotten_ms, leases, intents];
        let (version, count) = if intents == 0 { (2, NUMBERS_OF_2) } else { (VERSION, NUMBERS) };
        let mut out = alloc::vec![version];
        for number in &numbers[..count] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// Reads a head chunk; none when it is cut or of another version.
    pub fn decode(chunk: &[u8]) -> Option<Self> {
        let (&version, numbers) = chunk.split_first()?;
        let count = match version {
            1 => NUMBERS_OF_1,
            2 => NUMBERS_OF_2,
            VERSION => NUMBERS,
            _ => return None,
        };
        if numbers.len() != count * size_of::<u64>() {
            return None;
        }
        let mut numbers = numbers
            .chunks_exact(8)
            .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes));
        Some(Self {
            revision: numbers.next()?,
            now_ms: numbers.next()?,
            keys: numbers.next()?,
            digest: numbers.next()?,
            sessions: numbers.next().unwrap_or(0),
            forgotten_ms: numbers.next().unwrap_or(0),
            leases: numbers.next().unwrap_or(0),
            intents: numbers.next().unwrap_or(0),
        })
    }
}

/// Gives the tables in chunks, each apart; stops at the first error of `write`.
pub fn write_tables<E>(
    tables: &SavedTables,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut chunks = Chunks::new(&mut write);
    tables.sessions.write(|bytes| chunks.push(&[], bytes))?;
    chunks.finish()?;
    let mut chunks = Chunks::new(&mut write);
    tables.leases.iter().try_for_each(|lease| chunks.push(&[], lease))?;
    chunks.finish()?;
    let mut chunks = Chunks::new(&mut write);
    tables.intents.iter().try_for_each(|row| chunks.push(&[], row))?;
    chunks.finish()
}

/// Gives the entries of a view in chunks; stops at the first error of `write`.
pub fn write<E>(view: &View, write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut chunks = Chunks::new(write);
    for entry in view.entries() {
        chunks.push_entry(&[], entry)?;
    }
    chunks.finish()
}

/// Gives some entries in chunks; stops at the first error of `write`.
pub fn write_entries<E>(
    entries: &[Entry],
    write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut chunks = Chunks::new(write);
    entries.iter().try_for_each(|entry| chunks.push_entry(&[], entry))?;
    chunks.finish()
}

/// The sum over entries that a head bears.
pub fn digest(entries: &[Entry]) -> u64 {
    crate::digest::digest(entries.iter())
}

/// Gives the entries of a view chunk by chunk, as [`write()`] does, to whom takes them at leisure.
#[derive(Debug)]
pub struct Feed {
    view: View,
    part: usize,
    /// Entries of the part that were given.
    given: usize,
}

impl Feed {
    /// Begins with the first entry.
    pub fn new(view: View) -> Self {
        Self { view, part: 0, given: 0 }
    }

    /// What it gives the entries of.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Appends the next chunk; nothing when all was given.
    pub fn next_chunk(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        while let Some(part) = self.view.part(self.part) {
            for entry in part.skip(self.given) {
                let bytes = entry.packed_len();
                let taken = out.len() - start;
                if taken > 0 && taken + size_of::<u32>() + bytes > CHUNK_BYTES {
                    return;
                }
                out.extend_from_slice(&(bytes as u32).to_le_bytes());
                entry.pack(out);
                self.given += 1;
            }
            (self.part, self.given) = (self.part + 1, 0);
        }
    }
}

/// Gathers items into chunks. One that is longer than a chunk makes a chunk of its own.
pub(crate) struct Chunks<W> {
    chunk: Vec<u8>,
    write: W,
}

impl<E, W: FnMut(&[u8]) -> Result<(), E>> Chunks<W> {
    pub(crate) fn new(write: W) -> Self {
        Self { chunk: Vec::with_capacity(CHUNK_BYTES), write }
    }

    /// Adds an item, with its length, behind a few bytes that say what it is.
    pub(crate) fn push(&mut self, label: &[u8], bytes: &[u8]) -> Result<(), E> {
        self.begin(label, bytes.len())?;
        self.chunk.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds an entry, packed, like [`Self::push`].
    pub(crate) fn push_entry(&mut self, label: &[u8], entry: &Entry) -> Result<(), E> {
        self.begin(label, entry.packed_len())?;
        entry.pack(&mut self.chunk);
        Ok(())
    }

    fn begin(&mut self, label: &[u8], bytes: usize) -> Result<(), E> {
        let len = label.len() + size_of::<u32>() + bytes;
        if !self.chunk.is_empty() && self.chunk.len() + len > CHUNK_BYTES {
            (self.write)(&self.chunk)?;
            self.chunk.clear();
        }
        self.chunk.extend_from_slice(label);
        self.chunk.extend_from_slice(&(bytes as u32).to_le_bytes());
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), E> {
        if self.chunk.is_empty() { Ok(()) } else { (self.write)(&self.chunk) }
    }
}

/// The sessions, leases or rows of intents of a chunk, as bytes; none stands for bytes that are no item, and is the
/// last one.
pub fn items(chunk: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = chunk;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = split_entry(rest);
        rest = split.map_or(&[], |(_, tail)| tail);
        Some(split.map(|(bytes, _)| bytes))
    })
}

/// The entries of a chunk; none stands for bytes that are no entry, and is the last item.
pub fn entries(chunk: &[u8]) -> impl Iterator<Item = Option<Entry>> {
    let (mut rest, mut scratch) = (chunk, Vec::new());
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = split_entry(rest);
        let entry = split.and_then(|(bytes, _)| Entry::unpack(bytes, &mut scratch));
        rest = split.filter(|_| entry.is_some()).map_or(&[], |(_, tail)| tail);
        Some(entry)
    })
}

pub(crate) fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}
