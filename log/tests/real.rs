//! The same log on the file system.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{Log, OpenError, Options, Recovery, Refused, Report};

fn open(dir: &Path, seed: u64) -> Result<(Log, Report, Vec<Vec<u8>>), OpenError> {
    let options = Options { segment_bytes: 16 << 10, ..Options::new(seeded(seed)) };
    let recovery = Recovery::begin(Arc::new(RealDisk::open(dir)?), options)?;
    let mut content = Vec::new();
    recovery.load_snapshot(|chunk| {
        content.push(chunk.to_vec());
        Ok(())
    })?;
    let (log, report) = recovery.replay(|_, payload| {
        content.push(payload.to_vec());
        Ok(())
    })?;
    Ok((log, report, content))
}

fn append(log: &Log, payload: &[u8]) {
    let permit = loop {
        match log.admit(1, payload.len()) {
            Ok(permit) => break permit,
            Err(Refused::Busy(room)) => room.wait().unwrap(),
            Err(refused) => panic!("{refused}"),
        }
    };
    log.ticket(log.append_one(permit, payload)).wait().unwrap();
}

#[test]
fn parts_are_written_one_behind_the_other_however_many_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let on_file: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
    // More than the system takes at once, some of them empty.
    let parts: Vec<_> = (0..3_000).map(|at| vec![at as u8; at % 50]).collect();
    let expected = parts.concat();
    for disk in [on_file, Arc::new(FaultyDisk::new(1))] {
        let file = disk.create("parts").unwrap();
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_parts_at(&mut slices, 7).unwrap();
        let mut content = vec![0; expected.len()];
        file.read_at(&mut content, 7).unwrap();
        assert!(content == expected);
        assert_eq!(file.len().unwrap(), 7 + expected.len() as u64);
    }
}

#[test]
fn comes_back_after_segments_and_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("new").join("store");
    let mut expected = Vec::new();
    for life in 0..4 {
        let (log, report, content) = open(&home, life).unwrap();
        assert_eq!(content, expected);
        assert_eq!((report.torn_bytes, report.last_index), (0, expected.len() as u64));
        for i in 0..40_u8 {
            expected.push(vec![i; 30 * usize::from(i)]);
            append(&log, expected.last().unwrap());
        }
        if life > 0 {
            let index = expected.len() as u64;
            // Chunks are never empty, hence the first record of each life needs a stand-in.
            let published = log.write_snapshot(index, 0, |out| {
                expected.iter_mut().filter(|r| r.is_empty()).for_each(|r| r.push(0));
                expected.iter().try_for_each(|record| out.write(record))
            });
            assert_eq!(published.unwrap().info.blocks, index);
        }
    }
    let names: Vec<_> = fs::read_dir(&home).unwrap().map(|e| e.unwrap().file_name()).collect();
    let snapshots = names.iter().filter(|n| n.to_string_lossy().ends_with(".snap")).count();
    assert_eq!(snapshots, 2, "{names:?}");
}

#[test]
fn a_second_server_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(dir.path(), 1).unwrap();
    let error = open(dir.path(), 2).err().unwrap();
    match &error {
        OpenError::Locked { pid, .. } => assert_eq!(*pid, Some(std::process::id())),
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    drop(log);
    open(dir.path(), 3).unwrap();
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(dir.path(), 1).unwrap();
    append(&log, b"kept");
    log.close().unwrap();
    drop(log);
    let path = dir.path().join("0000000000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(8);
    bytes[end..end + 100].fill(0xee);
    fs::write(&path, &bytes).unwrap();
    let (log, report, content) = open(dir.path(), 2).unwrap();
    assert_eq!((report.torn_bytes, content), (100, vec![b"kept".to_vec()]));
    drop(log);
    assert_eq!(open(dir.path(), 3).unwrap().1.torn_bytes, 0);
}

#[test]
fn damage_to_the_very_last_record_is_found_once_the_log_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(dir.path(), 1).unwrap();
    append(&log, b"first");
    append(&log, b"last and acknowledged");
    log.close().unwrap();
    drop(log);
    let path = dir.path().join("0000000000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|window| window == b"last").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    match open(dir.path(), 2).err().unwrap() {
        OpenError::Damaged { file, first: 2, last: 2, offset, .. } => {
            assert_eq!(file, "0000000000000001.seg");
            assert_eq!(offset, at as u64 - 32, "where the record begins");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_unusable_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(&file, 1).err().unwrap().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}

#[test]
fn a_log_without_its_marker_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), 1).unwrap());
    fs::remove_file(dir.path().join("store")).unwrap();
    assert!(matches!(open(dir.path(), 2), Err(OpenError::Missing { .. })));
}
