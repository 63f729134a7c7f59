//! put, get, delete, touch, incr: one key at a time.

use std::time::Duration;

use serde_json::json;
use tidekeep_tests::eventually;

use crate::store::Store;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn get_prints_the_value_and_nothing_else() {
    let store = Store::start(&[]);
    assert_eq!(store.ok(&["put", "name", "John Doe"]), "revision 1\n");
    assert_eq!(store.ok(&["get", "name"]), "John Doe");
    assert_eq!(store.ok(&["get", "name", "-o", "raw"]), "John Doe");
    assert_eq!(
        store.ok(&["get", "name", "-o", "json"]),
        "{\"key\":\"name\",\"value\":\"John Doe\",\"created\":1,\"modified\":1,\"version\":1}\n"
    );
    store.ok(&["put", "city", "Oslo"]);
    assert_eq!(store.ok(&["get", "name", "city"]), "John Doe\nOslo\n");
}

#[test]
fn an_absent_key_is_exit_code_one() {
    let store = Store::start(&[]);
    for verb in ["get", "delete", "touch"] {
        let run = store.run(&[verb, "nobody"]);
        assert_eq!(run.code, 1, "{verb}");
        assert_eq!(run.stderr, "error: there is no key \"nobody\" (not-found)\n", "{verb}");
    }
    assert_eq!(store.run(&["get", "nobody"]).text(), "");
}

#[test]
fn values_come_from_arguments_files_and_standard_input() {
    let store = Store::start(&[]);
    let file = store.folder().join("value");
    std::fs::write(&file, b"from\na file\n").unwrap();
    store.ok(&["put", "file", &format!("@{}", file.display())]);
    assert_eq!(store.ok(&["get", "file"]), "from\na file\n");
    assert_eq!(store.run_with(&["put", "input", "-"], b"typed").code, 0);
    assert_eq!(store.ok(&["get", "input"]), "typed");
    store.ok(&["put", "at", "@@home"]);
    assert_eq!(store.ok(&["get", "at"]), "@home");
    store.ok(&["put", "number", "-5"]);
    assert_eq!(store.ok(&["get", "number"]), "-5");
    store.ok(&["put", "empty", ""]);
    assert_eq!(store.ok(&["get", "empty"]), "");
}

#[test]
fn a_condition_that_does_not_hold_is_exit_code_three() {
    let store = Store::start(&[]);
    let refused = |arguments: &[&str]| {
        let run = store.run(arguments);
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
        assert!(run.stderr.contains("(conflict)\nhint: "), "{}", run.stderr);
        run
    };
    refused(&["put", "k", "v", "--if-present"]);
    refused(&["put", "k", "v", "--if-revision", "7"]);
    store.ok(&["put", "k", "1", "--if-absent"]);
    let run = refused(&["put", "k", "2", "--if-absent"]);
    assert!(run.stderr.contains("\"k\" is at revision 1"), "{}", run.stderr);
    let run = refused(&["put", "k", "2", "--if-absent", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(run.text()).unwrap();
    assert_eq!(told["applied"], false);
    assert_eq!(told["current"]["value"], "1");
    store.ok(&["put", "k", "2", "--if-revision", "1"]);
    store.ok(&["put", "k", "3", "--if-value", "2"]);
    refused(&["put", "k", "4", "--if-value", "2"]);
    refused(&["touch", "k", "--if-revision", "1"]);
    refused(&["delete", "k", "--if-value", "2"]);
    assert_eq!(store.ok(&["get", "k"]), "3");
    assert_eq!(store.ok(&["delete", "k", "--if-value", "3"]), "deleted 1\n");
}

#[test]
fn prev_prints_the_value_before() {
    let store = Store::start(&[]);
    assert_eq!(store.ok(&["put", "k", "1", "--prev"]), "");
    assert_eq!(store.ok(&["put", "k", "2", "--prev"]), "1");
    let reply = store.json(&["put", "k", "3", "--prev"]);
    assert_eq!(reply["previous"]["value"], "2");
    assert_eq!((&reply["applied"], &reply["revision"]), (&json!(true), &json!(3)));
    assert_eq!(store.ok(&["delete", "k", "--prev"]), "3");
}

#[test]
fn delete_says_how_many_were_there() {
    let store = Store::start(&[]);
    for key in ["a", "b", "p/1", "p/2", "q"] {
        store.ok(&["put", key, "x"]);
    }
    assert_eq!(store.ok(&["delete", "a", "b"]), "deleted 2\n");
    let run = store.run(&["delete", "q", "gone"]);
    assert_eq!((run.code, run.text()), (1, "deleted 1\n"));
    assert_eq!(store.ok(&["delete", "--prefix", "p/", "--dry-run"]), "would delete 2\n");
    let run = store.run(&["delete", "--prefix", "p/"]);
    assert_eq!((run.code, run.text()), (2, ""));
    assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    let reply = store.json(&["delete", "--prefix", "p/", "--yes"]);
    assert_eq!(reply, json!({"deleted": 2}));
    assert_eq!(store.ok(&["delete", "--prefix", "p/", "--yes"]), "deleted 0\n");
}

#[test]
fn a_key_ends_by_its_time_to_live() {
    let store = Store::start(&[]);
    store.ok(&["put", "brief", "x", "--ttl", "150ms"]);
    eventually("the key to end", LIMIT, || (store.run(&["get", "brief"]).code == 1).then_some(()));
    store.ok(&["put", "past", "x", "--expires-at", "1000"]);
    assert_eq!(store.run(&["get", "past"]).code, 1);
    store.ok(&["put", "far", "x", "--expires-at", "2100-01-01T00:00:00Z"]);
    assert_eq!(store.json(&["get", "far"])["expires_at"], 4_102_444_800_000_u64);
    store.ok(&["put", "far", "y", "--keep-ttl"]);
    assert_eq!(store.json(&["get", "far"])["expires_at"], 4_102_444_800_000_u64);
    store.ok(&["put", "far", "z"]);
    assert_eq!(store.json(&["get", "far"])["expires_at"], json!(null));
}

#[test]
fn touch_changes_the_end_and_not_the_value() {
    let store = Store::start(&[]);
    store.ok(&["put", "k", "v"]);
    assert_eq!(store.ok(&["touch", "k", "--ttl", "1h"]), "revision 2\n");
    let entry = store.json(&["get", "k"]);
    assert_eq!((&entry["value"], &entry["version"]), (&json!("v"), &json!(2)));
    assert!(entry["expires_at"].as_u64().is_some(), "{entry}");
    let touched = store.json(&["touch", "k", "--persist"]);
    assert_eq!(touched, json!({"applied": true, "revision": 3, "expires_at": null}));
}

#[test]
fn incr_prints_the_number() {
    let store = Store::start(&[]);
    assert_eq!(store.ok(&["incr", "n"]), "1\n");
    assert_eq!(store.ok(&["incr", "n", "--by", "-3"]), "-2\n");
    assert_eq!(store.ok(&["get", "n"]), "-2");
    assert_eq!(store.json(&["incr", "n"]), json!({"value": -1, "revision": 3}));
    store.ok(&["put", "word", "seven"]);
    let run = store.run(&["incr", "word"]);
    assert_eq!((run.code, run.text()), (2, ""));
    assert!(run.stderr.contains("(invalid-input)"), "{}", run.stderr);
    assert_eq!(store.ok(&["get", "word"]), "seven");
}
