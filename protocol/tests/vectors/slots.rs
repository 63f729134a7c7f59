//! The golden slots: keys, hashes and slots of `protocol/vectors/slots.tsv`, and the table of
//! examples of `docs/protocol.md`. Keys on disk are found by these; they must never change.

use std::path::Path;

use tidekeep_protocol::slot::{GroupCount, hash64, slot_of, tag};

use crate::block;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_golden_key_has_its_hash_and_slot() {
    let text = read("vectors/slots.tsv");
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert!(rows.len() > 10);
    for row in rows {
        let [key, hash, slot] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let key = block::from_hex(key);
        assert_eq!(format!("{:016x}", hash64(tag(&key))), hash, "{row}");
        assert_eq!(slot_of(&key).number().to_string(), slot, "{row}");
    }
}

#[test]
fn the_table_of_examples_is_right() {
    let page = read("../docs/protocol.md");
    let groups = GroupCount::new(64).expect("64 groups are allowed");
    let rows = page.lines().skip_while(|line| !line.starts_with("| key | hashed |")).skip(2);
    let mut count = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let key = row.split('`').nth(1).expect("a key in the first column").as_bytes();
        let (slot, hashed) = (slot_of(key), tag(key));
        let expected = format!(
            "| `{}` | `{}` | `{:016x}` | {} | {} |",
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(hashed),
            hash64(hashed),
            slot.number(),
            groups.group_of(slot).0,
        );
        assert_eq!(row, expected);
        count += 1;
    }
    assert_eq!(count, 10);
}
