//! The file system for those who only look: every call that would change something is refused, and
//! files are opened such that the system would refuse it, too.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::real::{LOCK, RealFile, holder, list};
use super::{Disk, File};
use crate::error::OpenError;

/// A directory that no server runs on for as long as this value lives.
pub struct ReadOnlyDisk {
    dir: PathBuf,
    /// Shared with others who look. None where no server has ever made the lock's file.
    _lock: Option<fs::File>,
}

impl ReadOnlyDisk {
    /// Takes the lock of `dir` for looking.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if a server runs on it, [`OpenError::Io`] if it cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        let dir = dir.as_ref().to_path_buf();
        let at = |doing| {
            let file = dir.display().to_string();
            move |source| OpenError::Io { doing, file, source }
        };
        fs::read_dir(&dir).map_err(at("list"))?;
        let mut lock = match fs::File::open(dir.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { dir, _lock: None });
            }
            Err(error) => return Err(at("open the lock of")(error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { dir, _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {
                let dir = dir.display().to_string();
                Err(OpenError::Locked { dir, pid: holder(&mut lock) })
            }
            Err(TryLockError::Error(source)) => Err(at("lock")(source)),
        }
    }
}

/// Opens a single file to read it.
///
/// # Errors
/// What the system says.
pub fn open_file(path: impl AsRef<Path>) -> io::Result<Arc<dyn File>> {
    Ok(Arc::new(RealFile::new(fs::File::open(path)?)))
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnlyDisk {
    fn create(&self, _: &str) -> io::Result<Arc<dyn File>> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        open_file(self.dir.join(name))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        list(&self.dir)
    }

    fn sync_dir(&self) -> io::Result<()> {
        refused()
    }

    fn folder(&self, _: &str) -> io::Result<Arc<dyn Disk>> {
        refused()
    }

    fn move_into(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }
}
