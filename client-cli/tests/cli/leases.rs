//! Leases, locks and elections at the terminal: what is printed, and what it ends with.

use serde_json::json;

use crate::store::Store;

#[test]
fn a_lease_is_granted_listed_kept_alive_and_revoked() {
    let store = Store::start(&[]);
    assert_eq!(store.ok(&["lease", "grant", "1h"]), "1\n");
    store.ok(&["put", "a", "here", "--lease", "1"]);
    store.ok(&["put", "b", "here", "--lease", "1"]);
    let entry = store.json(&["get", "a"]);
    assert_eq!((&entry["lease"], &entry["expires_at"]), (&json!(1), &json!(null)));
    let listed = store.json(&["lease", "list"]);
    assert_eq!(
        (&listed["lease"], &listed["keys"], &listed["ttl_ms"]),
        (&json!(1), &json!(2), &json!(3_600_000))
    );
    assert!(store.ok(&["lease", "list"]).starts_with("1\t2 keys\tof 1h, expires in "));
    let kept = store.json(&["lease", "keep-alive", "1"]);
    assert!(kept["expires_at"].as_u64() >= listed["expires_at"].as_u64(), "{kept}");
    assert_eq!(store.ok(&["lease", "revoke", "1"]), "2 keys\n");
    assert_eq!(store.run(&["get", "a"]).code, 1);
    assert_eq!(store.ok(&["lease", "list"]), "");
    for what in ["keep-alive", "revoke"] {
        let run = store.run(&["lease", what, "1"]);
        assert_eq!((run.code, run.text()), (1, ""));
        assert!(run.stderr.contains("(not-found)"), "{}", run.stderr);
    }
    let run = store.run(&["put", "c", "late", "--lease", "1"]);
    assert_eq!((run.code, run.text()), (1, ""));
    assert_eq!(store.run(&["lease", "grant", "10ms"]).code, 2);
    assert_eq!(store.run(&["put", "c", "x", "--lease", "1", "--ttl", "1s"]).code, 2);
}

#[test]
fn a_command_runs_while_the_lock_is_held_and_sees_its_number() {
    let store = Store::start(&[]);
    let script = "echo $TIDEKEEP_LOCK_FENCING";
    let run = store.run(&["lock", "job", "--value", "me", "--", "sh", "-c", script]);
    assert_eq!((run.code, run.text()), (0, "2\n"), "{}", run.stderr);
    assert!(run.stderr.contains("holding \"job\", fencing 2"), "{}", run.stderr);
    let run = store.run(&["elect", "leader", "node-1", "--", "false"]);
    assert_eq!((run.code, run.text()), (1, ""));
    let run = store.run(&["lock", "job", "--", "/no/such/program"]);
    assert_eq!((run.code, run.text()), (2, ""));
    assert_eq!(store.ok(&["list"]), "", "nothing is held any more");
    assert_eq!(store.run(&["elect", "leader"]).code, 2, "a value, or --observe");
}
