//! A block of changes as bytes in a row. An entry that was written over is in the core's cache when its
//! change is remembered: its bytes are copied to where the last ones went, and its memory is free for the
//! next entry at once. When a block is forgotten, nothing in it is looked at.
//!
//! ```text
//! event: | form u8 | label? | label? | numbers, key, value? | numbers, value? |
//! label: | head u64 | length u32 |
//! form:  kind 3 bits, the entry 1, the entry before 2
//! ```
//! Little-endian. The first label and bytes are the entry's, the second those of the one before, whose key
//! is the same. Others are *shared*: long ones and those of a change of very many keys, since copying takes
//! time, and those of new keys, which the store keeps, since copies of all that a new store holds would be
//! as much again.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::change::{Change, Event, EventKind};
use crate::entry::Entry;
use crate::few::Few;

/// Bytes of an entry from which it is shared.
const SHARED_MIN: usize = 512;

/// Bytes in a block after which no more entries are copied: one change may be of millions of keys.
const COPIED_MAX: usize = 256 << 10;

/// Own bytes after which a block is full.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// The bits of a form: the event's kind is below them.
const KIND: u8 = 7;
const COPIED: u8 = 1 << 3;
const BEFORE: u8 = 3 << 4;
const BEFORE_COPIED: u8 = 1 << 4;
const BEFORE_SHARED: u8 = 2 << 4;
/// The entry before is the entry, as of one that was removed.
const BEFORE_SAME: u8 = 3 << 4;

const LABEL_BYTES: usize = 12;

/// Changes that follow each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    shared: Vec<Entry>,
    /// What the shared entries cost.
    shared_cost: usize,
    /// What those of them cost that the store no longer has.
    held: usize,
}

/// Where a change ends in the rows of its block; it begins where the one before it ends.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    at_ms: u64,
    bytes_end: u32,
    shared_end: u32,
}

impl Block {
    /// How many changes it has.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What it takes itself, in bytes.
    pub(crate) fn own(&self) -> usize {
        let shared = self.shared.len() * size_of::<Entry>();
        let head = if self.slots.is_empty() { 0 } else { size_of::<Self>() };
        head + self.slots.len() * size_of::<Slot>() + self.bytes.len() + shared
    }

    /// What it costs while it is remembered, in bytes, as if nobody else had its entries.
    pub(crate) fn cost(&self) -> usize {
        self.own() + self.shared_cost
    }

