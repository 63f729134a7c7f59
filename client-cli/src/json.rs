//! The JSON that commands print. Bytes that are UTF-8 stand under their own name (`key`, `value`),
//! others in base64 under `key_base64`, `value_base64`; a reader looks for either.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use tidekeep_client::Entry;

/// Bytes under a name: as text if they are UTF-8, else in base64 under the name for that.
macro_rules! field {
    ($(#[$doc:meta])+ $name:ident, $text:literal, $base64:literal) => {
        $(#[$doc])+
        #[derive(Debug, Serialize)]
        pub(crate) enum $name<'a> {
            /// UTF-8.
            #[serde(rename = $text)]
            Text(&'a str),
            /// Anything else.
            #[serde(rename = $base64)]
            Base64(String),
        }

        impl<'a> $name<'a> {
            /// The field for these bytes.
            pub(crate) fn new(bytes: &'a [u8]) -> Self {
                match std::str::from_utf8(bytes) {
                    Ok(text) => Self::Text(text),
                    Err(_) => Self::Base64(STANDARD.encode(bytes)),
                }
            }
        }
    };
}

field! {
    /// A key.
    KeyField, "key", "key_base64"
}
field! {
    /// A value.
    ValueField, "value", "value_base64"
}
field! {
    /// A part of a key.
    NameField, "name", "name_base64"
}

/// What the store knows about an entry. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct MetaJson {
    /// Revision of the write that made the key appear.
    pub(crate) created: u64,
    /// Revision of the last write.
    pub(crate) modified: u64,
    /// Writes since it appeared.
    pub(crate) version: u64,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<u64>,
    /// The lease that it goes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<u64>,
}

impl MetaJson {
    /// The metadata of an entry.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            created: entry.created,
            modified: entry.modified,
            version: entry.version,
            expires_at: entry.expires_at,
            lease: entry.lease,
        }
    }
}

/// An entry.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson<'a> {
    #[serde(flatten)]
    key: KeyField<'a>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    value: Option<ValueField<'a>>,
    #[serde(flatten)]
    meta: MetaJson,
}

impl<'a> EntryJson<'a> {
    /// The entry with its value.
    pub(crate) fn full(entry: &'a Entry) -> Self {
        Self { value: Some(ValueField::new(&entry.value)), ..Self::without_value(entry) }
    }

    /// The entry without its value.
    pub(crate) fn without_value(entry: &'a Entry) -> Self {
        Self { key: KeyField::new(&entry.key), value: None, meta: MetaJson::of(entry) }
    }
}

/// An opaque cursor as one word.
pub(crate) fn cursor_text(cursor: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(cursor)
}

/// Reads a cursor that [`cursor_text`] wrote.
pub(crate) fn parse_cursor(text: &str) -> Result<Cursor, String> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map(Cursor)
        .map_err(|_| "that is no cursor; `watch --output json` prints one with each event".into())
}

/// A cursor's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_told_apart_from_text() {
        let text = serde_json::to_string(&KeyField::new("größe\n".as_bytes())).unwrap();
        assert_eq!(text, "{\"key\":\"größe\\n\"}");
        let bytes = serde_json::to_string(&ValueField::new(b"\xff\0")).unwrap();
        assert_eq!(bytes, "{\"value_base64\":\"/wA=\"}");
    }

    #[test]
    fn a_cursor_survives_the_command_line() {
        let cursor = Cursor(vec![0, 255, 62, 63]);
        assert_eq!(parse_cursor(&cursor_text(&cursor.0)), Ok(cursor));
        assert!(parse_cursor("no cursor!").is_err());
    }
}
