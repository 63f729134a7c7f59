//! Real data, as a user loads it: this machine's Debian package index, imported, killed in the
//! middle of a second import, complete in what was acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tidekeep_tests::{ServerProcess, binaries, command, eventually, port, tidekeep};

const RECORDS_MIN: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn the_package_index_survives_a_kill_in_the_middle_of_its_import() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (file, records) = package_index(folder.path());
    let port = port::free();
    let server = ServerProcess::start_on(port, &data, &[]);
    let file = file.to_str().unwrap();

    let first = tidekeep(server.address(), &["import", file], b"");
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(export(server.address()), records);

    let deleted = tidekeep(server.address(), &["delete", "--prefix", "packages/", "--yes"], b"");
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    let mut second = command::command(server.address())
        .args(["import", file])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let before = eventually("the second import to be under way", LIMIT, || {
        let keys = count(server.address());
        (keys > records.len() / 10).then_some(keys)
    });
    server.kill();
    let server = ServerProcess::start_on(port, &data, &[]);
    assert!(count(server.address()) >= before, "records that were counted are gone");

    let ended = eventually("the import to end by itself", LIMIT, || second.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    assert_eq!(export(server.address()), records);
}

/// The index as JSON lines in a file, and as what the store should hold.
fn package_index(folder: &Path) -> (PathBuf, BTreeMap<String, String>) {
    let made = Command::new("python3")
        .arg(binaries::repository().join("examples/debian-packages.py"))
        .output()
        .expect("python3 runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.join("packages.jsonl");
    std::fs::write(&file, &made.stdout).unwrap();
    let records = parse(&made.stdout);
    assert!(records.len() > RECORDS_MIN, "only {} packages: apt-get update?", records.len());
    (file, records)
}

fn export(address: &str) -> BTreeMap<String, String> {
    let export = tidekeep(address, &["export", "packages/"], b"");
    assert_eq!(export.code, 0, "{}", export.stderr);
    parse(&export.stdout)
}

fn parse(lines: &[u8]) -> BTreeMap<String, String> {
    serde_json::Deserializer::from_slice(lines)
        .into_iter::<serde_json::Value>()
        .map(|record| {
            let record = record.expect("each line is JSON");
            let field = |name: &str| record[name].as_str().expect("text").to_owned();
            (field("key"), field("value"))
        })
        .collect()
}

fn count(address: &str) -> usize {
    let count = tidekeep(address, &["list", "packages/", "--count"], b"");
    assert_eq!(count.code, 0, "{}", count.stderr);
    count.text().trim().parse().expect("a number")
}
