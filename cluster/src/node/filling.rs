//! A replica that is yet to be filled. A group adds a node as a learner, whose replica is empty until the state has
//! arrived, which takes long where there is much: until then the nodes that have it all answer clients.

use std::sync::Arc;
use std::time::Duration;

use crate::meta::Numbering;
use crate::node::running::{Life, Node};
use crate::placement::Row;
use crate::raft::{Given, Member, ReadPolicy, Runtime, ask_given};

/// Between two looks whether a replica has all that was confirmed.
const LOOK: Duration = Duration::from_millis(100);

/// What a node has to do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Votes,
    Learns,
    Unknown,
}

impl<R: Runtime> Node<R> {
    /// Whether this node's replica of a group is yet to be filled, by the table or by its own log, or is so far behind that
    /// it is sent a state.
    pub(crate) fn is_filling(&self, member: &Member<R>) -> bool {
        let is_new = || member.is_partial() || self.part_in(member.group()) == Part::Learns;
        member.lags() || !member.is_filled() && is_new()
    }

    /// What this node's replica of a group begins with that it is given; none if nobody says that he leads the group.
    pub(super) async fn asks_given(&self, group: u32, row: &Row) -> Option<Given> {
        let mut voters = row.voters.clone();
        voters.sort_by_key(|&voter| (self.is_silent(voter), voter != row.leader));
        for node in voters {
            let at = self.address(node).unwrap_or_default();
            let of = (node, &at);
            let given = ask_given::<R>(&*self.link(), group, of, self.timing().look).await;
            if given.is_some() {
                return given;
            }
        }
        None
    }

    fn part_in(&self, group: u32) -> Part {
        let view = self.view();
        let of_view = |(numbering, _): &(Numbering, _)| *numbering == view.numbering();
        let Some((_, group)) = Numbering::group(group).filter(of_view) else {
            return Part::Unknown;
        };
        match view.table.as_ref().and_then(|table| table.row(group)) {
            Some(row) if row.has_voter(self.id()) => Part::Votes,
            Some(row) if row.learner == Some(self.id()) => Part::Learns,
            _ => Part::Unknown,
        }
    }

    /// Notes when a member is filled, as long as this node has it. Nobody asks that of the meta group's.
    pub(super) async fn fill(self, group: u32, member: Arc<Member<R>>) {
        if Numbering::group(group).is_none() {
            return;
        }
        while self.life() == Life::Serving && self.has(group, &member) {
            // Whatever the table says: at a start it may be older than the replica.
            if member.is_partial() {
                R::sleep(LOOK).await;
                continue;
            }
            member.note_complete();
            let is_filled = match self.part_in(group) {
                // A group gives a vote only to who has everything, but one that was down for long has that no more.
                Part::Votes => {
                    let has_all = member.has_confirmed().await;
                    if has_all == Some(false) {
                        member.note_lagging();
                    }
                    has_all == Some(true)
                }
                Part::Learns => {
                    member.note_filling();
                    member.read(ReadPolicy::Index).await.is_ok()
                }
                Part::Unknown => false,
            };
            if is_filled {
                return member.note_filled();
            }
            R::sleep(LOOK).await;
        }
    }

    /// Notes when a member has caught up that is sent a state, as long as this node has it.
    pub(super) async fn catch_up(self, group: u32, member: Arc<Member<R>>) {
        while self.life() == Life::Serving && self.has(group, &member) {
            if member.read(ReadPolicy::Index).await.is_ok() {
                return member.note_caught_up();
            }
            R::sleep(LOOK).await;
        }
    }

    fn has(&self, group: u32, member: &Arc<Member<R>>) -> bool {
        self.member_of(group).is_some_and(|known| Arc::ptr_eq(&known, member))
    }
}
