//! What a write changed, as watchers will see it.

use tidekeep_protocol::op::Event as WireEvent;

use crate::entry::Entry;
use crate::few::Few;

/// Everything that one revision changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: u64,
    /// When it was ordered, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The changes, in the order in which they were made. There is none when no entry changed, as
    /// when a lease is kept alive.
    pub events: Few<Event>,
}

impl Change {
    /// What the change costs in memory, in bytes, as if nobody else had its entries.
    pub fn cost(&self) -> usize {
        let entries =
            |event: &Event| event.entry.cost() + event.previous.as_ref().map_or(0, Entry::cost);
        size_of::<Self>() + self.events.cost() + self.events.iter().map(entries).sum::<usize>()
    }
}

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The entry as it is now; of a removed one, as it was.
    pub entry: Entry,
    /// The entry as it was, if there was one that could be read.
    pub previous: Option<Entry>,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was set or incremented.
    Put,
    /// Its end was moved, and nothing else. To a watcher, it was put.
    Touch,
    /// A client removed it.
    Delete,
    /// Its time was over.
    Expire,
    /// It made room below the memory limit.
    Evict,
}

impl Event {
    /// The key.
    pub fn key(&self) -> &[u8] {
        self.entry.key()
    }

    /// The event as the wire has it, with or without the entry before.
    pub fn to_wire(&self, previous: bool) -> WireEvent<'_> {
        let before = self.previous.as_ref().filter(|_| previous).map(Entry::stored);
        match self.kind {
            EventKind::Put | EventKind::Touch => {
                WireEvent::Put { entry: self.entry.to_wire(), previous: before }
            }
            EventKind::Delete => WireEvent::Delete { key: self.key(), previous: before },
            EventKind::Expire => WireEvent::Expire { key: self.key(), previous: before },
            EventKind::Evict => WireEvent::Evict { key: self.key(), previous: before },
        }
    }
}
