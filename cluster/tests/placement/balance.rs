//! Steps in calm, as few as can be, and what each trouble does to them.

use tidekeep_cluster::balance::{GRACE_MS_DEFAULT, Health, MOVES_MAX_DEFAULT, next_steps};
use tidekeep_cluster::placement::{Change, Node, NodeId, Step, Table, Target, target};
use tidekeep_protocol::slot::GroupId;

use crate::nodes::{equal, groups, node, up};
use crate::world::World;

/// Carries out what is due until nothing is, in exactly the fewest steps.
fn settles_in_the_fewest_steps(world: &mut World) -> usize {
    let goal = world.target().expect("there are nodes enough");
    let (distance, before) = (world.distance(&goal), world.steps);
    world.settle();
    assert!(world.is_at_target());
    assert_eq!(world.steps - before, distance);
    assert_eq!(world.detours.count, 0);
    distance
}

#[test]
fn joins_and_drains_take_the_fewest_steps() {
    for count in [1, 4, 16, 64] {
        for nodes in [3, 5, 9] {
            let mut world = World::new(count, &equal(nodes), u64::from(count) + nodes);
            assert_eq!(settles_in_the_fewest_steps(&mut world), 0, "nothing to do at first");
            world.join(node(100, "new", 100));
            settles_in_the_fewest_steps(&mut world);
            assert!(world.drain(NodeId(1)), "as many nodes are left as there were");
            settles_in_the_fewest_steps(&mut world);
            assert_eq!(world.table.held_by(NodeId(1)), 0, "it can be taken out");
        }
    }
}

#[test]
fn heavier_nodes_and_zones_take_the_fewest_steps() {
    let nodes: Vec<Node> =
        (1..=9).map(|id| node(id, &format!("z{}", id % 3), 50 * id as u16)).collect();
    let mut world = World::new(64, &nodes, 7);
    world.join(node(10, "z0", 300));
    world.join(node(11, "z9", 100));
    assert!(settles_in_the_fewest_steps(&mut world) > 0);
    assert!(world.drain(NodeId(9)) && world.drain(NodeId(4)));
    assert!(settles_in_the_fewest_steps(&mut world) > 0);
}

#[test]
fn a_store_on_one_node_grows_to_a_cluster_and_shrinks_again() {
    let nodes = equal(5);
    let mut world = World::of(Table::solo(groups(16), NodeId(1)), &nodes[..1], 3);
    nodes[1..].iter().for_each(|node| world.join(node.clone()));
    world.table.set_replicas(5).expect("5 are allowed");
    settles_in_the_fewest_steps(&mut world);
    assert!(world.table.rows().iter().all(|row| row.voters.len() == 5));
    world.table.set_replicas(3).expect("3 are allowed");
    settles_in_the_fewest_steps(&mut world);
    assert!(world.table.rows().iter().all(|row| row.voters.len() == 3));
}

#[test]
fn a_dead_node_is_replaced_when_its_grace_is_over_and_not_before() {
    let mut world = World::new(16, &equal(5), 5);
    assert!(world.kill(NodeId(2)));
    world.now_ms += GRACE_MS_DEFAULT - 1;
    world.settle();
    assert_eq!(world.steps, 0);
    world.now_ms += 1;
    let held = world.table.held_by(NodeId(2));
    world.settle();
    assert!(world.is_at_target());
    assert_eq!(world.table.held_by(NodeId(2)), 0);
    assert!(world.steps >= 3 * held);
}

#[test]
fn a_node_that_comes_back_in_time_gets_its_leaders_back_and_nothing_moves() {
    let mut world = World::new(16, &equal(5), 6);
    let before = world.table.clone();
    assert!(world.kill(NodeId(2)));
    world.now_ms += GRACE_MS_DEFAULT / 2;
    world.settle();
    world.revive(NodeId(2));
    world.settle();
    assert!(world.is_at_target());
    let led = before.rows().iter().filter(|row| row.leader == NodeId(2)).count();
    assert_eq!(world.steps, led);
    for (old, new) in before.rows().iter().zip(world.table.rows()) {
        assert_eq!((&old.voters, old.leader), (&new.voters, new.leader));
    }
}

