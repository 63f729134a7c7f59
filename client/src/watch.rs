//! Watches as streams, and the queue between the driver and a watch's reader.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use tidekeep_client_core::{WatchId, WatchRequest};
use tidekeep_protocol::codec;
use tidekeep_protocol::entry::Stored;
use tidekeep_protocol::op::{Event, WatchMessage};

use crate::client::Handle;
use crate::entry::Entry;
use crate::error::Error;

/// What an event costs beside its keys and values, in bytes.
const EVENT_BYTES: usize = 128;

/// The changes of a range, in order, over all connections: none is missing and none comes twice.
///
/// With content, pages of what the range holds come first, then [`WatchEvent::CaughtUp`], then the
/// changes. When the server no longer knows where the watch was (it was away for too long, or the
/// store was replaced), a watch with content is told the difference ([`crate::Resync`]): entries that
/// are new or changed as content, keys that are gone as deletes. Any other gets
/// [`WatchEvent::Reset`], then the content of the range. The stream ends only after an error; dropping
/// it ends the watch.
#[must_use = "dropping a watch ends it"]
pub struct Watch {
    handle: Arc<Handle>,
    id: WatchId,
    cursor: Option<Bytes>,
}

/// What comes for a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// What was seen so far is to be forgotten; the range's content follows.
    Reset,
    /// A page of what the range holds, in key order. After a gap, what of it is new or changed.
    Content(Vec<Entry>),
    /// The content, or the changes since the cursor, are complete; from here on it is live. Comes
    /// again after every reconnect.
    CaughtUp {
        /// The revision up to which everything was seen, in every group of the store.
        revision: u64,
        /// Resumes here.
        cursor: Bytes,
    },
    /// All changes that one revision made to the range.
    Changes {
        /// The revision. In a store of several groups it may be compared with others of the same keys
        /// alone.
        revision: u64,
        /// Resumes here.
        cursor: Bytes,
        /// The changes, in the order in which they were made.
        changes: Vec<Change>,
    },
    /// Nothing in the range changed up to this revision.
    Bookmark {
        /// The revision.
        revision: u64,
        /// Resumes here.
        cursor: Bytes,
    },
}

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// What happened.
    pub kind: ChangeKind,
    /// The entry as it was before, if it was asked for and there was one.
    pub previous: Option<Entry>,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was set, touched or incremented; the entry as it is now.
    Put(Entry),
    /// A client removed it.
    Delete,
    /// Its time was over.
    Expire,
    /// The server removed it to make room below its memory limit.
    Evict,
}

impl Watch {
    pub(crate) fn new(handle: Arc<Handle>, request: WatchRequest) -> Self {
        let cursor = request.cursor.clone().map(Bytes::from);
        let id = handle.shared().watch(request);
        Self { handle, id, cursor }
    }

    /// The next event; none once the watch has ended.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Where the reader is: another watch with this cursor begins behind the last event that was
    /// read. None while that cannot be resumed.
    pub fn cursor(&self) -> Option<&[u8]> {
        self.cursor.as_deref()
    }

    fn note(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Reset => self.cursor = None,
            WatchEvent::Content(_) => {}
            WatchEvent::CaughtUp { cursor, .. }
            | WatchEvent::Changes { cursor, .. }
            | WatchEvent::Bookmark { cursor, .. } => self.cursor = Some(cursor.clone()),
        }
    }
}

impl Stream for Watch {
    type Item = Result<WatchEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.handle.shared().read_watch(self.id, |feed| feed.poll(cx));
        if let Poll::Ready(Some(Ok(event))) = &polled {
            self.note(event);
        }
        polled
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.shared().unwatch(self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.id.0).finish_non_exhaustive()
    }
}

/// What waits for a watch's reader.
#[derive(Default)]
pub(crate) struct Feed {
    events: VecDeque<(usize, Result<WatchEvent, Error>)>,
    bytes: usize,
    ended: bool,
    reader: Option<Waker>,
    /// The core was asked to stop the stream until the reader has caught up.
    pub(crate) paused: bool,
}

impl Feed {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn reset(&mut self) {
        self.append(EVENT_BYTES, WatchEvent::Reset);
    }

    /// Adds a message. One that does not decode ends the watch: what it said is lost.
    pub(crate) fn push(&mut self, body: &[u8]) {
        match codec::decode(body) {
            Ok(message) => {
                let (bytes, event) = own(message);
                self.append(bytes, event);
            }
            Err(malformed) => self.end(Some(malformed.into())),
        }
    }

