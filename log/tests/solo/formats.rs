//! Every kind of file and every part of one carries a version. What a newer program wrote is refused
//! by its name, by a start, by a look and by a repair, and is left as it is.

use std::sync::Arc;

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::disk::{Disk, File};
use tidekeep_log::offline::{Error, ProblemKind};
use tidekeep_log::{Log, OpenError, Options, Recovery, backup};

use crate::ledger::{SEGMENT, files, flip_middle, made, open, verify};
use crate::repair::plan;
use crate::restore::{back_up, file_of, restore_on};

const NEWER: u8 = 99;

/// The files' common field: format 1 becomes 17.
fn make_newer(disk: &FaultyDisk, name: &str) {
    disk.flip_bit(name, 8 * 8 + 4);
}

/// A start, a look and a repair refuse what is in `file`, and none changes anything.
fn refused_by_all(disk: &FaultyDisk, file: &str) {
    let calls = disk.calls();
    let error = open(disk, 5).err().unwrap_or_else(|| panic!("{file} is taken for good"));
    assert!(error.to_string().contains(file), "{error}");
    assert!(matches!(error, OpenError::NewerFormat { .. } | OpenError::Replay { .. }), "{error}");
    let findings = verify(disk);
    let newer = findings.newer().unwrap_or_else(|| panic!("{file}: {findings:?}"));
    assert_eq!(newer.file.as_deref(), Some(file));
    assert!(findings.refusal.is_some());
    let planned = plan(disk).err();
    assert!(
        matches!(&planned, Some(Error::Hands { problem }) if problem.kind == ProblemKind::Newer),
        "{planned:?}"
    );
    assert_eq!(disk.calls(), calls, "{file}");
}

#[test]
fn a_newer_marker_segment_or_snapshot_is_refused_by_name() {
    for ending in ["store", ".seg", ".snap"] {
        let disk = made(40, &[15, 30]);
        let name = files(&disk, ending).pop().expect("there is one");
        make_newer(&disk, &name);
        refused_by_all(&disk, &name);
    }
}

#[test]
fn a_newer_backup_is_refused_by_name() {
    let store = open(&FaultyDisk::new(1), 1).expect("nothing fails");
    let mut bytes = back_up(&store, 1 << 20, || {});
    bytes[8] = NEWER;
    let refused = backup::verify(&file_of(&bytes), "today.tide");
    assert!(
        matches!(&refused, Err(OpenError::NewerFormat { file, found: 99, supported: 1 })
            if file == "today.tide"),
        "{refused:?}"
    );
    let target = FaultyDisk::new(2);
    let restored = restore_on(&target, &bytes);
    assert!(matches!(restored, Err(Error::Open(OpenError::NewerFormat { .. }))), "{restored:?}");
    assert_eq!(target.calls(), 0);
}

/// The log under a store, without the store.
fn log_of(disk: &FaultyDisk) -> Log {
    let options = Options { segment_bytes: SEGMENT, ..Options::new(seeded(6)) };
    let recovery = Recovery::begin(Arc::new(disk.clone()), options).expect("it opens");
    recovery.replay(|_, _| Ok(())).expect("it is read").0
}

#[test]
fn a_newer_record_is_refused_by_its_file() {
    let disk = made(5, &[]);
    let log = log_of(&disk);
    let payload = [&[NEWER][..], &[0; 40]].concat();
    let index = log.append_one(log.admit(1, payload.len()).expect("there is room"), &payload);
    log.ticket(index).wait().expect("the disk works");
    log.close().expect("the disk works");
    refused_by_all(&disk, &files(&disk, ".seg")[0]);
    let what = &verify(&disk).newer().expect("it is newer").what.clone();
    assert!(what.contains("version 99"), "{what}");
}

#[test]
fn a_newer_head_of_a_snapshot_is_refused_by_its_file() {
    let disk = made(5, &[]);
    let log = log_of(&disk);
    log.write_snapshot(5, 1_000, |out| out.write(&[NEWER; 60])).expect("it is written");
    log.close().expect("the disk works");
    refused_by_all(&disk, &files(&disk, ".snap")[0]);
    let what = &verify(&disk).newer().expect("it is newer").what.clone();
    assert!(what.contains("version 99"), "{what}");
}

#[test]
fn a_newer_head_of_a_backup_is_refused_by_name() {
    let store = open(&FaultyDisk::new(1), 1).expect("nothing fails");
    let bytes = back_up(&store, 1 << 20, || {});
    // Another head with the checksums that belong to it: the crc of a block continues the one before.
    let mut newer = bytes[..64].to_vec();
    let header = u32::from_le_bytes(std::array::from_fn(|i| bytes[60 + i]));
    let (len, payload) = (60_u32.to_le_bytes(), [NEWER; 60]);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(header, &len), &payload);
    newer.extend_from_slice(&[&len[..], &crc.to_le_bytes(), &payload].concat());
    let file: Arc<dyn File> = file_of(&newer);
    let refused = backup::verify(&file, "today.tide").expect_err("it is newer").to_string();
    assert!(refused.contains("today.tide") && refused.contains("version 99"), "{refused}");
}

#[test]
fn damage_is_not_taken_for_a_newer_format() {
    let disk = made(40, &[15, 30]);
    flip_middle(&disk, &files(&disk, ".seg")[1]);
    assert_eq!(verify(&disk).newer(), None);
    assert!(disk.list().is_ok_and(|names| names.len() > 4));
}
