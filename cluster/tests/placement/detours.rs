//! Steps that do not bring their group nearer to its goal. Each must have its excuse in what has changed
//! since: the group's goal, or who answers. One without is a balancer that wanders.

use std::collections::{BTreeMap, BTreeSet};

use tidekeep_cluster::placement::{Change, Goal, NodeId, Row, Step, Table, Target};
use tidekeep_protocol::slot::GroupId;

/// What a group in the middle of a move may do after a change: give up one replica, and pass the leadership on
/// before that.
const STEPS_OF_A_MOVE: usize = 2;

/// Counts the steps that lead away, and knows what excuses them.
#[derive(Default)]
pub(crate) struct Detours {
    /// How many there were.
    pub count: usize,
    /// The nodes that do not answer, as they were last seen.
    down: BTreeSet<NodeId>,
    /// For each group what it was last seen to be after.
    seen: BTreeMap<GroupId, Seen>,
}

struct Seen {
    goal: Goal,
    /// How many steps are excused still, as the group was in the middle of a move when something changed.
    of_its_move: usize,
    /// Whether one passed the leadership on since then, for whoever should lead is away.
    led_by_another: bool,
}

impl Detours {
    /// Looks whether anything has changed that excuses steps.
    pub(crate) fn see(&mut self, table: &Table, target: &Target, down: &BTreeSet<NodeId>) {
        if self.down != *down {
            self.down.clone_from(down);
            self.seen.clear();
        }
        for ((group, row), goal) in table.groups().zip(target.goals()) {
            if self.seen.get(&group).is_some_and(|seen| seen.goal == *goal) {
                continue;
            }
            let of_its_move = if row.is_moving(table.replicas()) { STEPS_OF_A_MOVE } else { 0 };
            let seen = Seen { goal: goal.clone(), of_its_move, led_by_another: false };
            self.seen.insert(group, seen);
        }
    }

    /// Takes note of a step that led its group away.
    pub(crate) fn count(&mut self, step: Step, before: &Row) {
        self.count += 1;
        let seen = self.seen.get_mut(&step.group).expect("a group that was seen");
        // Whoever should lead cannot yet, and whoever leads in the table cannot stay.
        let for_another = step.change == Change::TransferLeader
            && self.down.contains(&seen.goal.leader)
            && !seen.led_by_another;
        if for_another {
            seen.led_by_another = true;
        } else {
            assert!(seen.of_its_move > 0, "{step:?} leads {before:?} away from {:?}", seen.goal);
            seen.of_its_move -= 1;
        }
    }
}
