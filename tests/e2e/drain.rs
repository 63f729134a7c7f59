//! A server that is told to stop finishes what it has, says goodbye and keeps everything.

use tidekeep_tests::{ServerProcess, tidekeep};

#[test]
fn both_stop_signals_end_with_code_zero_and_nothing_lost() {
    let data = tempfile::tempdir().unwrap();
    for (round, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let server = ServerProcess::start(data.path(), &["--durability", "none"]);
        let key = format!("round{round}");
        assert_eq!(tidekeep(server.address(), &["put", &key, signal], b"").code, 0);
        server.signal(signal);
        assert_eq!(server.exit().code(), Some(0));
    }

    let server = ServerProcess::start(data.path(), &[]);
    assert_eq!(
        tidekeep(server.address(), &["get", "round0", "--output", "raw"], b"").stdout,
        b"TERM"
    );
    assert_eq!(
        tidekeep(server.address(), &["get", "round1", "--output", "raw"], b"").stdout,
        b"INT"
    );
}
