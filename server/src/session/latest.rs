//! What a run of one group's changes comes to for a watch that wants the latest of each key only: the last event
//! of each, as one message. Whole revisions are merged, so that nobody sees half a transaction, and
//! nothing is kept between two messages.

use std::collections::HashMap;

use tidekeep_log::{Change, Entry, Event, EventKind};
use tidekeep_protocol::codec;
use tidekeep_protocol::op::{Event as WireEvent, WatchMessage};
use tidekeep_protocol::range::Range;

use super::watch_message::{OVERHEAD_BYTES, size_bound};

/// Bytes of remembered changes that one message merges at most, so that a watch which is far behind
/// does not hold its connection up.
pub(super) const MERGE_BYTES: usize = 4 << 20;

/// Changes, merged.
#[derive(Default)]
pub(super) struct Merged<'a> {
    keys: Vec<Key<'a>>,
    places: HashMap<&'a [u8], usize>,
    events: usize,
    bytes: usize,
    /// The last revision that changed something in the range.
    revision: u64,
    /// Everything up to here is in it, or is outside of the range.
    pub(super) through: u64,
}

/// What became of one key.
struct Key<'a> {
    /// The entry before the first change.
    before: Option<&'a Entry>,
    last: &'a Event,
    /// Where the last change is in the order of all.
    at: usize,
}

/// One revision alone is more than a message may be.
pub(super) struct TooLong;

impl<'a> Merged<'a> {
    /// Merges the changes behind `after`, oldest first, as many whole ones as a message of
    /// `message_bytes` holds.
    pub(super) fn of(
        changes: &'a [Change],
        after: u64,
        range: Range<'_>,
        previous: bool,
        message_bytes: usize,
    ) -> Result<Self, TooLong> {
        let mut merged = Self { bytes: OVERHEAD_BYTES, through: after, ..Self::default() };
        for change in changes.iter().filter(|change| change.revision > after) {
            let inside = || change.events.iter().filter(|event| range.contains(event.key()));
            let more: usize = inside().map(|event| size_bound(event, previous)).sum();
            if more > 0 && merged.bytes + more > message_bytes {
                return if merged.keys.is_empty() { Err(TooLong) } else { Ok(merged) };
            }
            inside().for_each(|event| merged.add(event, previous));
            if more > 0 {
                merged.revision = change.revision;
            }
            merged.through = change.revision;
        }
        Ok(merged)
    }

    fn add(&mut self, event: &'a Event, previous: bool) {
        self.events += 1;
        let at = self.events;
        match self.places.get(event.key()) {
            Some(&place) => {
                let key = &mut self.keys[place];
                self.bytes -= size_bound(key.last, false);
                key.last = event;
                key.at = at;
                self.bytes += size_bound(event, false);
            }
            None => {
                self.bytes += size_bound(event, previous);
                self.places.insert(event.key(), self.keys.len());
                self.keys.push(Key { before: event.previous.as_ref(), last: event, at });
            }
        }
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        !self.keys.iter().any(Key::is_told)
    }

    /// The message's revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Appends the message's body.
    pub(super) fn encode(mut self, previous: bool, cursor: &[u8], body: &mut Vec<u8>) {
        self.keys.sort_unstable_by_key(|key| key.at);
        let told = self.keys.iter().filter(|key| key.is_told());
        let events = told.map(|key| key.to_wire(previous)).collect();
        let message = WatchMessage::Events { revision: self.revision, cursor, events };
        codec::encode(&message, body);
    }
}

impl<'a> Key<'a> {
    /// Whether the client has to know: a key that came and went in between leaves no trace. (One
    /// whose time was over before a write came ends with an event of its own, so what the client may
    /// still hold is the entry before.)
    fn is_told(&self) -> bool {
        self.before.is_some() || matches!(self.last.kind, EventKind::Put | EventKind::Touch)
    }

    /// The last event, with the entry before the first.
    fn to_wire(&self, previous: bool) -> WireEvent<'a> {
        let mut event = self.last.to_wire(false);
        match &mut event {
            WireEvent::Put { previous: before, .. }
            | WireEvent::Delete { previous: before, .. }
            | WireEvent::Expire { previous: before, .. }
            | WireEvent::Evict { previous: before, .. } => {
                *before = self.before.filter(|_| previous).map(Entry::stored);
            }
        }
        event
    }
}
