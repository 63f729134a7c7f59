//! What has an end, ends: the node that leads orders a record for it. Nodes that follow keep their clocks at
//! the time that is ordered, so that whoever leads next neither cuts nor renews an end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::type_config::AsyncRuntime;

use crate::replicated::sequencer::Sequencer;

/// Between two looks, unless something ends before.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Keeps the ends of a group, for as long as its sequencer is there.
pub(crate) fn start<R: AsyncRuntime>(sequencer: &Arc<Sequencer<R>>) {
    let sequencer = Arc::downgrade(sequencer);
    let _ends_by_itself = R::spawn(run(sequencer));
}

async fn run<R: AsyncRuntime>(sequencer: Weak<Sequencer<R>>) {
    let mut followed = 0;
    loop {
        let pause = {
            let Some(sequencer) = sequencer.upgrade().filter(|it| !it.is_closed()) else { return };
            let member = &sequencer.member;
            if member.leader() == Some(member.node()) {
                end(&sequencer).await
            } else {
                let ordered = member.replica().now_ms();
                if ordered > followed {
                    followed = ordered;
                    sequencer.clock.follow(ordered);
                }
                LOOK_EVERY
            }
        };
        R::sleep(pause).await;
    }
}

/// Orders a record for what has ended; how long to wait before the next look.
async fn end<R: AsyncRuntime>(sequencer: &Sequencer<R>) -> Duration {
    let replica = sequencer.member.replica();
    let now_ms = sequencer.stamp();
    match replica.next_due() {
        Some(due_ms) if due_ms <= now_ms => {}
        Some(due_ms) => return LOOK_EVERY.min(Duration::from_millis(due_ms - now_ms)),
        None => return LOOK_EVERY,
    }
    let Some(record) = replica.ending(now_ms) else { return LOOK_EVERY };
    match sequencer.member.write(record).await {
        // There may be more.
        Ok(_) => Duration::ZERO,
        // Whoever leads then sees to it.
        Err(_) => LOOK_EVERY,
    }
}
