//! How a node goes over from the group that a store had to those that it was split into: what waits at the old door is
//! handed to the new ones in its order, and so is what still comes there.
//!
//! ```text
//! the table is of the new groups ─▶ nothing is under way at the old door ─▶ what waits: to the new doors
//!                                ─▶ who follows is woken, and finds the new feeds ─▶ the old group may be forgotten
//! ```

use std::sync::{Arc, Weak};
use std::time::Duration;

use tidekeep_log::Call;
use tidekeep_log::clock::Clock;
use tidekeep_protocol::slot::GroupCount;

use crate::meta::Numbering;
use crate::node::{Forward, Forwarded, Life};
use crate::placement::NodeId;
use crate::raft::Runtime;
use crate::remote::{FOLLOW, Told};
use crate::replicated::{Done, Piece, not_here};
use crate::store::doors::Doors;
use crate::store::{Serving, Store, batch};

/// Time after which whoever waits for a split looks whether the store is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Goes over as soon as the node knows that the groups were split.
pub(super) fn go_over_when_split<R: Runtime>(store: &Arc<Store<R>>, clock: Arc<dyn Clock>) {
    let store = Arc::downgrade(store);
    let _ends_by_itself = R::spawn(async move {
        loop {
            let learnt = {
                let Some(store) = store.upgrade() else { return };
                if store.node.life() != Life::Serving {
                    return;
                }
                let learnt = store.node.learnt();
                if store.node.view().numbering() == Numbering::Split {
                    return go_over(&store, clock).await;
                }
                learnt
            };
            // Either way the next round looks.
            let _ = R::timeout(LOOK, learnt).await;
        }
    });
}

async fn go_over<R: Runtime>(store: &Arc<Store<R>>, clock: Arc<dyn Clock>) {
    let cluster = store.node.view().cluster;
    let Some(groups) = cluster.and_then(|it| GroupCount::new(it.groups)) else { return };
    let (node, founded) = (store.node.clone(), &store.founded.doors);
    let doors = Doors::open(node, clock, founded.identity(), groups, Numbering::Split);
    let new = Arc::clone(&doors);
    founded.retire(Arc::new(move |piece| run(&new, piece))).await;
    if store.split.set(Serving::new(doors)).is_ok() {
        founded.close();
        store.node.note_passed_on();
        tracing::info!(groups = groups.get(), "clients are served by the groups of the split");
    }
}

/// Has the new groups run calls that waited for the old one. They are handed over before this returns.
fn run<R: Runtime>(doors: &Arc<Doors<R>>, piece: Piece) {
    let calls: Vec<Call<'_>> = piece.calls.requests().collect();
    // Another node knows of the new groups itself, or will; and of the old one nobody asks for steps.
    if piece.passed_on || calls.len() != piece.calls.count() {
        return piece.give_up();
    }
    let answers = batch::submit(doors, &calls);
    drop(calls);
    let _ends_by_itself = R::spawn(async move {
        match answers.await {
            Ok(answers) => piece.answer(Done { index: 0, answers }),
            Err(_) => piece.give_up(),
        }
    });
}

/// Calls that other nodes pass on to this one.
pub(super) struct Passed<R: Runtime>(Weak<Store<R>>);

impl<R: Runtime> Passed<R> {
    pub(super) fn of(store: &Arc<Store<R>>) -> Self {
        Self(Arc::downgrade(store))
    }
}

impl<R: Runtime> Forward for Passed<R> {
    fn forward(&self, from: NodeId, group: u32, request: Vec<u8>) -> Forwarded {
        let follows = group & FOLLOW != 0;
        let (store, asked) = (self.0.upgrade(), Numbering::group(group & !FOLLOW));
        let doors = store.as_ref().zip(asked).and_then(|(store, (numbering, group))| {
            let serving = match numbering {
                Numbering::Founded => &store.founded,
                Numbering::Split => store.split.get()?,
            };
            Some((Arc::clone(&serving.doors), group))
        });
        match doors {
            Some((doors, group)) => doors.answer(from, group, follows, request),
            None if follows => Box::pin(async { Told::NotHere.encode() }),
            None => Box::pin(async { not_here() }),
        }
    }
}
