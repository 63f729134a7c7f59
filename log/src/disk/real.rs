//! The file system: positioned reads and writes, `fdatasync`, and a lock that keeps a second
//! server out of the directory.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, pwritev};

use super::direct::{BLOCK, DirectFile};
use super::{Disk, File, fill_in_steps, zero};
use crate::error::OpenError;
use crate::sync::Mutex;

pub(super) const LOCK: &str = "lock";

/// Parts that the system takes at once.
const PARTS_MAX: usize = 1024;

/// A directory of the file system, locked for as long as this value lives.
pub struct RealDisk {
    dir: PathBuf,
    /// A folder is locked with the directory that it is in. Closing the file gives the lock up; so does the end of the process, however it comes.
    _lock: Option<fs::File>,
}

impl RealDisk {
    /// Locks `dir`, making it first if it is not there.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process has it, [`OpenError::Io`] if it cannot be used.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        let dir = dir.as_ref().to_path_buf();
        let at = |doing| {
            let file = dir.display().to_string();
            move |source| OpenError::Io { doing, file, source }
        };
        make_dir(&dir).map_err(at("make the directory"))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK))
            .map_err(at("open the lock of"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let dir = dir.display().to_string();
                return Err(OpenError::Locked { dir, pid: holder(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(at("lock")(source)),
        }
        // Who holds it is a courtesy to the reader of the message; a full disk must not keep
        // the server from serving reads.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { dir, _lock: Some(lock) })
    }
}

/// Makes the directory such that its own name survives a power cut.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    let parent = fs::canonicalize(dir)?.parent().map(Path::to_path_buf);
    parent.map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

/// The process that a lock names.
pub(super) fn holder(lock: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        list(&self.dir)
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let dir = self.dir.join(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Arc::new(Self { dir, _lock: None })),
        }
    }

    fn move_into(&self, folder: &str, name: &str) -> io::Result<()> {
        fs::rename(self.dir.join(name), self.dir.join(folder).join(name))
    }
}

/// The names in a directory, sorted.
pub(super) fn list(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        // A name that is not text is none of ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) struct RealFile {
    file: fs::File,
    appending: Mutex<Appending>,
}

/// How a file is appended to.
enum Appending {
    Untried,
    Direct(DirectFile),
    Cached,
}

impl RealFile {
    pub(super) fn new(file: fs::File) -> Self {
        Self { file, appending: Mutex::new(Appending::Untried) }
    }

    /// Does `write` past the page cache; `None` where this file cannot be written so.
    fn write_directly(
        &self,
        write: impl FnOnce(&mut DirectFile) -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let mut appending = self.appending.lock();
        if let Appending::Untried = *appending {
            let direct = DirectFile::open(&self.file);
            *appending = direct.map_or(Appending::Cached, Appending::Direct);
        }
        let Appending::Direct(direct) = &mut *appending else { return None };
        let outcome = write(direct);
        let is_refused =
            matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::InvalidInput);
        if is_refused {
            // Some file systems open such a file and refuse its first write.
            *appending = Appending::Cached;
        }
        (!is_refused).then_some(outcome)
    }

    fn write_cached(&self, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        while !parts.is_empty() {
            match pwritev(&self.file, &parts[..parts.len().min(PARTS_MAX)], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut parts, written);
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_parts_at(&mut [IoSlice::new(data)], offset)
    }

    fn write_parts_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Appending::Direct(direct) = &mut *self.appending.lock() {
            direct.forget();
        }
        self.write_cached(parts, offset)
    }

    fn append_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let direct = |direct: &mut DirectFile| direct.append(&self.file, parts, offset);
        match self.write_directly(direct) {
            Some(outcome) => outcome,
            None => self.write_cached(parts, offset),
        }
    }

    fn fill(&self, bytes: u64) -> io::Result<()> {
        let is_whole = bytes.is_multiple_of(BLOCK as u64);
        let direct = is_whole.then(|| self.write_directly(|direct| direct.zero(bytes))).flatten();
        match direct {
            Some(outcome) => outcome.and_then(|()| self.sync()),
            None => fill_in_steps(self, bytes),
        }
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => zero(self, 0, bytes),
            outcome => Ok(outcome?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
