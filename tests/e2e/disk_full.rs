//! A full disk stops writes with a code of its own; reads and deletes go on, and so does the server.

use std::path::Path;
use std::process::Command;

use tidekeep_tests::{ServerProcess, tidekeep};

const NO_SPACE: i32 = 4;
const DISK_BYTES: usize = 40 << 20;
const VALUE_BYTES: usize = 512 << 10;

/// A disk of its own, small enough to fill.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tidekeep-test"])
            .arg(folder.path())
            .status()
            .expect("mount runs");
        assert!(mounted.success(), "this test mounts a small tmpfs and needs root for it");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_still_serves() {
    let disk = SmallDisk::mount();
    let server = ServerProcess::start(disk.path(), &["--segment-bytes", "5242880"]);
    let value = vec![b'x'; VALUE_BYTES];

    let refused = (0..2 * DISK_BYTES / VALUE_BYTES)
        .map(|n| tidekeep(server.address(), &["put", &format!("big/{n}"), "-"], &value))
        .find(|put| put.code != 0)
        .expect("the disk fills up");

    assert_eq!(refused.code, NO_SPACE, "{}", refused.stderr);
    assert!(refused.stderr.contains("no-space"), "{}", refused.stderr);
    let first = tidekeep(server.address(), &["get", "big/0", "--output", "raw"], b"");
    assert_eq!(first.stdout, value);
    let delete = tidekeep(server.address(), &["delete", "big/0"], b"");
    assert_eq!(delete.code, 0, "{}", delete.stderr);
    assert_eq!(tidekeep(server.address(), &["get", "big/0"], b"").code, 1);
    assert_eq!(server.terminate().code(), Some(0));

    let server = ServerProcess::start(disk.path(), &["--segment-bytes", "5242880"]);
    assert_eq!(tidekeep(server.address(), &["get", "big/0"], b"").code, 1);
    assert_eq!(tidekeep(server.address(), &["get", "big/1", "--output", "raw"], b"").stdout, value);
}
