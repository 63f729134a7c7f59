//! A repair keeps the newest state that can be trusted, every original file, and says what is lost.

use std::sync::Arc;

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::offline::{Error, Outcome, ProblemKind, Repair, Verdict};
use tidekeep_log::{Commit, OpenError, Options, Recovery};

use crate::ledger::{SEGMENT, files, flip_middle, held, made, open, verify, write};

pub(crate) fn plan(disk: &FaultyDisk) -> Result<Repair, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Repair::plan(&disk, &mut |_| {})
}

/// Repairs, and gives the folder of the originals.
pub(crate) fn repair(disk: &FaultyDisk) -> Result<Option<String>, Error> {
    let planned = plan(disk)?;
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    planned.carry_out(&disk, &mut seeded(99), &[("report.txt", b"what was found".to_vec())])
}

/// Every file of the store that was there is in the folder, as it was.
pub(crate) fn all_kept(before: &FaultyDisk, after: &FaultyDisk, folder: &str, context: &str) {
    for name in before.list().expect("the power is on") {
        let kept = after.content(&format!("{folder}/{name}"));
        assert!(kept == before.content(&name), "{name} is not kept: {context}");
    }
    assert!(after.content(&format!("{folder}/report.txt")).is_some());
}

#[test]
fn a_good_store_is_left_alone() {
    let disk = made(20, &[10]);
    let calls = disk.calls();
    assert_eq!(plan(&disk).expect("it is looked at").outcome(), Outcome::Nothing);
    assert_eq!(repair(&disk).expect("nothing is to be done"), None);
    assert_eq!(disk.calls(), calls);
}

#[test]
fn planning_changes_nothing() {
    let disk = made(40, &[10]);
    flip_middle(&disk, &files(&disk, ".seg")[2]);
    let calls = disk.calls();
    assert!(matches!(plan(&disk).expect("it can be repaired").outcome(), Outcome::Rebuild { .. }));
    assert_eq!(disk.calls(), calls);
}

#[test]
fn a_damaged_log_is_kept_up_to_the_damage() {
    let disk = made(60, &[10]);
    let identity = open(&disk, 3).expect("it is good").identity();
    let segments = files(&disk, ".seg");
    assert!(segments.len() > 4, "{segments:?}");
    flip_middle(&disk, &segments[3]);
    let before = disk.copy();
    assert!(matches!(open(&disk, 2), Err(OpenError::Damaged { .. })));

    let Outcome::Rebuild { kept, given_up, last_revision } =
        plan(&disk).expect("it can be repaired").outcome()
    else {
        panic!("it is to be rebuilt")
    };
    assert_eq!(given_up, Some((kept.index + 1, 60)));
    assert!(kept.index > 10 && last_revision > kept.revision);
    let folder = repair(&disk).expect("it is repaired").expect("originals are kept");
    all_kept(&before, &disk, &folder, "once");

    assert_eq!(verify(&disk).verdict(), Verdict::Good);
    let store = open(&disk, 2).expect("it opens again");
    assert_eq!(held(&store, "after the repair"), kept.index);
    let new = store.identity();
    assert_eq!(new.store_id, identity.store_id);
    assert_ne!(new.incarnation, identity.incarnation, "watches must start over");
    // It goes on as any other store.
    for number in kept.index..kept.index + 30 {
        write(&store, number).expect("it takes writes");
    }
    store.snapshot().expect("and snapshots");
    drop(store);
    let again = open(&disk, 4).expect("it opens once more");
    assert_eq!(held(&again, "after its next life"), kept.index + 30);
    drop(again);
    assert_eq!(verify(&disk).verdict(), Verdict::Good);
}

#[test]
fn damage_that_a_newer_snapshot_covers_costs_nothing() {
    let disk = made(40, &[15, 30]);
    // Records 16 to 30 are in the snapshot as well.
    let places = files(&disk, ".seg").into_iter().find_map(|name| {
        let content = disk.content(&name).expect("it is there");
        let at = content.windows(8).position(|part| part == [20; 8])?;
        Some((name, at as u64))
    });
    let (segment, at) = places.expect("batch 20 is in some segment");
    disk.flip_bit(&segment, at * 8);
    assert_eq!(verify(&disk).verdict(), Verdict::Damaged);
    repair(&disk).expect("it is repaired");
    assert_eq!(held(&open(&disk, 2).expect("it opens"), "after the repair"), 40);
}

