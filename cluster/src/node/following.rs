//! A node follows what the meta group says: where the other nodes are, which groups it holds, and whether it
//! is still one of them.
//!
//! A member of a group is started when the table gives the group to this node, and forgotten when it has
//! given it to others. The table may be older here than elsewhere, so the meta group is asked before; and before
//! anything is forgotten it is asked twice, the second time when the member has stopped answering: what it told its leader
//! by then belongs to a membership that is over. [`Request::IsVacant`](super::control::Request) lets the
//! coordinator wait for that before it gives the group to this node again.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use tidekeep_protocol::slot::GroupId;

use crate::meta::rules::introduce;
use crate::meta::{Numbering, View};
use crate::node::admin::Command;
use crate::node::control::{ControlError, Request};
use crate::node::running::{Life, Node};
use crate::placement::{NodeId, Row};
use crate::raft::{ReadPolicy, Runtime};

impl<R: Runtime> Node<R> {
    /// Follows until the node's life ends.
    pub(super) async fn follow(self) {
        let mut spoke_ms = 0;
        while self.life() == Life::Serving {
            if self.look_at_meta() {
                self.start_given().await;
                self.forget_taken().await;
            }
            if self.view().is_removed(self.id()) {
                return self.be_removed().await;
            }
            let look_ms = self.timing().look.as_millis() as u64;
            if self.running_ms() >= spoke_ms + look_ms {
                spoke_ms = self.running_ms();
                if self.is_cut_off() && self.hears_of_removal().await {
                    return self.be_removed().await;
                }
                self.introduce_itself().await;
            }
            R::sleep(self.timing().follow).await;
        }
    }

    /// Reads what the meta group says, as far as it is applied here; whether it can be read.
    fn look_at_meta(&self) -> bool {
        let replica = self.meta().replica();
        if replica.revision() == self.view().revision {
            return true;
        }
        match View::read(replica) {
            Ok(view) => {
                self.learn(view);
                true
            }
            Err(error) => {
                tracing::error!(%error, "this node cannot follow its cluster");
                false
            }
        }
    }

    /// Whether the table gives a group to this node.
    fn is_given(&self, group: u32) -> bool {
        let view = self.view();
        let Some((numbering, group)) = Numbering::group(group) else { return false };
        match numbering.cmp(&view.numbering()) {
            // A split has made it here before the table says so.
            Ordering::Greater => return true,
            Ordering::Less => return false,
            Ordering::Equal => {}
        }
        let row = view.table.as_ref().and_then(|table| table.row(group));
        row.is_some_and(|row| row.has_voter(self.id()) || row.learner == Some(self.id()))
    }

    /// Whether a group is given to this node, and has no member here yet.
    pub(super) fn must_start(&self, group: GroupId) -> bool {
        let number = self.view().number(group);
        self.is_given(number) && self.member_of(number).is_none()
    }

    /// Whether a group was this node's when the cluster was founded, and has not changed since.
    fn was_first(&self, row: &Row) -> bool {
        row.epoch == Row::FIRST_EPOCH && row.voters == [self.id()]
    }

    async fn start_given(&self) {
        let view = self.view();
        let mut groups = view.table.iter().flat_map(|table| table.groups());
        // At a start an old table may be there first.
        if !groups.any(|(group, _)| self.must_start(group)) || !self.is_up_to_date().await {
            return;
        }
        let view = self.view();
        let groups = view.table.iter().flat_map(|table| table.groups());
        for (group, row) in groups {
            if self.must_start(group) {
                let is_led_here = row.leader == self.id();
                let group = view.number(group);
                // What it knew of the group before, it has forgotten: others say how far that is by now.
                let is_empty = row.learner == Some(self.id()) && !self.journal().has_born(group);
                let given = match is_empty {
                    true => self.asks_given(group, row).await,
                    false => None,
                };
                if is_empty && given.is_none() {
                    // Nobody leads the group now.
                    continue;
                }
                match self.start_member(group, given).await {
                    Ok(member) => {
                        tracing::info!(group, "this node holds the group from now on");
                        if view.numbering() == Numbering::Split && is_led_here {
                            // Nobody leads a group that is new: it need not wait until that is noticed.
                            member.stand().await;
                        }
                        if self.was_first(row) {
                            self.found_alone(&member).await;
                        }
                    }
                    Err(error) => tracing::error!(group, %error, "a group cannot be started"),
                }
            }
        }
    }

    async fn forget_taken(&self) {
        let is_needed = |group: u32| {
            let founded = matches!(Numbering::group(group), Some((Numbering::Founded, _)));
            let is_split = self.view().numbering() == Numbering::Split;
            founded && is_split && self.waits_for_founded()
        };
        let taken =
            self.members().into_keys().filter(|&group| !self.is_given(group) && !is_needed(group));
        for group in taken.collect::<Vec<_>>() {
            if !self.is_surely_taken(group).await {
                continue;
            }
            let Some(member) = self.take_member(group) else { continue };
            if !self.is_surely_taken(group).await {
                self.put_back(group, member);
                continue;
            }
            match member.forget().await {
                Ok(()) => tracing::info!(group, "this node does not hold the group any more"),
                Err(error) => tracing::error!(group, %error, "a group was not forgotten"),
            }
        }
    }

    /// Whether the table does not give a group to this node, as of now.
    async fn is_surely_taken(&self, group: u32) -> bool {
        if self.view().table.is_none() {
            return false;
        }
        self.is_up_to_date().await && !self.is_given(group)
    }

    /// Reads what the meta group says as of now; whether that was possible.
    async fn is_up_to_date(&self) -> bool {
        let read = R::timeout(self.timing().look, self.meta().read(ReadPolicy::Index)).await;
        matches!(read, Ok(Ok(()))) && self.look_at_meta()
    }

    /// Whether no coordinator has looked at this node for long.
    fn is_cut_off(&self) -> bool {
        let down_ms = self.timing().down.as_millis() as u64;
        self.running_ms() >= self.looked_at_ms() + down_ms
    }

    /// Asks the others whether this node was removed while it did not hear it.
    async fn hears_of_removal(&self) -> bool {
        // At a start the meta group's state may be yet to come, but not who was in it.
        let mut others: BTreeSet<NodeId> = self.meta().peers().into_keys().collect();
        others.extend(self.view().present().map(|(node, _)| node));
        let asked = others.into_iter().filter(|&node| node != self.id()).map(|node| {
            let node_itself = self.clone();
            async move { node_itself.ask(node, Request::AmIPresent, self.timing().look).await }
        });
        let replies = futures_util::future::join_all(asked).await;
        replies.contains(&Err(ControlError::Removed))
    }

    /// Lets the meta group know what has changed of this node while it was not running.
    async fn introduce_itself(&self) {
        let (view, is) = (self.view(), self.introduction());
        if introduce(&view, self.id(), is, self.now_ms()).is_empty() {
            return;
        }
        let command = Command::Introduce { node: self.id(), is: is.clone() };
        if let Err(error) = self.order(command).await {
            tracing::debug!(%error, "this node could not introduce itself yet");
        }
    }

    async fn be_removed(&self) {
        tracing::warn!("this node was removed from its cluster, and stops serving");
        self.end(Life::Removed).await;
    }
}
