//! A cluster that carries out the balancer's steps, and holds every promise against each of them.

use std::collections::BTreeSet;

use tidekeep_cluster::balance::{
    GRACE_MS_DEFAULT, Health, MOVES_MAX_DEFAULT, Member, candidates, check_drain, next_steps,
};
use tidekeep_cluster::placement::{
    Candidate, Change, Goal, Node, NodeId, Row, Step, Table, Target, target,
};
use tidekeep_protocol::slot::GroupId;

use crate::detours::Detours;

/// Nothing takes more rounds than this.
const ROUNDS_MAX: usize = 20_000;

pub(crate) struct World {
    pub members: Vec<Member>,
    pub table: Table,
    pub health: Health,
    pub now_ms: u64,
    pub random: fastrand::Rng,
    /// Steps that were taken.
    pub steps: usize,
    /// Of them those that did not bring their group nearer to its goal.
    pub detours: Detours,
    /// The target, and what it was worked out for.
    known: Option<(Vec<Candidate>, usize, Target)>,
}

impl World {
    /// A cluster in calm, with groups where the first target wants them.
    pub(crate) fn new(groups: u16, nodes: &[Node], seed: u64) -> Self {
        let candidates = crate::nodes::up(nodes);
        let first = Target::first(crate::nodes::groups(groups), 3, &candidates);
        Self::of(Table::new(&first.expect("there are nodes enough")), nodes, seed)
    }

    pub(crate) fn of(table: Table, nodes: &[Node], seed: u64) -> Self {
        let mut world = Self {
            members: Vec::new(),
            table,
            health: Health::default(),
            now_ms: 1_000_000,
            random: fastrand::Rng::with_seed(seed),
            steps: 0,
            detours: Detours::default(),
            known: None,
        };
        nodes.iter().for_each(|node| world.join(node.clone()));
        for (group, row) in world.table.groups() {
            world.health.leaders.insert(group, row.leader);
        }
        world
    }

    pub(crate) fn join(&mut self, node: Node) {
        self.members.push(Member { node, draining: false, down_since_ms: None });
    }

    /// Lets a node drain, if that is allowed.
    pub(crate) fn drain(&mut self, node: NodeId) -> bool {
        let allowed = check_drain(&self.members, node, self.table.replicas()).is_ok();
        if allowed {
            self.member(node).draining = true;
        }
        allowed
    }

    /// Kills a node, if every group keeps a majority; the groups that it leads choose others.
    pub(crate) fn kill(&mut self, node: NodeId) -> bool {
        let mut down = self.health.down.clone();
        down.insert(node);
        let majority = |row: &Row| {
            2 * row.voters.iter().filter(|voter| !down.contains(voter)).count() > row.voters.len()
        };
        if self.health.down.contains(&node) || !self.table.rows().iter().all(majority) {
            return false;
        }
        self.kill_anyway(node);
        true
    }

    pub(crate) fn kill_anyway(&mut self, node: NodeId) {
        let now_ms = self.now_ms;
        self.member(node).down_since_ms = Some(now_ms);
        self.health.down.insert(node);
        self.health.caught_up.retain(|(_, learner)| *learner != node);
        for (group, row) in self.table.groups() {
            if self.health.leaders[&group] == node {
                let live = row.voters.iter().filter(|voter| !self.health.down.contains(voter));
                let live: Vec<NodeId> = live.copied().collect();
                if let Some(&leader) = self.random.choice(&live) {
                    self.health.leaders.insert(group, leader);
                }
            }
        }
    }

    pub(crate) fn revive(&mut self, node: NodeId) {
        self.member(node).down_since_ms = None;
        self.health.down.remove(&node);
    }

    fn member(&mut self, node: NodeId) -> &mut Member {
        self.members.iter_mut().find(|member| member.node.id == node).expect("a known node")
    }

    /// Where the groups should be now. It is worked out anew when the nodes have changed, and now and then in
    /// the middle of its steps, as whoever coordinates next does: no step may count on the target of before.
    pub(crate) fn target(&mut self) -> Option<Target> {
        let replicas = self.table.replicas();
        let candidates = candidates(&self.members, replicas, self.now_ms, GRACE_MS_DEFAULT);
        match &self.known {
            Some((for_nodes, for_replicas, target))
                if (for_nodes, *for_replicas) == (&candidates, replicas)
                    && self.random.u8(..16) != 0 =>
            {
                Some(target.clone())
            }
            _ => {
                let target = target(&self.table, &candidates).ok()?;
                self.known = Some((candidates, replicas, target.clone()));
                Some(target)
            }
        }
    }

    /// How many steps separate the table from `target`.
    pub(crate) fn distance(&self, target: &Target) -> usize {
        let rows = self.table.groups().zip(target.goals());
        rows.map(|((group, row), goal)| self.distance_of(group, row, goal)).sum()
    }

    /// Each missing replica is added and promoted, each unwanted one removed, the leader changed: no
    /// step does two of these, so no way is shorter.
    fn distance_of(&self, group: GroupId, row: &Row, goal: &Goal) -> usize {
        let missing = goal.replicas.iter().filter(|&&node| !row.has_voter(node)).count();
        let extra = row.voters.iter().filter(|&voter| !goal.replicas.contains(voter)).count();
        let learner = match row.learner {
            Some(learner) if goal.replicas.contains(&learner) => -1,
            Some(_) => 1,
            None => 0,
        };
        let leads = row.leader == goal.leader && self.health.leaders[&group] == goal.leader;
        (2 * missing + extra + usize::from(!leads)).strict_add_signed(learner)
    }

