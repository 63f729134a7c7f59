//! ping, status, test, bench: looking at a server.

use serde_json::Value;

use crate::store::{Store, command, run};

#[test]
fn ping_measures_round_trips() {
    let store = Store::start(&[]);
    let text = store.ok(&["ping", "-c", "3", "--interval", "1ms"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("1: ") && lines[3].starts_with("min "), "{text}");
    let summary = store.json(&["ping", "-c", "2", "--interval", "1ms"]);
    assert_eq!(summary["count"], 2);
    assert!(summary["min_ms"].as_f64() <= summary["max_ms"].as_f64(), "{summary}");
    assert_eq!(store.run(&["ping", "-c", "0"]).code, 2);
}

#[test]
fn status_shows_the_figures() {
    let store = Store::start(&[]);
    store.ok(&["put", "k", "v"]);
    let status = store.json(&["status"]);
    assert_eq!(status["durability"], "always");
    assert_eq!(status["figures"]["keys"], 1);
    assert_eq!(status["figures"]["revision"], 1);
    let table = store.ok(&["status"]);
    assert!(table.starts_with("server "), "{table}");
    assert!(table.lines().any(|line| line.starts_with("keys ") && line.ends_with(" 1")), "{table}");
    assert!(store.ok(&["status", "-o", "raw"]).lines().any(|line| line == "keys 1"));
}

#[test]
fn the_self_test_passes_over_both_transports_and_cleans_up() {
    let store = Store::start(&[]);
    store.ok(&["put", "mine", "stays"]);
    let text = store.ok(&["test"]);
    assert!(text.ends_with(" passed, 0 failed\n"), "{text}");
    let checks = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(text.lines().last(), Some(format!("{checks} passed, 0 failed").as_str()));
    assert!(checks >= 15, "{text}");
    let ws = format!("ws://{}/ws", store.server.address());
    let by_ws = run(command(&ws).args(["test", "-o", "json"]), b"");
    assert_eq!(by_ws.code, 0, "{}{}", by_ws.text(), by_ws.stderr);
    let total: Value = serde_json::from_str(by_ws.text().lines().last().unwrap()).unwrap();
    assert_eq!((total["passed"].as_u64(), &total["failed"]), (Some(checks as u64), &0.into()));
    assert_eq!(store.ok(&["list", "-k"]), "mine\n");
}

#[test]
fn the_self_test_fails_with_the_class_of_what_is_wrong() {
    // Keys of the test are longer than this server takes.
    let store = Store::start(&["--max-value-bytes", "5"]);
    let run = store.run(&["test"]);
    assert_eq!(run.code, 4, "{}{}", run.text(), run.stderr);
    assert!(run.text().contains("\nFAIL  "), "{}", run.text());
    assert!(run.text().contains("(too-large)"), "{}", run.text());
    assert_eq!(store.ok(&["list", "--count"]), "0\n");
}

#[test]
fn bench_measures_and_cleans_up() {
    let store = Store::start(&[]);
    let quick = ["--seconds", "0.3", "--ramp-up", "0.05", "-c", "2", "-p", "4", "--keys", "100"];
    for transport in ["tcp", "ws"] {
        let arguments = [&["bench", "--transport", transport][..], &quick].concat();
        let report = store.json(&arguments);
        assert_eq!(report["errors"], 0, "{report}");
        assert!(report["operations"].as_u64() > Some(0), "{report}");
        assert!(report["ops_per_second"].as_f64() > Some(0.0), "{report}");
        let latency = |name: &str| report["latency_us"][name].as_f64().unwrap();
        assert!(latency("p50") <= latency("p99") && latency("p99") <= latency("p99_9"), "{report}");
    }
    let text = store.ok(&[&["bench", "--op", "put"][..], &quick].concat());
    assert!(text.starts_with("put on "), "{text}");
    assert!(text.contains("\nlatency     p50 "), "{text}");
    assert_eq!(store.ok(&["list", "--count"]), "0\n");
}

#[test]
fn sessions_are_a_table_json_lines_and_addresses() {
    let store = Store::start(&[]);
    store.ok(&["put", "name", "x"]);
    let table = store.ok(&["sessions"]);
    let lines: Vec<&str> = table.lines().collect();
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0)[..5], ["id", "via", "address", "client", "open"]);
    assert_eq!(words(1)[1], "tcp");
    assert!(words(1)[2].starts_with("127.0.0.1:"), "{table}");
    assert_eq!(lines.last(), Some(&"1 connection, 1 remembered session"), "{table}");
    let own = store.json(&["sessions"]);
    assert_eq!(own["transport"], "tcp");
    assert_eq!(own["watches"], 0);
    assert!(own["client"].as_str().is_some_and(|name| name.starts_with("tidekeep")), "{own}");
    assert!(own["session_since_ms"].is_u64(), "{own}");
    assert!(store.ok(&["sessions", "-o", "raw"]).starts_with("127.0.0.1:"));
    assert_eq!(store.ok(&["sessions", "-o", "json", "--limit", "0"]), "");
}
