//! txn: its language, its results, its exit codes.

use serde_json::json;

use crate::store::{Store, offline};

#[test]
fn a_lock_is_taken_once() {
    let store = Store::start(&[]);
    let claim = ["txn", "if lock absent", "then put lock me --ttl 1h", "else get lock"];
    assert_eq!(store.ok(&claim), "put lock\tset\ndone, revision 1\n");
    let second = store.run(&claim);
    assert_eq!(second.code, 3);
    assert_eq!(second.text(), "get lock\tme\nthe condition does not hold, revision 1\n");
    assert_eq!(second.stderr, "");
    let raw = store.run(&[&claim[..], &["-o", "raw"]].concat());
    assert_eq!((raw.code, raw.text()), (3, "me"));
}

#[test]
fn every_step_has_its_result() {
    let store = Store::start(&[]);
    store.ok(&["put", "old", "1"]);
    store.ok(&["put", "p/1", "x"]);
    let script = b"# all verbs\nput new \"a value\" --prev\nget new\nincr n --by 4\n\
                   touch old --ttl 1h\ndelete old --prev\ndelete gone\ndelete --prefix p/\nget gone\n";
    let run = store.run_with(&["txn"], script);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(
        run.text(),
        "put new\tset\nget new\ta value\nincr n\t4\ntouch old\ttouched\ndelete old\tdeleted (was 1)\n\
         delete gone\t(no such key)\ndelete --prefix p/\tdeleted 1\nget gone\t(no such key)\n\
         done, revision 3\n"
    );
    assert_eq!(store.ok(&["list", "-k"]), "n\nnew\n");
}

#[test]
fn json_in_and_json_out() {
    let store = Store::start(&[]);
    let script = br#"{"if": [{"key": "a", "absent": true}],
                      "then": [{"put": {"key": "a", "value": "1"}}, {"incr": {"key": "n", "by": 2}},
                               {"get": {"key": "a"}}, {"get": {"key": "b"}},
                               {"delete": {"prefix": "x"}}]}"#;
    let file = store.folder().join("script.json");
    std::fs::write(&file, script).unwrap();
    let reply = store.json(&["txn", "--file", file.to_str().unwrap()]);
    assert_eq!(
        reply,
        json!({"succeeded": true, "revision": 1, "results": [
            {"put": {"applied": true}},
            {"incr": {"value": 2}},
            {"get": {"key": "a", "value": "1", "created": 1, "modified": 1, "version": 1}},
            {"get": null},
            {"delete_prefix": {"deleted": 0, "more": false}},
        ]})
    );
}

#[test]
fn a_step_that_cannot_be_done_undoes_the_others() {
    let store = Store::start(&[]);
    store.ok(&["put", "word", "seven"]);
    let run = store.run(&["txn", "put a 1", "incr word"]);
    assert_eq!((run.code, run.text()), (2, ""));
    assert!(run.stderr.contains("(invalid-input)"), "{}", run.stderr);
    let run = store.run(&["txn", "put a 1", "put word 8 --if-absent"]);
    assert_eq!((run.code, run.text()), (3, ""));
    assert_eq!(store.ok(&["list", "-k"]), "word\n");
}

#[test]
fn what_is_wrong_with_a_script_is_told_with_its_place() {
    let wrong = |script: &str| {
        let run = offline(&["txn"], script.as_bytes());
        assert_eq!((run.code, run.text()), (2, ""), "{script}");
        run.stderr.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        wrong("get a\nif a\n"),
        "error: line 2: an if is: if KEY absent | present | revision N | value V (invalid-input)"
    );
    assert_eq!(
        wrong("get \"a\n"),
        "error: line 1: column 5: the quote is not closed (invalid-input)"
    );
    assert!(wrong("fetch a").starts_with("error: line 1: unrecognized subcommand 'fetch'"));
    assert!(wrong("put a").starts_with("error: line 1: the following required arguments"));
    assert_eq!(wrong("else get a"), "error: an else without an if never runs (invalid-input)");
    assert_eq!(wrong("# nothing\n"), "error: the transaction is empty (invalid-input)");
    assert!(wrong("{\"then\": 5}").contains("invalid type"));
    let clause = offline(&["txn", "get a", "if b revision x"], b"");
    assert_eq!(clause.code, 2);
    assert!(
        clause.stderr.starts_with("error: clause 2: a revision is a whole number"),
        "{}",
        clause.stderr
    );
}