    /// One round: some of the steps that are due are carried out, some learners catch up, time passes. Whether
    /// anything was or is still to be done.
    pub(crate) fn round(&mut self) -> bool {
        let Some(target) = self.target() else { return false };
        self.detours.see(&self.table, &target, &self.health.down);
        let due = self.due(&target);
        let learners: Vec<(GroupId, NodeId)> = self
            .table
            .groups()
            .filter_map(|(group, row)| Some((group, row.learner?)))
            .filter(|pair| !self.health.caught_up.contains(pair))
            .filter(|(_, node)| !self.health.down.contains(node))
            .collect();
        let busy = !due.is_empty() || !learners.is_empty();
        for step in due {
            // Some are late, and are chosen again.
            if self.random.u8(..4) != 0 {
                self.take(step, &target);
            }
        }
        for learner in learners {
            if self.random.bool() {
                self.health.caught_up.insert(learner);
            }
        }
        busy
    }

    /// The steps that are due, after every promise about them all has been looked at.
    fn due(&mut self, target: &Target) -> Vec<Step> {
        let due = next_steps(&self.table, target, &self.health, MOVES_MAX_DEFAULT);
        let groups: BTreeSet<GroupId> = due.iter().map(|step| step.group).collect();
        assert_eq!(groups.len(), due.len(), "one step for each group: {due:?}");
        let replicas = self.table.replicas();
        let hurt = self.table.rows().iter().any(|row| self.live(row) < replicas);
        for step in due.iter().filter(|_| hurt) {
            let row = self.table.row(step.group).expect("a known group");
            let goal = &target.goals()[usize::from(step.group.0)];
            let lost = |voter: &&NodeId| self.health.down.contains(voter);
            let repair = match step.change {
                // Only in the place of one that is given up, or of one that was never there.
                Change::AddLearner => {
                    let gone = |voter: &NodeId| !goal.replicas.contains(voter);
                    row.voters.len() < replicas || row.voters.iter().filter(lost).any(gone)
                }
                Change::Promote => self.live(row) < replicas,
                // What does away with the dead, or makes room.
                Change::RemoveReplica => row.is_moving(replicas),
                Change::TransferLeader => row.is_moving(replicas),
            };
            assert!(repair, "{step:?} of {row:?} while a group lacks a replica");
        }
        let mut all = self.table.clone();
        due.iter().for_each(|&step| all.apply(step).expect("steps fit the table"));
        let moving = |table: &Table| {
            table.rows().iter().filter(|row| row.is_moving(table.replicas())).count()
        };
        assert!(moving(&all) <= MOVES_MAX_DEFAULT.max(moving(&self.table)), "{due:?}");
        due
    }

    fn live(&self, row: &Row) -> usize {
        row.voters.iter().filter(|voter| !self.health.down.contains(voter)).count()
    }

    /// Carries out a step, and looks at every promise about it.
    pub(crate) fn take(&mut self, step: Step, target: &Target) {
        let before = self.table.row(step.group).expect("a known group").clone();
        let (epoch, distance) = (self.table.epoch(), self.distance(target));
        let is_down = self.health.down.contains(&step.node);
        match step.change {
            Change::Promote => {
                assert!(self.health.caught_up.contains(&(step.group, step.node)), "{step:?}");
            }
            Change::RemoveReplica => {
                assert_ne!(self.health.leaders[&step.group], step.node, "{step:?}");
            }
            Change::AddLearner | Change::TransferLeader => assert!(!is_down, "{step:?}"),
        }
        assert!(2 * self.live(&before) > before.voters.len(), "{step:?} needs a majority");
        self.table.apply(step).expect("steps fit the table");
        match step.change {
            Change::TransferLeader => {
                self.health.leaders.insert(step.group, step.node);
            }
            Change::AddLearner => {}
            Change::Promote | Change::RemoveReplica => {
                self.health.caught_up.remove(&(step.group, step.node));
            }
        }

        let row = self.table.row(step.group).expect("a known group");
        assert_eq!((self.table.epoch(), row.epoch), (epoch + 1, epoch + 1));
        let replicas = self.table.replicas();
        assert!(row.voters.len() >= replicas.min(before.voters.len()), "{before:?} {step:?}");
        assert!(self.live(row) >= replicas.min(self.live(&before)), "{before:?} {step:?}");
        assert!(row.has_voter(row.leader), "{row:?}");
        self.steps += 1;
        if self.distance(target) + 1 != distance {
            self.detours.count(step, &before);
        }
    }

    /// Goes on until nothing is left to do in this state of the nodes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.round() {
                return;
            }
        }
        panic!("no end after {ROUNDS_MAX} rounds");
    }

    /// Whether every group is where it should be, on nodes that answer.
    pub(crate) fn is_at_target(&mut self) -> bool {
        self.target().is_some_and(|target| self.distance(&target) == 0)
    }
}
