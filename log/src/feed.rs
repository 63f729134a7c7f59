//! What one group makes known: its revisions in their order, its recent changes, and cuts of what it holds.
//! Watches, events and views are made of it. A [`Commit`](crate::Commit) has one for each of its groups.

use std::fmt;
use std::sync::Arc;

use tidekeep_protocol::range::KeyRange;
use tidekeep_store::change::Change;
use tidekeep_store::view::View;

use crate::commit::{Lost, Promise};

/// One group's order, as far as it may be shown. A key never changes its group, so that all changes of a
/// key are in one feed.
pub trait Feed: Send + Sync {
    /// The newest revision that is safe to show, and that a reply may have shown already.
    fn revision(&self) -> u64;

    /// The newest revision that anybody may have been shown of this history: no cursor is behind it.
    fn last_revision(&self) -> u64 {
        self.revision()
    }

    /// The changes after a revision that are safe to show, oldest first: at most `bytes` of memory,
    /// but at least one if there is one.
    ///
    /// # Errors
    /// [`TooOld`]: some of them have been forgotten.
    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld>;

    /// Resolves when there is a safe change after a revision, or when it has been forgotten.
    fn changed(&self, after: u64) -> Changed;

    /// A frozen cut of a range. It is safe to show when it resolves.
    fn view(&self, range: &KeyRange) -> PendingView;

    /// Whether all that is asked here is known here. If not, a view or [`Self::reach`] is to come before
    /// other questions, since what they would answer is not known yet.
    fn is_at_hand(&self) -> bool {
        true
    }

    /// Resolves when the changes after a revision can be asked for, as far as they are remembered anywhere.
    fn reach(&self, after: u64) -> Changed {
        let _ = after;
        Promise::ready(Ok(()))
    }
}

/// A view, once it may be shown.
pub type PendingView = Promise<Result<View, Lost>>;

/// That there is a change.
pub type Changed = Promise<Result<(), Lost>>;

/// A run of changes that is safe to show.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The changes, oldest first, with no revision left out.
    pub changes: Vec<Change>,
    /// Everything up to this revision has been given, now or before: the last change's when more
    /// follow, else the newest safe one.
    pub through: u64,
}

/// The changes asked for have been forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    /// Changes after this revision are still known.
    pub oldest: u64,
}

impl fmt::Display for TooOld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "only changes after revision {} are still known", self.oldest)
    }
}

impl std::error::Error for TooOld {}

/// A view of each group, once all may be shown.
pub type PendingViews = Promise<Result<Vec<View>, Lost>>;

/// Resolves, with no view, when the changes after a revision of each group can be asked for.
pub fn reach(feeds: &[Arc<dyn Feed>], after: impl IntoIterator<Item = u64>) -> PendingViews {
    let pending: Vec<Changed> =
        feeds.iter().zip(after).map(|(feed, after)| feed.reach(after)).collect();
    Promise::later(async move {
        for reached in pending {
            reached.await?;
        }
        Ok(Vec::new())
    })
}

/// A frozen cut of a range of every group, each at a moment of its own.
pub fn views(feeds: &[Arc<dyn Feed>], range: &KeyRange) -> PendingViews {
    let mut pending: Vec<PendingView> = feeds.iter().map(|feed| feed.view(range)).collect();
    if pending.len() == 1
        && let Some(view) = pending.pop()
    {
        return match view.into_ready() {
            Ok(view) => Promise::ready(view.map(|view| vec![view])),
            Err(view) => Promise::later(async move { Ok(vec![view.await?]) }),
        };
    }
    Promise::later(async move {
        let mut views = Vec::with_capacity(pending.len());
        for view in pending {
            views.push(view.await?);
        }
        Ok(views)
    })
}