    fn append(&mut self, bytes: usize, event: WatchEvent) {
        if !self.ended {
            self.bytes += bytes;
            self.events.push_back((bytes, Ok(event)));
            self.wake();
        }
    }

    /// Nothing more will come but this error.
    pub(crate) fn end(&mut self, error: Option<Error>) {
        if !self.ended {
            self.ended = true;
            self.events.extend(error.map(|error| (0, Err(error))));
        }
        self.wake();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchEvent, Error>>> {
        if let Some((bytes, event)) = self.events.pop_front() {
            self.bytes -= bytes;
            return Poll::Ready(Some(event));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            None => self.reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// An event with its own copy of the bytes, and how many they are with all that comes with them.
fn own(message: WatchMessage<'_>) -> (usize, WatchEvent) {
    match message {
        WatchMessage::Content(entries) => {
            let mut copy = Copying::default();
            for entry in &entries {
                copy.add(entry.key).add(entry.stored.value);
            }
            let mut copied = copy.done();
            let own = |entry: &tidekeep_protocol::entry::Entry<'_>| copied.entry(entry);
            let entries: Vec<Entry> = entries.iter().map(own).collect();
            (copied.taken + EVENT_BYTES * (1 + entries.len()), WatchEvent::Content(entries))
        }
        WatchMessage::CaughtUp { revision, cursor } => {
            let cursor = Bytes::copy_from_slice(cursor);
            (EVENT_BYTES + cursor.len(), WatchEvent::CaughtUp { revision, cursor })
        }
        WatchMessage::Bookmark { revision, cursor } => {
            let cursor = Bytes::copy_from_slice(cursor);
            (EVENT_BYTES + cursor.len(), WatchEvent::Bookmark { revision, cursor })
        }
        WatchMessage::Events { revision, cursor, events } => {
            let mut copy = Copying::default();
            copy.add(cursor);
            for event in &events {
                let (key, value, previous) = parts(event);
                copy.add(key).add(value).add(previous.map_or(&[], |stored| stored.value));
            }
            let mut copied = copy.done();
            let cursor = copied.take(cursor.len());
            let changes: Vec<Change> = events.iter().map(|event| copied.change(event)).collect();
            let bytes = copied.taken + EVENT_BYTES * (1 + changes.len());
            (bytes, WatchEvent::Changes { revision, cursor, changes })
        }
    }
}

/// An event's key, value (empty if it has none) and previous entry.
fn parts<'a>(event: &Event<'a>) -> (&'a [u8], &'a [u8], Option<Stored<'a>>) {
    match *event {
        Event::Put { entry, previous } => (entry.key, entry.stored.value, previous),
        Event::Delete { key, previous }
        | Event::Expire { key, previous }
        | Event::Evict { key, previous } => (key, &[], previous),
    }
}

/// The keys and values of one message, copied into one allocation and cut out again in the same
/// order.
#[derive(Default)]
struct Copying(Vec<u8>);

impl Copying {
    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn done(self) -> Copied {
        Copied { bytes: self.0.into(), taken: 0 }
    }
}

struct Copied {
    bytes: Bytes,
    taken: usize,
}

impl Copied {
    fn take(&mut self, length: usize) -> Bytes {
        let start = self.taken;
        self.taken += length;
        self.bytes.slice(start..self.taken)
    }

    fn entry(&mut self, entry: &tidekeep_protocol::entry::Entry<'_>) -> Entry {
        let key = self.take(entry.key.len());
        let value = self.take(entry.stored.value.len());
        Entry::new(key, value, entry.stored.meta)
    }

    fn change(&mut self, event: &Event<'_>) -> Change {
        let (key, value, previous) = parts(event);
        let key = self.take(key.len());
        let value = self.take(value.len());
        let previous = previous
            .map(|stored| Entry::new(key.clone(), self.take(stored.value.len()), stored.meta));
        let kind = match event {
            Event::Put { entry, .. } => {
                ChangeKind::Put(Entry::new(key.clone(), value, entry.stored.meta))
            }
            Event::Delete { .. } => ChangeKind::Delete,
            Event::Expire { .. } => ChangeKind::Expire,
            Event::Evict { .. } => ChangeKind::Evict,
        };
        Change { key, kind, previous }
    }
}
