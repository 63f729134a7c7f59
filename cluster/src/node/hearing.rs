//! What the coordinator sees: who answers, since when somebody does not, and what follows from it for the
//! balancer. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use tidekeep_protocol::slot::GroupId;

use crate::balance::{self, Health};
use crate::meta::{META_GROUP, NodeState, View};
use crate::node::control::{GroupReport, Report};
use crate::placement::{NodeId, Step, Table};

/// What was seen at one look.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    /// When it was, in milliseconds of this node's own running.
    pub(super) now_ms: u64,
    /// When each node answered last.
    pub(super) heard_ms: BTreeMap<NodeId, u64>,
    /// How many looks in a row each node has not answered.
    missed: BTreeMap<NodeId, u32>,
    /// What those say that answered this time.
    pub(super) reports: BTreeMap<NodeId, Report>,
    /// A node that has not answered for so long is down, in milliseconds.
    pub(super) down_ms: u64,
    /// What was to be done then.
    pub(super) steps: Vec<Step>,
    /// Why nothing can be done, if nothing can.
    pub(super) waits_for: Option<String>,
}

impl Picture {
    /// The next one: who answered, and the nodes that there are. One that is new, be it to the cluster or to
    /// a coordinator that has just begun, counts as heard.
    pub(super) fn next(
        &self,
        view: &View,
        reports: BTreeMap<NodeId, Report>,
        now_ms: u64,
        down_ms: u64,
    ) -> Self {
        let heard = |node: NodeId| match reports.contains_key(&node) {
            true => now_ms,
            false => self.heard_ms.get(&node).copied().unwrap_or(now_ms),
        };
        let heard_ms = view.present().map(|(node, _)| (node, heard(node))).collect();
        let missed = |node: NodeId| match reports.contains_key(&node) {
            true => 0,
            false => self.missed.get(&node).copied().unwrap_or(0) + 1,
        };
        let missed = view.present().map(|(node, _)| (node, missed(node))).collect();
        Self { now_ms, heard_ms, missed, reports, down_ms, steps: Vec::new(), waits_for: None }
    }

    /// Since when a node does not answer, if it is down. After a look that took long, one message that is lost
    /// makes no node down.
    pub(super) fn down_since_ms(&self, node: NodeId) -> Option<u64> {
        let heard = self.heard_ms.get(&node).copied()?;
        let missed = self.missed.get(&node).copied().unwrap_or(0);
        let long = self.now_ms.saturating_sub(heard) >= self.down_ms;
        (long && missed >= MISSED_MIN).then_some(heard)
    }

    /// Whether a node answers.
    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.heard_ms.contains_key(&node) && self.down_since_ms(node).is_none()
    }

    /// Whether a node answers and its disk does not.
    fn hangs(&self, node: NodeId) -> bool {
        self.reports.get(&node).is_some_and(|report| report.hangs)
    }

    /// The nodes that may hold replicas, or still do.
    pub(super) fn members(&self, view: &View) -> Vec<balance::Member> {
        let nodes = view.present().filter(|(_, record)| record.state != NodeState::Joining);
        nodes
            .map(|(id, record)| balance::Member {
                node: record.placed(id),
                draining: record.state == NodeState::Draining,
                down_since_ms: self.down_since_ms(id),
            })
            .collect()
    }

    /// What the balancer has to know.
    pub(super) fn health(&self, view: &View, table: &Table) -> Health {
        let mut health = Health::default();
        for (group, row) in table.groups() {
            let holders = row.voters.iter().chain(&row.learner);
            health
                .down
                .extend(holders.copied().filter(|&node| !self.is_up(node) || self.hangs(node)));
            let Some((leader, report)) = self.leader(view.number(group)) else { continue };
            health.leaders.insert(group, leader);
            let standing = &report.standing;
            let whole = row.learner.filter(|learner| {
                standing.followed.get(learner).is_some_and(|&followed| {
                    standing.applied.unwrap_or(0).saturating_sub(followed) <= CLOSE
                })
            });
            health.caught_up.extend(whole.map(|learner| (group, learner)));
        }
        health
    }

    /// Who leads a group, and how it stands there: of those who say that they do, the one with the newest
    /// term.
    pub(super) fn leader(&self, group: u32) -> Option<(NodeId, &GroupReport)> {
        let claims = self.reports.iter().filter_map(|(&node, report)| {
            let report = report.groups.iter().find(|report| report.group == group)?;
            report.standing.leads.then_some((node, report))
        });
        claims.max_by_key(|(_, report)| report.standing.term)
    }

    /// What a node says of its member of a group.
    pub(super) fn member(&self, node: NodeId, group: u32) -> Option<&GroupReport> {
        self.reports.get(&node)?.groups.iter().find(|report| report.group == group)
    }

    /// The first group that would have no majority of voters that answer without a node; the meta group
    /// is none of the table's.
    pub(super) fn lost_without(&self, table: &Table, node: NodeId) -> Option<String> {
        let stays = |voters: &mut dyn Iterator<Item = NodeId>| {
            let voters: BTreeSet<NodeId> = voters.collect();
            let live = voters.iter().filter(|&&voter| voter != node && self.is_up(voter)).count();
            !voters.contains(&node) || 2 * live > voters.len()
        };
        let rows = table.groups();
        let lost = rows.filter(|(_, row)| !stays(&mut row.voters.iter().copied()));
        let lost = lost.map(|(group, _): (GroupId, _)| group.to_string()).next();
        let meta = self.leader(META_GROUP).map(|(_, report)| &report.standing.voters);
        let meta = meta.filter(|voters| !stays(&mut voters.iter().copied()));
        lost.or_else(|| meta.map(|_| "the meta group".into()))
    }
}

