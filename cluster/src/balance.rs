//! From the table towards the target, one step of a group at a time, so that whatever breaks in
//! between finds every group with all its replicas. `members` says which nodes a target is made for.
//!
//! A replica moves in three steps, and a group moves one at a time:
//!
//! ```text
//! a b c ── AddLearner d ─▶ a b c (d) ── Promote d, once it has caught up ─▶ a b c d ── RemoveReplica a ─▶ b c d
//!                                                       └─ TransferLeader first, if a leads ─┘
//! ```
//!
//! What holds at every moment, whatever is seen:
//! - A step never leaves a group with fewer voters than it should have, nor with fewer that answer.
//! - At most `moves_max` groups are in the middle of a move.
//! - While any group has fewer voters that answer than it should have, nothing is done but repairs, and what
//!   makes room for them: a move that is under way is given up or finished when a repair waits for its place.
//! - A group whose voters that answer are no majority cannot change at all, so nothing is asked of it.
//!
//! In calm the steps are as few as can be: three for each replica that moves and one for each leader that changes.
//! Every step brings its group one nearer to its goal, and there are two exceptions. When a node dies or comes
//! back or the target changes in the middle of a move, the move may take back one replica, and pass the
//! leadership on before that. And while the node that should lead a group is away, a leader that has to go passes
//! the leadership on to another one: one step more for each such group, however many there are.

mod members;

use std::collections::{BTreeMap, BTreeSet};

use tidekeep_protocol::slot::GroupId;

pub use self::members::{DrainRefused, Member, candidates, check_drain};
use crate::placement::{Change, Goal, NodeId, Row, Step, Table, Target};

/// How many groups move at once unless it is set otherwise. Each of them sends its whole content to another node,
/// so more of them take more of the network and the disks from those who read and write.
pub const MOVES_MAX_DEFAULT: usize = 2;

/// How long a node may be away before its replicas are made anew elsewhere, in milliseconds, unless it is set
/// otherwise. Longer than a restart of the machine, so that one does not copy everything.
pub const GRACE_MS_DEFAULT: u64 = 600_000;

/// What is seen of the cluster at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The nodes that do not answer.
    pub down: BTreeSet<NodeId>,
    /// The learners that have all that their groups have committed.
    pub caught_up: BTreeSet<(GroupId, NodeId)>,
    /// Who leads each group. A group that is not here is taken to be led as the table says.
    pub leaders: BTreeMap<GroupId, NodeId>,
}

/// The steps to be taken now, at most one for each group; they may be carried out in any order. None of them is right
/// any more once the table or the health has changed: ask again then. Nothing is left to do when
/// there are none and no group waits (for a learner to catch up, a node to answer or a grace time
/// to pass). A target that was made for another number of groups or replicas asks for nothing.
pub fn next_steps(
    present: &Table,
    target: &Target,
    health: &Health,
    moves_max: usize,
) -> Vec<Step> {
    let replicas = present.replicas();
    if target.replicas() != replicas || target.goals().len() != present.rows().len() {
        return Vec::new();
    }
    let plans: Vec<Plan<'_>> = present
        .groups()
        .zip(target.goals())
        .map(|((group, row), goal)| Plan { group, row, goal, health, replicas })
        .collect();
    let hurt = plans.iter().any(|plan| plan.live() < replicas);
    let (moving, resting): (Vec<_>, Vec<_>) =
        plans.iter().partition(|plan| plan.row.is_moving(replicas));
    let allowed = |plan: &&&Plan<'_>| !hurt || plan.is_repair();

    let mut steps: Vec<Step> =
        moving.iter().filter(allowed).filter_map(|plan| plan.step()).take(moves_max).collect();
    let (mut transfers, mut starts) = (Vec::new(), Vec::new());
    for plan in resting.iter().filter(allowed) {
        match plan.step() {
            Some(step) if step.change == Change::AddLearner => starts.push((plan.live(), step)),
            step => transfers.extend(step),
        }
    }
    // Those that could lose most are first.
    starts.sort_by_key(|&(live, step)| (live, step.group));
    let room = moves_max.saturating_sub(moving.len());
    let waiting = starts.len().saturating_sub(room);
    steps.extend(starts.into_iter().take(room).map(|(_, step)| step));
    steps.extend(transfers.into_iter().take(moves_max));
    if hurt {
        let others = moving.iter().filter(|plan| !plan.is_repair());
        steps.extend(others.filter_map(|plan| plan.way_out()).take(waiting));
    }
    steps
}

