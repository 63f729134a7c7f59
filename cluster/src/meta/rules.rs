//! Which changes of the meta group there are, and when they are allowed. What can only be seen from
//! outside (who answers) is an argument; each rule gives the [`Edit`] that makes the change.

use std::num::NonZeroU16;

use tidekeep_protocol::slot::GroupCount;

use crate::link::PeerAddress;
use crate::meta::edit::Edit;
use crate::meta::keys::SecretHash;
use crate::meta::values::{ClusterRecord, NodeRecord, NodeState, SplitRecord, TokenRecord};
use crate::meta::view::View;
use crate::placement::{NodeId, Table};

/// The first node of a cluster.
pub const FIRST_NODE: NodeId = NodeId(1);

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Introduction {
    /// Where other nodes find it.
    pub peer: PeerAddress,
    /// Where clients find it: host and port.
    pub client: String,
    /// What fails together with it.
    pub zone: String,
    /// How much it should hold beside the others.
    pub weight: NonZeroU16,
    /// The version of its software.
    pub version: String,
}

/// Why a node is not let in. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum NotAdmitted {
    /// The cluster has no such token.
    #[error(
        "the token is not known: it is used up, or was made by another cluster; make a new one"
    )]
    UnknownToken,
    /// The token's time is over.
    #[error("the token's time is over; make a new one")]
    Expired,
    /// Another node has the address.
    #[error("{address} is the address of {node}; remove that node first, or use another address")]
    AddressTaken {
        /// The address.
        address: String,
        /// Whose it is.
        node: NodeId,
    },
    /// There is no cluster yet.
    #[error("the cluster is not founded yet; try again")]
    NotFounded,
}

impl Introduction {
    fn record(self, state: NodeState, now_ms: u64, let_in_by: Option<SecretHash>) -> NodeRecord {
        let Self { peer, client, zone, weight, version } = self;
        NodeRecord { peer, client, zone, weight, state, version, since_ms: now_ms, let_in_by }
    }
}

/// Founds a cluster of one node, which holds all groups.
pub fn found(
    view: &View,
    cluster: &ClusterRecord,
    groups: GroupCount,
    first: Introduction,
    now_ms: u64,
) -> Edit {
    let record = first.record(NodeState::Active, now_ms, None);
    Edit::default()
        .cluster(view, cluster)
        .node(view, FIRST_NODE, &record)
        .next_node(view, NodeId(FIRST_NODE.0 + 1))
        .table(view, &Table::solo(groups, FIRST_NODE))
}

/// Begins to split the groups into so many. Whatever changes the table at the same time is not written, so that
/// nothing moves meanwhile.
pub fn begin_split(view: &View, groups: GroupCount) -> Edit {
    let (Some(cluster), Some(table)) = (view.cluster, &view.table) else { return Edit::default() };
    let record = SplitRecord { from: cluster.groups, groups: groups.get(), done: false };
    Edit::default().split(view, &record).table(view, table)
}

/// Makes the table that of the groups into which the only one was split, which are where that was.
pub fn end_split(view: &View) -> Edit {
    let open = view.split.filter(|split| !split.done);
    let groups = open.and_then(|split| GroupCount::new(split.groups));
    let (Some(cluster), Some(table), Some(split), Some(groups)) =
        (view.cluster, &view.table, open, groups)
    else {
        return Edit::default();
    };
    let Some(table) = table.split(groups) else { return Edit::default() };
    let cluster = ClusterRecord { groups: groups.get(), ..cluster };
    let split = SplitRecord { done: true, ..split };
    Edit::default().cluster(view, &cluster).table(view, &table).split(view, &split)
}

/// Lets a node in that knows the secret of a token, and gives it an id. One that was let in and has not
/// been heard of since gets the same id again.
///
/// # Errors
/// [`NotAdmitted`] says why not, and what to do.
pub fn admit(
    view: &View,
    newcomer: Introduction,
    secret: SecretHash,
    now_ms: u64,
) -> Result<(NodeId, Edit), NotAdmitted> {
    let next = view.next_node.ok_or(NotAdmitted::NotFounded)?;
    let there = view.present().find(|(_, record)| record.peer == newcomer.peer);
    if let Some((node, record)) = there {
        if record.let_in_by == Some(secret) {
            let record = newcomer.record(NodeState::Joining, now_ms, Some(secret));
            return Ok((node, Edit::default().node(view, node, &record)));
        }
        let address = record.peer.address.clone();
        return Err(NotAdmitted::AddressTaken { address, node });
    }
    let token = view.tokens.get(&secret).ok_or(NotAdmitted::UnknownToken)?;
    if token.expires_ms <= now_ms {
        return Err(NotAdmitted::Expired);
    }
    let used = TokenRecord { uses_left: token.uses_left.saturating_sub(1), ..token.clone() };
    let record = newcomer.record(NodeState::Joining, now_ms, Some(secret));
    let edit = Edit::default()
        .node(view, next, &record)
        .next_node(view, NodeId(next.0 + 1))
        .token(view, secret, &used);
    Ok((next, edit))
}

