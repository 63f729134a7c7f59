//! Bytes that are no text travel through the command line without a change.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::store::Store;

fn arguments(parts: &[&[u8]]) -> Vec<OsString> {
    parts.iter().map(|part| OsString::from_vec(part.to_vec())).collect()
}

#[test]
fn every_byte_comes_back_as_it_was() {
    let store = Store::start(&[]);
    let value: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    assert_eq!(store.run_with(&["put", "all", "-"], &value).code, 0);
    assert_eq!(store.run(&["get", "all"]).stdout, value);
    assert_eq!(store.run(&["get", "all", "-o", "raw"]).stdout, value);
    let file = store.folder().join("all");
    std::fs::write(&file, &value).unwrap();
    store.ok(&["put", "again", &format!("@{}", file.display())]);
    assert_eq!(store.run(&["get", "again"]).stdout, value);
}

#[test]
fn a_key_that_is_no_text_is_taken_as_it_is() {
    let store = Store::start(&[]);
    let put = store.run_with(&arguments(&[b"put", b"k\xff\xfe", b"v\xff"]), b"");
    assert_eq!(put.code, 0, "{}", put.stderr);
    assert_eq!(store.run_with(&arguments(&[b"get", b"k\xff\xfe"]), b"").stdout, b"v\xff");
    assert_eq!(store.ok(&["get", "-e", "k\\xff\\xfe", "-o", "json"]), {
        "{\"key_base64\":\"a//+\",\"value_base64\":\"dv8=\",\"created\":1,\"modified\":1,\"version\":1}\n"
    });
    let missing = store.run_with(&arguments(&[b"get", b"\xff\x1b[2J"]), b"");
    assert_eq!(missing.stderr, "error: there is no key \"\\xff\\x1b[2J\" (not-found)\n");
}

#[test]
fn what_list_prints_can_be_typed_back() {
    let store = Store::start(&[]);
    store.ok(&["put", "-e", "a\\x00\\xff\\n\\\\b", "v\\t\\x1b[2J"]);
    assert_eq!(store.ok(&["list"]), "a\\x00\\xff\\n\\\\b\tv\\t\\x1b[2J\n");
    assert_eq!(store.ok(&["get", "-e", "a\\x00\\xff\\n\\\\b"]), "v\t\x1b[2J");
    assert_eq!(store.run(&["list", "-o", "raw", "-k", "-0"]).stdout, b"a\0\xff\n\\b\0");
    let wrong = store.run(&["get", "-e", "a\\q"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("\\q means nothing"), "{}", wrong.stderr);
}

#[test]
fn an_export_brings_bytes_to_another_store() {
    let from = Store::start(&[]);
    let to = Store::start(&[]);
    from.ok(&["put", "-e", "\\xff\\x00", "\\x80\\xff"]);
    from.ok(&["put", "text", "größe\n\"quoted\""]);
    let export = from.run(&["export"]);
    assert_eq!(export.code, 0, "{}", export.stderr);
    let import = to.run_with(&["import", "-"], &export.stdout);
    assert_eq!(import.code, 0, "{}", import.stderr);
    assert_eq!(to.run(&["get", "-e", "\\xff\\x00"]).stdout, b"\x80\xff");
    assert_eq!(to.ok(&["get", "text"]), "größe\n\"quoted\"");
}
