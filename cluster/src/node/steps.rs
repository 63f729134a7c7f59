//! One step of a group, taken by the node that leads it. An order may be late, or come twice, or from a
//! coordinator that is none any more: it is carried out only if the group's committed members are those that
//! it was made for, and it is done if they are already those that it leads to.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::link::PeerAddress;
use crate::node::hearing::CLOSE;
use crate::node::running::Node;
use crate::placement::{Change, NodeId, Row, Step};
use crate::raft::{Instant, Member, Runtime, Standing};

/// Time between two looks whether a learner has caught up or a leader has changed.
const RETRY: Duration = Duration::from_millis(10);

/// The members of a group.
type Members = (BTreeSet<NodeId>, BTreeSet<NodeId>);

impl<R: Runtime> Node<R> {
    /// Takes a step of a group whose members are those of `row`; the new one is found at `at`.
    ///
    /// # Errors
    /// Why it was not taken, or may not have been.
    pub(super) async fn take(
        &self,
        step: Step,
        group: u32,
        row: &Row,
        at: PeerAddress,
    ) -> Result<(), String> {
        let member = self.member_of(group).ok_or("the node has no member of this group")?;
        let standing = member.settled().await.map_err(|error| error.0)?;
        let before = members_of(row);
        let after = members_behind(&before, step);
        let is = (standing.voters.clone(), standing.learners.clone());
        match step.change {
            Change::TransferLeader => {
                let end = R::Instant::now() + self.timing().step / 2;
                return self.hand_over(&member, step.node, end).await;
            }
            _ if is == after => return Ok(()),
            _ if is != before && !is_half_removed(&is, &after, step) => {
                return Err(format!("{} has other members than the table says", step.group));
            }
            Change::AddLearner => member.add_learner(step.node, at).await,
            Change::Promote => return self.promote(&member, step.node).await,
            Change::RemoveReplica if step.node == self.id() => {
                return Err(
                    "the leader of a group is not removed: let another one lead first".into()
                );
            }
            Change::RemoveReplica => member.remove(step.node).await,
        }
        .map_err(|error| error.0)
    }

    /// Promotes a learner. Under load it is always a little behind: it is tried until it is at the end for a
    /// moment.
    async fn promote(&self, member: &Member<R>, node: NodeId) -> Result<(), String> {
        let end = R::Instant::now() + self.timing().step / 2;
        loop {
            match member.promote(node).await {
                Ok(()) => return Ok(()),
                Err(error) if R::Instant::now() >= end => return Err(error.0),
                Err(_) => R::sleep(RETRY).await,
            }
        }
    }

    /// Lets another voter lead, and waits until it does.
    pub(super) async fn hand_over(
        &self,
        member: &Member<R>,
        to: NodeId,
        end: R::Instant,
    ) -> Result<(), String> {
        if to == self.id() {
            return Ok(());
        }
        if !member.standing().voters.contains(&to) {
            return Err(format!("{to} has no vote in the group"));
        }
        // It could not take over: the group would have no leader for a while, and the next one would begin anew to send
        // it what it lacks.
        loop {
            match member.is_far_behind(to, CLOSE) {
                Some(false) => break,
                None if R::Instant::now() < end => R::sleep(RETRY).await,
                _ => return Err(format!("{to} is far behind, and cannot lead yet")),
            }
        }
        member.transfer(to).await.map_err(|error| error.0)?;
        while member.standing().leader != Some(to) {
            if R::Instant::now() >= end {
                return Err(format!("{to} did not take over"));
            }
            R::sleep(RETRY).await;
        }
        Ok(())
    }
}

fn members_of(row: &Row) -> Members {
    (row.voters.iter().copied().collect(), row.learner.into_iter().collect())
}

fn members_behind((voters, learners): &Members, step: Step) -> Members {
    let (mut voters, mut learners) = (voters.clone(), learners.clone());
    match step.change {
        Change::AddLearner => drop(learners.insert(step.node)),
        Change::Promote => {
            learners.remove(&step.node);
            voters.insert(step.node);
        }
        Change::TransferLeader => {}
        Change::RemoveReplica => {
            learners.remove(&step.node);
            voters.remove(&step.node);
        }
    }
    (voters, learners)
}

/// Whether a removal took the vote, and not yet the rest.
fn is_half_removed(is: &Members, after: &Members, step: Step) -> bool {
    let mut half = after.clone();
    half.1.insert(step.node);
    step.change == Change::RemoveReplica && *is == half
}

/// Whether a group's members are those of its row.
pub(super) fn agrees(row: &Row, standing: &Standing) -> bool {
    members_of(row) == (standing.voters.clone(), standing.learners.clone())
}
