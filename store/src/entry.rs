//! A stored entry: metadata, key and value in one shared allocation behind a thin pointer, so that an
//! index, a view, a reply and a change hold it for eight bytes and the price of a counter.
//!
//! ```text
//! memory: | count | head u64 | length | [wide 28] [created u32] [version u64] [end u64] | key | value |
//! head:   modified 40 bits, key length 11, flags 5, version 8
//! ```
//! The bracketed numbers are there if a flag says so: `created` as its distance from `modified` unless
//! they are the same, `version` if it is more than a byte, `end` if the entry ends. What does not fit
//! into the head makes the entry *wide*: modified, created and version as u64, the key's length as u32.
//! Most entries need four bytes beside the head or none.
//!
//! ```text
//! packed: | created u64 | modified u64 | version u64 | end u64 | key length u32 | key | value |
//! ```
//! Little-endian; what snapshots keep. The highest bit of the key's length says what `end` is: the lease
//! that the entry goes with if it is set, else the time at which the entry ends, all ones when it does
//! not. An entry has one or the other, so a lease costs no byte.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use tidekeep_protocol::entry::{Entry as WireEntry, Meta, Stored};
use tidekeep_protocol::planted;
use triomphe::ThinArc;

const PACKED_BYTES: usize = 36;
const NEVER: u64 = u64::MAX;
/// The bit of the packed key's length that says that the entry goes with a lease.
const LEASED_LENGTH: u32 = 1 << 31;

const MODIFIED_BITS: u32 = 40;
const KEY_BITS: u32 = 11;
const FLAGS_AT: u32 = MODIFIED_BITS + KEY_BITS;
const VERSION_AT: u32 = 56;

const WIDE: u64 = 1 << FLAGS_AT;
const CREATED: u64 = 2 << FLAGS_AT;
const VERSION: u64 = 4 << FLAGS_AT;
const END: u64 = 8 << FLAGS_AT;
const LEASED: u64 = 16 << FLAGS_AT;

const WIDE_BYTES: usize = 28;

/// The count, the head and the length before an entry's bytes.
const COUNT_BYTES: usize = 24;

/// What memory comes in.
const LINE_BYTES: usize = 64;

/// What an allocation of `bytes` takes with a usual allocator: its own word, in steps of 16.
pub(crate) const fn allocated(bytes: usize) -> usize {
    let whole = (bytes + 8).next_multiple_of(16);
    if whole < 32 { 32 } else { whole }
}

/// A key, its value and its metadata. Cloning shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(ThinArc<u64, u8>);

impl Entry {
    /// Makes an entry; `scratch` is a buffer to build it in. One with a lease has no end of its own.
    pub fn new(key: &[u8], value: &[u8], meta: Meta, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        let narrow = meta.modified < 1 << MODIFIED_BITS && key.len() < 1 << KEY_BITS;
        let distance = meta.modified.checked_sub(meta.created);
        let mut head = match distance.and_then(|distance| u32::try_from(distance).ok()) {
            Some(distance) if narrow => {
                let mut head = meta.modified | (key.len() as u64) << MODIFIED_BITS;
                if distance > 0 {
                    head |= CREATED;
                    scratch.extend_from_slice(&distance.to_le_bytes());
                }
                match u8::try_from(meta.version) {
                    Ok(version) => head |= u64::from(version) << VERSION_AT,
                    Err(_) => {
                        head |= VERSION;
                        scratch.extend_from_slice(&meta.version.to_le_bytes());
                    }
                }
                head
            }
            _ => {
                for number in [meta.modified, meta.created, meta.version] {
                    scratch.extend_from_slice(&number.to_le_bytes());
                }
                scratch.extend_from_slice(&(key.len() as u32).to_le_bytes());
                WIDE
            }
        };
        if let Some(end) = meta.lease.or(meta.expires_at.filter(|&at| at != NEVER)) {
            head |= if meta.lease.is_some() { END | LEASED } else { END };
            scratch.extend_from_slice(&end.to_le_bytes());
        }
        scratch.extend_from_slice(key);
        scratch.extend_from_slice(value);
        Self(ThinArc::from_header_and_slice(head, scratch))
    }