#[test]
fn files_that_nobody_needs_are_moved_aside_and_history_goes_on() {
    let disk = made(40, &[15, 30]);
    let incarnation = open(&disk, 3).expect("it is good").identity().incarnation;
    let newest = files(&disk, ".snap").pop().expect("there are two");
    flip_middle(&disk, &newest);
    flip_middle(&disk, "spare");
    let outcome = plan(&disk).expect("it can be repaired").outcome();
    assert_eq!(outcome, Outcome::MoveAside(vec![newest.clone(), "spare".into()]));
    let folder = repair(&disk).expect("it is repaired").expect("originals are kept");
    assert!(disk.content(&format!("{folder}/{newest}")).is_some());
    assert_eq!(verify(&disk).verdict(), Verdict::Good);
    let store = open(&disk, 2).expect("it opens");
    assert_eq!(held(&store, "after the repair"), 40);
    assert_eq!(store.identity().incarnation, incarnation);
}

#[test]
fn a_lost_marker_a_lost_segment_and_a_lost_log_are_repaired() {
    for (lost, kept) in [("store", 40), ("segments", 30), ("last", 0)] {
        let disk = made(40, &[15, 30]);
        let segments = files(&disk, ".seg");
        match lost {
            "store" => disk.remove("store").expect("it is there"),
            "segments" => segments.iter().for_each(|name| disk.remove(name).expect("it is there")),
            _ => disk.remove(&segments[segments.len() - 1]).expect("it is there"),
        }
        assert!(open(&disk, 2).is_err(), "{lost}");
        repair(&disk).unwrap_or_else(|error| panic!("{lost}: {error}"));
        let store = open(&disk, 2).unwrap_or_else(|error| panic!("{lost}: {error}"));
        let held = held(&store, lost);
        assert!(if kept > 0 { held == kept } else { held >= 30 }, "{lost}: {held}");
    }
}

#[test]
fn what_a_repair_cannot_do_it_refuses_and_changes_nothing() {
    let disk = made(60, &[20, 40]);
    for name in files(&disk, ".snap") {
        flip_middle(&disk, &name);
    }
    let calls = disk.calls();
    assert!(matches!(plan(&disk).err(), Some(Error::NothingTrusted)));
    let newer = made(40, &[]);
    newer.flip_bit("store", 8 * 8 + 4);
    assert!(matches!(plan(&newer).err(), Some(Error::Hands { .. })));
    assert_eq!(disk.calls(), calls);
}

#[test]
fn a_record_that_the_store_cannot_read_is_never_passed_over() {
    let disk = made(20, &[]);
    let options = Options { segment_bytes: SEGMENT, ..Options::new(seeded(6)) };
    let recovery = Recovery::begin(Arc::new(disk.clone()), options).expect("it opens");
    let log = recovery.replay(|_, _| Ok(())).expect("it is read").0;
    // Its checksums hold; it is cut in its first field.
    let index = log.append_one(log.admit(1, 3).expect("there is room"), &[1, 2, 3]);
    log.ticket(index).wait().expect("the disk works");
    log.close().expect("the disk works");
    drop(log);
    assert!(matches!(open(&disk, 2), Err(OpenError::Replay { index: 21, .. })));
    let kinds: Vec<_> = verify(&disk).problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::Undecodable]);
    let Outcome::Rebuild { given_up, .. } = plan(&disk).expect("it can be repaired").outcome()
    else {
        panic!("it is to be rebuilt")
    };
    assert_eq!(given_up, Some((21, 21)));
    repair(&disk).expect("it is repaired");
    assert_eq!(held(&open(&disk, 3).expect("it opens"), "after the repair"), 20);
}

#[test]
fn a_second_repair_takes_the_next_folder() {
    let disk = made(40, &[]);
    let mut folders = Vec::new();
    for _ in 0..2 {
        let store = open(&disk, 5).expect("it opens");
        let first = held(&store, "so far");
        (first..first + 40).for_each(|number| write(&store, number).expect("it takes writes"));
        drop(store);
        flip_middle(&disk, &files(&disk, ".seg")[2]);
        folders.extend(repair(&disk).expect("it is repaired"));
    }
    assert_eq!(folders, ["damaged-1", "damaged-2"]);
}
