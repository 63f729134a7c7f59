//! The beat: once a heartbeat, one timer of the node has all its groups do what openraft has a timer of each
//! do five times as often. While all is calm, openraft's own timers rest: leaders send their heartbeats on
//! the beat, so that those to one node leave together, and followers look whether they have heard their leader.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::raft::AppendEntriesResponse;
use openraft::type_config::AsyncRuntime;
use openraft::{Instant, ServerState};

use crate::raft::member::Member;
use crate::raft::types::Types;

/// Heartbeats within which a leader that is well is heard.
const SILENT: u32 = 2;

impl<R: AsyncRuntime> Member<R> {
    /// Time between two beats.
    pub fn beats_every(&self) -> Duration {
        self.config.heartbeat
    }

    /// Sends heartbeats if this member leads. Lets openraft's timer go on wherever something is amiss: nobody
    /// was heard to lead for two heartbeats, or openraft takes no order. It stands for election after six
    /// heartbeats at the earliest, so the timer has long been back by then.
    pub async fn beat(&self) {
        let leads = self.raft.server_metrics().borrow_watched().state == ServerState::Leader;
        let calm = match leads {
            true => {
                // One that takes none now must not keep the other groups from beating.
                let engine = self.raft.trigger();
                let sent = R::timeout(self.config.heartbeat / 2, engine.heartbeat()).await;
                matches!(sent, Ok(Ok(())))
            }
            false => self.hears_leader(),
        };
        self.raft.runtime_config().tick(!calm);
    }

    /// Keeps so many bytes of entries in memory, for members that lag behind: whoever lags further is sent a
    /// whole state. To be called now and then, since entries come all the time.
    pub async fn keep(&self, bytes: usize) {
        if self.store.keep(bytes) {
            // A member that has stopped keeps what it has.
            let _ = R::timeout(self.config.heartbeat / 2, self.raft.trigger().snapshot()).await;
        }
    }

    fn hears_leader(&self) -> bool {
        let heard = *self.heard.lock();
        heard.is_some_and(|heard| R::Instant::now() - heard < self.config.heartbeat * SILENT)
    }

    /// Notes when a leader was heard, by what it was answered.
    pub(super) fn note_heard(&self, at: R::Instant, answer: &AppendEntriesResponse<Types<R>>) {
        // One whose time is over is heard by nobody.
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            *self.heard.lock() = Some(at);
        }
    }
}
