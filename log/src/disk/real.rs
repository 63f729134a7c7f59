//! The file system: positioned reads and writes, `fdatasync`, and a lock that keeps a second
//! server out of the directory.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, File};
use crate::error::OpenError;

const LOCK: &str = "lock";

/// A directory of the file system, locked for as long as this value lives.
pub struct RealDisk {
    dir: PathBuf,
    /// Closing the file gives the lock up; so does the end of the process, however it comes.
    _lock: fs::File,
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
        Ok(Self { dir, _lock: lock })
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

fn holder(lock: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is not text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
