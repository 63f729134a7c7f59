//! A disk that is none: files live in memory and end with the process. A store of
//! [`crate::Durability::Memory`] keeps its few fixed files here; nothing grows.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, File};

/// A directory in memory.
#[derive(Default)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    folders: Mutex<BTreeMap<String, Arc<MemoryDisk>>>,
}

/// Bytes, and behind them as many zeros as make the length.
#[derive(Default)]
struct MemoryFile(Mutex<(Vec<u8>, u64)>);

impl MemoryDisk {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    fn take(&self, name: &str) -> io::Result<Arc<MemoryFile>> {
        self.files.lock().remove(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut files = self.files.lock();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        match self.files.lock().get(name) {
            Some(file) => Ok(Arc::clone(file) as _),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.take(from)?;
        self.files.lock().insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.take(name).map(drop)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = self.files.lock().keys().cloned().collect();
        names.extend(self.folders.lock().keys().cloned());
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        Ok(Arc::clone(self.folders.lock().entry(name.to_owned()).or_default()) as _)
    }

    fn move_into(&self, folder: &str, name: &str) -> io::Result<()> {
        let file = self.take(name)?;
        let folder = Arc::clone(self.folders.lock().entry(folder.to_owned()).or_default());
        folder.files.lock().insert(name.to_owned(), file);
        Ok(())
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().1)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let (bytes, len) = &*self.0.lock();
        if offset.saturating_add(buf.len() as u64) > *len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let written = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let written = written.unwrap_or_default();
        let count = written.len().min(buf.len());
        buf[..count].copy_from_slice(&written[..count]);
        buf[count..].fill(0);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let (bytes, len) = &mut *self.0.lock();
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = offset.checked_add(data.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(data);
        *len = (*len).max(end as u64);
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.0.lock().1 = bytes;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
