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
    /// What the change holds in memory that nothing else counts, in bytes: itself, and the entries
    /// that it took out of the store. What it put there is the store's, or a later change's.
    pub fn held(&self) -> usize {
        sizes(&self.events).held
    }

    /// What the change costs while it is remembered, in bytes, as if nobody else had its entries.
    pub fn cost(&self) -> usize {
        sizes(&self.events).cost
    }
}

/// What a change takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// See [`Change::held`].
    pub held: usize,
    /// See [`Change::cost`].
    pub cost: usize,
}

/// What a change with these events takes.
pub fn sizes(events: &Few<Event>) -> Sizes {
    let own = size_of::<Change>() + events.cost();
    events.iter().fold(Sizes { held: own, cost: own }, |sizes, event| {
        let held = sizes.held + event.previous.as_ref().map_or(0, Entry::cost);
        Sizes { held, cost: sizes.cost + held - sizes.held + event.entry.cost() }
    })
}

/// Loads what forgetting changes with these events touches: the heads of their entries, and all lines of
/// those that go with them, where what is written next will be put. All heads come first: the less there
/// is to do for each, the more of them a core waits for at once. What it gives says nothing.
pub fn look<'a>(changes: impl Iterator<Item = &'a Few<Event>> + Clone) -> usize {
    let head = |entry: Option<&Entry>| entry.map_or(0, Entry::look_at_head);
    let heads = changes
        .clone()
        .flatten()
        .fold(0, |sum, event| sum ^ event.entry.look_at_head() ^ head(event.previous.as_ref()));
    changes.flatten().fold(heads, |sum, event| {
        let previous = event.previous.as_ref().map_or(0, Entry::look);
        sum ^ event.entry.look_at_head() ^ previous
    })
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
