//! Help and completions: what people and scripts rely on without a server.

use crate::store::offline;

const VERBS: [&str; 19] = [
    "get",
    "put",
    "delete",
    "list",
    "watch",
    "history",
    "touch",
    "incr",
    "txn",
    "import",
    "export",
    "ping",
    "status",
    "sessions",
    "cluster",
    "test",
    "bench",
    "shell",
    "completions",
];

#[test]
fn help_ends_with_the_table_of_exit_codes() {
    for flag in ["--help", "-h"] {
        let help = offline(&[flag], b"");
        assert_eq!(help.code, 0);
        let table = help.text().split("Exit codes:\n").nth(1).expect("the table is there");
        assert_eq!(
            table,
            "    0  done\n    1  not found\n    2  usage or invalid input\n    \
             3  condition failed\n    4  no space, or over a limit\n    5  network or timeout\n    \
             6  refused by the server\n    7  storage failed\n    8  a lock was lost\n  130  interrupted\n"
        );
    }
}

#[test]
fn every_verb_teaches_by_examples() {
    let help = offline(&["--help"], b"");
    for verb in VERBS {
        assert!(help.text().contains(&format!("\n  {verb}  ")), "{verb} is not listed");
        let help = offline(&[verb, "--help"], b"");
        assert_eq!(help.code, 0, "{verb}");
        let (_, examples) = help.text().split_once("\nExamples:\n").expect(verb);
        assert!(examples.contains(&format!("tidekeep {verb}")), "{verb}: {examples}");
        let longest = help.text().lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{verb}: {longest:?} columns");
    }
}

#[test]
fn nothing_to_do_is_a_usage_error() {
    let run = offline(&[], b"");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("Usage: tidekeep"), "{}", run.stderr);
}

#[test]
fn a_wrong_option_names_the_right_one() {
    let run = offline(&["put", "k", "v", "--if-absnt"], b"");
    assert_eq!((run.code, run.text()), (2, ""));
    assert!(run.stderr.contains("'--if-absent'"), "{}", run.stderr);
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = offline(&["completions", shell], b"");
        assert_eq!(script.code, 0, "{shell}");
        for verb in VERBS {
            assert!(script.text().contains(verb), "{shell}: {verb}");
        }
    }
    assert_eq!(offline(&["completions", "abacus"], b"").code, 2);
}
