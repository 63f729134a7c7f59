//! What a record looks like on disk: 32 bytes of header, the payload, zeros up to a multiple of 8.
//! The order side fills in length, kind and index; the writer seals the rest just before writing.
//!
//! ```text
//!  0  len     u32  payload bytes, at most 16 MiB
//!  4  prev    u32  crc of the record before; of the segment's header for its first record
//!  8  index   u64  consecutive for entries; a mark repeats the index of the entry before it
//! 16  synced  u32  everything before this offset of the segment was durable when this was written
//! 20  kind    u8   1 entry, 2 mark
//! 21  zero    3 bytes
//! 24  body    u32  CRC-32C of the payload
//! 28  crc     u32  CRC-32C of bytes 0..28, seeded with the segment's epoch
//! ```
//! All integers are little-endian. `prev` makes a lost or moved record visible, the epoch makes
//! bytes of another segment invalid, and `synced` tells a torn tail from damage: see `recover`.
//! The header has a checksum of its own so that no length is used before it is proved, and no
//! payload, whatever it holds, can pass for a record.

/// Bytes of a record before its payload.
pub(crate) const HEADER: usize = 32;
/// Records begin at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// The longest payload of one record, in bytes.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Bytes of a mark on disk.
pub(crate) const MARK: usize = size_on_disk(0);

const ENTRY_KIND: u8 = 1;
const MARK_KIND: u8 = 2;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Carries a payload and an index of its own.
    Entry,
    /// Says after a quiet moment that everything before it is durable. Never replayed.
    Mark,
}

/// Bytes that a record with `payload` bytes takes on disk.
pub(crate) const fn size_on_disk(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Appends a record that still lacks its seal.
pub(crate) fn push(out: &mut Vec<u8>, kind: Kind, index: u64, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD);
    let end = out.len() + size_on_disk(payload.len());
    let mut header = [0; HEADER];
    fill(&mut header, payload.len(), kind, index);
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    out.resize(end, 0);
}

/// Leaves room for the header of a record whose payload is built behind it, in an empty buffer.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; HEADER]);
}

/// Makes what was begun the record of this index, which still lacks its seal.
pub(crate) fn complete(record: &mut Vec<u8>, index: u64) {
    let len = record.len() - HEADER;
    debug_assert!(len <= MAX_PAYLOAD);
    fill(&mut record[..HEADER], len, Kind::Entry, index);
    record.resize(size_on_disk(len), 0);
}

fn fill(header: &mut [u8], len: usize, kind: Kind, index: u64) {
    header[..4].copy_from_slice(&(len as u32).to_le_bytes());
    header[8..16].copy_from_slice(&index.to_le_bytes());
    header[20] = match kind {
        Kind::Entry => ENTRY_KIND,
        Kind::Mark => MARK_KIND,
    };
}

/// Size on disk of the record that `bytes` begin with, which this process has pushed.
pub(crate) fn first_size(bytes: &[u8]) -> usize {
    size_on_disk(u32_at(bytes, 0) as usize)
}

/// Index of the record that `bytes` begin with, which this process has pushed.
pub(crate) fn first_index(bytes: &[u8]) -> u64 {
    u64_at(bytes, 8)
}

/// What a segment's epoch begins each header's checksum with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn of(epoch: u64) -> Self {
        Self(crc32c::crc32c(&epoch.to_le_bytes()))
    }
}

/// Completes the record that `bytes` begin with and returns its checksum, the next one's `prev`.
pub(crate) fn seal(bytes: &mut [u8], seed: Seed, prev: u32, synced: u32) -> u32 {
    let (header, rest) = bytes.split_at_mut(HEADER);
    let body = crc32c::crc32c(&rest[..u32_at(header, 0) as usize]);
    header[4..8].copy_from_slice(&prev.to_le_bytes());
    header[16..20].copy_from_slice(&synced.to_le_bytes());
    header[24..28].copy_from_slice(&body.to_le_bytes());
    let crc = header_crc(header, seed);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The header of a record, whose checksum holds. Whether it belongs where it stands, and whether
/// its payload is whole, is not said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) prev: u32,
    pub(crate) synced: u32,
    pub(crate) crc: u32,
    len: usize,
    body: u32,
}

impl Header {
    /// Reads the header at the start of `bytes`, if a valid one is there.
    pub(crate) fn open(bytes: &[u8], epoch: u64) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let kind = match header[20..24] {
            [ENTRY_KIND, 0, 0, 0] => Kind::Entry,
            [MARK_KIND, 0, 0, 0] => Kind::Mark,
            _ => return None,
        };
        let (len, crc) = (u32_at(header, 0) as usize, u32_at(header, 28));
        if crc != header_crc(header, Seed::of(epoch)) || len > MAX_PAYLOAD {
            return None;
        }
        Some(Self {
            kind,
            index: u64_at(header, 8),
            prev: u32_at(header, 4),
            synced: u32_at(header, 16),
            crc,
            len,
            body: u32_at(header, 24),
        })
    }

    /// Bytes of the whole record on disk.
    pub(crate) fn size(&self) -> usize {
        size_on_disk(self.len)
    }

    /// The payload of the record at the start of `bytes`, if it is whole.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (payload, padding) = bytes.get(HEADER..self.size())?.split_at(self.len);
        let whole = crc32c::crc32c(payload) == self.body && padding.iter().all(|&byte| byte == 0);
        whole.then_some(payload)
    }
}

fn header_crc(header: &[u8], seed: Seed) -> u32 {
    crc32c::crc32c_append(seed.0, &header[..28])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, Kind::Entry, 7, payload);
        seal(&mut bytes, Seed::of(42), 1, 64);
        bytes
    }

    fn payload(bytes: &[u8], epoch: u64) -> Option<&[u8]> {
        Header::open(bytes, epoch)?.payload(bytes)
    }

    #[test]
    fn reads_back_what_was_sealed() {
        for len in [0, 1, 3, 4, 5, 12, 100] {
            let bytes = sealed(&vec![9; len]);
            assert_eq!(bytes.len() % ALIGN, 0);
            assert_eq!(bytes.len(), first_size(&bytes));
            let header = Header::open(&bytes, 42).unwrap();
            assert_eq!((header.index, header.prev, header.synced), (7, 1, 64));
            assert_eq!(payload(&bytes, 42).unwrap(), vec![9; len]);
        }
    }

    #[test]
    fn refuses_every_flipped_bit_and_every_cut() {
        let bytes = sealed(b"tide");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(payload(&flipped, 42).is_none(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(payload(&bytes[..end], 42).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn another_epoch_and_zeros_are_no_record() {
        assert!(payload(&sealed(b"tide"), 43).is_none());
        assert!(payload(&[0; 64], 42).is_none());
    }
}
