//! Cursors: opaque to clients, and read back from whatever they make of them.

use tidekeep_protocol::cursor::{CURSOR_BYTES_MAX, Cursor, GROUPS_MAX};

/// The bytes are a cursor.
pub fn run(data: &[u8]) {
    // A byte can be a revision, and the list grows by doubling; it is counted when it is read.
    let limit = CURSOR_BYTES_MAX * 8 * 3;
    let Ok(cursor) = crate::within(limit, || Cursor::from_bytes(data)) else { return };
    assert!(data.len() <= CURSOR_BYTES_MAX && (1..=GROUPS_MAX).contains(&cursor.revisions.len()));
    let bytes = cursor.to_bytes();
    assert!(bytes.len() <= data.len());
    assert_eq!(Cursor::from_bytes(&bytes), Ok(cursor));
}
