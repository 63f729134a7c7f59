//! Nodes that join, drain, die and come back at any moment, from seeds: the world looks at every step.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tidekeep_cluster::balance::GRACE_MS_DEFAULT;
use tidekeep_cluster::placement::{Node, NodeId};

use crate::nodes::{any_nodes, node};
use crate::world::World;

/// What may happen between two rounds.
#[derive(Debug, Clone, Copy)]
enum Event {
    Join,
    Drain,
    Kill,
    Revive,
    /// Time passes, up to two graces.
    Pass,
    Rounds,
}

const EVENTS: [Event; 8] = [
    Event::Join,
    Event::Drain,
    Event::Kill,
    Event::Kill,
    Event::Revive,
    Event::Pass,
    Event::Rounds,
    Event::Rounds,
];

/// Puts the world through the events.
fn storm(world: &mut World, events: &[Event]) {
    for (event, number) in events.iter().zip(1_000..) {
        let one = world.random.usize(..world.members.len());
        let one = world.members[one].node.id;
        match event {
            Event::Join => {
                let zone = format!("z{}", world.random.u8(..5));
                let weight = world.random.u16(1..400);
                world.join(node(number, &zone, weight));
            }
            Event::Drain => {
                world.drain(one);
            }
            Event::Kill => {
                world.kill(one);
            }
            Event::Revive => world.revive(one),
            Event::Pass => world.now_ms += world.random.u64(..2 * GRACE_MS_DEFAULT),
            Event::Rounds => {
                for _ in 0..world.random.u8(1..40) {
                    world.round();
                }
            }
        }
    }
}

/// Calm again: the dead are replaced, or come back if there are too few others.
fn calm(world: &mut World) {
    world.settle();
    world.now_ms += 2 * GRACE_MS_DEFAULT;
    world.settle();
    if !world.is_at_target() {
        let members: Vec<NodeId> = world.members.iter().map(|member| member.node.id).collect();
        members.into_iter().for_each(|node| world.revive(node));
        world.settle();
    }
}

fn run(groups: u16, nodes: &[Node], events: &[Event], seed: u64) {
    let mut world = World::new(groups, nodes, seed);
    storm(&mut world, events);
    calm(&mut world);
    assert!(world.is_at_target());
    assert!(world.table.rows().iter().all(|row| row.voters.len() == 3 && row.learner.is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(), ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_at_every_step(
        nodes in any_nodes(),
        groups in select(vec![1_u16, 4, 16, 64]),
        events in vec(select(EVENTS.to_vec()), 0..24),
        seed in any::<u64>(),
    ) {
        run(groups, &nodes, &events, seed);
    }
}

#[test]
fn a_storm_that_leaves_many_groups_to_be_led_by_another_holds_every_promise() {
    // One of three nodes dies, two join, and the first of these dies while it should lead groups that it does
    // not hold yet. Seventeen of them have to be led by another one meanwhile.
    let nodes = [
        node(4_103_122_679_295_875_648, "z0", 38),
        node(1_904_693_879_909_096_497, "z0", 100),
        node(1_010, "z0", u16::MAX),
    ];
    use Event::{Drain, Join, Kill, Rounds};
    let events = [Kill, Drain, Join, Rounds, Rounds, Rounds, Drain, Join, Kill];
    run(64, &nodes, &events, 3_099_885_103_411_884_065);
}

#[test]
fn every_promise_holds_in_every_size_of_cluster() {
    for seed in 0..u64::from(seeds()).div_ceil(12) {
        for groups in [1, 4, 16, 64] {
            for count in [3, 5, 9] {
                let seed = seed << 16 | u64::from(groups) << 8 | count;
                let mut random = fastrand::Rng::with_seed(seed);
                let zones = random.u64(3..=count);
                let nodes: Vec<Node> = (1..=count)
                    .map(|id| node(id, &format!("z{}", id % zones), random.u16(50..200)))
                    .collect();
                let events: Vec<Event> =
                    (0..12).map(|_| EVENTS[random.usize(..EVENTS.len())]).collect();
                run(groups, &nodes, &events, seed);
            }
        }
    }
}

/// How many storms there are: 60, or `TIDEKEEP_PLACEMENT_SEEDS`.
fn seeds() -> u32 {
    let set = std::env::var("TIDEKEEP_PLACEMENT_SEEDS").ok();
    set.map_or(60, |set| set.parse().expect("TIDEKEEP_PLACEMENT_SEEDS is a number"))
}
