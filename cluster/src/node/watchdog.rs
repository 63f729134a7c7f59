//! The watchdog: a node whose disk hangs gives up what it leads and does not stand for election until the
//! disk answers again. Without that it would go on to lead, since heartbeats need no disk, while all that it
//! has to write itself waits. A disk that fails, and does not merely hang, ends the process. One that is full
//! makes its node give up what it leads as well, to nodes that have followed; where none has, it leads on.

use std::time::Duration;

use crate::node::running::{Life, Node};
use crate::raft::{Abstains, Member, Runtime};

/// Between two looks at the disk.
const LOOK: Duration = Duration::from_millis(100);

/// Looks between two tries to let others lead while the disk hangs or is full: nobody else may be ready for it yet.
const LOOKS: u32 = 10;

impl<R: Runtime> Node<R> {
    /// Watches the disk until the node's life ends.
    pub(super) async fn watch_disk(self) {
        let (mut hung_for, mut full_for) = (0_u32, 0_u32);
        while self.life() == Life::Serving {
            match self.disk_hangs() {
                true => hung_for += 1,
                false if hung_for > 0 => {
                    hung_for = 0;
                    self.each_member(|member| member.stand_despite(Abstains::Hangs));
                    tracing::info!("the disk answers again");
                }
                false => {}
            }
            full_for = match self.journal().waits_for_room() {
                true => full_for + 1,
                false => 0,
            };
            if hung_for == 1 {
                self.each_member(|member| member.abstain(Abstains::Hangs));
                tracing::warn!("the disk hangs; this node lets others lead");
            }
            let tries = |looks: u32| looks % LOOKS == 1;
            if (tries(hung_for) || tries(full_for)) && self.leads_any() {
                if full_for == 1 {
                    tracing::warn!("the disk is full; this node lets others lead");
                }
                self.retire().await;
            }
            R::sleep(LOOK).await;
        }
    }

    fn leads_any(&self) -> bool {
        self.all_members().iter().any(|member| member.standing().leads)
    }

    /// Whether a call to the disk has been under way for too long.
    pub(crate) fn disk_hangs(&self) -> bool {
        self.journal().stalled().is_some_and(|stalled| stalled >= self.timing().hang)
    }

    fn each_member(&self, tell: impl Fn(&Member<R>)) {
        self.all_members().iter().for_each(|member| tell(member));
    }
}
