//! Snapshots are exact cuts made beside running writes, and shorten the log.

use std::thread;

use tidekeep_log::disk::faulty::Crash;
use tidekeep_log::{Commit, Standing};

use crate::reopen::settle;
use crate::watch::churn;
use crate::world::{World, add, content, figure, put, until};

#[test]
fn a_snapshot_beside_running_writes_and_the_log_behind_it_make_the_state() {
    let world = World { segment_bytes: 16 << 10, snapshot_log_bytes: 16 << 10, ..World::new(1) };
    let store = world.open();
    thread::scope(|scope| {
        for seed in 0..3 {
            scope.spawn({
                let store = &store;
                move || {
                    until("snapshots were written", || {
                        churn(store, seed, 20);
                        figure(store, "snapshots") >= 3
                    })
                }
            });
        }
    });
    assert_eq!(figure(&store, "snapshots_failed"), 0);
    settle(&world, &store);
    let digest = store.digest();
    let (revision, _) = content(&store);
    // The process dies: nothing is closed.
    let world = world.on(world.disk.crash(Crash::Drop));
    let reopened = world.open();
    assert!(figure(&reopened, "snapshot_revision") > 0);
    assert_eq!((reopened.digest(), reopened.feed().revision()), (digest, revision));
}

#[test]
fn snapshots_release_the_log_before_them() {
    let world = World { segment_bytes: 4096, snapshot_log_bytes: 8 << 10, ..World::new(2) };
    let store = world.open();
    let mut written = 0;
    until("two snapshots were written", || {
        put(&store, b"key", &[1; 400]);
        written += 1;
        figure(&store, "snapshots") >= 2
    });
    until("segments are released", || figure(&store, "log_segments") < written / 8);
    assert_eq!(figure(&store, "keys"), 1);
}

#[test]
fn a_snapshot_that_fails_is_told_until_one_is_written() {
    let world = World::new(4);
    let store = world.open();
    put(&store, b"key", &[1; 4000]);
    let failing =
        || (figure(&store, "snapshots_failed"), figure(&store, "snapshot_failing_ms") > 0);
    assert_eq!((failing(), store.warning()), ((0, false), None));

    until("the spare segment is there", || world.disk.content("spare").is_some());
    world.disk.set_quota(world.disk.used() + 100);
    store.snapshot().expect_err("there is no room for it");
    store.snapshot().expect_err("nor later");
    assert_eq!(failing(), (2, true));
    let warning = store.warning().expect("it is worth a word");
    assert!(warning.contains("no space for a snapshot"), "{warning}");
    assert!(matches!(store.standing(), Standing::Ready), "writes go on");
    put(&store, b"key", b"2");

    world.disk.set_quota(u64::MAX);
    store.snapshot().expect("there is room again");
    assert_eq!((failing(), store.warning()), ((2, false), None));
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_one_before_and_the_log() {
    let world = World::new(3);
    let store = world.open();
    for round in 0..2 {
        for _ in 0..50 {
            add(&store, b"counter", 1);
        }
        put(&store, format!("round-{round}").as_bytes(), b"");
        store.snapshot().expect("it is written");
    }
    add(&store, b"counter", 1);
    let digest = store.digest();
    drop(store);
    let disk = world.disk.crash(Crash::Drop);
    let newest = tidekeep_log::disk::Disk::list(&disk)
        .expect("the disk works")
        .into_iter()
        .rfind(|name| name.ends_with(".snap"))
        .expect("there is a snapshot");
    disk.flip_bit(&newest, 8 * 100);
    let store = world.on(disk).open();
    assert_eq!(store.digest(), digest);
}
