//! The disk refuses a single call, whichever it is: reading, writing, naming, listing, syncing. What
//! was answered is there at the next start. A sync that does not return answers nobody.

use std::time::Duration;

use tidekeep_log::OpenError;
use tidekeep_log::disk::faulty::{Crash, Fault, FaultyDisk};

use crate::ledger::{held, made, open, verify, write};
use crate::world::{World, figure, get, now_or_never, put, put_request, submit, until, wait};

#[test]
fn an_error_at_any_call_of_a_life_loses_nothing_that_was_answered() {
    let mut errors = 0;
    for fault in [Fault::Io, Fault::Short, Fault::Full] {
        for touch in 1.. {
            let disk = FaultyDisk::new(touch);
            disk.fail_touch(touch, fault);
            let mut answered = 0;
            if let Ok(store) = open(&disk, 1) {
                for number in 0..20 {
                    if write(&store, number).is_none() {
                        break;
                    }
                    answered = number + 1;
                    if number == 6 || number == 13 {
                        // A snapshot that fails leaves the store as it was.
                        let _ = store.snapshot();
                    }
                }
            }
            let struck = disk.struck();
            for crash in Crash::ALL {
                let context = format!("{fault:?} at call {touch}, {struck:?}, {crash:?}");
                let found = disk.crash(crash);
                let store = open(&found, 2).unwrap_or_else(|error| panic!("{error}: {context}"));
                assert!(held(&store, &context) >= answered, "{answered} were answered: {context}");
                errors += 1;
            }
            if struck.is_none() {
                break;
            }
        }
    }
    println!("errors: {errors}, lost: 0");
    assert!(errors > 1_500, "{errors}");
}

#[test]
fn an_error_at_any_call_of_a_start_is_named_and_the_next_start_finds_everything() {
    for fault in [Fault::Io, Fault::Full] {
        let disk = made(40, &[15, 30]);
        for touch in 1.. {
            let failing = disk.reseeded(touch);
            failing.fail_touch(touch, fault);
            let context = format!("{fault:?} at call {touch}");
            match open(&failing, 2) {
                Ok(store) => assert!(held(&store, &context) == 40, "{context}"),
                Err(OpenError::Io { file, .. }) => assert!(!file.is_empty(), "{context}"),
                Err(other) => panic!("{other}: {context}"),
            }
            let struck = failing.struck().is_some();
            let store = open(&failing.crash(Crash::Drop), 3).expect(&context);
            assert_eq!(held(&store, &context), 40);
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn a_look_names_the_file_that_cannot_be_read_and_ends() {
    let disk = made(40, &[15, 30]);
    let mut named = 0;
    for touch in 2.. {
        let failing = disk.reseeded(touch);
        failing.fail_touch(touch, Fault::Io);
        let findings = verify(&failing);
        let Some(struck) = failing.struck() else { break };
        let of_it =
            |problem: &&tidekeep_log::offline::Problem| problem.file.as_ref() == Some(&struck);
        named += u64::from(findings.problems.iter().any(|problem| of_it(&problem)));
    }
    assert!(named > 10, "{named}");
}

#[test]
fn a_stuck_sync_is_seen_and_answers_nobody_until_it_returns() {
    let world = World::new(1);
    let store = world.open();
    let before = put(&store, b"before", b"1");
    let disk = world.disk.clone();
    disk.hold_syncs(true);
    let pending = submit(&store, &[put_request(b"key", b"value")]);
    let mut pending = std::pin::pin!(pending);
    until("the watchdog sees it", || figure(&store, "log_stalled_ms") >= 20);
    let deadline = std::time::Instant::now() + Duration::from_millis(50);
    while std::time::Instant::now() < deadline {
        assert!(now_or_never(pending.as_mut()).is_none(), "nothing is acknowledged");
        std::thread::yield_now();
    }
    assert_eq!(store.feed().revision(), before, "nor shown to watchers");
    assert!(store.feed().changes(before, 1000).expect("it is known").changes.is_empty());
    assert!(get(&store, b"before").is_some(), "what is safe is read as ever");
    disk.hold_syncs(false);
    let answers = wait(pending).expect("storage works");
    assert!(answers.iter().all(Result::is_ok));
    until("the watchdog is calm", || figure(&store, "log_stalled_ms") == 0);
}
