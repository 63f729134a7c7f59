//! The table's bytes, and the changes that it takes and refuses.

use proptest::prelude::*;
use tidekeep_cluster::placement::{
    Change, MalformedTable, NodeId, Step, StepRefused, TABLE_BYTES_MAX, Table, TableRefused, Target,
};
use tidekeep_protocol::slot::GroupId;

use crate::nodes::{any_nodes, equal, groups, up};

fn step(change: Change, node: u64) -> Step {
    Step { group: GroupId(0), change, node: NodeId(node) }
}

/// One group on nodes 1, 2, 3 of 4, led by 1.
fn one_group() -> Table {
    let target = Target::first(groups(1), 3, &up(&equal(3))).expect("three nodes are enough");
    let mut table = Table::new(&target);
    table.apply(step(Change::TransferLeader, 1)).expect("1 is a voter");
    table
}

#[test]
fn the_bytes_are_the_documented_ones() {
    let mut table = one_group();
    table.apply(step(Change::AddLearner, 300)).expect("300 holds nothing");
    let row = [3, 1, 2, 3, 1, 0xAC, 0x02, 1, 3];
    assert_eq!(table.to_bytes(), [&[1, 3, 3, 1], &row[..]].concat());
    assert_eq!(Table::from_bytes(&table.to_bytes()), Ok(table));
}

#[test]
fn bytes_that_are_no_sound_table_are_refused() {
    let refused = |bytes: &[u8]| assert_eq!(Table::from_bytes(bytes), Err(MalformedTable));
    // Epoch 5, 3 replicas, one row: voters 1, 2, 3, no learner, leader 1, epoch 4.
    let sound = [1, 5, 3, 1, 3, 1, 2, 3, 0, 1, 4];
    assert!(Table::from_bytes(&sound).is_ok());
    let with = |place: usize, byte: u8| {
        let mut bytes = sound;
        bytes[place] = byte;
        bytes
    };
    refused(b"");
    refused(&sound[..10]);
    refused(&[&sound[..], &[0]].concat());
    refused(&with(0, 2)); // another format
    refused(&with(2, 0)); // no replicas
    refused(&with(2, 8)); // too many
    refused(&with(6, 1)); // a voter twice
    refused(&with(6, 9)); // not ascending
    refused(&with(9, 4)); // a leader without a vote
    refused(&with(10, 6)); // a row newer than the table
    refused(&[1, 5, 3, 0]); // no group
    refused(&[1, 5, 3, 1, 3, 1, 2, 3, 1, 2, 1, 4]); // a learner with a vote
    refused(&vec![0; TABLE_BYTES_MAX + 1]);
}

#[test]
fn a_move_takes_its_three_steps_and_raises_the_epoch_with_each() {
    let mut table = one_group();
    let epoch = table.epoch();
    let steps = [
        step(Change::AddLearner, 4),
        step(Change::Promote, 4),
        step(Change::TransferLeader, 4),
        step(Change::RemoveReplica, 1),
    ];
    for (step, number) in steps.into_iter().zip(1..) {
        table.apply(step).expect("the steps of a move");
        assert_eq!(table.epoch(), epoch + number);
        assert_eq!(table.rows()[0].epoch, table.epoch());
    }
    assert_eq!(table.rows()[0].voters, [2, 3, 4].map(NodeId));
    assert_eq!(table.rows()[0].leader, NodeId(4));
    assert_eq!([1, 2, 4].map(|node| table.held_by(NodeId(node))), [0, 1, 1]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut table = one_group();
    let refused = |table: &Table, step: Step, why: StepRefused| {
        let mut changed = table.clone();
        assert_eq!(changed.apply(step), Err(why));
        assert_eq!(changed, *table);
    };
    let nowhere = Step { group: GroupId(1), ..step(Change::AddLearner, 4) };
    refused(&table, nowhere, StepRefused::NoGroup);
    refused(&table, step(Change::AddLearner, 2), StepRefused::Holds);
    refused(&table, step(Change::Promote, 4), StepRefused::NotLearner);
    refused(&table, step(Change::TransferLeader, 4), StepRefused::NotVoter);
    refused(&table, step(Change::RemoveReplica, 4), StepRefused::NotVoter);
    refused(&table, step(Change::RemoveReplica, 2), StepRefused::TooFew);
    table.apply(step(Change::AddLearner, 4)).expect("4 holds nothing");
    refused(&table, step(Change::AddLearner, 5), StepRefused::Moving);
    refused(&table, step(Change::TransferLeader, 4), StepRefused::NotVoter);
    refused(&table, step(Change::RemoveReplica, 2), StepRefused::TooFew);
    table.apply(step(Change::Promote, 4)).expect("4 is the learner");
    refused(&table, step(Change::AddLearner, 5), StepRefused::Moving);
    refused(&table, step(Change::RemoveReplica, 1), StepRefused::Leads);
}

#[test]
fn a_learner_that_is_given_up_is_no_replica_lost() {
    let mut table = one_group();
    table.apply(step(Change::AddLearner, 4)).expect("4 holds nothing");
    table.apply(step(Change::RemoveReplica, 4)).expect("a learner can go at any time");
    assert_eq!(table.rows()[0].voters.len(), 3);
    assert_eq!(table.held_by(NodeId(4)), 0);
}

#[test]
fn a_group_has_1_to_7_replicas() {
    let mut table = one_group();
    let epoch = table.epoch();
    assert_eq!(table.set_replicas(0), Err(TableRefused::Replicas));
    assert_eq!(table.set_replicas(8), Err(TableRefused::Replicas));
    assert_eq!((table.replicas(), table.epoch()), (3, epoch));
    assert_eq!(table.set_replicas(5), Ok(()));
    assert_eq!((table.replicas(), table.epoch()), (5, epoch + 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_bring_any_table_back(nodes in any_nodes(), count in 1_u16..=256) {
        let target = Target::first(groups(count), 3, &up(&nodes)).expect("there are nodes enough");
        let table = Table::new(&target);
        let bytes = table.to_bytes();
        prop_assert!(bytes.len() <= TABLE_BYTES_MAX);
        prop_assert_eq!(Table::from_bytes(&bytes), Ok(table));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(table) = Table::from_bytes(&bytes) {
            prop_assert_eq!(Table::from_bytes(&table.to_bytes()), Ok(table));
        }
    }
}
