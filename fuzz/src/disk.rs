//! Data directories in memory, and what may become of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tidekeep_log::clock::Clock;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::FaultyDisk;

/// Names and contents of files.
pub type Image = Vec<(String, Vec<u8>)>;

/// A disk with these files, all of them durable. Of two with the same name the last counts.
pub fn disk_of(image: &Image) -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    for (name, content) in image {
        drop(disk.remove(name));
        let file = disk.create(name).expect("the name was made free");
        file.write_at(content, 0).expect("memory can be written");
        file.sync().expect("memory can be synced");
    }
    disk.sync_dir().expect("memory can be synced");
    disk
}

/// The files of a disk.
pub fn image_of(disk: &FaultyDisk) -> Image {
    let names = disk.list().expect("memory can be listed");
    names.into_iter().map(|name| (name.clone(), disk.content(&name).unwrap_or_default())).collect()
}

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
pub struct Hands(AtomicU64);

impl Hands {
    /// A clock that shows `ms`.
    pub fn at(ms: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(ms)))
    }

    /// Moves on.
    pub fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The value of a future that has it by now.
pub fn ready<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
