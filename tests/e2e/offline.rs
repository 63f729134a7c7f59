//! What the server's program does to a data directory without serving it: look, repair, restore.

use std::fs;
use std::path::Path;
use std::process::Command;

use tidekeep_tests::{ServerProcess, binaries, port, tidekeep};

const GOOD: i32 = 0;
const DATA_DIRECTORY: i32 = 3;
const DAMAGED: i32 = 4;

/// Runs a command on a directory; its exit code, and what it printed to both outputs.
fn run(command: &[&str], data: &Path) -> (i32, String) {
    let output = Command::new(binaries::server())
        .args(command)
        .arg(data)
        .output()
        .expect("the server's program starts");
    let said = [output.stdout, output.stderr].concat();
    let code = output.status.code().expect("it was not killed");
    (code, String::from_utf8(said).expect("reports are text"))
}

/// A directory with a closed store of fifty keys.
fn store() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    for number in 0..50 {
        let put = tidekeep(server.address(), &["put", &format!("key{number}"), "value"], b"");
        assert_eq!(put.code, 0, "{}", put.stderr);
    }
    assert_eq!(server.terminate().code(), Some(0));
    data
}

#[test]
fn a_good_store_verifies_and_is_not_touched() {
    let data = store();
    let before = names(data.path());
    let (code, said) = run(&["verify"], data.path());
    assert_eq!(code, GOOD, "{said}");
    assert!(said.contains("good: revision 50, 50 keys"), "{said}");
    let (code, said) = run(&["verify", "--output", "json"], data.path());
    assert_eq!(code, GOOD, "{said}");
    assert!(said.contains("\"verdict\": \"good\"") && said.contains("\"keys\": 50"), "{said}");
    assert_eq!(names(data.path()), before);
}

#[test]
fn a_served_store_is_left_to_its_server() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    for command in [&["verify"][..], &["repair", "--yes"]] {
        let (code, said) = run(command, data.path());
        assert_eq!(code, DATA_DIRECTORY, "{said}");
        assert!(said.contains(&server.pid().to_string()), "{said}");
    }
}

#[test]
fn a_node_of_a_cluster_is_not_taken_for_a_damaged_store() {
    let data = tempfile::tempdir().unwrap();
    let nodes = format!("127.0.0.1:{}", port::free());
    let server = ServerProcess::start(data.path(), &["--node-listen", &nodes, "cluster", "init"]);
    assert_eq!(tidekeep(server.address(), &["put", "key", "value"], b"").code, 0);
    assert_eq!(server.terminate().code(), Some(0));
    for command in [&["verify"][..], &["repair", "--yes"]] {
        let (code, said) = run(command, data.path());
        assert_eq!(code, DATA_DIRECTORY, "{said}");
        assert!(said.contains("a node of a cluster"), "{said}");
    }
    // Without a command, it is the node that it was.
    let server = ServerProcess::start(data.path(), &["--node-listen", &nodes]);
    assert_eq!(tidekeep(server.address(), &["get", "key"], b"").text(), "value");
    assert_eq!(tidekeep(server.address(), &["cluster", "status"], b"").code, 0);
}

#[test]
fn a_directory_without_a_store_is_said_to_be_one() {
    let data = tempfile::tempdir().unwrap();
    let (code, said) = run(&["verify"], data.path());
    assert_eq!(code, DATA_DIRECTORY, "{said}");
    let (code, said) = run(&["verify"], &data.path().join("nowhere"));
    assert_eq!(code, DATA_DIRECTORY, "{said}");
    assert!(names(data.path()).is_empty());
}

#[test]
fn a_damaged_store_is_repaired_on_demand_alone_and_serves_again() {
    let data = store();
    let segment = data.path().join("0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|part| part == b"key25").expect("the key is in the log");
    bytes[at] ^= 0x20;
    fs::write(&segment, &bytes).unwrap();

    let (code, said) = run(&["verify"], data.path());
    assert_eq!(code, DAMAGED, "{said}");
    assert!(said.contains("0000000000000001.seg at byte"), "{said}");
    let (code, said) = run(&["repair"], data.path());
    assert_eq!(code, DAMAGED, "{said}");
    assert!(said.contains("nothing has been changed"), "{said}");
    assert!(said.contains("given up: records 26 to 50, revisions 26 to at least 50"), "{said}");
    assert_eq!(ServerProcess::refuse(data.path(), port::free(), &[]).0.code(), Some(DAMAGED));

    let (code, said) = run(&["repair", "--yes"], data.path());
    assert_eq!(code, GOOD, "{said}");
    let folder = data.path().join("damaged-1");
    assert!(fs::read(folder.join("0000000000000001.seg")).unwrap() == bytes, "it is kept");
    let report = fs::read_to_string(folder.join("report.txt")).unwrap();
    assert!(report.contains("given up: records 26 to 50"), "{report}");
    assert!(fs::read_to_string(folder.join("report.json")).unwrap().contains("\"rebuild\""));

    assert_eq!(run(&["verify"], data.path()).0, GOOD);
    let server = ServerProcess::start(data.path(), &[]);
    assert_eq!(tidekeep(server.address(), &["get", "key24"], b"").code, 0);
    assert_eq!(tidekeep(server.address(), &["get", "key25"], b"").code, 1);
    assert_eq!(tidekeep(server.address(), &["put", "key25", "again"], b"").code, 0);
}

#[test]
fn a_backup_of_a_serving_store_is_restored_as_another_store() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let value = "x".repeat(2000);
    let lines: String =
        (0..500).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{value}\"}}\n")).collect();
    let import = tidekeep(server.address(), &["import", "-"], lines.as_bytes());
    assert_eq!(import.code, 0, "{}", import.stderr);
    let file = data.path().join("today.tide");
    let path = file.to_str().unwrap();
    let backup = tidekeep(server.address(), &["backup", path, "-o", "json"], b"");
    assert_eq!(backup.code, 0, "{}", backup.stderr);
    assert!(backup.text().contains("\"revision\":500"), "{}", backup.text());
    // What is there is not replaced unless it is asked for.
    let again = tidekeep(server.address(), &["backup", path], b"");
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert_eq!(tidekeep(server.address(), &["put", "later", "1"], b"").code, 0);
    assert_eq!(tidekeep(server.address(), &["backup", path, "--force"], b"").code, 0);
    let all = tidekeep(server.address(), &["export"], b"").stdout;
    let (code, said) = run(&["verify"], &file);
    assert!(code == GOOD && said.contains("good: revision 501, 501 keys"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("restored");
    let (code, said) = run(&["restore", path], &target);
    assert_eq!(code, GOOD, "{said}");
    let (code, said) = run(&["restore", path], &target);
    assert_eq!(code, DATA_DIRECTORY, "a second time: {said}");
    let restored = ServerProcess::start(&target, &[]);
    assert!(tidekeep(restored.address(), &["export"], b"").stdout == all);
    let put = tidekeep(restored.address(), &["put", "next", "1", "-o", "json"], b"");
    assert!(put.text().contains("502"), "revisions go on: {}", put.text());

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(run(&["verify"], &file).0, DAMAGED);
    let (code, said) = run(&["restore", path], &folder.path().join("other"));
    assert_eq!(code, DAMAGED, "{said}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
