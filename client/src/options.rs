//! What connecting, writing, scanning and watching can be told. Every set of options has a default
//! that is what most callers want.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tidekeep_client_core::{Config, Resync};
use tidekeep_protocol::condition::{self, Expiry};
use tidekeep_protocol::op::{Delivery, Order};

/// How a client behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Deadlines, reconnecting and every bound of the connection.
    pub config: Config,
    /// Most bytes of keys and values that wait in a [`crate::Watch`] for its reader. Over it the
    /// watch is paused on the server and resumed, without a gap, once the reader has caught up.
    /// Content that is on its way is not interrupted: a watch with content may hold all of it.
    pub watch_bytes: usize,
    /// Where mutations are kept until they have settled, so that a later process goes on with them: a
    /// file for one identity at one server, used by one process at a time. None keeps them in memory.
    pub offline: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let software = concat!("tidekeep-client/", env!("CARGO_PKG_VERSION")).into();
        Self {
            config: Config { software, ..Config::default() },
            watch_bytes: 4 << 20,
            offline: None,
        }
    }
}

impl Options {
    /// The same options with a file for mutations.
    #[must_use]
    pub fn offline(mut self, file: impl Into<PathBuf>) -> Self {
        self.offline = Some(file.into());
        self
    }

    /// The same options with this default deadline of calls.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout_ms = millis(timeout);
        self
    }
}

/// Whole milliseconds, rounded up, so that a short wait is not none.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// What must hold of a key for a write to apply. An expired key counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    #[default]
    Always,
    /// The key must not exist.
    Absent,
    /// The key must exist.
    Present,
    /// The key's last write must be this revision.
    Revision(u64),
    /// The key's value must be exactly these bytes.
    Value(Bytes),
}

impl Condition {
    pub(crate) fn as_request(&self) -> condition::Condition<'_> {
        match self {
            Self::Always => condition::Condition::Always,
            Self::Absent => condition::Condition::Absent,
            Self::Present => condition::Condition::Present,
            Self::Revision(revision) => condition::Condition::Revision(*revision),
            Self::Value(value) => condition::Condition::Value(value),
        }
    }
}

/// How to put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What must hold of the key before.
    pub condition: Condition,
    /// When the key ends.
    pub expiry: Expiry,
    /// Whether to return the entry that was replaced.
    pub previous: bool,
}

/// How to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// What must hold of the key before.
    pub condition: Condition,
    /// Whether to return the entry that was removed.
    pub previous: bool,
}

/// How to scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Most entries in all; none for the whole range.
    pub limit: Option<u64>,
    /// Which end of the range comes first.
    pub order: Order,
    /// Whether to leave the values away.
    pub keys_only: bool,
    /// Most entries in one page; 0 leaves it to the server.
    pub page: u32,
}

/// How to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Whether to begin with what the range holds.
    pub content: bool,
    /// Whether changes shall bear the entry as it was before.
    pub previous: bool,
    /// Which changes come to a client that is behind: every one, or the latest of each key.
    pub delivery: Delivery,
    /// Where an earlier watch of the same range got to: begin with the first change after it.
    pub cursor: Option<Vec<u8>>,
    /// How a gap is told: as the difference, which takes memory for every key, or as a reset.
    pub resync: Resync,
}
