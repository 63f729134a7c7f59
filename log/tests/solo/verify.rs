//! A look at the files finds what is wrong, says where, and takes nothing else for wrong.

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{Crash, FaultyDisk, seeded};
use tidekeep_log::offline::{Findings, ProblemKind, Trusted, Verdict};

use crate::ledger::{files, made, open, revision, verify, write};

fn kinds(findings: &Findings) -> Vec<ProblemKind> {
    findings.problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn a_good_store_is_good_to_its_last_record() {
    let disk = made(40, &[15, 30]);
    let findings = verify(&disk);
    assert_eq!((findings.verdict(), findings.refusal.as_ref()), (Verdict::Good, None));
    let trusted = Trusted {
        index: 40,
        revision: revision(40),
        keys: findings.trusted.expect("there is a state").keys,
        snapshot_index: 15,
        replayed: 25,
    };
    assert_eq!(findings.trusted, Some(trusted), "the older snapshot and the log lead to the end");
    assert_eq!((findings.last_index, findings.torn), (40, None));
    assert!(findings.files.iter().all(|file| file.good));
}

#[test]
fn an_empty_directory_and_an_unfinished_store_are_no_store() {
    let disk = FaultyDisk::new(1);
    assert_eq!(verify(&disk).verdict(), Verdict::Empty);
    for cut in 1.. {
        let disk = FaultyDisk::new(1);
        disk.cut_after(cut);
        if open(&disk, 1).is_ok() {
            break;
        }
        let findings = verify(&disk.crash(Crash::Keep));
        assert!(findings.problems.is_empty(), "after call {cut}: {:?}", findings.problems);
    }
}

#[test]
fn a_torn_write_is_reported_and_no_damage() {
    let mut torn = 0;
    for cut in 40..120 {
        let disk = FaultyDisk::new(cut);
        disk.cut_after(cut);
        let Ok(store) = open(&disk, 1) else { continue };
        let written = (0..20).take_while(|&number| write(&store, number).is_some()).count();
        let findings = verify(&disk.crash(Crash::Tear(512)));
        assert_eq!(findings.verdict(), Verdict::Good, "{cut}: {:?}", findings.problems);
        assert!(findings.trusted.is_some_and(|trusted| trusted.index >= written as u64));
        torn += u64::from(findings.torn.is_some());
    }
    assert!(torn > 0, "some cut is to leave a torn write");
}

#[test]
fn every_flipped_bit_is_found_wherever_it_is() {
    let disk = made(40, &[15, 30]);
    let mut random = seeded(5);
    let names = disk.list().expect("the power is on");
    for name in &names {
        let bits = disk.content(name).expect("it is listed").len() as u64 * 8;
        for _ in 0..60 {
            let bit = random() % bits;
            if name == "spare" && bit < 64 * 8 {
                // Written over before anyone reads it.
                continue;
            }
            let damaged = disk.copy();
            damaged.flip_bit(name, bit);
            let findings = verify(&damaged);
            let context = format!("bit {bit} of {name}: {findings:?}");
            // A zero behind the log's end that is none any more is what a torn write looks like.
            let torn = findings.torn.as_ref().is_some_and(|torn| torn.file == *name);
            assert!(torn || findings.verdict() == Verdict::Damaged, "{context}");
            let named = findings.problems.iter().any(|problem| problem.file.as_ref() == Some(name));
            let marker = name == "store";
            assert!(torn || named || marker, "{context}");
        }
    }
}

#[test]
fn every_missing_file_is_missed() {
    let disk = made(40, &[15, 30]);
    for name in disk.list().expect("the power is on").iter().filter(|name| *name != "spare") {
        let lacking = disk.copy();
        lacking.remove(name).expect("it is there");
        let findings = verify(&lacking);
        // The other snapshot makes up for a snapshot, and nothing speaks of it.
        let snapshot = name.ends_with(".snap");
        assert_eq!(kinds(&findings).contains(&ProblemKind::Missing), !snapshot, "{name}");
        let expected = if snapshot { Verdict::Good } else { Verdict::Damaged };
        assert_eq!(findings.verdict(), expected, "{name}");
    }
}

#[test]
fn a_damaged_snapshot_that_the_log_makes_up_for_does_not_keep_a_server_from_starting() {
    let disk = made(40, &[15, 30]);
    let newest = files(&disk, ".snap").pop().expect("there are two");
    disk.flip_bit(&newest, 800);
    let findings = verify(&disk);
    assert_eq!((findings.verdict(), findings.refusal), (Verdict::Damaged, None));
    assert_eq!(findings.trusted.map(|trusted| trusted.index), Some(40));
    open(&disk, 2).expect("it starts");
}
