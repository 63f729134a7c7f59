//! A backup is one moment of a store that goes on; a store made from it is another one.

use std::sync::Arc;

use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::disk::{Disk, File};
use tidekeep_log::offline::{Error, Restored, Verdict, restore};
use tidekeep_log::{Commit, OpenError, Solo, backup};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::Put;

use crate::clock::ManualClock;
use crate::ledger::{held, open, revision, verify, write};
use crate::world::{World, get, put, put_of, put_with, wait};

/// The bytes of a backup, taken in pieces, with a batch written after each.
pub(crate) fn back_up(store: &Solo, piece: usize, mut between: impl FnMut()) -> Vec<u8> {
    let mut backup = wait(store.backup()).expect("storage works");
    assert_eq!(backup.revision(), store.feed().revision());
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        backup.read(piece, &mut bytes).expect("all of it is here");
        assert!(bytes.len() - before <= piece);
        if bytes.len() == before {
            return bytes;
        }
        between();
    }
}

/// A file of its own disk.
pub(crate) fn file_of(bytes: &[u8]) -> Arc<dyn File> {
    let file = FaultyDisk::new(1).create("backup").expect("there is none");
    file.write_at(bytes, 0).expect("there is room");
    file
}

pub(crate) fn restore_on(disk: &FaultyDisk, bytes: &[u8]) -> Result<Restored, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    restore(&disk, &file_of(bytes), "backup", &mut seeded(77), &mut |_| {})
}

#[test]
fn a_backup_taken_in_pieces_beside_writes_is_one_moment() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk, 1).expect("nothing fails");
    (0..30).for_each(|number| write(&store, number).expect("nothing fails"));
    let mut next = 30;
    let bytes = back_up(&store, 100, || {
        write(&store, next).expect("nothing fails");
        next += 1;
    });
    assert!(next > 40, "writes went on");
    let info = backup::verify(&file_of(&bytes), "backup").expect("it is good");
    assert_eq!((info.revision, info.index), (revision(30), 30));
    assert_eq!(info.file_bytes, bytes.len() as u64);

    let target = FaultyDisk::new(2);
    let restored = restore_on(&target, &bytes).expect("it is restored");
    assert_eq!(verify(&target).verdict(), Verdict::Good);
    let new = open(&target, 2).expect("it opens");
    assert_eq!(held(&new, "restored"), 30);
    assert_ne!(new.identity().store_id, store.identity().store_id);
    assert_ne!(new.identity().incarnation, store.identity().incarnation);
    assert_eq!(new.identity().incarnation, restored.incarnation);
    // Nobody resumes from before it.
    assert!(new.feed().changes(revision(30) - 1, 1000).is_err());
    (30..60).for_each(|number| write(&new, number).expect("it goes on"));
    drop(new);
    assert_eq!(held(&open(&target, 3).expect("it opens"), "reopened"), 60);
}

#[test]
fn an_empty_store_has_a_backup_too() {
    let store = open(&FaultyDisk::new(1), 1).expect("nothing fails");
    let bytes = back_up(&store, 1 << 20, || {});
    let target = FaultyDisk::new(2);
    restore_on(&target, &bytes).expect("it is restored");
    let new = open(&target, 2).expect("it opens");
    assert_eq!(held(&new, "restored"), 0);
    write(&new, 0).expect("it goes on");
    drop(new);
    assert_eq!(held(&open(&target, 3).expect("it opens"), "reopened"), 1);
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_backup_is_found() {
    let store = open(&FaultyDisk::new(1), 1).expect("nothing fails");
    (0..10).for_each(|number| write(&store, number).expect("nothing fails"));
    let bytes = back_up(&store, 1 << 20, || {});
    let mut random = seeded(8);
    for _ in 0..500 {
        let bit = random() % (bytes.len() as u64 * 8);
        let mut damaged = bytes.clone();
        damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
        let outcome = backup::verify(&file_of(&damaged), "backup");
        assert!(outcome.is_err(), "bit {bit}");
        let end = (random() % bytes.len() as u64) as usize;
        assert!(backup::verify(&file_of(&bytes[..end]), "backup").is_err(), "cut at {end}");
        let target = FaultyDisk::new(2);
        assert!(matches!(restore_on(&target, &damaged), Err(Error::Open(_))), "bit {bit}");
        assert_eq!(target.calls(), 0, "nothing is begun with a bad backup");
    }
}

#[test]
fn only_an_empty_directory_is_restored_into() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk, 1).expect("nothing fails");
    write(&store, 0).expect("nothing fails");
    let bytes = back_up(&store, 1 << 20, || {});
    drop(store);
    let before = disk.calls();
    assert!(matches!(restore_on(&disk, &bytes), Err(Error::NotEmpty { .. })));
    let other = FaultyDisk::new(1);
    other.create("somebody's file").expect("there is none");
    assert!(matches!(restore_on(&other, &bytes), Err(Error::NotEmpty { .. })));
    assert_eq!(disk.calls(), before);
}

#[test]
fn what_is_to_end_ends_when_it_would_have_ended() {
    let world = World::new(4);
    let store = world.open();
    put_with(&store, Put { expiry: Expiry::After(1_000), ..put_of(b"brief", b"1") });
    put(&store, b"lasting", b"2");
    let ends = get(&store, b"brief").expect("it is there").expires_at();
    let bytes = back_up(&store, 1 << 20, || {});
    drop(store);
    for (later, there) in [(500, true), (2_000, false)] {
        let disk = FaultyDisk::new(5);
        restore_on(&disk, &bytes).expect("it is restored");
        let restored = World { clock: ManualClock::new(), ..world.on(disk) };
        restored.clock.advance(later);
        let store = restored.open();
        let found = get(&store, b"brief").map(|entry| entry.expires_at());
        assert_eq!(found, there.then_some(ends), "{later} ms later");
        assert!(get(&store, b"lasting").is_some());
    }
}

#[test]
fn a_snapshot_is_no_backup_and_a_backup_no_snapshot() {
    let disk = crate::ledger::made(10, &[5]);
    let name = crate::ledger::files(&disk, ".snap").remove(0);
    let snapshot = disk.open(&name).expect("it is there");
    let refused = backup::verify(&snapshot, "backup");
    assert!(matches!(refused, Err(OpenError::Damaged { offset: 64, .. })), "{refused:?}");
}
