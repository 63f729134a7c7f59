//! The recent changes as a snapshot keeps them, so that watches resume behind a restart although
//! the log before the snapshot is not read again.
//!
//! ```text
//! item: | kind u8 | revision u64 | at_ms u64 | length u32 | packed entry |
//! kind: 0 put, 1 delete, 2 expire, 3 the entry before the put or touch that follows, 4 evict, 5 no event, 6 touch
//! ```
//! Little-endian. A revision's events are items in a row. An entry that was removed is the entry
//! before as well. A revision that changed no entry, as when a lease is kept alive, is one item
//! without an entry.

use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::change::{Change, Event, EventKind};
use crate::entry::Entry;
use crate::few::Few;
use crate::recent::Recent;
use crate::snapshot::{Chunks, split_entry};

const PUT: u8 = 0;
const DELETE: u8 = 1;
const EXPIRE: u8 = 2;
const BEFORE: u8 = 3;
const EVICT: u8 = 4;
const NO_EVENT: u8 = 5;
const TOUCH: u8 = 6;
const LABEL_BYTES: usize = 17;

/// Gives changes in chunks; stops at the first error of `write`.
pub fn write<E>(
    changes: impl IntoIterator<Item = impl Borrow<Change>>,
    write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut chunks = Chunks::new(write);
    for change in changes {
        let change: &Change = change.borrow();
        if change.events.is_empty() {
            chunks.push(&label(NO_EVENT, change), &[])?;
        }
        for event in &change.events {
            let kind = match event.kind {
                EventKind::Put => PUT,
                EventKind::Touch => TOUCH,
                EventKind::Delete => DELETE,
                EventKind::Expire => EXPIRE,
                EventKind::Evict => EVICT,
            };
            if let (EventKind::Put | EventKind::Touch, Some(previous)) =
                (event.kind, &event.previous)
            {
                chunks.push_entry(&label(BEFORE, change), previous)?;
            }
            chunks.push_entry(&label(kind, change), &event.entry)?;
        }
    }
    chunks.finish()
}

fn label(kind: u8, change: &Change) -> [u8; LABEL_BYTES] {
    let mut label = [kind; LABEL_BYTES];
    label[1..9].copy_from_slice(&change.revision.to_le_bytes());
    label[9..].copy_from_slice(&change.at_ms.to_le_bytes());
    label
}

/// Puts changes together again from their chunks.
#[derive(Debug, Default)]
pub struct Reader {
    recent: Option<Recent>,
    bytes_max: usize,
    /// The change that the next event may belong to.
    last: Option<Change>,
    /// The entry before the put or touch that follows.
    before: Option<Entry>,
    scratch: Vec<u8>,
}

impl Reader {
    /// A reader that keeps changes worth `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Takes in the next chunk. None if it is no chunk of changes, each one revision after the one
    /// before it.
    #[must_use = "what cannot be read must not be passed over"]
    pub fn read(&mut self, chunk: &[u8]) -> Option<()> {
        let mut rest = chunk;
        while let Some((label, behind)) = rest.split_first_chunk::<LABEL_BYTES>() {
            let (entry, behind) = split_entry(behind)?;
            match entry {
                [] => self.take_no_event(label)?,
                entry => {
                    let entry = Entry::unpack(entry, &mut self.scratch)?;
                    self.take(label, entry)?;
                }
            }
            rest = behind;
        }
        rest.is_empty().then_some(())
    }

    /// What is remembered at `revision`; none if the changes end in the middle or do not lead there.
    pub fn into_recent(mut self, revision: u64) -> Option<Recent> {
        self.flush();
        let recent = self.recent.unwrap_or_else(|| Recent::new(revision));
        (self.before.is_none() && recent.newest() == revision).then_some(recent)
    }

    fn take(&mut self, label: &[u8; LABEL_BYTES], entry: Entry) -> Option<()> {
        let (revision, at_ms) = place(label);
        let before = self.before.take();
        let (kind, previous) = match (label[0], before) {
            (BEFORE, None) => {
                self.before = Some(entry);
                return Some(());
            }
            (PUT, before) => (EventKind::Put, before),
            (TOUCH, Some(before)) => (EventKind::Touch, Some(before)),
            (DELETE, None) => (EventKind::Delete, Some(entry.clone())),
            (EXPIRE, None) => (EventKind::Expire, Some(entry.clone())),
            (EVICT, None) => (EventKind::Evict, Some(entry.clone())),
            _ => return None,
        };
        let event = Event { kind, entry, previous };
        match &mut self.last {
            Some(last) if last.revision == revision && !last.events.is_empty() => {
                last.events.push(event);
                Some(())
            }
            _ => self.begin(Change { revision, at_ms, events: Few::of(event) }),
        }
    }