    /// Takes packed bytes as a snapshot kept them; none when they are no entry.
    pub fn unpack(bytes: &[u8], scratch: &mut Vec<u8>) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<PACKED_BYTES>()?;
        let number = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| header[at + i]));
        let length = u32::from_le_bytes(core::array::from_fn(|i| header[32 + i]));
        let key_len = (length & !LEASED_LENGTH) as usize;
        if key_len == 0 {
            return None;
        }
        let (key, value) = rest.split_at_checked(key_len)?;
        let (end, leased) = (number(24), length & LEASED_LENGTH != 0);
        let meta = Meta {
            created: number(0),
            modified: number(8),
            version: number(16),
            expires_at: (!leased && end != NEVER).then_some(end),
            lease: leased.then_some(end),
        };
        Some(Self::new(key, value, meta, scratch))
    }

    /// Appends the packed bytes.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let end = self.end().unwrap_or(NEVER);
        for number in [self.created(), self.modified(), self.version(), end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let leased = if self.head() & LEASED != 0 { LEASED_LENGTH } else { 0 };
        out.extend_from_slice(&(self.key_len() as u32 | leased).to_le_bytes());
        out.extend_from_slice(&self.0.slice[self.key_start()..]);
    }

    /// How long the packed bytes are.
    pub fn packed_len(&self) -> usize {
        PACKED_BYTES + self.payload()
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        let start = self.key_start();
        &self.0.slice[start..start + self.key_len()]
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.0.slice[self.key_start() + self.key_len()..]
    }

    /// Revision of the write that made the key appear.
    pub fn created(&self) -> u64 {
        match self.head() {
            head if head & WIDE != 0 => self.number(8),
            head if head & CREATED != 0 => self.modified() - u64::from(self.short(0)),
            _ => self.modified(),
        }
    }

    /// Revision of the last write.
    pub fn modified(&self) -> u64 {
        match self.head() {
            head if head & WIDE != 0 => self.number(0),
            head => head & ((1 << MODIFIED_BITS) - 1),
        }
    }

    /// How many writes the key has had.
    pub fn version(&self) -> u64 {
        match self.head() {
            head if head & WIDE != 0 => self.number(16),
            head if head & VERSION != 0 => self.number(if head & CREATED != 0 { 4 } else { 0 }),
            head => head >> VERSION_AT,
        }
    }

    /// When the entry ends by itself, in milliseconds since the Unix epoch.
    pub fn expires_at(&self) -> Option<u64> {
        if self.head() & LEASED == 0 { self.end() } else { None }
    }

    /// The lease that the entry goes with.
    pub fn lease(&self) -> Option<u64> {
        if self.head() & LEASED == 0 { None } else { self.end() }
    }

    /// Whether the entry has an end, be it a time or a lease's.
    pub(crate) fn ends(&self) -> bool {
        self.head() & END != 0
    }

    /// Whether the entry's time is over at `now`, in milliseconds since the Unix epoch.
    pub fn expired(&self, now: u64) -> bool {
        let now =
            if planted::is_awake("expired-still-readable") { now.saturating_sub(1) } else { now };
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// The metadata, as the wire has it.
    pub fn meta(&self) -> Meta {
        Meta {
            created: self.created(),
            modified: self.modified(),
            version: self.version(),
            expires_at: self.expires_at(),
            lease: self.lease(),
        }
    }

    /// Value and metadata, as the wire has them.
    pub fn stored(&self) -> Stored<'_> {
        Stored { meta: self.meta(), value: self.value() }
    }

    /// The entry, as the wire has it.
    pub fn to_wire(&self) -> WireEntry<'_> {
        WireEntry { key: self.key(), stored: self.stored() }
    }

    /// Bytes of key and value.
    pub(crate) fn payload(&self) -> usize {
        self.0.slice.len() - self.key_start()
    }

    /// What the entry costs in memory, in bytes; its places in a leaf and the index are theirs.
    pub fn cost(&self) -> usize {
        allocated(COUNT_BYTES + self.0.header.length)
    }

    /// An entry of what [`Self::parts`] gave, with the key between numbers and value.
    pub(crate) fn of_parts(head: u64, parts: [&[u8]; 3], scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        parts.iter().for_each(|part| scratch.extend_from_slice(part));
        Self(ThinArc::from_header_and_slice(head, scratch))
    }

    /// The head, the numbers behind it, and the value. With the key they are the entry.
    pub(crate) fn parts(&self) -> (u64, &[u8], &[u8]) {
        let (start, bytes) = (self.key_start(), &self.0.slice);
        (self.head(), &bytes[..start], &bytes[start + self.key_len()..])
    }

    /// How many bytes of numbers an entry with this head has.
    pub(crate) fn numbers_len(head: u64) -> usize {
        KEY_STARTS[(head >> FLAGS_AT) as usize % KEY_STARTS.len()] as usize
    }

    /// Numbers, key and value together.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// How many have the entry.
    pub(crate) fn owners(&self) -> usize {
        ThinArc::strong_count(&self.0)
    }

    /// Where the entry lies in memory.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Loads the head, the last byte, and one between: all lines of memory of a short entry. What they
    /// are says nothing.
    pub(crate) fn look(&self) -> usize {
        let bytes = &self.0.slice;
        let at = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
        self.head() as usize ^ at(LINE_BYTES - COUNT_BYTES) ^ at(bytes.len().wrapping_sub(1))
    }

    fn head(&self) -> u64 {
        self.0.header.header
    }

    /// Where the key begins: behind the numbers that the flags speak of.
    fn key_start(&self) -> usize {
        Self::numbers_len(self.head())
    }

    fn key_len(&self) -> usize {
        match self.head() {
            head if head & WIDE != 0 => self.short(24) as usize,
            head => (head >> MODIFIED_BITS) as usize % (1 << KEY_BITS),
        }
    }

    /// When it ends or with which lease, if it does.
    fn end(&self) -> Option<u64> {
        (self.head() & END != 0).then(|| self.number(self.key_start() - size_of::<u64>()))
    }

    fn number(&self, at: usize) -> u64 {
        let bytes = self.0.slice[at..at + 8].try_into().expect("the flags say that it is there");
        u64::from_le_bytes(bytes)
    }

    fn short(&self, at: usize) -> u32 {
        let bytes = self.0.slice[at..at + 4].try_into().expect("the flags say that it is there");
        u32::from_le_bytes(bytes)
    }
}

