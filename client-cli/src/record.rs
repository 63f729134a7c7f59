//! The format of `import` and `export`: one JSON object a line, with `key` or `key_base64`, `value`
//! or `value_base64`, and optionally `expires_at`. What `export` and `list --output json` add beyond
//! that is accepted and ignored.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tidekeep_client::Entry;

use crate::escape::escape;
use crate::json::{KeyField, ValueField};

/// One line of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The key.
    pub(crate) key: Vec<u8>,
    /// The value.
    pub(crate) value: Vec<u8>,
    /// When the key ends, in milliseconds since the Unix epoch.
    pub(crate) expires_at: Option<u64>,
}

impl Record {
    /// Reads a line; the error says what is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line)
            .map_err(|_| "not UTF-8; write such bytes as key_base64 and value_base64".to_owned())?;
        let line: Line = serde_json::from_str(text).map_err(|error| reason(&error))?;
        Ok(Self {
            key: bytes("key", line.key, line.key_base64)?,
            value: bytes("value", line.value, line.value_base64)?,
            expires_at: line.expires_at,
        })
    }
}

/// Writes an entry as a line that [`Record::parse`] reads.
pub(crate) fn write(entry: &Entry, out: &mut impl Write) -> std::io::Result<()> {
    let line = ExportLine {
        key: KeyField::new(&entry.key),
        value: ValueField::new(&entry.value),
        expires_at: entry.expires_at,
        revision: entry.modified,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    expires_at: Option<u64>,
    #[serde(default, rename = "lease")]
    _lease: IgnoredAny,
    #[serde(default, rename = "revision")]
    _revision: IgnoredAny,
    #[serde(default, rename = "created")]
    _created: IgnoredAny,
    #[serde(default, rename = "modified")]
    _modified: IgnoredAny,
    #[serde(default, rename = "version")]
    _version: IgnoredAny,
}

#[derive(Serialize)]
struct ExportLine<'a> {
    #[serde(flatten)]
    key: KeyField<'a>,
    #[serde(flatten)]
    value: ValueField<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    revision: u64,
}

fn bytes(name: &str, text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(base64)) => {
            STANDARD.decode(base64).map_err(|_| format!("{name}_base64 is no base64"))
        }
        (None, None) => Err(format!("neither {name} nor {name}_base64 is there")),
        (Some(_), Some(_)) => Err(format!("{name} and {name}_base64 are both there")),
    }
}

/// serde_json's message, its place given as the column only: every record is one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} (column {})", error.column()),
        None => text,
    };
    // It may quote what the file calls a field, and must stay one line of a report.
    escape(reason.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], value: &[u8], expires_at: Option<u64>) -> Record {
        Record { key: key.to_vec(), value: value.to_vec(), expires_at }
    }

    #[test]
    fn what_is_wrong_is_one_line_whatever_the_file_says() {
        let why = Record::parse(br#"{"key\u000alue":1}"#).expect_err("there is no such field");
        assert!(why.contains("key\\nlue") && !why.contains('\n'), "{why}");
    }

    #[test]
    fn text_and_base64_are_both_read() {
        assert_eq!(
            Record::parse(br#"{"key":"a\u0000b","value":"v","expires_at":5}"#).unwrap(),
            record(b"a\0b", b"v", Some(5))
        );
        assert_eq!(
            Record::parse(br#"{"value_base64":"/wA=","key_base64":"/w==","revision":7}"#).unwrap(),
            record(b"\xff", b"\xff\0", None)
        );
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_exactly() {
        let wrong = |line: &[u8]| Record::parse(line).unwrap_err();
        assert_eq!(wrong(br#"{"key":"a"}"#), "neither value nor value_base64 is there");
        assert_eq!(
            wrong(br#"{"key":"a","key_base64":"YQ==","value":""}"#),
            "key and key_base64 are both there"
        );
        assert_eq!(wrong(br#"{"key_base64":"!","value":""}"#), "key_base64 is no base64");
        assert!(wrong(br#"{"key":"a","value":"b","ttl":5}"#).starts_with("unknown field `ttl`"));
        assert!(wrong(br#"{"key":"a","value":{}}"#).contains("expected a string"));
        assert!(wrong(b"{\"key\":\"a\",\"value\":\"\xff\"}").starts_with("not UTF-8"));
        assert!(wrong(b"{\"key\":\"a\"").ends_with("(column 10)"));
    }
}
