//! import and export.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tidekeep_tests::{ServerProcess, eventually, port};

use crate::store::{Store, command, offline, run};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_file_is_loaded_and_comes_back_the_same() {
    let store = Store::start(&[]);
    let lines: String =
        (0..5000).map(|n| format!("{{\"key\":\"k/{n:05}\",\"value\":\"value {n}\"}}\n")).collect();
    let file = store.folder().join("records.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let import = store.run(&["import", file.to_str().unwrap()]);
    assert_eq!((import.code, import.stderr.as_str()), (0, ""));
    assert!(import.text().starts_with("imported: 5,000 records, "), "{}", import.text());
    let export = store.ok(&["export", "k/"]);
    let records: Vec<Value> =
        export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 5000);
    assert_eq!((&records[7]["key"], &records[7]["value"]), (&json!("k/00007"), &json!("value 7")));
    assert!(records[7]["revision"].as_u64().is_some());
}

#[test]
fn a_later_line_with_the_same_key_wins() {
    let store = Store::start(&[]);
    let lines: String =
        (0..3000).map(|n| format!("{{\"key\":\"k{}\",\"value\":\"{n}\"}}\n", n % 3)).collect();
    assert_eq!(store.run_with(&["import", "-"], lines.as_bytes()).code, 0);
    assert_eq!(store.ok(&["list"]), "k0\t2997\nk1\t2998\nk2\t2999\n");
}

#[test]
fn lifetimes_travel_and_what_is_there_can_be_left_alone() {
    let store = Store::start(&[]);
    store.ok(&["put", "a", "mine"]);
    let lines = b"{\"key\":\"a\",\"value\":\"theirs\"}\n\
                  {\"key\":\"b\",\"value\":\"new\",\"expires_at\":4102444800000}\n";
    let reply = store.run_with(&["import", "-", "--if-absent", "-o", "json"], lines);
    let reply: Value = serde_json::from_str(reply.text()).unwrap();
    assert_eq!((&reply["imported"], &reply["skipped"]), (&json!(1), &json!(1)));
    assert_eq!(store.ok(&["get", "a"]), "mine");
    assert_eq!(store.json(&["get", "b"])["expires_at"], 4_102_444_800_000_u64);
    assert!(store.ok(&["export", "b"]).contains("\"expires_at\":4102444800000"));
}

#[test]
fn a_bad_line_is_named_and_the_import_stops() {
    let store = Store::start(&[]);
    let lines = b"{\"key\":\"a\",\"value\":\"1\"}\n\nnonsense\n{\"key\":\"b\",\"value\":\"2\"}\n";
    let run = store.run_with(&["import", "-"], lines);
    assert_eq!(run.code, 2);
    assert!(run.text().starts_with("imported: 1 record, 2 B; bad lines: 1"), "{}", run.text());
    assert!(run.stderr.starts_with("error: line 3: "), "{}", run.stderr);
    assert!(run.stderr.contains("--from-line 3"), "{}", run.stderr);
    assert_eq!(store.ok(&["list", "-k"]), "a\n");
    let run = store.run_with(&["import", "-", "--from-line", "4"], lines);
    assert_eq!(run.code, 0);
    assert_eq!(store.ok(&["list", "-k"]), "a\nb\n");
}

#[test]
fn keep_going_names_every_bad_line() {
    let store = Store::start(&["--max-value-bytes", "1000"]);
    let long = "x".repeat(1001);
    let lines = format!(
        "{{\"key\":\"a\",\"value\":\"1\"}}\n{{\"key\":\"b\"}}\n{{\"key\":\"\",\"value\":\"\"}}\n\
         {{\"key\":\"long\",\"value\":\"{long}\"}}\n{{\"key\":\"c\",\"value\":\"2\"}}\n"
    );
    let run = store.run_with(&["import", "-", "--keep-going"], lines.as_bytes());
    assert_eq!(run.code, 2);
    let mut errors: Vec<&str> =
        run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    errors.sort_unstable();
    assert_eq!(errors.len(), 3, "{}", run.stderr);
    assert!(errors[0].starts_with("error: line 2: neither value nor value_base64"));
    assert!(errors[1].starts_with("error: line 3, key \"\": "), "{}", errors[1]);
    assert!(errors[2].starts_with("error: line 4, key \"long\": "), "{}", errors[2]);
    assert!(errors[2].ends_with("(too-large)"), "{}", errors[2]);
    assert_eq!(store.ok(&["list", "-k"]), "a\nc\n");
}

#[test]
fn a_dry_run_needs_no_server() {
    let good = offline(&["import", "-", "--dry-run"], b"{\"key\":\"a\",\"value\":\"1\"}\n");
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert!(good.text().starts_with("well-formed: 1 record, 2 B"), "{}", good.text());
    let bad = offline(&["import", "-", "--dry-run"], b"{\"key\":\"a\",\"value\":1}\n");
    assert_eq!(bad.code, 2);
    assert!(bad.stderr.starts_with("error: line 1: invalid type: integer `1`"), "{}", bad.stderr);
    let missing = offline(&["import", "/does/not/exist"], b"");
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.starts_with("error: /does/not/exist cannot be read"));
}

#[test]
fn an_import_outlives_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let (data, port) = (folder.path().join("data"), port::free());
    let server = ServerProcess::start_on(port, &data, &[]);
    let address = server.address().to_owned();
    let count = || {
        let count = run(command(&address).args(["list", "--count"]), b"");
        count.text().trim().parse::<usize>().unwrap_or_default()
    };
    let file = folder.path().join("records.jsonl");
    let lines: String =
        (0..50_000).map(|n| format!("{{\"key\":\"{n}\",\"value\":\"{n}\"}}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let import = command(&address)
        .arg("import")
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the import to be under way", LIMIT, || (count() > 1000).then_some(()));
    server.kill();
    let _server = ServerProcess::start_on(port, &data, &[]);
    let ended = import.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("the connection is lost; waiting for the server"), "{said}");
    assert!(said.contains("connected again; going on"), "{said}");
    assert!(ended.stdout.starts_with(b"imported: 50,000 records"));
    assert_eq!(count(), 50_000);
}
