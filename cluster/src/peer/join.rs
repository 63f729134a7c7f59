//! How a new node finds into a cluster: it shows a token's secret to any node of the cluster that the token
//! names, and is given a number, a certificate, the authority and its peers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::certificates::ClusterId;
use super::token::Secret;
use crate::link::PeerAddress;
use crate::placement::NodeId;

/// What a new node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// From its token.
    pub secret: Secret,
    /// The request to sign a certificate for its key, DER.
    #[serde(with = "serde_bytes")]
    pub signing_request: Vec<u8>,
    /// Where other nodes will find it.
    pub peer_address: PeerAddress,
    /// Where clients will find it: host and port.
    pub client_address: String,
    /// What fails together with it.
    pub zone: String,
    /// How much it should hold beside the other nodes.
    pub weight: u32,
    /// The version of its software.
    pub version: String,
}

/// What makes it a member. Whoever has it can speak for the whole cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinGrant {
    /// The cluster.
    pub cluster: ClusterId,
    /// The new node.
    pub node: NodeId,
    /// Its certificate, DER.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// The authority's certificate, DER.
    #[serde(with = "serde_bytes")]
    pub authority: Vec<u8>,
    /// The authority's private key, a PKCS #8 document in DER.
    #[serde(with = "serde_bytes")]
    pub authority_key: Vec<u8>,
    /// The nodes that there are, and where.
    pub peers: Vec<(NodeId, PeerAddress)>,
}

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefused {
    /// No token has this secret.
    #[error("the cluster does not know this token, or it was taken back: ask for a new one")]
    TokenUnknown,
    /// Its time is over.
    #[error("the token has expired: ask for a new one")]
    TokenExpired,
    /// As many nodes joined with it as may.
    #[error("the token has been used up: ask for a new one")]
    TokenUsedUp,
    /// Another node is to be found there.
    #[error(
        "the address {0} is that of another node of the cluster: give this node one of its own"
    )]
    AddressUsed(String),
    /// This node's software cannot work beside that of the cluster.
    #[error("this node's version does not go with the cluster's, which is {cluster}")]
    Version {
        /// The cluster's version.
        cluster: String,
    },
    /// What the node says of itself cannot be used.
    #[error("the request to join is refused: {0}")]
    Malformed(String),
    /// The cluster cannot decide now.
    #[error("the cluster cannot take nodes now: {0}. Try again later")]
    NotNow(String),
}

impl fmt::Debug for JoinGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinGrant({} of {}, beside {:?})", self.node, self.cluster, self.peers)
    }
}
