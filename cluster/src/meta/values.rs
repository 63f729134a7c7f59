//! The values of the meta group. Each begins with a byte that names its format; behind it is postcard.

use std::fmt;
use std::num::NonZeroU16;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::link::PeerAddress;
use crate::peer::ClusterId;
use crate::placement::{Node, NodeId};

const FORMAT: u8 = 1;

/// The cluster as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Its name.
    pub id: ClusterId,
    /// How many data groups share the keys: as many as it was founded with, until they are split.
    pub groups: u16,
    /// How many replicas a group is to have once there are nodes enough.
    pub replicas: u8,
    /// Tells this history of the store from others: a part of watches' cursors.
    pub incarnation: u64,
}

/// What the groups that a cluster was founded with are split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRecord {
    /// How many groups the cluster was founded with.
    pub from: u16,
    /// How many groups have their keys behind it.
    pub groups: u16,
    /// Whether the table is of the new groups already.
    pub done: bool,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Where other nodes find it.
    pub peer: PeerAddress,
    /// Where clients find it: host and port.
    pub client: String,
    /// What fails together with it.
    pub zone: String,
    /// How much it should hold beside the others.
    pub weight: NonZeroU16,
    /// Where it stands.
    pub state: NodeState,
    /// The version of its software.
    pub version: String,
    /// Since when it is in this state, in milliseconds since 1970.
    pub since_ms: u64,
    /// The token that let it in, until it is heard of: whoever did not get the reply may ask again.
    pub let_in_by: Option<[u8; 32]>,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// It was let in and has not been heard of since.
    Joining,
    /// It may hold replicas.
    Active,
    /// Its replicas are being moved away.
    Draining,
    /// It is no part of the cluster any more. Its id is never given again.
    Removed,
}

/// What lets new nodes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// What its maker calls it.
    pub name: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How many nodes it still lets in.
    pub uses_left: u32,
}

/// Bytes that are no value of the meta group, or one of a later format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a value of the meta group has another format than {FORMAT}; run a newer version of the server"
)]
pub struct BadValue;

impl NodeRecord {
    /// The node as placement sees it.
    pub fn placed(&self, id: NodeId) -> Node {
        Node { id, zone: self.zone.clone(), weight: self.weight }
    }

    /// The same node in another state.
    #[must_use]
    pub fn in_state(&self, state: NodeState, now_ms: u64) -> Self {
        Self { state, since_ms: now_ms, let_in_by: None, ..self.clone() }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Removed => "removed",
        })
    }
}

/// The bytes of a value.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    let bytes = postcard::to_extend(value, vec![FORMAT]);
    bytes.unwrap_or_else(|_| unreachable!("memory takes any value"))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadValue> {
    let Some((&FORMAT, body)) = bytes.split_first() else { return Err(BadValue) };
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(BadValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_bring_values_back_and_others_are_refused() {
        let token = TokenRecord { name: "rack 7".into(), expires_ms: 12, uses_left: 3 };
        let bytes = encode(&token);
        assert_eq!(decode(&bytes), Ok(token));
        assert_eq!(decode::<TokenRecord>(&[]), Err(BadValue));
        assert_eq!(decode::<TokenRecord>(&[&[2], &bytes[1..]].concat()), Err(BadValue));
        assert_eq!(decode::<TokenRecord>(&[&bytes[..], &[0]].concat()), Err(BadValue));
        assert_eq!(decode::<TokenRecord>(&bytes[..bytes.len() - 1]), Err(BadValue));
    }
}
