//! openraft's door to a group's state: entries are applied to the replica, one after the other, and its
//! state is given to those who lag behind.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::AsyncRuntime;
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use tidekeep_log::{Answer, Applying, Frozen};

use crate::raft::aside::aside;
use crate::raft::item::Installed;
use crate::raft::splitting::split_of;
use crate::raft::storage::{Store, stopped};
use crate::raft::told::Told;
use crate::raft::types::{Applied, Beside, LogId, Membership, Types};

/// The state of a group, on its way to another node or from it.
pub(crate) enum State {
    /// As it is behind an entry.
    Frozen(Box<Frozen>),
    /// Its chunks, all of them.
    Received(Vec<Vec<u8>>),
    /// It is frozen when it is asked for.
    Unfrozen,
}

/// A group's state machine.
pub(crate) struct Machine<R: AsyncRuntime> {
    store: Arc<Store>,
    told: Arc<Told<R>>,
}

impl<R: AsyncRuntime> Machine<R> {
    pub(crate) fn new(store: Arc<Store>, told: Arc<Told<R>>) -> Self {
        Self { store, told }
    }
}

impl<R: AsyncRuntime> RaftStateMachine<Types<R>> for Machine<R> {
    type SnapshotData = State;
    type SnapshotBuilder = Mark<R>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        let installed = self.store.installed.lock();
        Ok((installed.applied, installed.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let split = split_of(&entry.payload);
            if let Some(groups) = split {
                self.store.split(groups, entry.log_id.index).await?;
            }
            let mut passed_over = false;
            let answers = {
                let mut installed = self.store.installed.lock();
                let answers = match entry.payload {
                    EntryPayload::Blank => Vec::new(),
                    EntryPayload::Normal(_) if split.is_some() => Vec::new(),
                    // Others have its keys. So it is on every node, since all were sealed by the same entry.
                    EntryPayload::Normal(_) if self.store.replica.is_sealed() => {
                        passed_over = true;
                        Vec::new()
                    }
                    EntryPayload::Normal(proposal) => {
                        // Without somebody who waits here it is like any other node's.
                        let beside = proposal.beside.filter(|_| responder.is_some());
                        let applying = self
                            .store
                            .replica
                            .applying(&proposal.record)
                            .map_err(io::Error::other)?;
                        answers_of(applying, entry.log_id.index, beside.as_deref())
                    }
                    EntryPayload::Membership(membership) => {
                        installed.membership = Membership::new(Some(entry.log_id), membership);
                        Vec::new()
                    }
                };
                installed.applied = Some(entry.log_id);
                answers
            };
            self.store.applied.set(Some(entry.log_id.index));
            if let Some(responder) = responder {
                responder.send(Applied { answers, passed_over });
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Mark<R> {
        let applied = self.store.spare();
        let membership = self.store.installed.lock().membership.clone();
        Mark { upto: Installed { applied, membership }, runtime: PhantomData }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types<R>>,
        state: State,
    ) -> io::Result<()> {
        let State::Received(chunks) = state else {
            return Err(io::Error::other("a state is installed from its chunks alone"));
        };
        let now = Installed { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        let safe = aside(|| {
            let mut installed = self.store.installed.lock();
            let taken = self.store.replica.install(chunks.iter().map(Vec::as_slice));
            taken.map_err(io::Error::other)?;
            self.told.note(self.store.replica.now_ms());
            *installed = now.clone();
            self.store.applied.set(now.applied.map(|applied| applied.index));
            let safe = self.store.keep_installed(now, &chunks);
            drop(chunks);
            Ok::<_, io::Error>(safe)
        })?;
        safe.await.unwrap_or_else(|_| Err(stopped()))?;
        self.store.split_as_sealed().await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types<R>, State>>> {
        // Frozen anew for whoever asks: an older one would hold on to memory between two of them.
        let (installed, frozen) = self.store.freeze();
        let meta = meta::<R>(installed);
        Ok(meta
            .last_log_id
            .is_some()
            .then(|| openraft::Snapshot { meta, snapshot: State::Frozen(Box::new(frozen)) }))
    }
}

/// That the entries up to here are not kept any longer. What openraft takes for the making of a snapshot:
/// since states are frozen when they are asked for, there is nothing to be made.
pub(crate) struct Mark<R> {
    upto: Installed,
    runtime: PhantomData<fn() -> R>,
}

impl<R: AsyncRuntime> RaftSnapshotBuilder<Types<R>> for Mark<R> {
    type SnapshotData = State;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types<R>, State>> {
        let meta = meta::<R>(self.upto.clone());
        Ok(openraft::Snapshot { meta, snapshot: State::Unfrozen })
    }
}

/// Applies a record; its answers, unless somebody else has taken them.
fn answers_of(mut applying: Applying<'_>, index: u64, beside: Option<&dyn Beside>) -> Vec<Answer> {
    match beside {
        Some(beside) => {
            beside.apply(index, applying);
            Vec::new()
        }
        None => std::iter::from_fn(|| applying.next_write()).collect(),
    }
}

fn meta<R: AsyncRuntime>(installed: Installed) -> SnapshotMetaOf<Types<R>> {
    let Installed { applied, membership } = installed;
    openraft::SnapshotMeta { last_log_id: applied, last_membership: membership }
}
