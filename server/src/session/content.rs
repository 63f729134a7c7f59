//! What a range held when a watch began or a client asked for its keys: a cut of each group, given in pages
//! in the order of keys.

use std::collections::VecDeque;

use tidekeep_log::{Entry, View};

use super::positions::Positions;

/// Entries that are taken from a group at once at least: fewer are not worth the look.
const STEP_ENTRIES: usize = 16;

/// The cuts of all groups, merged.
#[derive(Debug)]
pub(crate) struct Content {
    parts: Vec<Part>,
}

/// What is left of a group.
#[derive(Debug)]
struct Part {
    view: View,
    /// The last key that was taken from it.
    last_key: Option<Vec<u8>>,
    /// What was taken from it and not yet given.
    ready: VecDeque<Entry>,
    ended: bool,
}

impl Content {
    /// Of a view of each group.
    pub(crate) fn new(views: Vec<View>) -> Self {
        let part = |view| Part { view, last_key: None, ready: VecDeque::new(), ended: false };
        Self { parts: views.into_iter().map(part).collect() }
    }

    /// The revisions of the cuts.
    pub(crate) fn positions(&self) -> Positions {
        self.parts.iter().map(|part| part.view.revision()).collect()
    }

    /// The next entries in the order of keys: at most `entries` of them, of `bytes` in sum, but at
    /// least one; empty at the end.
    pub(crate) fn page(&mut self, entries: usize, bytes: usize) -> Vec<Entry> {
        if let [part] = &mut self.parts[..] {
            return part.take(entries, bytes);
        }
        let groups = self.parts.len().max(1);
        let (step, step_bytes) = ((entries / groups).max(STEP_ENTRIES), bytes / groups);
        let (mut page, mut left) = (Vec::new(), bytes);
        while page.len() < entries {
            self.parts.iter_mut().for_each(|part| part.refill(step, step_bytes));
            let heads = self.parts.iter().enumerate();
            let heads = heads.filter_map(|(at, part)| Some((part.ready.front()?.key(), at)));
            let Some((_, at)) = heads.min() else { break };
            let ready = &mut self.parts[at].ready;
            let taken = ready.front().map_or(0, Entry::packed_len);
            if taken > left && !page.is_empty() {
                break;
            }
            left = left.saturating_sub(taken);
            page.extend(ready.pop_front());
        }
        page
    }

    /// Memory that it takes for itself, in bytes. What the cuts hold is shared with the store.
    pub(crate) fn held_bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| {
            let last_key = part.last_key.as_ref().map_or(0, Vec::capacity);
            part.view.held_bytes() + last_key + part.ready.capacity() * size_of::<Entry>()
        });
        parts.sum::<usize>() + self.parts.capacity() * size_of::<Part>()
    }
}

impl Part {
    fn take(&mut self, entries: usize, bytes: usize) -> Vec<Entry> {
        let page = self.view.page(self.last_key.as_deref(), entries, bytes);
        if let Some(last) = page.last() {
            self.last_key = Some(last.key().to_vec());
        }
        page
    }

    fn refill(&mut self, entries: usize, bytes: usize) {
        if self.ready.is_empty() && !self.ended {
            self.ready = self.take(entries, bytes).into();
            self.ended = self.ready.is_empty();
        }
    }
}
