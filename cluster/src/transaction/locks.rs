//! Calls that wait for a transaction: they are asked again until its locks are gone. A lock that is old has its
//! home asked what becomes of it.

use openraft::Instant;
use tidekeep_log::Answer;
use tidekeep_protocol::slot::GroupId;
use tidekeep_store::reply::Reply;
use tidekeep_store::step::{Finish, Lock, Resolve};

use crate::raft::Runtime;
use crate::replicated::{Calls, Done, Failed, refusals};
use crate::store::Doors;
use crate::transaction::{PATIENCE, RETRY, ask, in_the_way};

/// The age from which on a lock is taken for one that was left behind. Whoever holds it and is alive tries anew.
pub(super) const OLD_MS: u64 = 1_000;

/// Waits a little for a lock, or brings what it is for to its end.
pub(super) async fn see_to<R: Runtime>(doors: &Doors<R>, group: GroupId, lock: &Lock) {
    if lock.age_ms >= OLD_MS {
        let Lock { txn, home, deadline_ms, .. } = *lock;
        let resolve = Resolve { txn, deadline_ms };
        if let Ok(outcome) = ask(doors, GroupId(home), resolve).await {
            // Who does not hear of it now asks again.
            let _ = ask(doors, group, Finish { txn, outcome }).await;
            return;
        }
    }
    R::sleep(RETRY).await;
}

/// Asks calls again that were answered with a lock, in their order, until none is.
pub(crate) async fn unlocked<R: Runtime>(
    doors: &Doors<R>,
    group: GroupId,
    calls: &Calls,
    mut done: Done,
) -> Done {
    let began = R::Instant::now();
    loop {
        let locked = done.answers.iter().enumerate().filter_map(|(place, answer)| match answer {
            Ok(Reply::Locked(lock)) => Some((place, **lock)),
            _ => None,
        });
        let (places, locks): (Vec<usize>, Vec<Lock>) = locked.unzip();
        let Some(lock) = locks.first() else { return done };
        if R::Instant::now() - began > PATIENCE {
            places.iter().for_each(|place| done.answers[*place] = Err(in_the_way()));
            return done;
        }
        see_to(doors, group, lock).await;
        let again = calls.only(&places);
        let answers: Vec<Answer> = match doors.ask(group, again.clone()).await {
            Ok(more) => {
                done.index = done.index.max(more.index);
                more.answers
            }
            Err(failed) => refusals_of(&again, &failed),
        };
        for (place, answer) in places.into_iter().zip(answers) {
            done.answers[place] = answer;
        }
    }
}

fn refusals_of(calls: &Calls, failed: &Failed) -> Vec<Answer> {
    let sorts: Vec<_> = calls.sorts().collect();
    refusals(&sorts, failed).collect()
}
