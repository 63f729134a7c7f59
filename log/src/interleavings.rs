//! Models of where this crate's threads meet, tried by loom in the orders in which they can: who waits
//! for the log is woken, in order, also by its failure; a view shows what was there when it was cut.
//! Compiled with `--cfg loom` only; `TIDEKEEP_PREEMPTIONS` bounds how often a thread is stopped in an
//! order where it could have gone on.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Put, Request, Txn, TxnOp};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::entry::Entry;

use crate::clock::Clock;
use crate::commit::{Call, Commit};
use crate::disk::faulty::{Fault, FaultyDisk, seeded};
use crate::error::Failure;
use crate::log::Log;
use crate::options::{Durability, Options, Upkeep};
use crate::positions::Positions;
use crate::recover::Recovery;
use crate::solo::{Solo, SoloOptions};
use crate::ticket::{Progress, block_on};

/// Tries `model` in every order that differs, with at most so many preemptions; without a bound in all.
fn every_order(name: &str, bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let mut builder = Builder::new();
    builder.preemption_bound = bound;
    builder.max_branches = 100_000;
    builder.check({
        let count = Arc::clone(&count);
        move || {
            count.fetch_add(1, Ordering::Relaxed);
            model();
        }
    });
    let bound = bound.map_or("all".into(), |bound| format!("at most {bound} preemptions"));
    println!("suite: threads: {name}: {bound}, {} orders", count.load(Ordering::Relaxed));
}

fn preemptions() -> usize {
    let set = std::env::var("TIDEKEEP_PREEMPTIONS").ok().and_then(|text| text.parse().ok());
    set.unwrap_or(2)
}

/// For the log's two threads beside two others: with one more, orders are a hundred times as many.
fn fewer() -> Option<usize> {
    Some(preemptions().saturating_sub(1))
}

fn failure() -> Failure {
    Failure::new("sync", "x", std::io::Error::other("gone"))
}

#[test]
fn progress_wakes_whoever_waits_for_it() {
    every_order("one waits, one advances", None, || {
        let progress = Progress::new(0);
        let ticket = progress.ticket(1);
        let waiter = thread::spawn(move || ticket.wait());
        progress.advance(1);
        assert!(waiter.join().unwrap().is_ok());
    });
}

#[test]
fn progress_wakes_all_in_order() {
    every_order("two wait, two steps", Some(preemptions()), || {
        let progress = Progress::new(0);
        let (first, second) = (progress.ticket(1), progress.ticket(2));
        let near = thread::spawn(move || first.wait());
        let far = thread::spawn({
            let before = progress.ticket(1);
            move || {
                let outcome = second.wait();
                (outcome, before.is_ready())
            }
        });
        progress.advance(1);
        progress.advance(2);
        assert!(near.join().unwrap().is_ok());
        let (outcome, before) = far.join().unwrap();
        assert!(outcome.is_ok() && before, "what comes first is safe first");
    });
}

#[test]
fn what_was_reached_before_a_failure_is_confirmed_whenever_it_is_asked_for() {
    every_order("one step, then failure, one asks meanwhile", None, || {
        let progress = Progress::new(0);
        let ticket = progress.ticket(1);
        let asker = thread::spawn(move || ticket.wait());
        progress.advance(1);
        progress.fail(failure());
        assert!(asker.join().unwrap().is_ok(), "it was reached before");
    });
}

#[test]
fn a_failure_reaches_all_who_wait_and_nothing_that_was_reached() {
    every_order("two wait, one step, then failure", Some(preemptions()), || {
        let progress = Progress::new(0);
        let (first, second) = (progress.ticket(1), progress.ticket(2));
        let near = thread::spawn(move || first.wait());
        let far = thread::spawn(move || second.wait());
        progress.advance(1);
        progress.fail(failure());
        assert!(near.join().unwrap().is_ok(), "it was reached before");
        assert!(far.join().unwrap().is_err());
        assert!(progress.ticket(2).wait().is_err() && progress.ticket(1).wait().is_ok());
    });
}

#[test]
fn a_ticket_that_is_given_up_takes_no_wake_from_others() {
    every_order("one waits, one gives up", None, || {
        let progress = Progress::new(0);
        let (kept, dropped) = (progress.ticket(1), progress.ticket(1));
        let waiter = thread::spawn(move || kept.wait());
        let leaver = thread::spawn(move || {
            let mut ticket = dropped;
            let _ = Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop()));
        });
        progress.advance(1);
        assert!(waiter.join().unwrap().is_ok());
        leaver.join().unwrap();
    });
}

fn open(disk: &FaultyDisk, upkeep: Upkeep) -> Log {
    let options = Options {
        upkeep,
        durability: Durability::Always,
        segment_bytes: 4096,
        mark_after: Duration::from_secs(3600),
        ..Options::new(seeded(7))
    };
    let recovery = Recovery::begin(Arc::new(disk.clone()), options).unwrap();
    recovery.replay(|_, _| Ok(())).unwrap().0
}

#[test]
fn what_is_appended_is_confirmed_by_the_writer() {
    every_order("one appends, the writer confirms", Some(preemptions()), || {
        let log = open(&FaultyDisk::new(1), Upkeep::Threads);
        for index in 1..=2 {
            assert_eq!(log.append_one(log.admit(1, 4).unwrap(), b"tide"), index);
            log.ticket(index).wait().unwrap();
            assert!(log.durable() >= index);
        }
        log.close().unwrap();
    });
}

