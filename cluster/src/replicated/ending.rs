//! What has an end, ends: the node that leads orders a record for it. Nodes that follow keep their clocks at
//! the time that is ordered, so that whoever leads next neither cuts nor renews an end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use openraft::type_config::AsyncRuntime;

use crate::replicated::sequencer::Sequencer;

/// Between two looks at least, unless something ends before.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Between two looks at most while something is to end: a clock that catches up is a tenth faster, so nothing is
/// later by it than by a look.
const AHEAD_MAX: Duration = Duration::from_millis(500);

/// The same while nothing is.
const CALM: Duration = Duration::from_secs(3_600);

/// Keeps the ends of a group, until its sequencer is closed.
pub(crate) fn start<R: AsyncRuntime>(sequencer: &Arc<Sequencer<R>>) {
    let sequencer = Arc::clone(sequencer);
    let _ends_by_itself = R::spawn(async move { run(&sequencer).await });
}

async fn run<R: AsyncRuntime>(sequencer: &Sequencer<R>) {
    let member = &sequencer.member;
    while !sequencer.is_closed() {
        let seen = member.last_applied();
        let pause = if member.leader() == Some(member.node()) {
            end(sequencer).await
        } else {
            sequencer.follow();
            until_due(sequencer)
        };
        R::sleep(pause.min(LOOK_EVERY)).await;
        if let Some(rest) = pause.checked_sub(LOOK_EVERY).filter(|rest| !rest.is_zero()) {
            // What is to end sooner, a new time and a new leader's first entry are all applied first.
            let next = seen.map_or(0, |seen| seen + 1);
            let applied = pin!(member.applied(next, rest));
            select(applied, pin!(sequencer.until_ended())).await;
        }
    }
}

/// Time to the next look, as far as is known now.
fn until_due<R: AsyncRuntime>(sequencer: &Sequencer<R>) -> Duration {
    match sequencer.member.replica().next_due() {
        None => CALM,
        Some(due_ms) => match due_ms.saturating_sub(sequencer.stamp()) {
            0 => LOOK_EVERY,
            left_ms => AHEAD_MAX.min(Duration::from_millis(left_ms)),
        },
    }
}

/// Orders a record for what has ended; how long to wait before the next look.
async fn end<R: AsyncRuntime>(sequencer: &Sequencer<R>) -> Duration {
    let replica = sequencer.member.replica();
    let now_ms = sequencer.stamp();
    if replica.next_due().is_none_or(|due_ms| due_ms > now_ms) {
        return until_due(sequencer);
    }
    let Some(record) = replica.ending(now_ms) else { return LOOK_EVERY };
    match sequencer.member.write(record).await {
        // There may be more.
        Ok(_) => Duration::ZERO,
        // Whoever leads then sees to it.
        Err(_) => LOOK_EVERY,
    }
}
