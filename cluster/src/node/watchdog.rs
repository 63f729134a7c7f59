//! The watchdog: a node whose disk hangs gives up what it leads and does not stand for election until the
//! disk answers again. Without that it would go on to lead, since heartbeats need no disk, while all that it
//! has to write itself waits. A disk that fails, and does not merely hang, ends the process.

use std::time::Duration;

use crate::node::running::{Life, Node};
use crate::raft::Runtime;

/// Between two looks at the disk.
const LOOK: Duration = Duration::from_millis(100);

impl<R: Runtime> Node<R> {
    /// Watches the disk until the node's life ends.
    pub(super) async fn watch_disk(self) {
        let mut hung = false;
        while self.life() == Life::Serving {
            let hangs = self.disk_hangs();
            if hangs != hung {
                hung = hangs;
                self.stand_for_election(!hangs);
                if hangs {
                    tracing::warn!("the disk hangs; this node lets others lead");
                    self.retire().await;
                } else {
                    tracing::info!("the disk answers again");
                }
            }
            R::sleep(LOOK).await;
        }
    }

    /// Whether a call to the disk has been under way for too long.
    pub(super) fn disk_hangs(&self) -> bool {
        self.journal().stalled().is_some_and(|stalled| stalled >= self.timing().hang)
    }

    fn stand_for_election(&self, stands: bool) {
        let meta = std::iter::once(std::sync::Arc::clone(self.meta()));
        for member in self.members().into_values().chain(meta) {
            member.stand_for_election(stands);
        }
    }
}
