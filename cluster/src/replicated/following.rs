//! The feed of a group that has a replica here: what of it was applied.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use openraft::type_config::AsyncRuntime;
use tidekeep_log::{Changed, Changes, Feed, PendingView, Promise, TooOld, View};
use tidekeep_protocol::range::KeyRange;

use crate::replicated::sequencer::Sequencer;

/// A feed of what is applied here.
pub(super) struct Following<R: AsyncRuntime>(Arc<Sequencer<R>>);

impl<R: AsyncRuntime> Following<R> {
    pub(super) fn new(sequencer: Arc<Sequencer<R>>) -> Self {
        Self(sequencer)
    }
}

impl<R: AsyncRuntime> Feed for Following<R> {
    fn revision(&self) -> u64 {
        self.0.member.replica().revision()
    }

    fn last_revision(&self) -> u64 {
        // Another node may have shown one that is still on its way here.
        u64::MAX
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        self.0.member.replica().changes(after, bytes)
    }

    fn changed(&self, after: u64) -> Changed {
        let changed = self.0.member.replica().changed(after);
        let sequencer = Arc::clone(&self.0);
        Promise::later(async move {
            match select(changed, pin!(sequencer.until_ended())).await {
                Either::Left((changed, _)) => changed,
                // What changes now is to be asked elsewhere.
                Either::Right(_) => Ok(()),
            }
        })
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        let range = range.clone();
        self.0.look(move |replica| -> View { replica.view(&range) })
    }
}
