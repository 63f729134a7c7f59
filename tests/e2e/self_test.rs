//! `tidekeep test` runs every operation against the live server and leaves nothing behind.

use tidekeep_tests::{ServerProcess, tidekeep};

#[test]
fn the_self_test_passes_and_cleans_up() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    assert_eq!(tidekeep(server.address(), &["put", "mine", "stays"], b"").code, 0);

    let test = tidekeep(server.address(), &["test"], b"");

    assert_eq!(test.code, 0, "{}{}", test.text(), test.stderr);
    assert!(test.text().contains(" 0 failed"), "{}", test.text());
    assert_eq!(tidekeep(server.address(), &["list", "--count"], b"").text().trim(), "1");
}
