//! A node that is about to stop lets others lead first, so that nobody waits for an election.

use std::time::Duration;

use futures_util::future::join_all;

use crate::node::running::Node;
use crate::raft::{Instant, Member, Runtime};

/// Time for another to take over. An election takes about as long.
const HAND_OVER: Duration = Duration::from_secs(2);

impl<R: Runtime> Node<R> {
    /// Lets other nodes lead the groups that this one leads, as far as there are others that have followed.
    pub async fn retire(&self) {
        let members = self.all_members();
        // All at once: who cannot write does not learn that somebody has taken over, and waits in vain for each.
        join_all(members.iter().map(|member| self.retire_from(member))).await;
    }

    async fn retire_from(&self, member: &Member<R>) {
        let standing = member.standing();
        if !standing.leads {
            return;
        }
        let others = standing
            .followed
            .iter()
            .filter(|(node, _)| **node != self.id() && standing.voters.contains(node));
        let Some((&to, _)) = others.max_by_key(|(_, followed)| **followed) else { return };
        if let Err(error) = self.hand_over(member, to, R::Instant::now() + HAND_OVER).await {
            tracing::debug!(%error, "nobody took over; the others will elect a leader");
        }
    }
}
