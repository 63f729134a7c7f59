//! A stored entry: metadata, key and value in one shared allocation, so that a view, a reply and a
//! change hold it for the price of a counter.
//!
//! ```text
//! | created u64 | modified u64 | version u64 | end u64 | key length u32 | key | value |
//! ```
//! Little-endian. The highest bit of the key's length says what `end` is: the lease that the entry
//! goes with if it is set, else the time at which the entry ends, all ones when it does not. An entry
//! has one or the other, so a lease costs no byte. Snapshots keep these bytes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use tidekeep_protocol::entry::{Entry as WireEntry, Meta, Stored};
use tidekeep_protocol::planted;

const HEADER_BYTES: usize = 36;
const NEVER: u64 = u64::MAX;
/// The bit of the key's length that says that the entry goes with a lease.
const LEASED: u32 = 1 << 31;

/// The reference counts before an entry's bytes.
const COUNTS_BYTES: usize = 16;

/// What an allocation of `bytes` takes with a usual allocator: its own word, in steps of 16.
pub(crate) const fn allocated(bytes: usize) -> usize {
    let whole = (bytes + 8).next_multiple_of(16);
    if whole < 32 { 32 } else { whole }
}

/// What an entry of a key and a value of this length costs in memory, in bytes; its place in a leaf
/// is the leaf's.
pub const fn cost_of(key_bytes: usize, value_bytes: usize) -> usize {
    allocated(COUNTS_BYTES + HEADER_BYTES + key_bytes + value_bytes)
}

/// A key, its value and its metadata. Cloning shares them.
#[derive(Clone)]
pub struct Entry(Arc<[u8]>);

impl Entry {
    /// Packs an entry; `scratch` is a buffer to build it in. One with a lease has no end of its own.
    pub fn new(key: &[u8], value: &[u8], meta: Meta, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.reserve(HEADER_BYTES + key.len() + value.len());
        scratch.extend_from_slice(&meta.created.to_le_bytes());
        scratch.extend_from_slice(&meta.modified.to_le_bytes());
        scratch.extend_from_slice(&meta.version.to_le_bytes());
        let end = meta.lease.or(meta.expires_at).unwrap_or(NEVER);
        let leased = if meta.lease.is_some() { LEASED } else { 0 };
        scratch.extend_from_slice(&end.to_le_bytes());
        scratch.extend_from_slice(&(key.len() as u32 | leased).to_le_bytes());
        scratch.extend_from_slice(key);
        scratch.extend_from_slice(value);
        Self(Arc::from(&scratch[..]))
    }

    /// Takes packed bytes as a snapshot kept them; none when they are no entry.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let key_len = (u32::from_le_bytes(header[32..36].try_into().ok()?) & !LEASED) as usize;
        (key_len >= 1 && key_len <= rest.len()).then(|| Self(Arc::from(bytes)))
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.0[HEADER_BYTES..self.value_start()]
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.0[self.value_start()..]
    }

    /// Revision of the write that made the key appear.
    pub fn created(&self) -> u64 {
        self.number(0)
    }

    /// Revision of the last write.
    pub fn modified(&self) -> u64 {
        self.number(8)
    }

    /// How many writes the key has had.
    pub fn version(&self) -> u64 {
        self.number(16)
    }

    /// When the entry ends by itself, in milliseconds since the Unix epoch.
    pub fn expires_at(&self) -> Option<u64> {
        Some(self.number(24)).filter(|&at| at != NEVER && !self.leased())
    }

    /// The lease that the entry goes with.
    pub fn lease(&self) -> Option<u64> {
        self.leased().then(|| self.number(24))
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

    /// What the entry costs in memory, in bytes; see [`cost_of`].
    pub fn cost(&self) -> usize {
        allocated(COUNTS_BYTES + self.0.len())
    }

    fn value_start(&self) -> usize {
        let length = [self.0[32], self.0[33], self.0[34], self.0[35]];
        HEADER_BYTES + (u32::from_le_bytes(length) & !LEASED) as usize
    }

    fn leased(&self) -> bool {
        self.0[35] >= (LEASED >> 24) as u8
    }

    fn number(&self, at: usize) -> u64 {
        let bytes = self.0[at..at + 8].try_into().expect("a packed entry has its header");
        u64::from_le_bytes(bytes)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("wire", &self.to_wire()).finish()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Entry {}

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
