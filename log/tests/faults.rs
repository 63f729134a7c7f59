//! What the log does while the disk is full, stuck or broken, and what callers see of it.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tidekeep_log::disk::Disk as _;
use tidekeep_log::disk::faulty::{Fault, FaultyDisk};
use tidekeep_log::{Durability, Log, OpenError, Options, Recovery, Refused, SnapshotError};

mod model;
use model::{Life, Model, SEGMENT, options};

const LIMIT: Duration = Duration::from_secs(20);
const PAYLOAD: [u8; 200] = [7; 200];

fn open(disk: &FaultyDisk, options: Options) -> Log {
    let recovery = Recovery::begin(Arc::new(disk.clone()), options).unwrap();
    recovery.replay(|_, _| Ok(())).unwrap().0
}

/// Syncs are held for as long as this lives, so that a failing test does not hang in `close`.
struct Hold<'a>(&'a FaultyDisk);

impl<'a> Hold<'a> {
    fn new(disk: &'a FaultyDisk) -> Self {
        disk.hold_syncs(true);
        Self(disk)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.hold_syncs(false);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// Appends until refused for another reason than being busy; returns that reason and the count.
fn fill(log: &Log, freeing: bool) -> (Refused, u64) {
    let mut count = 0;
    loop {
        let admitted = match freeing {
            true => log.admit_freeing(1, PAYLOAD.len()),
            false => log.admit(1, PAYLOAD.len()),
        };
        match admitted {
            Ok(permit) => {
                let index = log.append_one(permit, &PAYLOAD);
                log.ticket(index).wait_for(LIMIT).expect("in time").unwrap();
                count += 1;
            }
            Err(Refused::Busy(room)) => room.wait_for(LIMIT).expect("in time").unwrap(),
            Err(refused) => return (refused, count),
        }
    }
}

#[test]
fn a_full_disk_refuses_before_applying_and_recovers_by_itself() {
    let disk = FaultyDisk::new(1);
    // The marker, two segments, and no third.
    disk.set_quota(SEGMENT * 2 + 200);
    let log = open(&disk, options(Life::default()));
    let (refused, count) = fill(&log, false);
    assert!(matches!(refused, Refused::Full), "{refused:?}");
    assert!(count > 20, "two segments hold more than {count} records");
    assert!(log.stats().full && log.failure().is_none());
    assert_eq!(log.durable(), count);
    // What frees space may use the rest of the segment, until that is used up too.
    let (refused, freeing) = fill(&log, true);
    assert!(matches!(refused, Refused::Full) && freeing > 0, "{freeing}");
    // A snapshot meets the same, and harms nothing.
    let outcome = log.write_snapshot(count, 0, |out| out.write(&[1; 10_000]));
    assert!(matches!(outcome, Err(SnapshotError::Full)), "{outcome:?}");

    disk.set_quota(SEGMENT * 4);
    until("space is back", || !log.stats().full);
    let permit = log.admit(1, PAYLOAD.len()).unwrap();
    let index = log.append_one(permit, &PAYLOAD);
    assert_eq!(index, count + freeing + 1);
    log.ticket(index).wait().unwrap();
    log.close().unwrap();
}

#[test]
fn snapshots_release_the_log_and_thereby_a_full_disk() {
    let disk = FaultyDisk::new(1);
    disk.set_quota(SEGMENT * 3 + 1000);
    let log = open(&disk, options(Life::default()));
    let (_, count) = fill(&log, false);
    assert!(log.stats().full);
    assert_eq!(log.stats().segments, 3);
    log.write_snapshot(count - 1, 0, |out| out.write(b"a")).unwrap();
    assert!(log.bytes_since_snapshot() < SEGMENT);
    // The first one keeps its log, as the fall-back of the second.
    let second = log.write_snapshot(count, 0, |out| out.write(b"b")).unwrap();
    assert_eq!(second.released_segments, 2);
    until("space is back", || !log.stats().full);
    assert!(fill(&log, false).1 > 10);
}

#[test]
fn a_failed_sync_is_final_and_its_tickets_say_unknown() {
    let disk = FaultyDisk::new(1);
    let log = open(&disk, options(Life { mark_after: LIMIT, ..Life::default() }));
    until("the spare is ready", || disk.content("spare").is_some());
    let ended = log.until_failure();
    // The next calls are a write and its sync.
    disk.fail_call(disk.calls() + 2, Fault::Io);
    let permit = log.admit(1, 1).unwrap();
    let index = log.append_one(permit, b"x");
    let failure = log.ticket(index).wait_for(LIMIT).expect("in time").unwrap_err();
    assert!(failure.to_string().starts_with("outcome unknown: the disk failed to sync"));
    assert!(ended.wait_for(LIMIT).expect("in time").is_err());
    let calls = disk.calls();
    assert!(matches!(log.admit(1, 1), Err(Refused::Failed(_))));
    assert!(matches!(log.write_snapshot(1, 0, |_| Ok(())), Err(SnapshotError::Failed(_))));
    assert_eq!(log.durable(), 0);
    assert!(log.close().is_err());
    assert_eq!(disk.calls(), calls, "nothing is tried again");
}

#[test]
fn a_stuck_sync_holds_replies_back_and_admission_in_bounds() {
    let disk = FaultyDisk::new(1);
    let small = Options { buffer_bytes: 2048, segment_bytes: 1 << 16, ..options(Life::default()) };
    let log = open(&disk, small);
    until("the spare is ready", || disk.content("spare").is_some());
    let hold = Hold::new(&disk);
    let mut tickets = Vec::new();
    let busy = loop {
        match log.admit(1, PAYLOAD.len()) {
            Ok(permit) => tickets.push(log.ticket(log.append_one(permit, &PAYLOAD))),
            // Not before the writer is stuck, and whoever prepares the next segment is done.
            Err(Refused::Busy(room)) if log.stalled() > Some(Duration::from_millis(20)) => {
                break room;
            }
            Err(Refused::Busy(_)) => thread::yield_now(),
            Err(refused) => panic!("{refused}"),
        }
    };
    // What is being synced has left the buffer.
    let room = 2 * 2048 / PAYLOAD.len();
    assert!((7..=room).contains(&tickets.len()), "{}", tickets.len());
    assert!(tickets.iter().all(|ticket| !ticket.is_ready()) && !busy.is_ready());
    assert_eq!(log.durable(), 0, "readers see nothing that could still be lost");
    drop(hold);
    for ticket in tickets {
        ticket.wait_for(LIMIT).expect("in time").unwrap();
    }
    busy.wait_for(LIMIT).expect("in time").unwrap();
}

#[test]
fn what_lies_in_a_damaged_spare_never_passes_for_records() {
    let disk = FaultyDisk::new(1);
    let log = open(&disk, options(Life::default()));
    until("the spare is ready", || disk.content("spare").is_some());
    log.close().unwrap();
    disk.open("spare").unwrap().write_at(&[5; SEGMENT as usize], 0).unwrap();
    let log = open(&disk, options(Life::default()));
    let mut count = 0;
    while log.stats().segments < 2 {
        match log.admit(1, PAYLOAD.len()) {
            Ok(permit) => {
                let ticket = log.ticket(log.append_one(permit, &PAYLOAD));
                ticket.wait_for(LIMIT).expect("in time").unwrap();
                count += 1;
            }
            Err(Refused::Busy(room)) => room.wait_for(LIMIT).expect("in time").unwrap(),
            Err(refused) => panic!("{refused}"),
        }
    }
    log.close().unwrap();
    for torn in [true, false] {
        let recovery = Recovery::begin(Arc::new(disk.clone()), options(Life::default())).unwrap();
        let mut found = 0;
        let replayed = recovery.replay(|_, payload| {
            assert_eq!(payload, PAYLOAD);
            found += 1;
            Ok(())
        });
        let (log, report) = replayed.unwrap();
        assert_eq!((found, report.last_index), (count, count));
        assert_eq!(report.torn_bytes > 0, torn, "what is behind the last record is cut once");
        log.close().unwrap();
    }
}

#[test]
fn what_gathers_during_a_sync_becomes_one_write_and_one_sync() {
    let disk = FaultyDisk::new(1);
    let log = open(&disk, options(Life { mark_after: LIMIT, ..Life::default() }));
    until("the spare is ready", || disk.content("spare").is_some());
    let hold = Hold::new(&disk);
    log.append_one(log.admit(1, 1).unwrap(), b"a");
    until("the first sync runs", || disk.held_syncs() == 1);
    for _ in 0..50 {
        log.append_one(log.admit(1, 1).unwrap(), b"b");
    }
    drop(hold);
    log.ticket(51).wait_for(LIMIT).expect("in time").unwrap();
    assert_eq!((log.stats().writes, log.stats().syncs), (2, 2));
    assert_eq!(log.stats().records, 51);
}

#[test]
fn interval_confirms_at_once_and_syncs_in_time() {
    let disk = FaultyDisk::new(1);
    let durability = Durability::Interval(Duration::from_millis(5));
    let log = open(&disk, options(Life { durability, ..Life::default() }));
    let index = log.append_one(log.admit(1, 1).unwrap(), b"x");
    assert!(log.ticket(index).is_ready());
    assert_eq!(log.durable(), index);
    until("it is synced", || log.synced() == index);
}

#[test]
fn none_syncs_only_when_asked() {
    let disk = FaultyDisk::new(1);
    let life = Life { durability: Durability::None, ..Life::default() };
    let log = open(&disk, options(life));
    let index = log.append_one(log.admit(1, 1).unwrap(), b"x");
    until("it is written", || log.stats().writes == 1);
    assert_eq!((log.durable(), log.synced()), (index, 0));
    log.sync().wait_for(LIMIT).expect("in time").unwrap();
    assert_eq!(log.synced(), index);
}

#[test]
fn many_threads_append_and_every_record_comes_back_once() {
    let disk = FaultyDisk::new(1);
    let life = Life::default();
    let log = open(&disk, Options { segment_bytes: 1 << 16, ..options(life) });
    thread::scope(|scope| {
        for thread in 0..8_u8 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..250_u8 {
                    let permit = loop {
                        match log.admit(1, 2) {
                            Ok(permit) => break permit,
                            Err(Refused::Busy(room)) => room.wait().unwrap(),
                            Err(refused) => panic!("{refused}"),
                        }
                    };
                    let index = log.append_one(permit, &[thread, i]);
                    log.ticket(index).wait().unwrap();
                    assert!(log.synced() >= index);
                }
            });
        }
    });
    log.close().unwrap();
    let mut next = [0_u8; 8];
    let recovery = Recovery::begin(Arc::new(disk), options(life)).unwrap();
    let (_log, report) = recovery
        .replay(|_, payload| {
            let turn = &mut next[usize::from(payload[0])];
            assert_eq!(payload[1], *turn, "each thread's records keep their order");
            *turn += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(report.replayed, 2000);
    assert_eq!(report.torn_bytes, 0);
}

#[test]
fn a_permit_gives_back_what_was_not_used() {
    let disk = FaultyDisk::new(1);
    let log = open(&disk, options(Life::default()));
    let limit = match log.admit(1, 1 << 20) {
        Err(Refused::TooLarge { limit, .. }) => limit,
        other => panic!("{:?}", other.err()),
    };
    // The spare has its name before the log knows of it.
    until("the spare is ready", || log.admit(1, limit as usize - 40).is_ok());
    let all = log.admit(1, limit as usize - 40).unwrap();
    assert!(matches!(log.admit(1, 1), Err(Refused::Busy(_))));
    log.append_one(all, b"x");
    log.admit(1, 1000).map(drop).unwrap();
    log.close().unwrap();
    assert!(matches!(log.admit(1, 1), Err(Refused::Closed)));
}

#[test]
fn a_snapshot_outside_of_the_log_or_of_a_broken_feed_changes_nothing() {
    let disk = FaultyDisk::new(1);
    let life = Life::default();
    let mut model = Model::default();
    let log = model.recover(&disk, life).unwrap();
    model.append(&log, life, 3).unwrap();
    for index in [0, 4] {
        let outcome = log.write_snapshot(index, 0, |_| Ok(()));
        assert!(matches!(outcome, Err(SnapshotError::Index { appended: 3, .. })), "{outcome:?}");
    }
    let outcome = log.write_snapshot(3, 0, |_| Err(SnapshotError::Feed("no".into())));
    assert!(matches!(outcome, Err(SnapshotError::Feed(_))));
    model.snapshot(&log).unwrap();
    drop(log);
    drop(model.recover(&disk, life).unwrap());
}

/// Found by fuzzing: it was reported as a disk that cannot be read.
#[test]
fn a_marker_that_has_grown_is_damage_and_named() {
    let disk = FaultyDisk::new(1);
    open(&disk, options(Life::default())).close().unwrap();
    disk.open("store").unwrap().write_at(&[0; 8], 5_000).unwrap();
    match Recovery::begin(Arc::new(disk), options(Life::default())) {
        Err(OpenError::Damaged { file, .. }) => assert_eq!(file, "store"),
        other => panic!("{:?}", other.err()),
    }
}
