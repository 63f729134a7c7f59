//! `cluster` where there is none, and its help.

use crate::store::{Store, offline};

const VERBS: [(&str, &[&str]); 9] = [
    ("status", &[]),
    ("add", &[]),
    ("token", &[]),
    ("drain", &["3"]),
    ("keep", &["3"]),
    ("remove", &["3", "--force"]),
    ("weigh", &["3", "200"]),
    ("transfer", &["0", "2"]),
    ("split", &["4"]),
];

#[test]
fn a_server_that_runs_alone_says_how_it_becomes_a_cluster() {
    let store = Store::start(&[]);
    for (verb, words) in VERBS {
        let run = store.run(&[&["cluster", verb][..], words].concat());
        assert_eq!((run.code, run.text()), (6, ""), "{verb}: {}", run.stderr);
        assert_eq!(
            run.stderr,
            "error: this server runs alone; `tidekeep-server cluster init` makes it the first node \
             of a cluster (unsupported)\n",
            "{verb}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_told_before_anybody_is_asked() {
    for words in [
        &["weigh", "3", "0"][..],
        &["token", "--uses", "0"],
        &["token", "--lives", "10"],
        &["drain", "third"],
        &["split", "1"],
        &["split", "257"],
        &["split"],
        &["remove"],
        &[],
    ] {
        let run = offline(&[&["cluster"][..], words].concat(), b"");
        assert_eq!((run.code, run.text()), (2, ""), "{words:?}");
    }
    let store = Store::start(&[]);
    let run = store.run(&["cluster", "token", "--lives", "31d"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("30 days"), "{}", run.stderr);
}

#[test]
fn every_verb_of_it_teaches_by_examples() {
    for (verb, _) in VERBS {
        let help = offline(&["cluster", verb, "--help"], b"");
        assert_eq!(help.code, 0, "{verb}");
        let (_, examples) = help.text().split_once("\nExamples:\n").expect(verb);
        assert!(examples.contains(&format!("tidekeep cluster {verb}")), "{verb}: {examples}");
        let longest = help.text().lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{verb}: {longest:?} columns");
    }
}
