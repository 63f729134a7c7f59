//! How a store of several groups stands on one of its nodes, and its figures: those of all groups that the node
//! has a replica of, added up.

use tidekeep_log::{Commit, Standing};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::slot::GroupCount;

use crate::node::Life;
use crate::raft::Runtime;
use crate::replicated::leaderless;
use crate::store::doors::Doors;

/// What can be asked of the store: everything only if every group can be reached.
pub(super) fn of<R: Runtime>(doors: &Doors<R>) -> Standing {
    if doors.node().life() == Life::Removed {
        let why = "this node was removed from its cluster; its data can be deleted";
        return Standing::Failed(why.into());
    }
    if doors.node().disk_hangs() {
        return Standing::ReadOnly(hangs());
    }
    let mut worst = match doors.node().journal().is_full() {
        true => Standing::ReadOnly(full()),
        false => Standing::Ready,
    };
    for group in doors.groups().groups() {
        let standing = match doors.here(group) {
            Some(here) => here.standing(),
            None if doors.answers(group) => Standing::Ready,
            None => Standing::ReadOnly(leaderless()),
        };
        match standing {
            Standing::Ready => {}
            Standing::ReadOnly(_) => worst = standing,
            Standing::Failed(_) => return standing,
        }
    }
    worst
}

/// Why clients had better go to another node, though this one still takes what others have room for.
fn full() -> Refusal {
    Refusal::new(Code::NoSpace, "this node's disk is full; it falls behind until there is room")
}

/// Why clients had better go to another node: this one learns nothing of what is written there.
fn hangs() -> Refusal {
    Refusal::new(Code::Unavailable, "this node's disk hangs; others lead until it answers")
}

/// Figures that are no sums: of several groups the worst counts.
const WORST: [&str; 3] = ["expiry_lag_p50_ms", "expiry_lag_p99_ms", "expiry_lag_max_ms"];

/// Gives each figure by name.
pub(super) fn figures<R: Runtime>(doors: &Doors<R>, each: &mut dyn FnMut(&'static str, u64)) {
    let node = doors.node();
    each("cluster_node", node.id().0);
    let here: Vec<_> = doors.all_here().map(|(_, here)| here).collect();
    if doors.groups() == GroupCount::ONE {
        return match here.first() {
            Some(here) => here.figures(each),
            None => node.journal().figures(each),
        };
    }
    let mut sums: Vec<(&'static str, u64)> = Vec::new();
    let mut add = |name, value: u64| match sums.iter_mut().find(|(known, _)| *known == name) {
        Some((_, most)) if WORST.contains(&name) => *most = value.max(*most),
        Some((_, sum)) => *sum += value,
        None => sums.push((name, value)),
    };
    for here in &here {
        let member = here.member();
        member.replica().figures(&mut add);
        let standing = member.standing();
        add("cluster_leads", u64::from(standing.leads));
        add("cluster_leaderless", u64::from(standing.leader.is_none()));
        add("cluster_applied_entry", standing.applied.unwrap_or(0));
        add("cluster_last_entry", standing.last.unwrap_or(0));
    }
    sums.into_iter().for_each(|(name, value)| each(name, value));
    node.journal().figures(each);
    each("cluster_groups", u64::from(doors.groups().get()));
    each("cluster_replicas", here.len() as u64);
}
