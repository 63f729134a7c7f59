//! list: order, bounds, pages, counts, folders.

use std::io::Read;
use std::process::Stdio;

use crate::store::Store;

fn filled(keys: &[&str]) -> Store {
    let store = Store::start(&[]);
    for key in keys {
        store.ok(&["put", key, &key.to_uppercase()]);
    }
    store
}

#[test]
fn entries_come_in_key_order_a_line_each() {
    let store = filled(&["b", "a/2", "a/1", "c"]);
    assert_eq!(store.ok(&["list"]), "a/1\tA/1\na/2\tA/2\nb\tB\nc\tC\n");
    assert_eq!(store.ok(&["list", "a/"]), "a/1\tA/1\na/2\tA/2\n");
    assert_eq!(store.ok(&["list", "--keys-only"]), "a/1\na/2\nb\nc\n");
    assert_eq!(store.ok(&["list", "--reverse", "--limit", "2", "-k"]), "c\nb\n");
    assert_eq!(store.ok(&["list", "--range", "a/2", "c", "-k"]), "a/2\nb\n");
    assert_eq!(store.ok(&["list", "--range", "b", "", "-k"]), "b\nc\n");
    assert_eq!(store.ok(&["list", "-o", "raw", "b"]), "b\tB\n");
    assert_eq!(store.ok(&["list", "nothing/"]), "");
}

#[test]
fn count_prints_a_number() {
    let store = filled(&["a/1", "a/2", "b"]);
    assert_eq!(store.ok(&["list", "--count"]), "3\n");
    assert_eq!(store.ok(&["list", "a/", "--count"]), "2\n");
    assert_eq!(store.ok(&["list", "a/", "--count", "-o", "json"]), "{\"count\":2}\n");
}

#[test]
fn json_lines_have_all_that_is_known() {
    let store = filled(&["a"]);
    assert_eq!(
        store.ok(&["list", "-o", "json"]),
        "{\"key\":\"a\",\"value\":\"A\",\"created\":1,\"modified\":1,\"version\":1}\n"
    );
    assert_eq!(
        store.ok(&["list", "-o", "json", "-k"]),
        "{\"key\":\"a\",\"created\":1,\"modified\":1,\"version\":1}\n"
    );
}

#[test]
fn tree_lists_like_a_folder() {
    let store = filled(&["app/a", "app/b/1", "app/b/2", "zoo", "x:y:z"]);
    assert_eq!(store.ok(&["list", "--tree"]), "app/\nx:y:z\nzoo\n");
    assert_eq!(store.ok(&["list", "app/", "--tree"]), "a\nb/\n");
    assert_eq!(store.ok(&["list", "x:", "--tree", "--delimiter", ":"]), "y:\n");
    assert_eq!(
        store.ok(&["list", "app/", "--tree", "-o", "json"]),
        "{\"name\":\"a\",\"branch\":false}\n{\"name\":\"b/\",\"branch\":true}\n"
    );
}

#[test]
fn a_list_longer_than_a_page_is_complete() {
    let store = Store::start(&[]);
    let lines: String =
        (0..2500).map(|n| format!("{{\"key\":\"k{n:05}\",\"value\":\"{n}\"}}\n")).collect();
    assert_eq!(store.run_with(&["import", "-"], lines.as_bytes()).code, 0);
    let list = store.ok(&["list", "-k"]);
    let wanted: String = (0..2500).map(|n| format!("k{n:05}\n")).collect();
    assert_eq!(list, wanted);
    let reverse = store.ok(&["list", "-k", "-r", "-n", "1500"]);
    assert_eq!((reverse.lines().next(), reverse.lines().count()), (Some("k02499"), 1500));
}

#[test]
fn a_reader_that_stops_is_no_failure() {
    let store = Store::start(&[]);
    let value = "x".repeat(1000);
    let lines: String =
        (0..2000).map(|n| format!("{{\"key\":\"{n}\",\"value\":\"{value}\"}}\n")).collect();
    assert_eq!(store.run_with(&["import", "-"], lines.as_bytes()).code, 0);
    let mut list =
        store.command().arg("list").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut start = [0; 10];
    list.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let mut said = String::new();
    list.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((list.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}
