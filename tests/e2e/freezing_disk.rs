//! A disk that can be told to hang: a file system of its own, which the kernel freezes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const DISK_BYTES: u64 = 256 << 20;

/// A file system in a file, gone when it is dropped.
pub(crate) struct FreezingDisk(tempfile::TempDir);

impl FreezingDisk {
    /// None where the kernel has no loop devices to spare.
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
        File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        let made = run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let mounts = run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted));
        (made && mounts).then_some(Self(folder))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    /// From now on, what writes waits, until the guard is dropped. To be made behind whoever writes: a process that
    /// waits for the disk does not end.
    pub(crate) fn freeze(&self) -> Frozen {
        assert!(freezes("--freeze", &self.path()), "the disk does not freeze");
        Frozen(self.path())
    }
}

/// A disk that hangs.
pub(crate) struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        freezes("--unfreeze", &self.0);
    }
}

impl Drop for FreezingDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn freezes(how: &str, mounted: &Path) -> bool {
    run(Command::new("fsfreeze").arg(how).arg(mounted))
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