#[test]
fn a_drain_that_has_become_unsafe_waits() {
    let mut world = World::new(16, &equal(4), 8);
    assert!(world.drain(NodeId(1)));
    world.round();
    assert!(world.kill(NodeId(4)));
    world.now_ms += GRACE_MS_DEFAULT;
    world.settle();
    assert!(world.is_at_target(), "on 1, 2 and 3");
    assert!(world.table.held_by(NodeId(1)) > 0);
    world.join(node(5, "z5", 100));
    world.settle();
    assert!(world.is_at_target(), "on 2, 3 and 5");
    assert_eq!(world.table.held_by(NodeId(1)), 0);
}

#[test]
fn groups_whose_next_leader_is_away_are_led_by_another_meanwhile() {
    // All groups are on 1, 2 and 3, and 2 dies. 4 joins and dies, too, before they have moved to it.
    let nodes = [node(1, "z0", 38), node(2, "z0", 100), node(3, "z0", u16::MAX)];
    let mut world = World::new(64, &nodes, 3);
    assert!(world.kill(NodeId(2)));
    world.join(node(4, "z0", 300));
    assert!(world.kill(NodeId(4)));
    world.join(node(5, "z0", 300));
    world.settle();
    // Every step was looked at as it was taken: a group does so once.
    let led_by_another = world.detours.count;
    assert!(led_by_another > 3 * MOVES_MAX_DEFAULT, "more than could be moving when 4 died");
    let goal = world.target().expect("there are nodes enough");
    let waiting = goal.goals().iter().filter(|goal| goal.leader == NodeId(4)).count();
    assert!(led_by_another <= waiting, "{led_by_another} of {waiting}");
    [2, 4].into_iter().for_each(|id| world.revive(NodeId(id)));
    world.settle();
    assert!(world.is_at_target());
    assert_eq!(world.detours.count, led_by_another);
}

#[test]
#[should_panic(expected = "away from")]
fn a_step_that_leads_away_without_an_excuse_is_noticed() {
    let mut world = World::new(16, &equal(5), 4);
    assert!(!world.round(), "nothing to do");
    let goal = world.target().expect("there are nodes enough");
    let (group, row) = world.table.groups().next().expect("a group");
    let other = row.voters.iter().copied().find(|&voter| voter != row.leader);
    let node = other.expect("three voters");
    world.take(Step { group, change: Change::TransferLeader, node }, &goal);
}

/// One group on 1, 2 and 3 led by 1, and where it should go.
struct One {
    table: Table,
    health: Health,
}

impl One {
    fn new() -> Self {
        Self { table: Table::new(&goal(&[1, 2, 3])), health: Health::default() }
    }

    fn next(&self, goal: &Target) -> Vec<(Change, u64)> {
        let steps = next_steps(&self.table, goal, &self.health, MOVES_MAX_DEFAULT);
        steps.into_iter().map(|step| (step.change, step.node.0)).collect()
    }

    fn apply(&mut self, change: Change, node: u64) {
        let step = Step { group: GroupId(0), change, node: NodeId(node) };
        self.table.apply(step).expect("the step fits");
    }
}

/// A goal for one group on exactly these nodes.
fn goal(nodes: &[u64]) -> Target {
    let nodes: Vec<Node> = nodes.iter().map(|&id| node(id, &id.to_string(), 100)).collect();
    Target::first(groups(1), nodes.len(), &up(&nodes)).expect("there are nodes enough")
}

#[test]
fn a_learner_is_promoted_when_it_has_caught_up_and_not_before() {
    let (mut one, to) = (One::new(), goal(&[2, 3, 4]));
    assert_eq!(one.next(&to), [(Change::AddLearner, 4)]);
    one.apply(Change::AddLearner, 4);
    assert_eq!(one.next(&to), []);
    one.health.caught_up.insert((GroupId(1), NodeId(4)));
    one.health.caught_up.insert((GroupId(0), NodeId(3)));
    assert_eq!(one.next(&to), [], "another group's, another node's");
    one.health.caught_up.insert((GroupId(0), NodeId(4)));
    assert_eq!(one.next(&to), [(Change::Promote, 4)]);
}

