//! Whether the file of a backup is whole: its checksums, each of which continues the one before, from
//! the header to the footer. What the bytes mean is for `tidekeep-server verify` to say.

use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"TIDEBACK";
const HEADER: usize = 64;
const END: u32 = u32::MAX;
const MAX_BLOCK: u32 = 16 << 20;

/// Reads a file to its end. `Ok` holds what is wrong with it, if something is.
pub(crate) fn check(mut file: impl Read) -> io::Result<Result<(), &'static str>> {
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? {
        return Ok(Err("it ends within its header"));
    }
    let mut crc = crc32c::crc32c(&header[..60]);
    if &header[..8] != MAGIC || word(&header[60..]) != crc {
        return Ok(Err("its header is not that of a backup"));
    }
    let (mut blocks, mut bytes) = (0_u64, 0_u64);
    let mut payload = Vec::new();
    loop {
        let mut start = [0; 8];
        if !fill(&mut file, &mut start)? {
            return Ok(Err("it ends between two blocks"));
        }
        let (len, said) = (word(&start), word(&start[4..]));
        let chained = crc32c::crc32c_append(crc, &start[..4]);
        if len == END {
            return end(file, (chained, said), (blocks, bytes));
        }
        if len == 0 || len > MAX_BLOCK {
            return Ok(Err("a block has an impossible length"));
        }
        payload.resize(len as usize, 0);
        if !fill(&mut file, &mut payload)? {
            return Ok(Err("it ends within a block"));
        }
        crc = crc32c::crc32c_append(chained, &payload);
        if crc != said {
            return Ok(Err("a block's checksum does not hold"));
        }
        (blocks, bytes) = (blocks + 1, bytes + u64::from(len));
    }
}

fn end(
    mut file: impl Read,
    (chained, said): (u32, u32),
    counted: (u64, u64),
) -> io::Result<Result<(), &'static str>> {
    let mut counts = [0; 16];
    if !fill(&mut file, &mut counts)? {
        return Ok(Err("it ends within its footer"));
    }
    let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| counts[at + i]));
    if crc32c::crc32c_append(chained, &counts) != said || (long(0), long(8)) != counted {
        return Ok(Err("its footer does not fit what was read"));
    }
    match file.read(&mut [0])? {
        0 => Ok(Ok(())),
        _ => Ok(Err("bytes follow its footer")),
    }
}

/// Fills the buffer; false if the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two blocks.
    fn file() -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.resize(60, 7);
        let mut crc = crc32c::crc32c(&file);
        file.extend_from_slice(&crc.to_le_bytes());
        for payload in [&b"first"[..], b"second"] {
            let len = (payload.len() as u32).to_le_bytes();
            crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &len), payload);
            file.extend_from_slice(&len);
            file.extend_from_slice(&crc.to_le_bytes());
            file.extend_from_slice(payload);
        }
        let counts = [2_u64.to_le_bytes(), 11_u64.to_le_bytes()].concat();
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &END.to_le_bytes()), &counts);
        file.extend_from_slice(&END.to_le_bytes());
        file.extend_from_slice(&crc.to_le_bytes());
        file.extend_from_slice(&counts);
        file
    }

    #[test]
    fn a_whole_file_is_whole_and_any_other_is_not() {
        let whole = file();
        assert_eq!(check(&whole[..]).unwrap(), Ok(()));
        for end in 0..whole.len() {
            assert!(check(&whole[..end]).unwrap().is_err(), "cut at {end}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped[..]).unwrap().is_err(), "bit {bit}");
        }
        assert!(check(&[&whole[..], b"x"].concat()[..]).unwrap().is_err());
    }
}
