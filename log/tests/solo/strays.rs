//! Bits that flip, and reads and writes that go to another place: each is found or does no harm.
//! Nothing that was answered is ever silently gone.
//!
//! `TIDEKEEP_FLIP_ROUNDS` multiplies the work for a long run; every round has its own seed.

use tidekeep_log::OpenError;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{Crash, Fault, FaultyDisk, seeded};
use tidekeep_log::offline::Verdict;

use crate::ledger::{held, made, open, verify, write};
use crate::repair::{plan, repair};

fn rounds() -> u64 {
    std::env::var("TIDEKEEP_FLIP_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// What became of the faults.
#[derive(Default)]
struct Tally {
    found: u64,
    harmless: u64,
}

impl Tally {
    /// Opens what there is. It is refused by name, or holds at least so many batches.
    fn open(&mut self, disk: &FaultyDisk, answered: u64, context: &str) -> bool {
        match open(disk, 1 << 40) {
            Ok(store) => {
                let held = held(&store, context);
                assert!(held >= answered, "silently lost: {held} of {answered}: {context}");
                self.harmless += 1;
                true
            }
            Err(
                OpenError::Damaged { .. }
                | OpenError::NewerFormat { .. }
                | OpenError::Foreign { .. }
                | OpenError::Missing { .. }
                | OpenError::Replay { .. },
            ) => {
                self.found += 1;
                false
            }
            Err(other) => panic!("{other}: {context}"),
        }
    }

    fn tell(&self, what: &str, least: u64) {
        let all = self.found + self.harmless;
        println!("{what}: {all}, found: {}, harmless: {}", self.found, self.harmless);
        assert!(all >= least && self.found > 0 && self.harmless > 0, "of {all}");
    }
}

#[test]
fn a_flipped_bit_is_found_or_harmless_and_can_be_repaired() {
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let disk = made(40, &[15, 22 + round % 10]);
        let mut random = seeded(round);
        for name in disk.list().expect("the power is on") {
            let bits = disk.content(&name).expect("it is listed").len() as u64 * 8;
            for _ in 0..400 {
                let bit = random() % bits;
                let damaged = disk.copy();
                damaged.flip_bit(&name, bit);
                let context = format!("round {round}, bit {bit} of {name}");
                // Opening cuts a torn write, so that the look is at another copy.
                let before = damaged.copy();
                let opened = tally.open(&damaged, 40, &context);
                if random().is_multiple_of(4) {
                    let good = verify(&before).verdict() == Verdict::Good;
                    assert!(opened || !good, "a look finds what a start refuses: {context}");
                    if !opened {
                        check_repair(&before, &context);
                    }
                }
            }
        }
    }
    tally.tell("bits flipped", 2_000 * rounds());
}

/// After a repair there is a store, or the repair has said why not and changed nothing.
fn check_repair(disk: &FaultyDisk, context: &str) {
    let calls = disk.calls();
    match plan(disk) {
        Ok(_) => {
            repair(disk).unwrap_or_else(|error| panic!("{error}: {context}"));
            let store = open(disk, 3).unwrap_or_else(|error| panic!("{error}: {context}"));
            held(&store, context);
        }
        Err(_) => assert_eq!(disk.calls(), calls, "{context}"),
    }
}

#[test]
fn a_read_of_another_place_is_found_or_harmless_and_destroys_nothing() {
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let disk = made(30 + round % 10, &[12, 22]);
        let batches = 30 + round % 10;
        for touch in 1.. {
            let mut struck = false;
            for seed in 0..12 {
                let strayed = disk.reseeded(round << 32 | touch << 8 | seed);
                strayed.fail_touch(touch, Fault::Misdirected);
                let context = format!("round {round}, call {touch} strays, seed {seed}");
                tally.open(&strayed, batches, &context);
                struck |= strayed.struck().is_some();
                // The next start reads what is there.
                let again = strayed.crash(Crash::Keep);
                let store = open(&again, 9).unwrap_or_else(|error| panic!("{error}: {context}"));
                assert!(held(&store, &context) >= batches, "destroyed: {context}");
            }
            if !struck {
                break;
            }
        }
    }
    tally.tell("reads misdirected", 300 * rounds());
}

#[test]
fn a_write_to_another_place_is_found_or_harmless() {
    let mut tally = Tally::default();
    for round in 0..rounds() {
        for call in 1.. {
            let mut struck = false;
            for seed in 0..3 {
                let disk = FaultyDisk::new(round << 32 | call << 8 | seed);
                disk.fail_call(call, Fault::Misdirected);
                let context = format!("round {round}, write {call} strays, seed {seed}");
                let (answered, strayed) = live(&disk, round);
                struck |= strayed;
                let context = format!("{context}, at {:?}", disk.struck());
                tally.open(&disk.crash(Crash::Drop), answered, &context);
            }
            if !struck {
                break;
            }
        }
    }
    tally.tell("writes misdirected", 300 * rounds());
}

/// Batches and snapshots, with two batches more after the write that strayed: the last write of all
/// is the one case that no log can know of. How many were answered, and whether one strayed.
fn live(disk: &FaultyDisk, round: u64) -> (u64, bool) {
    let Ok(store) = open(disk, 1) else { return (0, disk.struck().is_some()) };
    let mut answered = 0;
    let mut after = 0;
    for number in 0..24 + round % 5 {
        let strayed = disk.struck().is_some();
        if write(&store, number).is_none() {
            break;
        }
        answered = number + 1;
        if number % 7 == 3 {
            // One that is read back as something else is given up.
            let _ = store.snapshot();
        }
        after += u64::from(strayed);
        if after == 3 {
            break;
        }
    }
    let strayed = disk.struck().is_some();
    drop(store);
    (if after > 0 || !strayed { answered } else { 0 }, strayed)
}
