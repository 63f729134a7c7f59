//! Watch messages made of what the store hands out.

use tidekeep_log::{Change, Entry, Event, EventKind};
use tidekeep_protocol::codec;
use tidekeep_protocol::op::WatchMessage;
use tidekeep_protocol::planted;
use tidekeep_protocol::range::Range;

use super::positions::Positions;

/// More than an event, or a message, takes beside its keys and values.
pub(super) const OVERHEAD_BYTES: usize = 64;

/// What one change did to a range.
#[derive(Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) change: &'a Change,
    pub(crate) range: Range<'a>,
    /// Whether the entries before are wanted.
    pub(crate) previous: bool,
    /// Resumes behind the message.
    pub(crate) cursor: &'a [u8],
}

impl Events<'_> {
    /// At least how long the body is, without writing it.
    pub(crate) fn size_bound(&self) -> usize {
        let inside = self.change.events.iter().filter(|event| self.range.contains(event.key()));
        let sizes = inside.map(|event| size_bound(event, self.previous));
        OVERHEAD_BYTES + sizes.sum::<usize>()
    }

    /// Appends the message's body.
    pub(crate) fn encode(&self, body: &mut Vec<u8>) {
        let inside = self.change.events.iter().filter(|event| self.range.contains(event.key()));
        let most = if planted::is_awake("transaction-split") { 1 } else { usize::MAX };
        let events = inside.take(most).map(|event| event.to_wire(self.previous)).collect();
        let Self { change: &Change { revision, .. }, cursor, .. } = *self;
        codec::encode(&WatchMessage::Events { revision, cursor, events }, body);
    }
}

/// At least how long an event is on the wire.
pub(super) fn size_bound(event: &Event, previous: bool) -> usize {
    let now = match event.kind {
        EventKind::Put | EventKind::Touch => event.entry.packed_len(),
        EventKind::Delete | EventKind::Expire | EventKind::Evict => event.key().len(),
    };
    let before = event.previous.as_ref().filter(|_| previous);
    OVERHEAD_BYTES + now + before.map_or(0, |entry| entry.packed_len())
}

/// Appends the body of a page of content.
pub(crate) fn content(page: &[Entry], body: &mut Vec<u8>) {
    codec::encode(&WatchMessage::Content(page.iter().map(Entry::to_wire).collect()), body);
}

/// Appends the body of the message that says that everything up to `after` was sent.
pub(crate) fn caught_up(incarnation: u64, after: &Positions, body: &mut Vec<u8>) {
    let (revision, cursor) = (after.least(), cursor(incarnation, after));
    codec::encode(&WatchMessage::CaughtUp { revision, cursor: &cursor }, body);
}

/// Appends the body of the message that says that nothing changed up to `after`.
pub(crate) fn bookmark(incarnation: u64, after: &Positions, body: &mut Vec<u8>) {
    let (revision, cursor) = (after.least(), cursor(incarnation, after));
    codec::encode(&WatchMessage::Bookmark { revision, cursor: &cursor }, body);
}

pub(super) fn cursor(incarnation: u64, after: &Positions) -> Vec<u8> {
    let mut cursor = after.cursor(incarnation);
    if planted::is_awake("cursor-off-by-one") {
        cursor.revisions.iter_mut().for_each(|revision| *revision += 1);
    }
    cursor.to_bytes()
}