/// The bytes before the key, for each combination of flags.
const KEY_STARTS: [u8; 32] = {
    let mut starts = [0; 32];
    let mut flags = 0;
    while flags < starts.len() {
        let head = (flags as u64) << FLAGS_AT;
        let wide = if head & WIDE != 0 { WIDE_BYTES } else { 0 };
        let created = if head & CREATED != 0 { size_of::<u32>() } else { 0 };
        let version = if head & VERSION != 0 { size_of::<u64>() } else { 0 };
        let end = if head & END != 0 { size_of::<u64>() } else { 0 };
        starts[flags] = (wide + created + version + end) as u8;
        flags += 1;
    }
    starts
};

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("wire", &self.to_wire()).finish()
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Entries order by key; two states of one key by their bytes, to agree with equality.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key()).then_with(|| self.0.cmp(&other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(created: u64, modified: u64, version: u64) -> Meta {
        Meta { created, modified, version, expires_at: None, lease: None }
    }

    #[test]
    fn whatever_the_numbers_an_entry_gives_them_back_and_packs_the_same() {
        const LARGE: u64 = 1 << MODIFIED_BITS;
        let revisions = [
            (0, 0),
            (7, 7),
            (1, 7),
            (7, 1),
            (1, LARGE - 1),
            (LARGE - 1, LARGE - 1),
            (LARGE - 5, LARGE),
            (u64::MAX, u64::MAX),
        ];
        let ends = [(None, None), (Some(5), None), (Some(u64::MAX - 1), None), (None, Some(9))];
        let (mut scratch, mut packed) = (Vec::new(), Vec::new());
        for (created, modified) in revisions {
            for version in [0, 1, 255, 256, u64::MAX] {
                for (expires_at, lease) in ends {
                    for key in [&b"k"[..], &[7; 2047], &[7; 2048]] {
                        let meta = Meta { expires_at, lease, ..meta(created, modified, version) };
                        let entry = Entry::new(key, b"value", meta, &mut scratch);
                        assert_eq!((entry.meta(), entry.key()), (meta, key));
                        assert_eq!(entry.value(), b"value");
                        packed.clear();
                        entry.pack(&mut packed);
                        assert_eq!(packed.len(), entry.packed_len());
                        assert_eq!(Entry::unpack(&packed, &mut scratch), Some(entry));
                    }
                }
            }
        }
    }

    #[test]
    fn an_entry_takes_what_it_is_said_to() {
        let mut scratch = Vec::new();
        let fresh = Entry::new(&[1; 16], &[2; 64], meta(9, 9, 1), &mut scratch);
        let again = Entry::new(&[1; 16], &[2; 64], meta(9, 500_000, 2), &mut scratch);
        assert_eq!((fresh.cost(), again.cost()), (112, 128));
        assert_eq!(size_of::<Option<Entry>>(), size_of::<usize>());
    }

    #[test]
    fn entries_order_by_key_first() {
        let mut scratch = Vec::new();
        let a = Entry::new(b"a", b"", meta(9, 9, 1), &mut scratch);
        let b = Entry::new(b"b", b"", meta(1, 1, 1), &mut scratch);
        let later = Entry::new(b"a", b"", meta(9, 10, 2), &mut scratch);
        assert!(a < b && later < b && a != later && a.cmp(&later) != Ordering::Equal);
    }
}
