//! What watchers see: the changes that one revision made, in the order in which they were made.
//! The same events, read backwards, undo a transaction that is refused half-way.

use alloc::vec::Vec;

use crate::entry::Entry;

/// All that one revision changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: u64,
    /// When it was ordered, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it did, in order; never empty.
    pub events: Vec<Event>,
}

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was set, touched or incremented.
    Put {
        /// The entry as it is now.
        entry: Entry,
        /// The entry as it was, if there was one that had not ended.
        previous: Option<Entry>,
    },
    /// The key was removed by a client.
    Delete {
        /// The entry as it was.
        previous: Entry,
    },
    /// The key's time was over. Comes when the entry is cleared away, or right before the put
    /// that takes its place.
    Expire {
        /// The entry as it was.
        previous: Entry,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { entry, .. } => entry.key(),
            Self::Delete { previous } | Self::Expire { previous } => previous.key(),
        }
    }

    /// The entry as it is now; none when the key is gone.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Put { entry, .. } => Some(entry),
            Self::Delete { .. } | Self::Expire { .. } => None,
        }
    }

    /// The entry as it was; none when the key is new.
    pub fn previous(&self) -> Option<&Entry> {
        match self {
            Self::Put { previous, .. } => previous.as_ref(),
            Self::Delete { previous } | Self::Expire { previous } => Some(previous),
        }
    }
}

impl Change {
    /// Bytes of memory that keeping the change takes, entries that the store still holds included.
    pub fn memory_bytes(&self) -> usize {
        let entries = self.events.iter().flat_map(|event| [event.entry(), event.previous()]);
        let entries: usize = entries.flatten().map(Entry::memory_bytes).sum();
        size_of::<Self>() + self.events.len() * size_of::<Event>() + entries
    }
}
