//! A disk of its own, small enough to fill.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

pub(crate) const DISK_BYTES: usize = 40 << 20;

const BLOCK_BYTES: usize = 256 << 10;

/// A small tmpfs, gone when it is dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Self {
        Self::with(DISK_BYTES)
    }

    pub(crate) fn with(bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tidekeep-test"])
            .arg(folder.path())
            .status()
            .expect("mount runs");
        assert!(mounted.success(), "this test mounts a small tmpfs and needs root for it");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no byte free; everything that there was goes into a file.
    pub(crate) fn fill(&self, ballast: &Path) {
        let mut file = File::create(ballast).unwrap();
        for block in [BLOCK_BYTES, 4096, 1] {
            let zeroes = vec![0; block];
            while file.write(&zeroes).is_ok_and(|written| written == block) {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
