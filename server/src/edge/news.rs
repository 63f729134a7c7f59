//! What a connection waits for that follows the changes of all groups: the next one of each.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidekeep_log::{Changed, Commit, Feed};

use crate::session::{Due, Resp, Session};

/// Who follows the changes of groups.
pub(super) trait Follows {
    /// Goes on in so many groups, if the only one was split into them; whether it was.
    fn regroup(&mut self, groups: usize) -> bool;

    /// The revision of a group behind which a change is waited for; none while there is nothing to wait for.
    fn waits_for_change(&self, group: usize) -> Option<u64>;

    /// Notes that a group has changed.
    fn changed(&mut self, group: usize);
}

impl Follows for Session {
    fn regroup(&mut self, groups: usize) -> bool {
        self.regroup(groups)
    }

    fn waits_for_change(&self, group: usize) -> Option<u64> {
        self.waits_for_change(group)
    }

    fn changed(&mut self, group: usize) {
        self.changed(group);
    }
}

impl Follows for Resp {
    fn regroup(&mut self, groups: usize) -> bool {
        self.regroup(groups)
    }

    fn waits_for_change(&self, group: usize) -> Option<u64> {
        self.waits_for_change(group)
    }

    fn changed(&mut self, group: usize) {
        self.changed(group);
    }
}

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

    /// Tells who follows the groups which of them have changed, and of how many there are; whether there was anything
    /// to tell.
    pub(super) fn tell(
        &mut self,
        context: &mut Context<'_>,
        commit: &dyn Commit,
        follower: &mut impl Follows,
    ) -> bool {
        loop {
            let feeds = commit.feeds();
            let regrouped = follower.regroup(feeds.len());
            let mut due = self.poll(context, feeds, |group| follower.waits_for_change(group));
            let any = due.any();
            while let Some(group) = due.next(0) {
                due.clear(group);
                follower.changed(group);
            }
            // What ended may have been a feed whose group was split: nothing would wake this any more.
            if commit.feeds().len() == feeds.len() {
                return any || regrouped;
            }
        }
    }

    /// The groups that have a change behind the revision that `waits` gives for them.
    fn poll(
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
