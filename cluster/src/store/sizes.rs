//! How many keys there are in all groups, and some key of any: told at once where every group has a replica
//! here; for the others, nodes that have one are asked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidekeep_log::{Counted, Promise, Sampled};
use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::slot::GroupId;

use crate::raft::Runtime;
use crate::remote::{Ask, Told};
use crate::replicated::leaderless;
use crate::store::doors::Doors;

/// For a node to say what it has.
const ANSWER: Duration = Duration::from_secs(2);

/// How many keys there are.
pub(super) fn keys<R: Runtime>(doors: &Arc<Doors<R>>) -> Counted {
    let (mut count, mut others) = (0, Vec::new());
    for group in doors.groups().groups() {
        match doors.here(group) {
            Some(here) => count += here.keys_here(),
            None => others.push(group),
        }
    }
    if others.is_empty() {
        return Promise::ready(Ok(count));
    }
    let doors = Arc::clone(doors);
    Promise::later(async move {
        let asked = others.into_iter().map(|group| keys_elsewhere(&doors, group));
        join_all(asked).await.into_iter().try_fold(count, |sum, keys| Ok(sum + keys?))
    })
}

/// Some key, chosen by `random`. Keys are spread evenly over the groups; one that has none is passed over.
pub(super) fn sample<R: Runtime>(doors: &Arc<Doors<R>>, random: u64) -> Sampled {
    let groups = u64::from(doors.groups().get());
    let (first, random) = (random % groups, random / groups);
    let mut order = (first..groups).chain(0..first).map(|group| GroupId(group as u16));
    while let Some(group) = order.next() {
        let Some(here) = doors.here(group) else {
            let rest = std::iter::once(group).chain(order);
            return Promise::later(sample_of(Arc::clone(doors), rest, random));
        };
        if let Some(key) = here.sample_here(random) {
            return Promise::ready(Ok(Some(key)));
        }
    }
    Promise::ready(Ok(None))
}

async fn sample_of<R: Runtime>(
    doors: Arc<Doors<R>>,
    order: impl Iterator<Item = GroupId>,
    random: u64,
) -> Result<Option<Vec<u8>>, Refusal> {
    for group in order {
        let key_of = |told| match told {
            Told::Sample(key) => Some(key),
            _ => None,
        };
        if let Some(key) = ask(&doors, group, &Ask::Sample { random }, key_of).await? {
            return Ok(Some(key.into_vec()));
        }
    }
    Ok(None)
}

async fn keys_elsewhere<R: Runtime>(doors: &Doors<R>, group: GroupId) -> Result<u64, Refusal> {
    let keys_of = |told| match told {
        Told::Keys(keys) => Some(keys),
        _ => None,
    };
    ask(doors, group, &Ask::Keys, keys_of).await
}

/// Asks one node that has a replica after the other, until one says what is asked for.
async fn ask<R: Runtime, T>(
    doors: &Doors<R>,
    group: GroupId,
    ask: &Ask,
    read: impl Fn(Told) -> Option<T>,
) -> Result<T, Refusal> {
    for holder in doors.holders(group) {
        if let Some(found) = doors.follow(&holder, ask, ANSWER).await.and_then(&read) {
            return Ok(found);
        }
    }
    Err(leaderless())
}
