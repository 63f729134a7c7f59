//! Writes past the system's page cache, for the segments of a log whose replies wait for syncs: the bytes go from one
//! buffer to the device, and the sync behind them has nothing left to write. Only [`super::real`] knows of it.
//!
//! The device takes whole blocks. One that is written in part is kept here, and written again with what comes
//! behind it: what it held before is in it as it was, so that a torn write harms none of it.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::OFlags;

/// What addresses, offsets and lengths are multiples of: the largest unit that devices ask for.
pub(super) const BLOCK: usize = 4096;

/// Bytes that are written at once at most.
const CAPACITY: usize = 256 << 10;

/// A file that is written past the cache, and the block at its end.
pub(super) struct DirectFile {
    file: fs::File,
    memory: Box<[u8]>,
    /// Where in `memory` the first whole block begins.
    aligned: usize,
    /// Offset in the file up to which the buffer's first block is the file's; `None` if it is not.
    end: Option<u64>,
}

impl DirectFile {
    /// Opens the file that `file` is, once more; `None` where the file system cannot, or if it is not whole blocks long.
    pub(super) fn open(file: &fs::File) -> Option<Self> {
        if !file.metadata().ok()?.len().is_multiple_of(BLOCK as u64) {
            return None;
        }
        // By its name in the system: the one in its directory may have changed.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path)
            .ok()?;
        let memory = vec![0; CAPACITY + BLOCK].into_boxed_slice();
        let aligned = memory.as_ptr().align_offset(BLOCK);
        (aligned < BLOCK).then_some(Self { file: direct, memory, aligned, end: None })
    }

    /// Writes all parts at `offset`, one behind the other, and zeros behind them up to the end of the
    /// block. What the block before `offset` holds is read from `cached`, unless it was written here last.
    pub(super) fn append(
        &mut self,
        cached: &fs::File,
        parts: &[IoSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        let mut filled = (offset % BLOCK as u64) as usize;
        let mut at = offset - filled as u64;
        if self.end.take() != Some(offset) {
            cached.read_exact_at(&mut self.buffer()[..filled], at)?;
        }
        for part in parts {
            let mut rest = &part[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(CAPACITY - filled));
                self.buffer()[filled..][..now.len()].copy_from_slice(now);
                filled += now.len();
                rest = later;
                if filled == CAPACITY {
                    self.write(filled, at)?;
                    (at, filled) = (at + CAPACITY as u64, 0);
                }
            }
        }
        let whole = filled.next_multiple_of(BLOCK);
        self.buffer()[filled..whole].fill(0);
        self.write(whole, at)?;
        let last = filled - filled % BLOCK;
        self.buffer().copy_within(last..whole, 0);
        self.end = Some(at + filled as u64);
        Ok(())
    }

    /// Writes zeros over the first `bytes` of the file, which are whole blocks.
    pub(super) fn zero(&mut self, bytes: u64) -> io::Result<()> {
        self.end = None;
        self.buffer().fill(0);
        let mut at = 0;
        while at < bytes {
            let step = (CAPACITY as u64).min(bytes - at);
            self.write(step as usize, at)?;
            at += step;
        }
        Ok(())
    }

    /// Notes that the file was written in another way.
    pub(super) fn forget(&mut self) {
        self.end = None;
    }

    fn buffer(&mut self) -> &mut [u8] {
        &mut self.memory[self.aligned..][..CAPACITY]
    }

    fn write(&self, bytes: usize, at: u64) -> io::Result<()> {
        self.file.write_all_at(&self.memory[self.aligned..][..bytes], at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::real::RealDisk;
    use super::super::{Disk, File};
    use super::*;

    const BYTES: u64 = 2 << 20;

    fn filled(disk: &RealDisk) -> Arc<dyn File> {
        let file = disk.create("f").expect("a new file");
        file.fill(BYTES).expect("filled");
        file
    }

    fn content(file: &dyn File) -> Vec<u8> {
        super::super::read_all(file, BYTES).expect("all of the file")
    }

    /// Parts of many lengths, of which some are longer than the buffer and some end where a block does; the
    /// file is opened anew and written in the other way now and then.
    #[test]
    fn what_is_appended_is_there_and_zeros_behind_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = RealDisk::open(dir.path()).expect("a disk");
        let mut file = filled(&disk);
        let (mut expected, mut at, mut byte) = (vec![0; BYTES as usize], 64, 0_u8);
        let lengths = [1, 8, BLOCK - 73, BLOCK, 3 * BLOCK + 5, CAPACITY, CAPACITY + BLOCK + 9, 700];
        for round in 0..24 {
            let mut parts = Vec::new();
            for length in [lengths[round % 8], lengths[round * 5 % 7] % 5000, 0] {
                byte = byte.wrapping_add(1);
                parts.push(vec![byte; length]);
            }
            let slices = &mut parts.iter().map(|part| IoSlice::new(part)).collect::<Vec<_>>()[..];
            let whole = parts.concat();
            expected[at..at + whole.len()].copy_from_slice(&whole);
            file.append_at(slices, at as u64).expect("appended");
            at += whole.len();
            file.sync().expect("synced");
            assert_eq!(content(&*file), expected, "after round {round}");
            match round % 5 {
                1 => file = disk.open("f").expect("the same file"),
                3 => {
                    file.write_at(b"between", at as u64 - 4).expect("written");
                    expected[at - 4..at + 3].copy_from_slice(b"between");
                    at += 3;
                }
                _ => {}
            }
        }
        assert_eq!(file.len().expect("its length"), BYTES);
    }

    #[test]
    fn a_file_that_is_not_whole_blocks_long_is_written_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = RealDisk::open(dir.path()).expect("a disk");
        let file = disk.create("odd").expect("a new file");
        file.fill(BLOCK as u64 + 10).expect("filled");
        file.append_at(&mut [IoSlice::new(&[7; 20])], BLOCK as u64 - 10).expect("appended");
        assert_eq!(file.len().expect("its length"), BLOCK as u64 + 10);
        let mut expected = vec![0; BLOCK - 10];
        expected.extend([7; 20]);
        assert_eq!(content(&*file), expected);
    }
}
