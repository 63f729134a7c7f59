//! The power is cut after every call of a store's life, of its recovery, of a repair and of a
//! restore: what was answered is there, nothing else is, and what was begun can be done again.
//!
//! `TIDEKEEP_CRASH_ROUNDS` multiplies the work for a long run; every round has its own seed.

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{Crash, Fault, FaultyDisk};
use tidekeep_log::offline::{Outcome, Verdict};
use tidekeep_log::{OpenError, Solo};

use crate::ledger::{files, flip_middle, held, made, open, verify, write};
use crate::repair::{all_kept, plan, repair};
use crate::restore::{back_up, restore_on};

const BATCHES: u64 = 24;

/// How often the everyday work is done.
pub(crate) fn rounds() -> u64 {
    std::env::var("TIDEKEEP_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// What was done until the power was cut.
#[derive(Clone, Copy, Default)]
struct Done {
    begun: u64,
    answered: u64,
}

/// Batches, with a snapshot after every few, until the power fails.
fn live(store: &Solo, round: u64) -> Done {
    let mut done = Done::default();
    for number in 0..BATCHES {
        done.begun = number + 1;
        if write(store, number).is_none() {
            return done;
        }
        done.answered = number + 1;
        if (number + round) % 7 == 3 {
            // Where the power fails in the middle of it, the next batch finds out.
            let _ = store.snapshot();
        }
    }
    done
}

/// Lives until call `cut`; what was done, and whether the life came to its end.
fn life(cut: u64, round: u64) -> (FaultyDisk, Done, bool) {
    let disk = FaultyDisk::new(round << 32 | cut);
    disk.cut_after(cut);
    let done = open(&disk, round).map_or(Done::default(), |store| live(&store, round));
    let ended = !disk.is_off();
    (disk, done, ended)
}

/// Opens what is left and holds it against what was done.
fn check(disk: &FaultyDisk, done: Done, context: &str) -> Solo {
    let store = open(disk, 1 << 40).unwrap_or_else(|error| panic!("{error}: {context}"));
    let held = held(&store, context);
    assert!(held >= done.answered, "lost: {held} of {}: {context}", done.answered);
    assert!(held <= done.begun, "invented: {held} of {}: {context}", done.begun);
    store
}

#[test]
fn a_cut_after_every_call_of_a_life_with_snapshots() {
    let (mut points, mut nested, mut fell_back) = (0, 0, 0);
    for round in 0..rounds() {
        for cut in 1.. {
            let (disk, done, ended) = life(cut, round);
            for crash in Crash::ALL {
                let context = format!("round {round}, call {cut}, {crash:?}");
                let found = disk.crash(crash);
                nested += cut_recovery(&found, done, cut, &context);
                fell_back += fall_back(&found, done, &context);
                let store = check(&found, done, &context);
                // It goes on as if nothing had happened, and survives being cut again.
                let first = held(&store, &context);
                for number in first..first + 2 {
                    write(&store, number).expect(&context);
                }
                let again = found.crash(crash);
                drop(store);
                check(&again, Done { begun: first + 2, answered: first + 2 }, &context);
                points += 2;
            }
            if ended {
                break;
            }
        }
    }
    println!("crash points: {points}, nested: {nested}, lost: 0, invented: 0");
    println!("starts without the newest snapshot: {fell_back}");
    assert!(points >= 1_000 * rounds() && nested >= 1_000 * rounds(), "{points}, {nested}");
    assert!(fell_back >= 100 * rounds(), "{fell_back}");
}

/// Cuts some recoveries after every call that they make.
fn cut_recovery(found: &FaultyDisk, done: Done, cut: u64, context: &str) -> u64 {
    if !cut.is_multiple_of(4) {
        return 0;
    }
    let mut points = 0;
    for call in 0.. {
        let disk = found.copy();
        disk.cut_after(call);
        let shown = open(&disk, 1 << 41).map(|store| held(&store, context));
        let ended = !disk.is_off();
        let done = shown.map_or(done, |held| Done { answered: held, begun: held });
        for crash in [Crash::Drop, Crash::Tear(512), Crash::Reorder] {
            let context = format!("{context}, recovery cut after call {call}, {crash:?}");
            check(&disk.crash(crash), done, &context);
            points += 1;
        }
        if ended {
            return points;
        }
    }
    points
}

/// The newest snapshot is damaged as well: the one before it and the log make up for it.
fn fall_back(found: &FaultyDisk, done: Done, context: &str) -> u64 {
    let Some(newest) = files(found, ".snap").pop() else { return 0 };
    let disk = found.copy();
    flip_middle(&disk, &newest);
    check(&disk, done, &format!("{context}, {newest} damaged"));
    1
}

#[test]
fn a_cut_after_every_call_of_a_repair() {
    let mut points = 0;
    for round in 0..rounds() {
        let damaged = made(40, &[10 + round % 5]);
        let segments = files(&damaged, ".seg");
        flip_middle(&damaged, &segments[1 + round as usize % (segments.len() - 2)]);
        let Outcome::Rebuild { kept, .. } = plan(&damaged).expect("it can be repaired").outcome()
        else {
            panic!("it is to be rebuilt")
        };
        for call in 0.. {
            let disk = damaged.reseeded(round << 32 | call);
            disk.cut_after(disk.calls() + call);
            let _ = repair(&disk);
            let ended = !disk.is_off();
            for crash in Crash::ALL {
                let context = format!("round {round}, repair cut after call {call}, {crash:?}");
                let found = disk.crash(crash);
                let stands = verify(&found);
                if stands.verdict() != Verdict::Good {
                    assert!(open(&found, 7).is_err(), "half a repair is no store: {context}");
                    repair(&found).unwrap_or_else(|error| panic!("{error}: {context}"));
                }
                let store = open(&found, 8).unwrap_or_else(|error| panic!("{error}: {context}"));
                assert_eq!(held(&store, &context), kept.index, "{context}");
                drop(store);
                let folders = found.list().expect("the power is on").into_iter();
                let folder = folders.filter(|name| name.starts_with("damaged-")).max();
                all_kept(&damaged, &found, &folder.expect("originals are kept"), &context);
                points += 1;
            }
            if ended {
                break;
            }
        }
    }
    println!("crash points: {points}, nested: 0, lost: 0, invented: 0 (of repairs)");
    assert!(points >= 100 * rounds(), "{points}");
}

#[test]
fn a_cut_after_every_call_of_a_restore() {
    let source = open(&FaultyDisk::new(1), 1).expect("nothing fails");
    (0..BATCHES).for_each(|number| write(&source, number).expect("nothing fails"));
    let bytes = back_up(&source, 1 << 20, || {});
    let mut points = 0;
    for round in 0..rounds() {
        for call in 0.. {
            let disk = FaultyDisk::new(round << 32 | call);
            disk.cut_after(call);
            let restored = restore_on(&disk, &bytes).is_ok();
            for crash in Crash::ALL {
                let context = format!("round {round}, restore cut after call {call}, {crash:?}");
                let found = disk.crash(crash);
                match verify(&found).verdict() {
                    Verdict::Good => {}
                    _ if restored => panic!("what was said to be restored is lost: {context}"),
                    Verdict::Empty => restore_again(&found, &bytes, &context),
                    Verdict::Damaged => {
                        let refused = open(&found, 2).err();
                        assert!(
                            matches!(refused, Some(OpenError::Interrupted { .. })),
                            "{refused:?}: {context}"
                        );
                        restore_again(&found, &bytes, &context);
                    }
                }
                let store = open(&found, 3).unwrap_or_else(|error| panic!("{error}: {context}"));
                assert_eq!(held(&store, &context), BATCHES, "{context}");
                points += 1;
            }
            if restored && !disk.is_off() {
                break;
            }
        }
    }
    println!("crash points: {points}, nested: 0, lost: 0, invented: 0 (of restores)");
    assert!(points >= 50 * rounds(), "{points}");
}

fn restore_again(disk: &FaultyDisk, bytes: &[u8], context: &str) {
    restore_on(disk, bytes).unwrap_or_else(|error| panic!("{error}: {context}"));
}

#[test]
fn a_disk_error_at_any_call_of_a_repair_or_a_restore_can_be_tried_again() {
    let damaged = made(40, &[10]);
    flip_middle(&damaged, &files(&damaged, ".seg")[2]);
    let Outcome::Rebuild { kept, .. } = plan(&damaged).expect("it can be repaired").outcome()
    else {
        panic!("it is to be rebuilt")
    };
    let source = open(&FaultyDisk::new(1), 1).expect("nothing fails");
    (0..5).for_each(|number| write(&source, number).expect("nothing fails"));
    let bytes = back_up(&source, 1 << 20, || {});
    let mut errors = 0;
    for fault in [Fault::Io, Fault::Full, Fault::Short] {
        for touch in 1.. {
            let disk = damaged.reseeded(touch);
            disk.fail_touch(touch, fault);
            let first = repair(&disk);
            let target = FaultyDisk::new(touch);
            target.fail_touch(touch, fault);
            let restored = restore_on(&target, &bytes);
            // Whatever was not met by then is not to be met later.
            disk.fail_touch(u64::MAX, fault);
            target.fail_touch(u64::MAX, fault);
            let context = format!("{fault:?} at call {touch}: {:?}", first.err());
            if plan(&disk).expect(&context).outcome() != Outcome::Nothing {
                repair(&disk).unwrap_or_else(|error| panic!("{error}: {context}"));
            }
            assert_eq!(held(&open(&disk, 5).expect(&context), &context), kept.index);
            // Where the very last sync fails, all is in place already.
            if restored.is_err() && verify(&target).verdict() != Verdict::Good {
                restore_again(&target, &bytes, &context);
            }
            assert_eq!(held(&open(&target, 5).expect(&context), &context), 5);
            errors += 1;
            if disk.struck().is_none() && target.struck().is_none() {
                break;
            }
        }
    }
    assert!(errors > 100, "{errors}");
}