#[test]
fn a_learner_that_dies_or_is_wanted_no_longer_is_given_up() {
    let (mut one, to) = (One::new(), goal(&[2, 3, 4]));
    one.apply(Change::AddLearner, 4);
    assert_eq!(one.next(&goal(&[1, 2, 3]))[0], (Change::RemoveReplica, 4));
    one.health.down.insert(NodeId(4));
    assert_eq!(one.next(&to), [(Change::RemoveReplica, 4)]);
    one.apply(Change::RemoveReplica, 4);
    assert_eq!(one.next(&to), [], "it is not begun anew before the node is back");
}

#[test]
fn whoever_leads_in_truth_passes_the_leadership_on_before_it_goes() {
    let (mut one, to) = (One::new(), goal(&[2, 3, 4]));
    one.apply(Change::AddLearner, 4);
    one.health.caught_up.insert((GroupId(0), NodeId(4)));
    one.apply(Change::Promote, 4);
    one.apply(Change::TransferLeader, 2);
    one.health.leaders.insert(GroupId(0), NodeId(1));
    let leader = to.goals()[0].leader.0;
    assert_eq!(one.next(&to), [(Change::TransferLeader, leader)]);
}

#[test]
fn of_four_voters_a_dead_one_goes_first_even_if_it_should_stay() {
    let (mut one, to) = (One::new(), goal(&[2, 3, 4]));
    one.apply(Change::AddLearner, 4);
    one.health.caught_up.insert((GroupId(0), NodeId(4)));
    one.apply(Change::Promote, 4);
    one.apply(Change::TransferLeader, 3);
    one.health.down.insert(NodeId(4));
    assert_eq!(one.next(&to), [(Change::RemoveReplica, 4)]);
}

#[test]
fn a_group_without_a_majority_is_left_alone() {
    let (mut one, to) = (One::new(), goal(&[1, 4, 5]));
    one.health.down.extend([NodeId(2), NodeId(3)]);
    assert_eq!(one.next(&to), []);
    one.health.down.remove(&NodeId(3));
    assert_eq!(one.next(&to).len(), 1);
    // Two of four are none.
    one.apply(Change::AddLearner, 4);
    one.apply(Change::Promote, 4);
    one.health.down.insert(NodeId(3));
    assert_eq!(one.next(&to), []);
}

#[test]
fn a_stale_target_asks_for_nothing() {
    let one = One::new();
    assert_eq!(one.next(&goal(&[2, 3, 4, 5])), [], "for four replicas");
    let nodes = up(&equal(5)[2..]);
    let two = Target::first(groups(2), 3, &nodes).expect("there are nodes enough");
    assert_eq!(one.next(&two), [], "for two groups");
}

#[test]
fn a_repair_takes_the_place_of_a_move_that_is_under_way() {
    // Two groups move when a third loses a voter for good.
    let nodes = equal(6);
    let first = Target::first(groups(16), 3, &up(&nodes)).expect("there are nodes enough");
    let mut table = Table::new(&first);
    let dead = NodeId(6);
    let sound = table.groups().filter(|(_, row)| !row.has_voter(dead)).map(|(group, _)| group);
    let moving: Vec<GroupId> = sound.take(2).collect();
    assert_eq!(moving.len(), 2);
    for &group in &moving {
        let step = Step { group, change: Change::AddLearner, node: NodeId(7) };
        table.apply(step).expect("7 holds nothing");
    }
    let candidates = up(&[equal(5), vec![node(7, "z7", 100)]].concat());
    let goal = target(&table, &candidates).expect("there are nodes enough");
    let health = Health { down: [dead].into(), ..Health::default() };
    let steps = next_steps(&table, &goal, &health, MOVES_MAX_DEFAULT);
    let give_up = |&group| Step { group, change: Change::RemoveReplica, node: NodeId(7) };
    let given_up: Vec<Step> = moving.iter().map(give_up).collect();
    assert_eq!(steps, given_up);
    for step in given_up {
        table.apply(step).expect("a learner can go");
    }
    let steps = next_steps(&table, &goal, &health, MOVES_MAX_DEFAULT);
    assert_eq!(steps.len(), MOVES_MAX_DEFAULT);
    for step in steps {
        assert_eq!(step.change, Change::AddLearner);
        assert!(table.row(step.group).expect("a group").has_voter(dead), "only repairs");
    }
}
