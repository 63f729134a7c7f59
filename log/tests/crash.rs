//! The promise of the log, under a power cut after every single disk call: what was confirmed is
//! there, what was not is there up to some point or not at all, and nothing else is.
//!
//! `TIDEKEEP_CRASH_ROUNDS` multiplies the work for a long run; every round has its own seed.

use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{Crash, Fault, FaultyDisk, seeded};
use tidekeep_log::{Durability, Log, OpenError, Recovery};

mod model;
use model::{Life, Model, options};

const QUIET: Duration = Duration::from_secs(3600);

/// One life of a store from its creation: records of many sizes over several segments, some in
/// batches, two snapshots. Stops at the first error, which only a fault can bring.
fn live(disk: &FaultyDisk, model: &mut Model, life: Life) -> Option<()> {
    let log = model.recover(disk, life).ok()?;
    let done = write(&log, model, life);
    let closed = log.close();
    // Closing syncs everything, whatever the durability.
    if done.is_some() && closed.is_ok() {
        model.confirmed = model.written.len();
    }
    done
}

fn write(log: &Log, model: &mut Model, life: Life) -> Option<()> {
    for step in 0..30 {
        model.append(log, life, 1 + step % 4)?;
        // Far enough apart from the start that the second one releases two segments at once.
        if step == 18 || step == 20 {
            model.snapshot(log)?;
        }
    }
    Some(())
}