/// Adds a token, and does away with those whose time is over.
pub fn add_token(view: &View, secret: SecretHash, token: &TokenRecord, now_ms: u64) -> Edit {
    let over =
        view.tokens.iter().filter(|(hash, other)| **hash != secret && other.expires_ms <= now_ms);
    over.fold(Edit::default(), |edit, (hash, other)| {
        edit.token(view, *hash, &TokenRecord { uses_left: 0, ..other.clone() })
    })
    .token(view, secret, token)
}

/// Takes in what a node says of itself; nothing to change if it is known. Zone and weight are what it
/// joined with, or what an operator has set since. A node that was let in is active from now on.
pub fn introduce(view: &View, node: NodeId, is: &Introduction, now_ms: u64) -> Edit {
    let Some(record) = view.nodes.get(&node) else { return Edit::default() };
    if record.state == NodeState::Removed {
        return Edit::default();
    }
    let mut now = match record.state {
        NodeState::Joining => record.in_state(NodeState::Active, now_ms),
        _ => record.clone(),
    };
    now.peer = is.peer.clone();
    now.client = is.client.clone();
    now.version = is.version.clone();
    match now == *record {
        true => Edit::default(),
        false => Edit::default().node(view, node, &now),
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_log::{Replica, ReplicaOptions};

    use super::*;
    use crate::meta::edit::EditError;
    use crate::peer::ClusterId;

    const SECRET: SecretHash = [5; 32];

    struct Meta(Replica);

    impl Meta {
        fn founded() -> Self {
            let replica = Replica::new(&ReplicaOptions::new(1)).unwrap();
            let meta = Self(replica);
            let view = meta.view();
            assert_eq!(admit(&view, node("b"), SECRET, 9), Err(NotAdmitted::NotFounded));
            let cluster =
                ClusterRecord { id: ClusterId([1; 16]), groups: 4, replicas: 3, incarnation: 1 };
            let groups = GroupCount::new(4).unwrap();
            meta.make(&found(&view, &cluster, groups, node("a"), 10)).unwrap();
            let view = meta.view();
            meta.make(&add_token(&view, SECRET, &token(2), 10)).unwrap();
            meta
        }

        fn view(&self) -> View {
            View::read(&self.0).unwrap()
        }

        fn make(&self, edit: &Edit) -> Result<(), EditError> {
            Edit::outcome(&self.0.apply(&edit.record(1_000)).unwrap())
        }
    }

    fn node(name: &str) -> Introduction {
        Introduction {
            peer: PeerAddress { address: format!("{name}:1") },
            client: format!("{name}:2"),
            zone: name.into(),
            weight: NonZeroU16::MIN,
            version: "1".into(),
        }
    }

    fn token(uses_left: u32) -> TokenRecord {
        TokenRecord { name: String::new(), expires_ms: 500, uses_left }
    }

    #[test]
    fn a_cluster_begins_with_all_groups_on_its_first_node() {
        let view = Meta::founded().view();
        let table = view.table.unwrap();
        assert_eq!((table.rows().len(), table.held_by(FIRST_NODE)), (4, 4));
        assert_eq!(view.nodes[&FIRST_NODE].state, NodeState::Active);
        assert_eq!(view.cluster.unwrap().replicas, 3);
    }

    #[test]
    fn a_split_names_its_groups_when_they_are_there() {
        use crate::meta::Numbering;

        let meta = Meta(Replica::new(&ReplicaOptions::new(1)).unwrap());
        let cluster =
            ClusterRecord { id: ClusterId([1; 16]), groups: 1, replicas: 3, incarnation: 1 };
        meta.make(&found(&meta.view(), &cluster, GroupCount::ONE, node("a"), 10)).unwrap();
        assert!(end_split(&meta.view()).is_empty(), "nobody has asked for it");
        let before = meta.view();
        meta.make(&begin_split(&before, GroupCount::new(4).unwrap())).unwrap();
        assert_eq!(meta.view().numbering(), Numbering::Founded);
        let late = Edit::default().table(&before, before.table.as_ref().unwrap());
        assert_eq!(meta.make(&late), Err(EditError::LostRace), "a step that was under way");
        meta.make(&end_split(&meta.view())).unwrap();
        let view = meta.view();
        assert_eq!((view.numbering(), view.founded_groups()), (Numbering::Split, Some(1)));
        let table = view.table.unwrap();
        assert_eq!((table.rows().len(), table.held_by(FIRST_NODE)), (4, 4));
        assert_eq!(view.cluster.unwrap().groups, 4);
        assert!(end_split(&meta.view()).is_empty(), "it is done");
    }

    #[test]
    fn a_token_lets_in_as_often_as_it_may_and_until_its_time_is_over() {
        let meta = Meta::founded();
        let wrong = admit(&meta.view(), node("b"), [6; 32], 100);
        assert_eq!(wrong, Err(NotAdmitted::UnknownToken));
        assert_eq!(admit(&meta.view(), node("b"), SECRET, 500), Err(NotAdmitted::Expired));
        for (name, id) in [("b", 2), ("c", 3)] {
            let (given, edit) = admit(&meta.view(), node(name), SECRET, 100).unwrap();
            meta.make(&edit).unwrap();
            assert_eq!(given, NodeId(id));
            assert_eq!(meta.view().nodes[&given].state, NodeState::Joining);
        }
        assert_eq!(admit(&meta.view(), node("d"), SECRET, 100), Err(NotAdmitted::UnknownToken));
    }

    #[test]
    fn who_did_not_get_the_reply_may_ask_again() {
        let meta = Meta::founded();
        meta.make(&add_token(&meta.view(), SECRET, &token(1), 10)).unwrap();
        for _ in 0..2 {
            let (given, edit) = admit(&meta.view(), node("b"), SECRET, 100).unwrap();
            meta.make(&edit).unwrap();
            assert_eq!(given, NodeId(2));
        }
        let heard = introduce(&meta.view(), NodeId(2), &node("b"), 200);
        meta.make(&heard).unwrap();
        assert_eq!(meta.view().nodes[&NodeId(2)].state, NodeState::Active);
        let taken = NotAdmitted::AddressTaken { address: "b:1".into(), node: NodeId(2) };
        assert_eq!(admit(&meta.view(), node("b"), SECRET, 300), Err(taken));
        assert!(introduce(&meta.view(), NodeId(2), &node("b"), 400).is_empty());
    }

    #[test]
    fn of_two_changes_made_from_the_same_one_is_made() {
        let meta = Meta::founded();
        let view = meta.view();
        let (one, first) = admit(&view, node("b"), SECRET, 100).unwrap();
        let (other, second) = admit(&view, node("c"), SECRET, 100).unwrap();
        assert_eq!(one, other);
        meta.make(&first).unwrap();
        assert_eq!(meta.make(&second), Err(EditError::LostRace));
        assert_eq!(meta.view().nodes[&one].peer.address, "b:1");
    }

    #[test]
    fn tokens_whose_time_is_over_go() {
        let meta = Meta::founded();
        let view = meta.view();
        meta.make(&add_token(&view, [6; 32], &token(1), 600)).unwrap();
        assert_eq!(meta.view().tokens.keys().copied().collect::<Vec<_>>(), [[6; 32]]);
    }

    #[test]
    fn what_is_longer_than_a_page_is_read_whole() {
        let limits = tidekeep_protocol::limits::Limits {
            scan_entries: 3,
            ..tidekeep_protocol::limits::Limits::DEFAULT
        };
        let replica = Replica::new(&ReplicaOptions { limits, ..ReplicaOptions::new(1) }).unwrap();
        let meta = Meta(replica);
        let cluster =
            ClusterRecord { id: ClusterId([1; 16]), groups: 1, replicas: 3, incarnation: 1 };
        let all = found(&meta.view(), &cluster, GroupCount::ONE, node("a"), 10);
        meta.make(&all).unwrap();
        for hash in 0..20 {
            meta.make(&add_token(&meta.view(), [hash; 32], &token(1), 10)).unwrap();
        }
        let view = meta.view();
        assert_eq!((view.tokens.len(), view.nodes.len()), (20, 1));
    }
}
