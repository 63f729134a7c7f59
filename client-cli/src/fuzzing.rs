//! Doors for fuzzing: whatever a file of an import or a transaction's text holds is read or refused,
//! and what was read can be written and read again. Each panics when that does not hold.

use std::io::BufReader;

use tidekeep_client::Entry;

use crate::failure::Styles;
use crate::input::Reading;
use crate::loader::lines::Lines;
use crate::record::{self, Record};
use crate::txn::Script;
use crate::{escape, words};

/// Reads `text` as an import with lines of at most `line_bytes_max`.
///
/// # Panics
/// When a line that was read does not come back from its own export, or lines are out of order.
pub fn import(text: &[u8], line_bytes_max: u64) {
    let mut lines = Lines::new(BufReader::with_capacity(64, text), line_bytes_max.max(1));
    let (mut number, mut end) = (0, 0);
    while let Some(line) = lines.next().expect("memory can be read") {
        assert!(line.number > number && line.end > end && line.end <= text.len() as u64);
        (number, end) = (line.number, line.end);
        match line.record {
            Ok(record) => comes_back(record),
            Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
        }
    }
}

fn comes_back(record: Record) {
    let entry = Entry {
        key: record.key.clone().into(),
        value: record.value.clone().into(),
        created: 1,
        modified: 1,
        version: 1,
        expires_at: record.expires_at,
        lease: None,
    };
    let mut line = Vec::new();
    record::write(&entry, &mut line).expect("memory can be written");
    assert_eq!(Record::parse(line.trim_ascii_end()), Ok(record));
}

/// Reads `text` as a transaction, in words or in JSON.
///
/// # Panics
/// When a word does not come back from its own quotes, or a refusal says nothing.
pub fn transaction(text: &[u8], escaped: bool) {
    for line in text.split(|&byte| byte == b'\n') {
        let Ok(words) = words::split(line) else { continue };
        for word in &words {
            assert_eq!(words::split(words::quote(word).as_bytes()), Ok(vec![word.clone()]));
            assert_eq!(escape::unescape(escape::escape(word).as_bytes()), Ok(word.clone()));
            // These values are read from files and from standard input.
            if word == b"-" || word.contains(&b'@') {
                return;
            }
        }
    }
    let reading = if escaped { Reading::Escaped } else { Reading::Exact };
    match Script::parse(text, reading) {
        Ok(script) => drop(script.to_txn()),
        Err(failure) => assert!(!failure.text(&Styles::default()).is_empty()),
    }
}
