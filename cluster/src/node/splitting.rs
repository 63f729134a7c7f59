//! The only group of a cluster becomes several: whether it may, and how the coordinator goes about it. Each step can
//! be taken again, by whoever coordinates then.
//!
//! ```text
//! asked for ─▶ Split in the group's own order ─▶ most replicas have made their parts ─▶ the table is of the new groups
//!              nothing is written from here on                                          nodes start them, and pass on
//!                                                                                       what has waited
//! ```
//! The old group is forgotten where it was when the node serves the new ones.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::meta::{Edit, NodeState, Numbering, View, rules};
use crate::node::admin::AdminError;
use crate::node::control::{Reply, Request};
use crate::node::hearing::Picture;
use crate::node::running::Node;
use crate::node::steps::agrees;
use crate::placement::NodeId;
use crate::raft::{Instant, Runtime};

/// The group that is split.
const WHOLE: GroupId = GroupId(0);

/// Between two looks whether the replicas have made their parts.
const RETRY: std::time::Duration = std::time::Duration::from_millis(20);

/// Looks for which a split waits for the last replicas once most have made their parts. Those that come later are sent
/// theirs by the others.
const WAITS_MAX: u32 = 20;

/// Why groups are not split. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SplitRefused {
    /// It has so many, or more.
    #[error("the store has {now} {} already: ask for more, 256 at the most", groups_of(*now))]
    NotMore {
        /// How many it has.
        now: u16,
    },
    /// Only a single group is split.
    #[error(
        "the store has {now} groups, and only a store of one group can be split so far; \
         another number is made by way of a backup: `tidekeep backup`, and `cluster init --groups N` with it"
    )]
    Several {
        /// How many it has.
        now: u16,
    },
    /// Another number was asked for before.
    #[error("the store is being split into {groups} groups already")]
    UnderWay {
        /// That number.
        groups: u16,
    },
    /// A node does not answer.
    #[error(
        "{0} does not answer: start it, or remove it from the cluster, before the store is split"
    )]
    Down(NodeId),
    /// A node has not been heard of since it was let in.
    #[error("{0} is about to join: wait until it has, before the store is split")]
    Joining(NodeId),
    /// A node runs another version, which may know nothing of splits.
    #[error("{node} runs version {version}, and this is {own}: all nodes need the same one")]
    Version {
        /// The node.
        node: NodeId,
        /// What it runs.
        version: String,
        /// What the coordinator runs.
        own: String,
    },
    /// The group is not at rest.
    #[error("replicas are being moved: wait until `cluster status` says that nothing moves")]
    Moving,
}

fn groups_of(count: u16) -> &'static str {
    if count == 1 { "group" } else { "groups" }
}

impl<R: Runtime> Node<R> {
    /// The change that begins a split, if it may begin.
    pub(super) fn decide_split(&self, view: &View, groups: GroupCount) -> Result<Edit, AdminError> {
        let (Some(cluster), Some(table)) = (view.cluster, &view.table) else {
            return Err(AdminError::NotReady);
        };
        let picture = self.seen()?;
        match view.split {
            // Whoever asks again has not heard that it was done.
            Some(split) if split.groups == groups.get() => return Ok(Edit::default()),
            Some(split) if !split.done => {
                return Err(AdminError::Split(SplitRefused::UnderWay { groups: split.groups }));
            }
            _ => {}
        }
        let row = table.row(WHOLE).ok_or(AdminError::NoGroup(WHOLE))?;
        let own = &self.introduction().version;
        let leader = picture.leader(Numbering::Founded.number(WHOLE));
        let agrees = leader.is_some_and(|(_, report)| agrees(row, &report.standing));
        let refused = if groups.get() <= cluster.groups {
            Some(SplitRefused::NotMore { now: cluster.groups })
        } else if cluster.groups != 1 {
            Some(SplitRefused::Several { now: cluster.groups })
        } else if let Some(refused) = view.present().find_map(|(node, record)| match record.state {
            NodeState::Joining => Some(SplitRefused::Joining(node)),
            _ if !picture.reports.contains_key(&node) => Some(SplitRefused::Down(node)),
            _ if record.version != *own => {
                let (version, own) = (record.version.clone(), own.clone());
                Some(SplitRefused::Version { node, version, own })
            }
            _ => None,
        }) {
            Some(refused)
        } else if row.is_moving(table.replicas()) || !agrees || !picture.steps.is_empty() {
            Some(SplitRefused::Moving)
        } else {
            None
        };
        match refused {
            Some(refused) => Err(AdminError::Split(refused)),
            None => Ok(rules::begin_split(view, groups)),
        }
    }

    /// Takes the next step of a split; whether anything was done.
    pub(super) async fn go_on_splitting(
        &self,
        view: &View,
        waits: &mut u32,
        picture: &mut Picture,
    ) -> Result<bool, String> {
        let Some(groups) = view.split.and_then(|split| GroupCount::new(split.groups)) else {
            return Ok(false);
        };
        picture.waits_for = Some(format!("the store is being split into {} groups", groups.get()));
        self.set_picture(Some(std::sync::Arc::new(picture.clone())));
        let row = view.table.as_ref().and_then(|table| table.row(WHOLE)).ok_or("no table")?;
        let whole = Numbering::Founded.number(WHOLE);
        if let Some((leader, report)) = picture.leader(whole)
            && agrees(row, &report.standing)
        {
            let asked = self.ask(leader, Request::Split { groups }, self.timing().step).await;
            asked.map_err(|error| error.to_string())?;
        }
        let end = R::Instant::now() + self.timing().look;
        loop {
            let made = self.who_has_split(&row.voters, groups).await;
            let most = 2 * made.values().filter(|made| **made).count() > row.voters.len();
            // Who does not answer now is not waited for: the others fill it when it comes back.
            if most && (made.values().all(|made| *made) || *waits >= WAITS_MAX) {
                break;
            }
            if R::Instant::now() >= end {
                *waits = if most { *waits + 1 } else { 0 };
                return Ok(true);
            }
            R::sleep(RETRY).await;
        }
        let view = self.read_meta()?;
        self.change(&rules::end_split(&view)).await.map_err(|error| error.to_string())?;
        *waits = 0;
        tracing::info!(groups = groups.get(), "the store was split");
        Ok(true)
    }

    /// Which of the nodes that answer have made their parts.
    async fn who_has_split(&self, nodes: &[NodeId], groups: GroupCount) -> BTreeMap<NodeId, bool> {
        let asked = nodes.iter().map(|&node| async move {
            let reply = self.ask(node, Request::IsSplit { groups }, self.timing().look).await;
            match reply {
                Ok(Reply::IsSplit(made)) => Some((node, made)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Orders the split of the group, which this node leads.
    pub(super) async fn split_here(&self, groups: GroupCount) -> Result<(), String> {
        let member = self.member_of(Numbering::Founded.number(WHOLE));
        let member = member.ok_or("the node has no member of this group")?;
        member.split(groups).await.map_err(|error| error.to_string())
    }

    /// Whether all groups that the whole one was split into are on this node's disk.
    pub(super) fn is_split_here(&self, groups: GroupCount) -> bool {
        let member = self.member_of(Numbering::Founded.number(WHOLE));
        member.is_some_and(|member| member.has_split(groups))
    }
}
