//! Makes the checksums of a file right, as docs/disk.md draws them, so that the fuzzer's changes
//! get behind them. Written from the drawing alone, and hence a second reading of it.

const SEGMENT_HEADER: usize = 64;
const RECORD_HEADER: usize = 32;
const SNAPSHOT_HEADER: usize = 64;
const MARKER: usize = 56;

/// The marker's checksum.
pub fn marker(bytes: &mut [u8]) {
    if bytes.len() >= MARKER {
        put(bytes, 52, crc32c::crc32c(&bytes[..52]));
    }
}

/// The checksums of a segment's header and of every record that can be found by its length;
/// `chain` is the one of the last record in the segment before. Gives this segment's last.
pub fn segment(bytes: &mut [u8], chain: u32) -> u32 {
    if bytes.len() < SEGMENT_HEADER {
        return chain;
    }
    put(bytes, 56, chain);
    let mut prev = crc32c::crc32c(&bytes[..60]);
    put(bytes, 60, prev);
    let epoch = crc32c::crc32c(&bytes[40..48]);
    let mut at = SEGMENT_HEADER;
    while let Some(header) = bytes.get(at..at + RECORD_HEADER) {
        let len = get(header, 0) as usize;
        let end = at + (RECORD_HEADER + len).next_multiple_of(8);
        if header.iter().all(|&byte| byte == 0) || end > bytes.len() {
            break;
        }
        put(bytes, at + 4, prev);
        let body = crc32c::crc32c(&bytes[at + RECORD_HEADER..][..len]);
        put(bytes, at + 24, body);
        prev = crc32c::crc32c_append(epoch, &bytes[at..at + 28]);
        put(bytes, at + 28, prev);
        at = end;
    }
    prev
}

/// The checksums of a snapshot's header, of its blocks, and of its footer with the counts in it.
pub fn snapshot(bytes: &mut [u8]) {
    if bytes.len() < SNAPSHOT_HEADER {
        return;
    }
    let mut crc = crc32c::crc32c(&bytes[..60]);
    put(bytes, 60, crc);
    let (mut at, mut blocks, mut sum) = (SNAPSHOT_HEADER, 0_u64, 0_u64);
    while at + 8 <= bytes.len() {
        let len = get(bytes, at);
        if len == u32::MAX {
            return footer(&mut bytes[at..], crc, blocks, sum);
        }
        let end = at + 8 + len as usize;
        if end > bytes.len() {
            return;
        }
        crc = crc32c::crc32c_append(crc, &bytes[at..at + 4]);
        crc = crc32c::crc32c_append(crc, &bytes[at + 8..end]);
        put(bytes, at + 4, crc);
        (at, blocks, sum) = (end, blocks + 1, sum + u64::from(len));
    }
}

fn footer(bytes: &mut [u8], crc: u32, blocks: u64, sum: u64) {
    if bytes.len() < 24 {
        return;
    }
    bytes[8..16].copy_from_slice(&blocks.to_le_bytes());
    bytes[16..24].copy_from_slice(&sum.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &bytes[..4]);
    put(bytes, 4, crc32c::crc32c_append(crc, &bytes[8..24]));
}

/// A snapshot of these chunks, everything else in its header as in `like`.
pub fn snapshot_of(like: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = like[..SNAPSHOT_HEADER.min(like.len())].to_vec();
    for chunk in chunks {
        bytes.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(chunk);
    }
    bytes.extend_from_slice(&[0xFF; 24]);
    snapshot(&mut bytes);
    bytes
}

fn get(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
