//! A full disk stops writes with a code of its own; reads and deletes go on, and so does the server.

use tidekeep_tests::{ServerProcess, tidekeep};

use crate::small_disk::{DISK_BYTES, SmallDisk};

const NO_SPACE: i32 = 4;
const VALUE_BYTES: usize = 512 << 10;

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