fn rounds() -> u64 {
    std::env::var("TIDEKEEP_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Cuts after every call, tries every variant on what is left, and returns the number of points.
fn cut_everywhere(life: Life) -> u64 {
    let mut points = 0;
    for cut in 1.. {
        let disk = FaultyDisk::new(life.seed ^ cut);
        disk.cut_after(cut);
        let mut model = Model::default();
        let finished = live(&disk, &mut model, life).is_some() && !disk.is_off();
        for crash in Crash::ALL {
            let found = disk.crash(crash);
            let mut model = model.clone();
            // A second life goes on where the first was cut, and a third finds both.
            let again = Life { number: 2, ..life };
            let context = format!("cut after call {cut}, {crash:?}, {life:?}");
            model.context.clone_from(&context);
            let log = model.recover(&found, again).expect(&context);
            model.append(&log, again, 3).expect(&context);
            log.close().expect(&context);
            model.confirmed = model.written.len();
            model.recover(&found, Life { number: 3, ..life }).expect(&context);
            points += 1;
        }
        if finished {
            break;
        }
    }
    points
}

#[test]
fn every_cut_keeps_what_was_confirmed() {
    let mut points = 0;
    for round in 0..rounds() {
        let life = Life { seed: round << 32, ..Life::default() };
        points += cut_everywhere(Life { mark_after: QUIET, ..life });
        points += cut_everywhere(Life { mark_after: Duration::ZERO, ..life });
        let durability = Durability::Interval(Duration::from_millis(1));
        points += cut_everywhere(Life { durability, mark_after: QUIET, ..life });
        points += cut_everywhere(Life { durability: Durability::None, mark_after: QUIET, ..life });
    }
    println!("crash points: {points}, nested: 0, lost: 0, invented: 0 (of the log alone)");
    assert!(points >= 1_200 * rounds(), "only {points} crash points: the workload has shrunk");
}

#[test]
fn every_cut_during_recovery_can_be_recovered_from() {
    let mut points = 0;
    for round in 0..rounds() {
        let life = Life { seed: round << 32 | 7, ..Life::default() };
        for cut in (1..).step_by(3) {
            let disk = FaultyDisk::new(life.seed ^ cut);
            disk.cut_after(cut);
            let mut model = Model::default();
            let finished = live(&disk, &mut model, life).is_some() && !disk.is_off();
            let first = Crash::ALL[cut as usize / 3 % Crash::ALL.len()];
            points += cut_recovery(&disk.crash(first), &model, life);
            if finished {
                break;
            }
        }
    }
    println!("crash points: 0, nested: {points}, lost: 0, invented: 0 (of the log alone)");
    assert!(points >= 800 * rounds(), "only {points} crash points: the workload has shrunk");
}

#[test]
fn what_a_restart_has_shown_survives_a_power_cut() {
    let life = Life { durability: Durability::None, mark_after: QUIET, ..Life::default() };
    for cut in 1.. {
        let disk = FaultyDisk::new(cut);
        disk.cut_after(cut);
        let mut model = Model::default();
        let finished = live(&disk, &mut model, life).is_some() && !disk.is_off();
        // The process is killed, the machine runs on: the system's memory still has it all.
        disk.restart();
        let again = Life { number: 2, durability: Durability::Always, ..life };
        model.context = format!("killed after call {cut}");
        let log = model.recover(&disk, again).expect("recovers what is still in memory");
        for more in [false, true] {
            if more {
                model.append(&log, again, 2).expect("goes on");
            }
            for crash in Crash::ALL {
                let mut model = model.clone();
                model.context = format!("killed after call {cut}, {crash:?}, more: {more}");
                model.recover(&disk.crash(crash), life).expect("recovers after a restart");
            }
        }
        if finished {
            break;
        }
    }
}

/// Cuts the recovery of `found` after every call it makes.
fn cut_recovery(found: &FaultyDisk, model: &Model, life: Life) -> u64 {
    let mut points = 0;
    let mut calls = u64::MAX;
    let mut cut = 0;
    while cut < calls {
        let disk = found.copy();
        disk.cut_after(cut);
        let mut seen = model.clone();
        let recovered = seen.recover(&disk, life);
        if recovered.is_ok() {
            calls = disk.calls();
        }
        drop(recovered);
        // What recovery has shown to anyone counts as confirmed from then on.
        for crash in [Crash::Drop, Crash::Tear(512), Crash::Reorder] {
            let mut seen = seen.clone();
            seen.context = format!("recovery cut after call {cut}, {crash:?}");
            seen.recover(&disk.crash(crash), life).expect("recovers after a cut recovery");
            points += 1;
        }
        cut += 1;
    }
    points
}

/// A finished store with three segments at least and two snapshots, and what is in it.
fn finished(mark_after: Duration) -> (FaultyDisk, Model, Life) {
    let disk = FaultyDisk::new(1);
    let life = Life { mark_after, ..Life::default() };
    let mut model = Model::default();
    live(&disk, &mut model, life).expect("nothing fails");
    (disk, model, life)
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let (disk, model, life) = finished(QUIET);
    let mut random = seeded(3);
    let mut refused = 0;
    let mut harmless = 0;
    for name in disk.list().unwrap() {
        let bits = disk.content(&name).unwrap().len() as u64 * 8;
        for _ in 0..400 * rounds() {
            let damaged = disk.copy();
            let bit = random() % bits;
            damaged.flip_bit(&name, bit);
            let mut model = model.clone();
            model.context = format!("bit {bit} of {name} flipped");
            model.damaged = true;
            match model.recover(&damaged, life) {
                Ok(_) => harmless += 1,
                Err(
                    OpenError::Damaged { .. }
                    | OpenError::NewerFormat { .. }
                    | OpenError::Foreign { .. }
                    | OpenError::Missing { .. },
                ) => refused += 1,
                Err(other) => panic!("bit {bit} of {name}: {other}"),
            }
        }
    }
    let all = refused + harmless;
    println!("bits flipped: {all}, found: {refused}, harmless: {harmless} (of the log alone)");
    assert!(refused > 100 && harmless > 100);
}

#[test]
fn a_missing_file_is_never_an_empty_store() {
    let (disk, model, life) = finished(QUIET);
    let names = disk.list().unwrap();
    let snapshots = names.iter().filter(|name| name.ends_with(".snap")).count();
    let segments = names.iter().filter(|name| name.ends_with(".seg")).count();
    assert!(snapshots == 2 && segments >= 2, "{names:?}");
    for name in names.iter().filter(|name| *name != "spare") {
        let lacking = disk.copy();
        lacking.remove(name).unwrap();
        let mut model = model.clone();
        model.context = format!("{name} removed");
        // The model insists on every record: an answer of Ok means that others made up for it.
        let needed = name == "store" || Some(name) == names.iter().rfind(|n| n.ends_with(".seg"));
        match model.recover(&lacking, life) {
            Err(OpenError::Missing { .. }) => {}
            Ok(_) if !needed => {}
            Ok(_) => panic!("{name} is not missed"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn a_disk_error_at_any_call_loses_nothing_confirmed() {
    for fault in [Fault::Io, Fault::Short, Fault::Full] {
        for call in 1.. {
            let disk = FaultyDisk::new(call);
            disk.fail_call(call, fault);
            let life = Life { mark_after: QUIET, ..Life::default() };
            let mut model = Model::default();
            let _ = live(&disk, &mut model, life);
            let made = disk.calls();
            for crash in Crash::ALL {
                let mut model = model.clone();
                model.context = format!("{fault:?} at call {call}, then {crash:?}");
                model.recover(&disk.crash(crash), life).expect("recovers after an error");
            }
            if made < call {
                break;
            }
        }
    }
}

#[test]
fn a_store_of_a_newer_format_is_refused_by_name() {
    let (disk, _, _) = finished(QUIET);
    for name in ["store", "0000000000000001.seg"] {
        let newer = disk.copy();
        let name = if disk.content(name).is_some() { name } else { "store" };
        newer.flip_bit(name, 8 * 8 + 4);
        match Recovery::begin(Arc::new(newer), options(Life::default())) {
            Err(OpenError::NewerFormat { file, found: 17, supported: 1 }) => assert_eq!(file, name),
            other => panic!("{:?}", other.err()),
        }
    }
}
