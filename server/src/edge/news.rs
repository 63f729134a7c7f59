//! What a connection waits for that follows the changes of all groups: the next one of each.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidekeep_log::{Changed, Feed};

use crate::session::Due;

/// The next change of each group that is waited for.
#[derive(Default)]
pub(super) struct News {
    pending: Vec<Option<Changed>>,
    /// Of how many groups they are.
    groups: usize,
}

impl News {
    /// Whether no group's change is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.iter().all(Option::is_none)
    }

    /// The groups that have a change behind the revision that `waits` gives for them.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        feeds: &[Arc<dyn Feed>],
        waits: impl Fn(usize) -> Option<u64>,
    ) -> Due {
        let mut due = Due::default();
        if self.groups != feeds.len() {
            // What is waited for is of the group that these were split from.
            self.pending.clear();
            self.groups = feeds.len();
        }
        for (group, feed) in feeds.iter().enumerate() {
            let Some(after) = waits(group) else {
                if let Some(pending) = self.pending.get_mut(group) {
                    *pending = None;
                }
                continue;
            };
            if self.pending.len() <= group {
                self.pending.resize_with(group + 1, || None);
            }
            let pending = &mut self.pending[group];
            let changed = pending.get_or_insert_with(|| feed.changed(after));
            let Poll::Ready(result) = Pin::new(changed).poll(context) else { continue };
            *pending = None;
            // After a failure of storage nothing changes any more; the server is about to end.
            if result.is_ok() {
                due.note(group);
            }
        }
        due
    }
}