/// One group, on its way.
struct Plan<'a> {
    group: GroupId,
    row: &'a Row,
    goal: &'a Goal,
    health: &'a Health,
    replicas: usize,
}

impl Plan<'_> {
    fn is_up(&self, node: NodeId) -> bool {
        !self.health.down.contains(&node)
    }

    /// How many voters answer.
    fn live(&self) -> usize {
        self.row.voters.iter().filter(|&&voter| self.is_up(voter)).count()
    }

    /// Whether the group's steps repair it: it has not had all its replicas yet, one that is down is to be
    /// replaced, or it was moving when one went down. One that is down and should stay is waited for.
    fn is_repair(&self) -> bool {
        let voters = &self.row.voters;
        let mut down = voters.iter().filter(|&&voter| !self.is_up(voter));
        voters.len() < self.replicas
            || down.any(|&voter| !self.wants(voter) || self.row.is_moving(self.replicas))
    }

    fn wants(&self, node: NodeId) -> bool {
        self.goal.replicas.binary_search(&node).is_ok()
    }

    /// Whether `node` leads the group or should, as the table has it.
    fn leads(&self, node: NodeId) -> bool {
        self.row.leader == node || self.health.leaders.get(&self.group) == Some(&node)
    }

    fn to(&self, change: Change, node: NodeId) -> Option<Step> {
        Some(Step { group: self.group, change, node })
    }

    /// What is next for this group; none if it is where it should be, or has to wait.
    fn step(&self) -> Option<Step> {
        if 2 * self.live() <= self.row.voters.len() {
            return None;
        }
        if let Some(learner) = self.row.learner {
            return self.step_of_learner(learner);
        }
        if self.row.voters.len() > self.replicas {
            return self.shrink();
        }
        let mut missing =
            self.goal.replicas.iter().copied().filter(|&node| !self.row.has_voter(node)).peekable();
        if missing.peek().is_none() {
            return self.correct_leader();
        }
        // The coming leader first: then the leadership passes once.
        let start =
            missing.filter(|&node| self.is_up(node)).min_by_key(|&node| node != self.goal.leader);
        self.to(Change::AddLearner, start?)
    }

    fn step_of_learner(&self, learner: NodeId) -> Option<Step> {
        if !self.is_up(learner) || !self.wants(learner) {
            return self.to(Change::RemoveReplica, learner);
        }
        let ready = self.health.caught_up.contains(&(self.group, learner));
        if ready { self.to(Change::Promote, learner) } else { None }
    }

    /// Takes away one voter of too many. One that is down goes first even if it should stay: the others are
    /// enough, and without it they can bear to lose another. The leader goes last, for by then the next one is here.
    fn shrink(&self) -> Option<Step> {
        let voters = &self.row.voters;
        let down = voters.iter().copied().find(|&voter| !self.is_up(voter));
        let leaving = down.or_else(|| {
            let unwanted = voters.iter().copied().filter(|&voter| !self.wants(voter));
            unwanted.min_by_key(|&voter| self.leads(voter))
        })?;
        if !self.leads(leaving) {
            return self.to(Change::RemoveReplica, leaving);
        }
        let others = voters.iter().copied().filter(|&voter| voter != leaving && self.is_up(voter));
        let next = others.min_by_key(|&voter| (voter != self.goal.leader, !self.wants(voter)));
        self.to(Change::TransferLeader, next?)
    }

    /// Every replica is where it should be.
    fn correct_leader(&self) -> Option<Step> {
        let wanted = self.goal.leader;
        let leads_already = self.row.leader == wanted
            && self.health.leaders.get(&self.group).is_none_or(|&leader| leader == wanted);
        if leads_already || !self.is_up(wanted) {
            return None;
        }
        self.to(Change::TransferLeader, wanted)
    }

    /// What ends the group's move soonest.
    fn way_out(&self) -> Option<Step> {
        match self.row.learner {
            Some(learner) => self.to(Change::RemoveReplica, learner),
            None => self.step(),
        }
    }
}
