//! A backup over a connection: one moment in pieces, one at a time, and none of another connection's.

use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::Backup;

use crate::harness::{Client, TestServer};
use crate::scan::fill;

/// A piece that is owned: revision, whether it is the last, and its bytes.
fn piece(client: &mut Client, offset: u64) -> (u64, bool, Vec<u8>) {
    loop {
        client.ask(900, &Backup { offset });
        let frame = client.joined();
        let reply = frame.reply::<Backup>();
        if reply.done || !reply.bytes.is_empty() {
            assert_eq!(reply.offset, offset);
            return (reply.revision, reply.done, reply.bytes.to_vec());
        }
    }
}

#[test]
fn pieces_join_to_one_moment_while_writes_go_on() {
    let server = TestServer::start();
    let mut client = server.client();
    fill(&mut client, 100);
    let mut writer = server.client();
    let (mut file, mut done, mut pieces) = (Vec::new(), false, 0);
    while !done {
        let (revision, last, bytes) = piece(&mut client, file.len() as u64);
        assert_eq!(revision, 100, "what came later is not in it");
        writer.put(b"later", b"value");
        file.extend(bytes);
        (done, pieces) = (last, pieces + 1);
    }
    assert!(pieces > 3 && file.len() > 1_000_000, "{pieces} pieces, {} bytes", file.len());
    assert!(file.starts_with(b"TIDEBACK"));
    assert!(!file.windows(5).any(|part| part == b"later"));
    client.is_well();
}

#[test]
fn an_offset_at_which_no_backup_stands_is_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    let mut client = server.client();
    fill(&mut client, 50);
    let (_, done, first) = piece(&mut client, 0);
    assert!(!done);
    let mut other = server.client();
    for (asker, offset) in [(&mut other, first.len() as u64), (&mut client, 7)] {
        let refused = asker.call(5, &Backup { offset });
        assert_eq!(refused.code(), Code::NotFound, "byte {offset}");
        asker.is_well();
    }
    // What stood there before stands there still, and another one begins at 0.
    let (_, _, second) = piece(&mut client, first.len() as u64);
    assert!(!second.is_empty() && second != first);
    client.put(b"more", b"value");
    assert_eq!(piece(&mut client, 0).0, 51);
}
