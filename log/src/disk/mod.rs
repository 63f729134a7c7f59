//! The disk as the log sees it: one flat directory, a handful of calls, nothing hidden. [`real`]
//! is the file system, [`read_only`] the same for those who only look, [`memory`] none at all, `faulty` (feature `testing`) a disk that loses, tears and lies on purpose.

use std::io::{self, IoSlice};
use std::sync::Arc;

mod direct;
#[cfg(feature = "testing")]
pub mod faulty;
pub mod memory;
pub mod read_only;
pub mod real;

/// A directory of files, some of which may be in folders. Names are plain (no separators). What a call has changed survives a
/// power cut only once [`File::sync`] (content, length) or [`Disk::sync_dir`] (names) returned.
pub trait Disk: Send + Sync {
    /// Makes a new, empty file; an error if the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file that is there, to read and write.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file a new name, replacing the file that had it, in one step.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files and folders, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// The folder `name` in this directory, which is made if it is not there. What happens in it is
    /// made durable by its own [`Disk::sync_dir`], its being there by this one's.
    fn folder(&self, name: &str) -> io::Result<Arc<dyn Disk>>;

    /// Moves a file into a folder of this directory, in one step. Durable once both are synced.
    fn move_into(&self, folder: &str, name: &str) -> io::Result<()>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`; an error if the file ends before it is full.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data` at `offset`, growing the file if need be.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all parts at `offset`, one behind the other, as [`File::write_at`] does.
    fn write_parts_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for part in parts {
            self.write_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// As [`File::write_parts_at`], for who writes a file of [`File::fill`] from its beginning to its end: within its
    /// length, and where the bytes behind what is written are zeros.
    fn append_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.write_parts_at(parts, offset)
    }

    /// Makes an empty file `bytes` zeros long, with space on disk for all of them.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        zero(self, 0, bytes)
    }

    /// Makes an empty file `bytes` zeros long, which are written and durable: a sync of what is written
    /// over them is a third quicker than one of what is only reserved.
    fn fill(&self, bytes: u64) -> io::Result<()> {
        fill_in_steps(self, bytes)
    }

    /// Makes content and length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
}

/// Bytes of zeros that are written at once.
const ZEROS: usize = 1 << 20;

/// Writes zeros over `from..to`.
pub(crate) fn zero<F: File + ?Sized>(file: &F, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS.min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let step = ZEROS.min((to - at) as usize);
        file.write_at(&zeros[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

/// Writes zeros and syncs them piece by piece: the syncs of other files wait for what is on its way to the disk.
fn fill_in_steps<F: File + ?Sized>(file: &F, bytes: u64) -> io::Result<()> {
    for from in (0..bytes).step_by(ZEROS) {
        zero(file, from, bytes.min(from + ZEROS as u64))?;
        file.sync()?;
    }
    Ok(())
}

/// The whole content of a small file, or an error if it is longer than `limit` bytes.
pub(crate) fn read_all(file: &dyn File, limit: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than it may be"));
    }
    let mut content = vec![0; len as usize];
    file.read_at(&mut content, 0)?;
    Ok(content)
}
