//! Transactions whose coordinator has gone: the node that leads a group asks their homes what becomes of the
//! parts that are prepared in it, and brings those to their end that it has decided itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tidekeep_log::Commit;
use tidekeep_protocol::slot::GroupId;
use tidekeep_store::intents::{Decision, Intent};
use tidekeep_store::step::{Finish, Forget, Resolve, TxnId};

use crate::raft::Runtime;
use crate::store::Doors;
use crate::transaction::ask;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// The age from which on something is taken for left behind. Longer than callers wait who come upon a lock, so
/// that most of it is seen to by them.
const OLD_MS: u64 = 2_000;

/// Sees to what is left behind in the groups that this node leads, for as long as the doors are open.
pub(crate) async fn watch_over<R: Runtime>(doors: Weak<Doors<R>>) {
    // Groups that are being seen to: one whose homes do not answer keeps the others waiting for nothing.
    let under_way: Arc<Mutex<BTreeSet<GroupId>>> = Arc::default();
    loop {
        let Some(doors) = doors.upgrade().filter(|doors| doors.is_open()) else { return };
        for group in doors.groups().groups() {
            let Some(left) = left_in(&doors, group) else { continue };
            if under_way.lock().insert(group) {
                let (doors, under_way) = (Arc::clone(&doors), Arc::clone(&under_way));
                let _ends_by_itself = R::spawn(async move {
                    see_to(&doors, group, left).await;
                    under_way.lock().remove(&group);
                });
            }
        }
        drop(doors);
        R::sleep(LOOK).await;
    }
}

/// Parts that are prepared, and what was decided.
type Left = (Vec<Intent>, Vec<(TxnId, Decision)>);

/// What is left behind in a group, if this node leads it and there is any.
fn left_in<R: Runtime>(doors: &Doors<R>, group: GroupId) -> Option<Left> {
    let here = doors.here(group).filter(|here| here.leads())?;
    let now_ms = here.time_at(doors.now_ms());
    let left = here.member().replica().left_behind(now_ms.saturating_sub(OLD_MS));
    (!left.0.is_empty() || !left.1.is_empty()).then_some(left)
}

async fn see_to<R: Runtime>(doors: &Doors<R>, group: GroupId, (prepared, decided): Left) {
    let prepared = prepared.iter().map(|intent| settle(doors, group, intent));
    join_all(prepared).await;
    let decided = decided.iter().map(|(txn, it)| bring_to_end(doors, group, *txn, it));
    join_all(decided).await;
}

/// Does what the home of a part says. Whoever does not answer is asked at the next look.
async fn settle<R: Runtime>(doors: &Doors<R>, group: GroupId, intent: &Intent) {
    let prepare = &intent.prepare;
    let resolve = Resolve { txn: prepare.txn, deadline_ms: prepare.deadline_ms };
    if let Ok(outcome) = ask(doors, GroupId(prepare.home), resolve).await {
        let _ = ask(doors, group, Finish { txn: prepare.txn, outcome }).await;
    }
}

/// Has all groups finish what was decided here, and forgets it then.
async fn bring_to_end<R: Runtime>(
    doors: &Doors<R>,
    group: GroupId,
    txn: TxnId,
    decision: &Decision,
) {
    let finish = Finish { txn, outcome: decision.outcome };
    let others = decision.groups.iter().filter(|other| **other != group.0);
    let finished = others.map(|other| ask(doors, GroupId(*other), finish));
    if join_all(finished).await.iter().all(Result::is_ok) {
        let _ = ask(doors, group, Forget { txn }).await;
    }
}
