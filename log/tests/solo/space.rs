//! A full disk: writes are refused cleanly, reads and what frees go on, and it heals by itself.

use tidekeep_log::{Commit, Durability, Reply, Solo, Standing};
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{self, Request, TxnOp, WriteStatus};

use crate::world::{
    World, ask, ask_all, content, delete, delete_request, get, put, put_of, put_request,
    txn_request, until,
};

/// A store on a disk that holds no more segments, filled until it refused a write.
fn full(seed: u64) -> (World, Solo, usize) {
    let world = World { segment_bytes: 4096, ..World::new(seed) };
    let store = world.open();
    put(&store, b"first", b"1");
    until("the next segment is reserved", || world.disk.used() >= 2 * 4096);
    world.disk.set_quota(world.disk.used());
    let mut written = 0;
    loop {
        match ask(&store, put_request(format!("key-{written}").as_bytes(), &[0; 64])) {
            Ok(_) => written += 1,
            Err(refusal) => {
                assert_eq!(refusal.code, Code::NoSpace);
                return (world, store, written);
            }
        }
    }
}

#[test]
fn writes_are_refused_and_reads_and_deletes_go_on() {
    let (_, store, written) = full(1);
    assert!(written > 10);
    assert!(
        matches!(store.standing(), Standing::ReadOnly(refusal) if refusal.code == Code::NoSpace)
    );
    assert!(get(&store, b"key-0").is_some());
    assert_eq!(content(&store).1.len(), written + 1);
    assert!(delete(&store, b"key-0").is_some());
    let delete =
        TxnOp::Delete(op::Delete { key: b"key-1", condition: Condition::Always, previous: false });
    assert!(ask(&store, txn_request(vec![delete])).is_ok());
    let mixed = txn_request(vec![delete, TxnOp::Put(put_of(b"key-2", b"grows"))]);
    assert_eq!(ask(&store, mixed).expect_err("it grows").code, Code::NoSpace);
    assert_eq!(content(&store).1.len(), written - 1);
}

#[test]
fn a_batch_on_a_full_disk_does_what_it_can() {
    let (_, store, written) = full(2);
    let batch = [
        put_request(b"new", &[0; 64]),
        delete_request(b"key-0"),
        Request::Get(op::Get { key: b"key-0" }),
        put_request(b"new", &[0; 64]),
    ];
    let answers = ask_all(&store, &batch).expect("storage works");
    assert!(matches!(&answers[0], Err(refusal) if refusal.code == Code::NoSpace));
    assert!(matches!(&answers[1], Ok(Reply::Delete(r)) if r.status == WriteStatus::Applied));
    assert!(matches!(&answers[2], Ok(Reply::Get(got)) if got.entry.is_none()));
    assert!(answers[3].is_err());
    assert_eq!(content(&store).1.len(), written);
}

#[test]
fn space_that_comes_back_is_used_again() {
    let (world, store, written) = full(3);
    world.disk.set_quota(u64::MAX);
    until("writes are admitted again", || ask(&store, put_request(b"key", b"")).is_ok());
    until("it says so", || store.standing() == Standing::Ready);
    drop(store);
    assert_eq!(content(&world.open()).1.len(), written + 2);
}

#[test]
fn a_write_longer_than_a_segment_is_too_large_and_its_neighbours_are_not() {
    let world = World { segment_bytes: 4096, durability: Durability::None, ..World::new(4) };
    let store = world.open();
    let long = vec![0; 5000];
    let batch = [put_request(b"a", b"1"), put_request(b"b", &long), put_request(b"c", b"3")];
    let answers = ask_all(&store, &batch).expect("storage works");
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(&answers[1], Err(refusal) if refusal.code == Code::TooLarge));
}

#[test]
fn a_batch_longer_than_a_segment_takes_several_records() {
    let world = World { segment_bytes: 4096, durability: Durability::None, ..World::new(5) };
    let store = world.open();
    let keys: Vec<_> = (0..500).map(|i| format!("key-{i}").into_bytes()).collect();
    let batch: Vec<_> = keys.iter().map(|key| put_request(key, &[0; 100])).collect();
    let answers = ask_all(&store, &batch).expect("storage works");
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(store.feed().revision(), 500);
}