/// A node that is down has missed at least so many looks in a row.
const MISSED_MIN: u32 = 2;

/// Entries that a learner may lack for its promotion to be tried, and a voter for it to lead; the group's leader waits for
/// the last.
pub(super) const CLOSE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::rules::Introduction;
    use crate::meta::{ClusterRecord, Edit, rules};
    use crate::peer::ClusterId;
    use tidekeep_log::{Replica, ReplicaOptions};
    use tidekeep_protocol::slot::GroupCount;

    fn introduction() -> Introduction {
        Introduction {
            peer: crate::PeerAddress { address: "a:1".into() },
            client: "a:2".into(),
            zone: String::new(),
            weight: std::num::NonZeroU16::MIN,
            version: "1".into(),
        }
    }

    fn view() -> View {
        let replica = Replica::new(&ReplicaOptions::new(1)).unwrap();
        let cluster =
            ClusterRecord { id: ClusterId([1; 16]), groups: 1, replicas: 3, incarnation: 1 };
        let edit = rules::found(&View::default(), &cluster, GroupCount::ONE, introduction(), 1);
        Edit::outcome(&replica.apply(&edit.record(1)).unwrap()).unwrap();
        View::read(&replica).unwrap()
    }

    #[test]
    fn a_node_is_down_when_it_has_been_silent_for_long_and_a_new_look_begins_anew() {
        let (view, node) = (view(), rules::FIRST_NODE);
        let first = Picture::default().next(&view, BTreeMap::new(), 100, 50);
        assert!(first.is_up(node), "it was not asked before");
        let second = first.next(&view, BTreeMap::new(), 149, 50);
        assert_eq!(second.down_since_ms(node), None);
        let third = second.next(&view, BTreeMap::new(), 150, 50);
        assert_eq!(third.down_since_ms(node), Some(100));
        assert_eq!(third.members(&view)[0].down_since_ms, Some(100));
        assert!(Picture::default().next(&view, BTreeMap::new(), 200, 50).is_up(node));
        assert!(!third.is_up(NodeId(9)), "nobody knows it");
    }

    #[test]
    fn one_lost_message_after_a_long_look_makes_no_node_down() {
        let (view, node) = (view(), rules::FIRST_NODE);
        let report = Report { is: introduction(), hangs: false, groups: Vec::new() };
        let heard = BTreeMap::from([(node, report)]);
        let first = Picture::default().next(&view, heard, 100, 50);
        let late = first.next(&view, BTreeMap::new(), 900, 50);
        assert!(late.is_up(node));
        assert!(!late.next(&view, BTreeMap::new(), 910, 50).is_up(node));
    }

    #[test]
    fn without_its_only_voter_a_group_is_lost() {
        let view = view();
        let table = view.table.clone().unwrap();
        let picture = Picture::default().next(&view, BTreeMap::new(), 1, 50);
        assert_eq!(picture.lost_without(&table, rules::FIRST_NODE).as_deref(), Some("group 0"));
        assert_eq!(picture.lost_without(&table, NodeId(2)), None);
    }
}
