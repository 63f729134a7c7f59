//! The node's beat: all its groups send their heartbeats, and look whether they hear their leaders, at the same
//! moment. So an idle node wakes a few times a second, however many groups it has.

use futures_util::future::join_all;

use crate::node::running::{Life, Node};
use crate::raft::Runtime;

impl<R: Runtime> Node<R> {
    /// Beats until the node's life ends.
    pub(super) async fn beat(self) {
        while self.life() == Life::Serving {
            // From now, so that what takes long makes no beat late.
            let next = R::sleep(self.meta().beats_every());
            let members = self.all_members();
            let each = self.entries_bytes() / members.len();
            join_all(members.iter().map(|member| async move {
                member.beat().await;
                member.keep(each).await;
            }))
            .await;
            next.await;
        }
    }
}
