//! The boundary's bytes. A request goes in as one buffer; what a turn leaves comes out as one
//! buffer of records, read by `ts/packed.ts`. `test/packed.txt` has an example of each, and both
//! sides are held to them.
//!
//! All little-endian: `u8`, `u32`, `num` (an f64: revisions, times and counts are below 2^53),
//! `bytes` (u32 length, then the bytes), `flag` (u8, 0 or 1), `opt X` (a flag, then X if it is 1).
//!
//! ```text
//! request    op u8 (protocol/src/op.rs; 0x03 is a ping), then
//!   get          key bytes
//!   put          key bytes · value bytes · condition · expiry · previous flag
//!   delete       key bytes · condition · previous flag
//!   scan         range · limit u32 · descending flag · projection u8 (full, keys, count)
//!   children     prefix bytes · delimiter bytes · after opt bytes · limit u32
//!   touch        key bytes · expiry · condition
//!   increment    key bytes · by num · expiry
//!   txn          compares u32 × (key bytes · condition) · then u32 × request · else u32 × request
//!   delete_range range · limit u32
//!   watch        range · content flag · previous flag · cursor opt bytes
//! range      start bytes · end opt bytes
//! condition  u8: 0 always · 1 absent · 2 present · 3 revision num · 4 value bytes
//! expiry     u8: 0 never · 1 keep · 2 after num · 3 at num
//!
//! record     length u32 (of what follows) · what u8 · id u32, then
//!   1 reply        reply, of the call's operation; nothing for a ping
//!   2 failed       error
//!   3 watch        u8: 0 content u32 × entry · 1 caught up: position · 2 changes: position · u32 × event
//!                      3 bookmark: position · 4 reset
//!   4 watch ended  error
//!   5 state        the id is the state: idle, connecting, ready, reconnecting, closed
//!   6 welcome      clock num (server's time = local clock + this) · protocol num · server id bytes
//!                  store id bytes · software bytes · longest key num · longest value num
//!                  calls in flight num · watches num · entries in a page num · txn operations num
//!   7 link down    error
//! reply
//!   get          revision num · opt stored
//!   put, delete  revision num · status u8 (applied, not found, refused) · opt stored
//!   scan         revision num · count num · more flag · u32 × entry
//!   children     revision num · more flag · u32 × (name bytes · branch flag)
//!   touch        revision num · status u8 · opt meta
//!   increment    revision num · value num
//!   txn          revision num · succeeded flag · u32 × reply
//!   delete_range revision num · deleted num · more flag
//!   status       software bytes · durability bytes · u32 × (name bytes · value num)
//! meta       created num · modified num · version num · expires at num (-1: never)
//! stored     meta · value bytes
//! entry      key bytes · stored
//! event      u8 (0 put, 1 delete, 2 expire) · key bytes · stored (put only) · previous opt stored
//! position   revision num · cursor bytes
//! error      code u8 · retryable flag · outcome u8 · retry after num (ms) · message bytes
//! ```

/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// Appends records.
pub(crate) struct Packer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Appends one record; `fill` writes what comes behind the id.
    pub(crate) fn record(&mut self, what: u8, id: u32, fill: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.u32(0);
        self.u8(what);
        self.u32(id);
        fill(self);
        let length = (self.out.len() - start - LENGTH_BYTES) as u32;
        self.out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn number(&mut self, value: f64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A number that the protocol keeps below 2^53.
    pub(crate) fn count(&mut self, value: u64) {
        self.number(value as f64);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.out.extend_from_slice(value);
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.u32(items.len() as u32);
        for item in items {
            write(self, item);
        }
    }
}

/// Reads a request; `None` where it ends too early or is not what the drawing says.
pub(crate) struct Unpacker<'a> {
    rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.u8().map(|value| value != 0)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*first))
    }

    pub(crate) fn number(&mut self) -> Option<f64> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(f64::from_le_bytes(*first))
    }

    /// A whole number that is not below 0; the page has checked that it is one.
    pub(crate) fn count(&mut self) -> Option<u64> {
        self.number().map(|value| value as u64)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (first, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(first)
    }

    /// `Some(None)` for what is left out.
    pub(crate) fn optional_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        if self.flag()? { self.bytes().map(Some) } else { Some(None) }
    }

    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let length = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(read(self)?);
        }
        Some(items)
    }
}
