//! Records as a start finds them in the log: the store is refused, or it is the same store however
//! its keys are spread, at this start and at every next one.
//!
//! ```text
//! | flags u8 | record … |    flags: 1 writes the records' headers, as a store would
//! record: | length u16 | content |
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Commit, OpenError, Options, Recovery, Solo, SoloOptions, Upkeep};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

use crate::disk::{Hands, disk_of, image_of};
use crate::script::Script;
use crate::snapshot::content;

/// Headers are written here: what follows are commands alone.
pub const HEADED: u8 = 1;

const SEGMENT: u64 = 64 << 10;

/// The bytes are records.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte().unwrap_or(0);
    let disk = FaultyDisk::new(2);
    // The revision at which the store stands is known once it has read what is there.
    while let Some(commands) = script.chunk() {
        let mut bytes = Vec::new();
        if flags & HEADED != 0 {
            let Ok(store) = open(&disk.copy(), 2) else { break };
            let stamp = Stamp { now_ms: 1_000, revision: store.feed().revision() };
            record::begin(stamp, &mut bytes);
        }
        bytes.extend_from_slice(commands);
        if !append(&disk, &bytes) {
            break;
        }
    }
    agree(&disk);
}

fn agree(disk: &FaultyDisk) {
    let before = image_of(disk);
    let (one, many) = (open(&disk_of(&before), 1), open(disk, 5));
    let (one, many) = match (one, many) {
        (Ok(one), Ok(many)) => (one, many),
        (Err(one), Err(many)) => {
            assert_eq!(one.to_string(), many.to_string());
            return assert_eq!(image_of(disk), before, "what is refused is left alone: {one}");
        }
        (one, many) => panic!("{:?} {:?}", one.err(), many.err()),
    };
    assert_eq!((one.digest(), one.feed().revision()), (many.digest(), many.feed().revision()));
    let content = content(&one);
    assert_eq!(content, self::content(&many));
    // What is over goes, and is gone after the next start.
    while many.expire().is_ok_and(|count| count > 0) {
        while many.step() {}
    }
    let (digest, revision) = (many.digest(), many.feed().revision());
    many.close().expect("memory does not fail");
    drop(many);
    let again = open(disk, 3).expect("what was opened opens again");
    assert_eq!((again.digest(), again.feed().revision()), (digest, revision));
    assert_eq!(self::content(&again), content, "what had expired was not to be seen before");
}

/// Adds a record to the log, whatever is in it; whether there was room.
fn append(disk: &FaultyDisk, record: &[u8]) -> bool {
    let options = Options {
        segment_bytes: SEGMENT,
        mark_after: Duration::from_secs(3600),
        upkeep: Upkeep::Steps,
        ..Options::new(seeded(4))
    };
    let recovery = Recovery::begin(Arc::new(disk.clone()), options).expect("it is sound");
    let (log, _) = recovery.replay(|_, _| Ok(())).expect("it is sound");
    let Ok(permit) = log.admit(1, record.len()) else { return false };
    log.append_one(permit, record);
    log.close().expect("memory does not fail");
    true
}

fn open(disk: &FaultyDisk, shards: usize) -> Result<Solo, OpenError> {
    let options = SoloOptions::new(Arc::new(disk.clone()), Hands::at(1_000_000), seeded(3));
    Solo::open(SoloOptions { segment_bytes: SEGMENT, shards, upkeep: Upkeep::Steps, ..options })
}
