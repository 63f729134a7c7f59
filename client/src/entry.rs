//! What operations return, owned: cheap clones that share the bytes of the reply they came in.

use bytes::Bytes;
use tidekeep_protocol::entry::{self, Meta, Stored};

/// A key with its value and what the store knows about it.
///
/// Key and value share the memory of the whole reply; who keeps one small entry of a large page
/// for long should copy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The value; empty when only keys were asked for.
    pub value: Bytes,
    /// Revision of the write that made the key appear.
    pub created: u64,
    /// Revision of the last write to the key.
    pub modified: u64,
    /// How many writes the key has had since it appeared; 1 when it is new.
    pub version: u64,
    /// When the key ends by itself, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// The lease that the key goes with; such a key has no end of its own.
    pub lease: Option<u64>,
}

impl Entry {
    pub(crate) fn new(key: Bytes, value: Bytes, meta: Meta) -> Self {
        let Meta { created, modified, version, expires_at, lease } = meta;
        Self { key, value, created, modified, version, expires_at, lease }
    }

    /// An entry whose value lies in `reply`.
    pub(crate) fn of_stored(key: Bytes, reply: &Bytes, stored: Stored<'_>) -> Self {
        Self::new(key, reply.slice_ref(stored.value), stored.meta)
    }

    /// An entry whose key and value lie in `reply`.
    pub(crate) fn of_entry(reply: &Bytes, entry: entry::Entry<'_>) -> Self {
        Self::of_stored(reply.slice_ref(entry.key), reply, entry.stored)
    }

    /// The value as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// What a put or a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The write's own revision.
    pub revision: u64,
    /// The entry before, if it was asked for and there was one.
    pub previous: Option<Entry>,
}

/// What a touch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The touch's own revision.
    pub revision: u64,
    /// When the key ends now, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// How many writes the key has had since it appeared.
    pub version: u64,
}

/// What an increment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incremented {
    /// The write's own revision.
    pub revision: u64,
    /// The number after the addition.
    pub value: i64,
}

/// A name directly below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The key without the prefix; a branch's name ends with the delimiter.
    pub name: Bytes,
    /// Whether keys lie below this name, rather than it being a key.
    pub branch: bool,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Name and version of the server's software.
    pub software: String,
    /// When an acknowledged write is safe: `always`, `interval` or `none`.
    pub durability: String,
    /// Figures by name, with their units last, in the server's order.
    pub figures: Vec<(String, u64)>,
}
