//! Recovery of a data directory of any files. Refused, it is as it was; taken, it gives the same
//! records at every next start, and what is appended is behind them.
//!
//! ```text
//! | flags u8 | file … |     flags: 1 makes the checksums right
//! file: | kind u8 | number u8 | zeros u8, in 256 bytes | length u16 | content |
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Durability, Log, OpenError, Options, Recovery, Report, Upkeep};

use crate::disk::{Image, disk_of, image_of};
use crate::script::Script;
use crate::seal;

/// Bytes of a segment.
pub const SEGMENT: u64 = 4096;

/// Checksums are to be made right.
pub const SEALED: u8 = 1;

/// The bytes are a directory.
pub fn run(data: &[u8]) {
    let image = read(data);
    let (disk, before) = (disk_of(&image), image_of(&disk_of(&image)));
    let bytes: usize = image.iter().map(|(_, content)| content.len()).sum();
    // Files are read whole, segments and windows of a snapshot at a time.
    let limit = (2 << 20) + 4 * bytes;
    let opened = crate::within(limit, || open(&disk));
    let (log, report, mut records) = match opened {
        Ok(opened) => opened,
        Err(error) => return refused(&error, &disk, &before),
    };
    if let Ok(permit) = log.admit(1, 5) {
        let index = log.append_one(permit, b"tide!");
        assert_eq!(index, report.last_index + 1);
        while log.step() {}
        assert_eq!(log.durable(), index);
        records.push((index, b"tide!".to_vec()));
    }
    log.close().expect("memory does not fail");
    let (log, again, found) = match open(&disk.copy()) {
        Ok(opened) => opened,
        // The fuzzer is shown the checksum that bytes of a damaged spare lack to pass for a record of the
        // segment that it becomes. By chance they have it once in four thousand million times.
        Err(OpenError::Damaged { .. }) if is_dirty("spare", &image) => return,
        Err(error) => panic!("what was opened opens again: {error}"),
    };
    assert_eq!(found, records);
    assert_eq!(again.snapshot_index, report.snapshot_index);
    // What lay in a damaged spare is behind the record that went into it, and no record itself.
    assert!(again.torn_bytes == 0 || is_dirty("spare", &image));
    drop(log);
}

fn is_dirty(file: &str, image: &Image) -> bool {
    image.iter().any(|(name, content)| name == file && content.iter().any(|&byte| byte != 0))
}

fn refused(error: &OpenError, disk: &FaultyDisk, before: &Image) {
    assert!(!error.to_string().is_empty());
    let foreign = matches!(
        error,
        OpenError::Damaged { .. }
            | OpenError::NewerFormat { .. }
            | OpenError::Foreign { .. }
            | OpenError::Missing { .. }
    );
    assert!(foreign, "memory does not fail: {error}");
    assert_eq!(&image_of(disk), before, "what is refused is left alone: {error}");
}

type Opened = (Log, Report, Vec<(u64, Vec<u8>)>);

fn open(disk: &FaultyDisk) -> Result<Opened, OpenError> {
    let options = Options {
        durability: Durability::Always,
        segment_bytes: SEGMENT,
        mark_after: Duration::from_secs(3600),
        upkeep: Upkeep::Steps,
        ..Options::new(seeded(7))
    };
    let recovery = Recovery::begin(Arc::new(disk.clone()), options)?;
    recovery.load_snapshot(|chunk| {
        assert!(!chunk.is_empty());
        Ok(())
    })?;
    let mut next = recovery.snapshot().map_or(0, |info| info.index) + 1;
    let mut records = Vec::new();
    let (log, report) = recovery.replay(|index, payload| {
        assert_eq!(index, next, "records come without gaps");
        next += 1;
        records.push((index, payload.to_vec()));
        Ok(())
    })?;
    assert_eq!((report.replayed, report.last_index), (records.len() as u64, next - 1));
    Ok((log, report, records))
}

fn read(data: &[u8]) -> Image {
    let mut script = Script::new(data);
    let flags = script.byte().unwrap_or(0);
    let mut image: Image = Vec::new();
    while let (Some(kind), Some(number), Some(zeros), Some(content)) =
        (script.byte(), script.byte(), script.byte(), script.chunk())
    {
        let mut content = content.to_vec();
        content.resize(content.len().max(usize::from(zeros) * 256), 0);
        let name = name(kind, number);
        image.retain(|(other, _)| *other != name);
        image.push((name, content));
    }
    image.sort();
    if flags & SEALED != 0 {
        let mut chain = 0;
        for (name, content) in &mut image {
            match name.rsplit_once('.') {
                Some((_, "seg")) => chain = seal::segment(content, chain),
                Some((_, "snap")) => seal::snapshot(content),
                _ => seal::marker(content),
            }
        }
    }
    image
}

/// The name of a file of this kind.
pub fn name(kind: u8, number: u8) -> String {
    match kind % 7 {
        0 => "store".to_owned(),
        1 => format!("{number:016x}.seg"),
        2 => format!("{number:016x}.snap"),
        3 => "spare".to_owned(),
        4 => "store.new".to_owned(),
        5 => "spare.tmp".to_owned(),
        _ => "snapshot.tmp".to_owned(),
    }
}

/// A directory as the bytes of an input; what lies in it must be the log's own.
pub fn script_of(image: &Image, flags: u8) -> Vec<u8> {
    let mut data = vec![flags];
    for (file, content) in image {
        let number = file.split('.').next().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let number = number.unwrap_or(0);
        let Some(kind) = (0..7).find(|kind| name(*kind, number) == *file) else { continue };
        let used = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        data.extend_from_slice(&[kind, number, (content.len() / 256) as u8]);
        data.extend_from_slice(&(used as u16).to_le_bytes());
        data.extend_from_slice(&content[..used]);
    }
    data
}
