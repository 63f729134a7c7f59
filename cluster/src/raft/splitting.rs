//! A group becomes several while it serves: one entry of its own order says so, and every replica does it at the same
//! place of the order. No data crosses the network.
//!
//! ```text
//! Split, entry i of the group ─▶ each part: chunks ─▶ the node's log ─▶ Born, safe ─▶ the group is sealed
//! behind it                   ─▶ passed over: nothing is applied any more
//! ```
//! A part that is in the log is not made again, however often the entry is applied. Whoever is sent the sealed state
//! instead makes the same parts of it. So a group is never empty on a node that had its keys, unless that node comes to
//! know of the split when the old group is no more: then the others fill it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidekeep_protocol::slot::GroupCount;
use tidekeep_store::holds::Seal;

use crate::meta::Numbering;
use crate::raft::aside::aside;
use crate::raft::item::{Born, Installed, Item};
use crate::raft::recovered::Recovered;
use crate::raft::storage::{Store, stopped};
use crate::raft::types::{LeaderId, LogId, Membership, Payload, Promise};

/// What the record of a split begins with: no record of a store does.
const SPLIT: u8 = 0xD5;

/// Where in its order the state of a group is that another one was split into: at its beginning.
const FIRST_PLACE: u64 = 1;

/// The record that splits a group into so many.
pub(crate) fn split_record(groups: GroupCount) -> Vec<u8> {
    let [low, high] = groups.get().to_le_bytes();
    vec![SPLIT, low, high]
}

/// Into how many groups an entry splits its own, if it does.
pub(crate) fn split_of(payload: &Payload) -> Option<GroupCount> {
    let Payload::Normal(proposal) = payload else { return None };
    match *proposal.record {
        [SPLIT, low, high] => GroupCount::new(u16::from_le_bytes([low, high])),
        _ => None,
    }
}

impl Store {
    /// Splits the group by its entry `index`, unless it was split before; resolves when that is safe.
    pub(crate) async fn split(&self, groups: GroupCount, index: u64) -> io::Result<()> {
        if self.replica.is_sealed() {
            return Ok(());
        }
        let members = self.installed.lock().membership.clone();
        self.bear(groups, &members).await?;
        self.replica.seal(Seal { groups: groups.get(), index });
        Ok(())
    }

    /// Makes the parts of a state that came from elsewhere, and was sealed there.
    pub(crate) async fn split_as_sealed(&self) -> io::Result<()> {
        let seal = self.replica.seal_of();
        let Some((seal, groups)) = seal.and_then(|it| Some((it, GroupCount::new(it.groups)?)))
        else {
            return Ok(());
        };
        let members = self.installed.lock().membership.clone();
        let changed_at = members.log_id().as_ref().map(|at| at.index);
        // With other members the parts would not be those that the others have made: they fill them here.
        match changed_at < Some(seal.index) {
            true => self.bear(groups, &members).await,
            false => Ok(()),
        }
    }

    /// Whether all parts are on the node's disk.
    pub(crate) fn has_split(&self, groups: GroupCount) -> bool {
        let mut numbers = groups.groups().map(|group| Numbering::Split.number(group));
        self.replica.is_sealed()
            && numbers.all(|number| self.journal.has(number))
            && !self.bearing.load(Ordering::Acquire)
    }

    /// Makes the groups that this one is split into, those that are not here yet.
    async fn bear(&self, groups: GroupCount, members: &Membership) -> io::Result<()> {
        self.bearing.store(true, Ordering::Release);
        let born = self.bear_all(groups, members).await;
        self.bearing.store(false, Ordering::Release);
        born
    }

    async fn bear_all(&self, groups: GroupCount, members: &Membership) -> io::Result<()> {
        let Some(first) = members.voter_ids().min() else { return Ok(()) };
        let place = LogId::new(LeaderId { term: FIRST_PLACE, node_id: first }, FIRST_PLACE);
        let membership = Membership::new(Some(place), members.membership().clone());
        let installed = Installed { applied: Some(place), membership };
        let born = Born { promise: Promise::new(FIRST_PLACE, first), installed };
        let numbers = groups.groups().map(|group| Numbering::Split.number(group));
        let mut parts = aside(|| self.replica.dividing(groups));
        for number in numbers {
            let Some(part) = aside(|| parts.next()) else { break };
            if self.journal.has(number) {
                continue;
            }
            let options = self.journal.replica_options();
            let replica = aside(|| part.replica(options));
            let replica = replica.map_err(io::Error::other)?;
            let recovered = Recovered::born(options, replica, &born).map_err(io::Error::other)?;
            // Known before its records are, so that a snapshot has the one or the log the others.
            let store = Self::new(number, recovered, Arc::clone(&self.journal));
            self.journal.keep_born(number, Arc::clone(&store));
            let end = Item::Born(born.clone());
            let safe = aside(|| store.keep_state(&end, &part.into_chunks()));
            safe.await.unwrap_or_else(|_| Err(stopped()))?;
        }
        Ok(())
    }
}