#[test]
fn what_two_append_is_confirmed_in_order_by_the_writer() {
    every_order("two append, the writer confirms", fewer(), || {
        let log = Arc::new(open(&FaultyDisk::new(1), Upkeep::Threads));
        let other = thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let index = log.append_one(log.admit(1, 4).unwrap(), b"tide");
                log.ticket(index).wait().map(|()| index)
            }
        });
        let index = log.append_one(log.admit(1, 4).unwrap(), b"keep");
        log.ticket(index).wait().unwrap();
        assert!(log.durable() >= index && (1..index).all(|before| log.ticket(before).is_ready()));
        let others = other.join().unwrap().unwrap();
        assert_eq!(index.min(others), 1);
        assert_eq!(index.max(others), 2);
        log.close().unwrap();
    });
}

#[test]
fn a_failed_disk_reaches_everybody_who_appended() {
    // Five reserve the next segment, one writes both records if they meet, one syncs them.
    for ahead in 1..=7 {
        let name = format!("two append, the disk fails at its call {ahead}");
        every_order(&name, fewer(), move || the_disk_fails(ahead));
    }
}

/// Fails one of the calls by which the next segment is reserved and the records are written.
fn the_disk_fails(ahead: u64) {
    let disk = FaultyDisk::new(1);
    // Said before the threads start, whose calls are counted.
    disk.fail_call(calls_to_open() + ahead, Fault::Io);
    let log = Arc::new(open(&disk, Upkeep::Threads));
    let append = |log: &Log| {
        let permit = log.admit(1, 4).ok()?;
        let index = log.append_one(permit, b"tide");
        Some(log.ticket(index).wait().is_err())
    };
    let other = thread::spawn({
        let log = Arc::clone(&log);
        move || append(&log)
    });
    let outcomes = [append(&log), other.join().unwrap()];
    // Nobody hangs. Who was confirmed was so before the failure.
    let confirmed = outcomes.iter().filter(|outcome| **outcome == Some(false)).count();
    assert!(log.durable() as usize >= confirmed);
    assert!(log.until_failure().wait().is_err() && log.close().is_err());
}

/// How many calls the disk has seen when the log's threads start.
fn calls_to_open() -> u64 {
    let disk = FaultyDisk::new(1);
    let log = open(&disk, Upkeep::Steps);
    let calls = disk.calls();
    drop(log);
    calls
}

#[test]
fn a_watcher_of_revisions_is_woken_by_the_record_that_makes_one() {
    every_order("one notes and appends, one follows", Some(preemptions()), || {
        let log = open(&FaultyDisk::new(1), Upkeep::Threads);
        let positions = Arc::new(Positions::new(log, 0));
        let follower = thread::spawn({
            let positions = Arc::clone(&positions);
            move || {
                // Asked for before or after the record is noted, or while it is on its way.
                while let Some(ticket) = positions.ticket(1) {
                    ticket.wait().unwrap();
                }
                assert_eq!((positions.safe(), positions.known_safe()), (1, 1));
            }
        });
        let permit = positions.log().admit(1, 4).unwrap();
        let index = positions.note(1);
        assert_eq!(positions.log().append_one(permit, b"tide"), index);
        follower.join().unwrap();
        positions.log().close().unwrap();
    });
}

struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> u64 {
        1_000
    }
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> TxnOp<'a> {
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    TxnOp::Put(Put { key, value, condition, expiry, previous: false })
}

/// Writes one value to keys of both shards, as one transaction.
fn write(store: &Solo, value: &[u8]) {
    let then = KEYS.iter().map(|key| put(key, value)).collect();
    let request = Request::Txn(Txn { compares: Vec::new(), then, otherwise: Vec::new() });
    let mut body = Vec::new();
    request.encode(&mut body);
    drop(store.submit(&[Call { body: Some(&body), ..Call::new(request) }], &mut Vec::new()));
}

const KEYS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

#[test]
fn a_view_keeps_what_it_was_cut_from_while_its_leaves_are_written() {
    // Two threads and few steps, so that more orders take no time.
    every_order("one writes twice, one looks twice", Some(preemptions() + 2), || {
        let options = SoloOptions::new(Arc::new(FaultyDisk::new(1)), Arc::new(Noon), seeded(7));
        let store = Solo::open(SoloOptions {
            durability: Durability::None,
            segment_bytes: 64 << 10,
            shards: 2,
            upkeep: Upkeep::Steps,
            ..options
        });
        let store = Arc::new(store.unwrap());
        write(&store, b"0");
        let writer = thread::spawn({
            let store = Arc::clone(&store);
            move || {
                write(&store, b"1");
                write(&store, b"2");
            }
        });
        // What was cut may be applied and not appended yet; then it is waited for.
        let view = block_on(store.feed().view(&KeyRange::all()), None).unwrap().unwrap();
        assert!(view.revision() <= store.feed().revision(), "what is shown is safe");
        let first: Vec<Entry> = view.page(None, 2, usize::MAX);
        let rest = view.page(Some(b"b"), 2, usize::MAX);
        let values: Vec<&[u8]> = first.iter().chain(&rest).map(Entry::value).collect();
        assert_eq!(values.len(), KEYS.len());
        assert!(values.iter().all(|value| *value == values[0]), "half a transaction: {values:?}");
        assert_eq!(view.revision(), 1 + u64::from(values[0][0] - b'0'));
        writer.join().unwrap();
        assert_eq!(view.page(None, 2, usize::MAX), first, "a view does not change");
    });
}
