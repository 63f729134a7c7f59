//! Views: watched ranges that are kept with their values, and what shows in them.

use alloc::vec::Vec;

use tidekeep_protocol::op::Delivery;
use tidekeep_protocol::plain::push_bytes;
use tidekeep_protocol::range::{KeyRange, Range, successor};

use crate::core::Core;
use crate::output::WatchId;
use crate::time::Millis;
use crate::watch::WatchRequest;

/// Of a change in a patch: there is an entry.
const PRESENT: u8 = 1;

/// A mutation that has not settled shows.
const OPTIMISTIC: u8 = 2;

impl Core {
    /// Watches a range and keeps it, until [`Core::unwatch`]. `saved` is what [`Core::save_view`]
    /// gave earlier for the same range, or nothing; what it holds shows at once, and only what
    /// changed since is asked for. A refusal arrives as [`crate::Output::WatchFailed`].
    pub fn view(&mut self, now: Millis, range: KeyRange, saved: &[u8]) -> WatchId {
        let (content, delivery) = (true, Delivery::Latest);
        let request = WatchRequest { range, content, delivery, ..WatchRequest::default() };
        self.begin_watch(now, request, Some(saved))
    }

    /// Appends a patch with a view's state and at most `limit` of its entries in `range`, as they show
    /// now; false when there is no such view.
    pub fn read_view(
        &self,
        view: WatchId,
        range: Range<'_>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(slot) = self.watches.place(view.0) else { return false };
        let Some((_, _, state)) = self.watches.view(slot) else { return false };
        out.push(state);
        self.push_range(slot, range, limit, out);
        true
    }

    /// Appends a view's content and cursor as one blob for [`Core::view`], without what is
    /// optimistic; false while the content is not whole, and when there is no such view.
    pub fn save_view(&self, view: WatchId, out: &mut Vec<u8>) -> bool {
        let Some(slot) = self.watches.place(view.0) else { return false };
        let Some((_, known, _)) = self.watches.view(slot) else { return false };
        let Some(cursor) = self.watches.view_cursor(slot) else { return false };
        known.save(cursor, out);
        true
    }

    /// Tells a view all that it holds.
    pub(super) fn show_all(&mut self, slot: usize) {
        let Some(patch) = self.watches.patch(slot) else { return };
        let mut patch = core::mem::take(patch);
        self.push_range(slot, Range::default(), usize::MAX, &mut patch);
        if let Some(place) = self.watches.patch(slot) {
            *place = patch;
        }
    }

    /// Tells a view what a key is now.
    pub(crate) fn show(&mut self, slot: usize, key: &[u8]) {
        let Some(patch) = self.watches.patch(slot) else { return };
        let mut patch = core::mem::take(patch);
        self.push_key(slot, key, &mut patch);
        if let Some(place) = self.watches.patch(slot) {
            *place = patch;
        }
    }

    /// Tells all views what a key is now.
    pub(super) fn show_everywhere(&mut self, key: &[u8]) {
        let mut from = 0;
        while let Some(slot) = self.watches.next_view_of(from, key) {
            self.show(slot, key);
            from = slot + 1;
        }
    }

    /// Everything up to `revision` was sent to a view.
    pub(crate) fn view_passed(&mut self, slot: usize, revision: u64) {
        let mut keys = Vec::new();
        if let Some((range, _, _)) = self.watches.view(slot) {
            let from = self.queue.from(range.start);
            for mutation in &self.queue.list[from..] {
                if !range.contains(&mutation.key) {
                    break;
                }
                keys.push(mutation.key.clone());
            }
        }
        let view = self.watches.id(slot);
        for key in keys {
            if self.queue.noticed(view, &key, revision) {
                self.show(slot, &key);
            }
        }
    }

    fn push_range(&self, slot: usize, range: Range<'_>, limit: usize, out: &mut Vec<u8>) {
        let Some((whole, known, _)) = self.watches.view(slot) else { return };
        let mut from = range.start.max(whole.start).to_vec();
        for _ in 0..limit {
            let queued = self.queue.list.get(self.queue.from(&from)).map(|it| &*it.key);
            let key = match (known.next(&from), queued) {
                (Some(one), Some(other)) => one.min(other),
                (Some(key), None) | (None, Some(key)) => key,
                (None, None) => return,
            };
            if !range.contains(key) || !whole.contains(key) {
                return;
            }
            self.push_key(slot, key, out);
            from = successor(key);
        }
    }

    fn push_key(&self, slot: usize, key: &[u8], out: &mut Vec<u8>) {
        let Some((_, known, _)) = self.watches.view(slot) else { return };
        let (shown, optimistic) = self.queue.shown(self.watches.id(slot), key, known.stored(key));
        let present = if shown.is_some() { PRESENT } else { 0 };
        out.push(present | if optimistic { OPTIMISTIC } else { 0 });
        push_bytes(out, key);
        out.extend_from_slice(&shown.unwrap_or_default());
    }
}