    fn take_no_event(&mut self, label: &[u8; LABEL_BYTES]) -> Option<()> {
        let (revision, at_ms) = place(label);
        let whole = label[0] == NO_EVENT && self.before.is_none();
        whole.then(|| self.begin(Change { revision, at_ms, events: Few::default() }))?
    }

    /// Takes in the first item of a change, if its revision is the next one.
    fn begin(&mut self, change: Change) -> Option<()> {
        let before = change.revision.checked_sub(1)?;
        if self.last.as_ref().is_some_and(|last| last.revision != before) {
            return None;
        }
        self.flush();
        self.last = Some(change);
        Some(())
    }

    /// Remembers the last change, to which nothing comes any more.
    fn flush(&mut self) {
        let Some(change) = self.last.take() else { return };
        let revision = change.revision;
        let recent = self.recent.get_or_insert_with(|| Recent::new(revision - 1));
        recent.push(change, self.bytes_max);
        recent.forget(revision, self.bytes_max, usize::MAX);
    }
}

/// The revision of an item, and when it was ordered.
fn place(label: &[u8; LABEL_BYTES]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| label[at + i]));
    (number(1), number(9))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use tidekeep_protocol::entry::Meta;

    use super::*;

    fn entry(key: &[u8], revision: u64, value: &[u8]) -> Entry {
        let meta =
            Meta { created: 1, modified: revision, version: 1, expires_at: None, lease: None };
        Entry::new(key, value, meta, &mut Vec::new())
    }

    fn changes() -> Vec<Change> {
        let (old, new) = (entry(b"a", 4, b"old"), entry(b"a", 5, b"new"));
        let put = |entry, previous| Event { kind: EventKind::Put, entry, previous };
        let touch = |entry, previous| Event { kind: EventKind::Touch, entry, previous };
        let gone = |kind, entry: Entry| Event { kind, previous: Some(entry.clone()), entry };
        vec![
            Change { revision: 4, at_ms: 40, events: vec![put(old.clone(), None)].into() },
            Change {
                revision: 5,
                at_ms: 50,
                events: vec![
                    put(new.clone(), Some(old)),
                    gone(EventKind::Delete, new),
                    put(entry(b"b", 5, &[7; 300_000]), None),
                    touch(entry(b"f", 5, b"same"), Some(entry(b"f", 2, b"same"))),
                ]
                .into(),
            },
            Change {
                revision: 6,
                at_ms: 60,
                events: vec![
                    gone(EventKind::Expire, entry(b"c", 2, b"")),
                    gone(EventKind::Evict, entry(b"d", 3, b"")),
                ]
                .into(),
            },
            Change { revision: 7, at_ms: 70, events: vec![].into() },
            Change { revision: 8, at_ms: 70, events: vec![].into() },
            Change {
                revision: 9,
                at_ms: 90,
                events: vec![gone(EventKind::Delete, entry(b"e", 2, b""))].into(),
            },
        ]
    }

    fn chunks(changes: &[Change]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        write(changes, |chunk| {
            chunks.push(chunk.to_vec());
            Ok::<(), ()>(())
        })
        .unwrap();
        chunks
    }

    fn read<'a>(
        chunks: impl IntoIterator<Item = &'a [u8]>,
        bytes_max: usize,
        revision: u64,
    ) -> Option<Vec<Change>> {
        let mut reader = Reader::new(bytes_max);
        for chunk in chunks {
            reader.read(chunk)?;
        }
        Some(reader.into_recent(revision)?.all(revision).changes().collect())
    }

    #[test]
    fn changes_come_back_as_they_were() {
        let chunks = chunks(&changes());
        assert!(chunks.len() > 1, "a long entry has a chunk of its own");
        let chunks = || chunks.iter().map(Vec::as_slice);
        assert_eq!(read(chunks(), usize::MAX, 9), Some(changes()));
        assert_eq!(read(chunks(), usize::MAX, 8), None, "they lead elsewhere");
        assert_eq!(read([], usize::MAX, 8), Some(Vec::new()));
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let chunks = chunks(&changes());
        let some = read(chunks.iter().map(Vec::as_slice), 1000, 9).expect("they are whole");
        assert!(!some.is_empty() && changes().ends_with(&some) && some.len() < changes().len());
    }

    #[test]
    fn what_is_cut_or_has_a_hole_is_refused() {
        let whole = chunks(&changes()[..1]).concat();
        for end in 1..whole.len() {
            assert_eq!(read([&whole[..end]], usize::MAX, 4), None);
        }
        let hole = chunks(&[changes().remove(0), changes().remove(2)]).concat();
        assert_eq!(read([&hole[..]], usize::MAX, 6), None);
        let before = chunks(&changes()[..1]).concat();
        let alone = [&[BEFORE][..], &before[1..]].concat();
        assert_eq!(read([&alone[..]], usize::MAX, 4), None, "an entry before nothing");
        let unknown = [&[9][..], &before[1..]].concat();
        assert_eq!(read([&unknown[..]], usize::MAX, 4), None);
    }
}
