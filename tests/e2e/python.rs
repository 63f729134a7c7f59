//! A client that was written from docs/protocol.md alone, in another language, gets through every
//! operation against the live server.

use std::process::Command;

use tidekeep_tests::{ServerProcess, binaries};

#[test]
fn the_python_client_speaks_to_the_live_server() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);

    let test = Command::new("python3")
        .arg(binaries::repository().join("examples/test_tidekeep.py"))
        .env("TIDEKEEP_ADDR", server.address())
        .output()
        .expect("python3 runs");

    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
    let said = String::from_utf8_lossy(&test.stderr);
    assert!(said.contains("OK") && !said.contains("skipped"), "{said}");
}