    /// What it holds in memory that nothing else counts, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.own() + self.held
    }

    /// Adds a change to those after `oldest` that are remembered.
    pub(crate) fn push(&mut self, at_ms: u64, events: Few<Event>, oldest: u64) {
        for event in &events {
            self.push_event(event, oldest);
        }
        // A block that is full takes no more, and of a change of very many keys little is copied.
        let (bytes_end, shared_end) = (self.bytes.len() as u32, self.shared.len() as u32);
        self.slots.push(Slot { at_ms, bytes_end, shared_end });
    }

    fn push_event(&mut self, event: &Event, oldest: u64) {
        let Event { kind, entry, previous } = event;
        let copies = self.bytes.len() < COPIED_MAX;
        let is_short = |entry: &Entry| copies && entry.bytes().len() < SHARED_MIN;
        // The change that made a key is remembered with the entry itself, which is here to stay, then.
        let is_shared =
            |gone: &Entry| gone.created() == gone.modified() && gone.modified() > oldest;
        let is_copied = |gone: &Entry| is_short(gone) && !is_shared(gone);
        let is_kept = entry.owners() > 1;
        let (before, copied_before, copied) = match previous {
            None => (0, None, is_short(entry) && !is_kept),
            Some(previous) if previous.address() == entry.address() => {
                (BEFORE_SAME, None, is_copied(entry))
            }
            Some(previous) if is_copied(previous) => {
                (BEFORE_COPIED, Some(previous), is_short(entry))
            }
            Some(_) => (BEFORE_SHARED, None, is_short(entry)),
        };
        let mut head = [0; 1 + 2 * LABEL_BYTES];
        head[0] = *kind as u8 | before | if copied { COPIED } else { 0 };
        let mut end = 1;
        let mut label = |number: u64, length: usize| {
            head[end..end + 8].copy_from_slice(&number.to_le_bytes());
            head[end + 8..end + LABEL_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
            end += LABEL_BYTES;
        };
        if copied {
            label(entry.parts().0, entry.bytes().len());
        }
        if let Some(previous) = copied_before {
            let (number, numbers, value) = previous.parts();
            label(number, numbers.len() + value.len());
        }
        self.bytes.extend_from_slice(&head[..end]);
        if copied {
            self.bytes.extend_from_slice(entry.bytes());
        } else {
            self.share(entry, !is_kept || before == BEFORE_SAME);
        }
        if let Some(previous) = copied_before {
            let (_, numbers, value) = previous.parts();
            self.bytes.extend_from_slice(numbers);
            self.bytes.extend_from_slice(value);
        }
        if let (BEFORE_SHARED, Some(previous)) = (before, previous) {
            self.share(previous, true);
        }
    }

    /// Keeps an entry as it is.
    fn share(&mut self, entry: &Entry, is_gone: bool) {
        self.shared_cost += entry.cost();
        self.held += if is_gone { entry.cost() } else { 0 };
        self.shared.push(entry.clone());
    }

    /// The changes from the one in place `at`, the first of which has this revision.
    pub(crate) fn changes(&self, at: usize, revision: u64) -> impl Iterator<Item = Change> {
        let mut start = self.end_before(at);
        let mut scratch = Vec::new();
        let slots = self.slots.get(at..).unwrap_or_default();
        slots.iter().zip(revision..).map(move |(slot, revision)| {
            let bytes = &self.bytes[start.bytes_end as usize..slot.bytes_end as usize];
            let shared = &self.shared[start.shared_end as usize..slot.shared_end as usize];
            start = *slot;
            let mut events = Events { bytes, shared, scratch: &mut scratch };
            let mut change = Change { revision, at_ms: slot.at_ms, events: Few::default() };
            while let Some(event) = events.next() {
                change.events.push(event);
            }
            change
        })
    }

    /// A block of those of its changes that are in a part.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        let (from, to) = (from.min(to), to.min(self.len()));
        let (start, end) = (self.end_before(from), self.end_before(to));
        let bytes = &self.bytes[start.bytes_end as usize..end.bytes_end as usize];
        let shared = &self.shared[start.shared_end as usize..end.shared_end as usize];
        let slots = self.slots[from..to].iter().map(|slot| Slot {
            bytes_end: slot.bytes_end - start.bytes_end,
            shared_end: slot.shared_end - start.shared_end,
            ..*slot
        });
        Self {
            slots: slots.collect(),
            bytes: bytes.to_vec(),
            shared: shared.to_vec(),
            ..Self::default()
        }
    }

    /// Where the change before place `at` ends.
    fn end_before(&self, at: usize) -> Slot {
        at.checked_sub(1).map_or(Slot::default(), |before| self.slots[before])
    }

    /// The block, which takes no more changes.
    pub(crate) fn seal(mut self) -> Arc<Self> {
        // What grew by doubling may have room for as much again.
        if self.capacity() > self.own() + self.own() / 4 {
            self.slots.shrink_to_fit();
            self.bytes.shrink_to_fit();
            self.shared.shrink_to_fit();
        }
        Arc::new(self)
    }

    /// An empty block with memory for about as much, and a little more.
    pub(crate) fn like(&self) -> Self {
        let room = |len: usize, each: usize| (len + len / 16).min(BLOCK_BYTES / each);
        Self {
            slots: Vec::with_capacity(room(self.slots.len(), size_of::<Slot>())),
            bytes: Vec::with_capacity(room(self.bytes.len(), 1)),
            shared: Vec::with_capacity(room(self.shared.len(), size_of::<Entry>())),
            ..Self::default()
        }
    }

    /// The entries that it shared, and an empty block in its memory unless that is more than one needs.
    pub(crate) fn empty(mut self) -> (Vec<Entry>, Option<Self>) {
        let shared = core::mem::take(&mut self.shared);
        self.slots.clear();
        self.bytes.clear();
        let empty = Self { slots: self.slots, bytes: self.bytes, ..Self::default() };
        (shared, Some(empty).filter(|empty| empty.capacity() <= 2 * BLOCK_BYTES))
    }

    /// What it takes and might take without another allocation, in bytes.
    fn capacity(&self) -> usize {
        size_of::<Self>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.bytes.capacity()
            + self.shared.capacity() * size_of::<Entry>()
    }
}

/// The events of a change.
struct Events<'a> {
    bytes: &'a [u8],
    shared: &'a [Entry],
    scratch: &'a mut Vec<u8>,
}

impl Events<'_> {
    fn next(&mut self) -> Option<Event> {
        let (&form, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        let kind = match form & KIND {
            0 => EventKind::Put,
            1 => EventKind::Touch,
            2 => EventKind::Delete,
            3 => EventKind::Expire,
            _ => EventKind::Evict,
        };
        let label = (form & COPIED != 0).then(|| self.label());
        let label_before = (form & BEFORE == BEFORE_COPIED).then(|| self.label());
        let entry = match label {
            Some((head, length)) => {
                Entry::of_parts(head, [self.take(length), &[], &[]], self.scratch)
            }
            None => self.next_shared(),
        };
        let previous = match (form & BEFORE, label_before) {
            (_, Some((head, length))) => {
                let (numbers, value) = self.take(length).split_at(Entry::numbers_len(head));
                Some(Entry::of_parts(head, [numbers, entry.key(), value], self.scratch))
            }
            (BEFORE_SHARED, None) => Some(self.next_shared()),
            (BEFORE_SAME, None) => Some(entry.clone()),
            _ => None,
        };
        Some(Event { kind, entry, previous })
    }

    fn label(&mut self) -> (u64, usize) {
        let bytes = self.take(LABEL_BYTES);
        let head = u64::from_le_bytes(core::array::from_fn(|at| bytes[at]));
        let length = u32::from_le_bytes(core::array::from_fn(|at| bytes[8 + at]));
        (head, length as usize)
    }

    fn next_shared(&mut self) -> Entry {
        let (first, rest) = self.shared.split_first().expect("a form without bytes has an entry");
        self.shared = rest;
        first.clone()
    }
}

impl<'a> Events<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }
}
