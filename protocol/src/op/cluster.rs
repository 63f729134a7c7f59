//! `cluster`: what an operator asks of a cluster, at any of its nodes: how it stands, a token for a
//! new node, and changes of its nodes and leaders. Its [status](super::cluster_status) has a file of its own.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::cluster_status::ClusterStatus;
use crate::error::{Code, Refusal};
use crate::limits::{Bounded, Limits};
use crate::slot::GroupCount;

/// The longest name of a token, in bytes.
pub const TOKEN_NAME_BYTES_MAX: usize = 64;

/// The longest life of a token, in milliseconds: 30 days. Whoever has one can join, so it should
/// not be forgotten.
pub const TOKEN_LIVES_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// Looks at a cluster or changes it. Each change can be asked for again with the same outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cluster<'a> {
    /// Asks how it stands.
    Status,
    /// Makes a token that lets new nodes in. The cluster does not keep it, so it is shown once.
    Token {
        /// What it is called, to tell it from others; may be empty.
        name: &'a str,
        /// How long it lets nodes in, in milliseconds.
        lives_ms: u64,
        /// How many nodes it lets in.
        uses: u32,
    },
    /// Moves all replicas away from a node, and keeps others off it.
    Drain {
        /// The node.
        node: u64,
    },
    /// Takes a drain back.
    Keep {
        /// The node.
        node: u64,
    },
    /// Takes a node out of the cluster for good.
    Remove {
        /// The node.
        node: u64,
        /// Whether it is taken out although it holds replicas, because it will not come back.
        force: bool,
    },
    /// Sets how much a node should hold beside the others.
    Weigh {
        /// The node.
        node: u64,
        /// Twice the weight, twice the replicas; at least 1.
        weight: u16,
    },
    /// Lets another replica lead a group.
    Transfer {
        /// The group.
        group: u16,
        /// The node that is to lead it.
        to: u64,
    },
    /// Splits the only group into several.
    Split {
        /// How many share the keys then: 2 to 256.
        groups: u16,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterReply<'a> {
    /// The change is made, or was made before.
    Changed,
    /// The token, one word. Whoever has it can join.
    Token(&'a str),
    /// How the cluster stands.
    #[serde(borrow)]
    Status(Box<ClusterStatus<'a>>),
}

impl Bounded for Cluster<'_> {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        let invalid = |message| Err(Refusal::new(Code::InvalidInput, message));
        match self {
            Self::Token { name, .. } if name.len() > TOKEN_NAME_BYTES_MAX => {
                Err(Refusal::new(Code::TooLarge, "a token's name has at most 64 bytes"))
            }
            Self::Token { lives_ms, .. } if !(1..=TOKEN_LIVES_MS_MAX).contains(lives_ms) => {
                invalid("a token lives for a millisecond to 30 days")
            }
            Self::Token { uses: 0, .. } => invalid("a token lets at least one node in"),
            Self::Weigh { weight: 0, .. } => invalid("a node's weight is at least 1"),
            Self::Split { groups }
                if GroupCount::new(*groups).is_none_or(|it| it == GroupCount::ONE) =>
            {
                invalid("a store is split into 2 to 256 groups")
            }
            Self::Status
            | Self::Token { .. }
            | Self::Drain { .. }
            | Self::Keep { .. }
            | Self::Remove { .. }
            | Self::Weigh { .. }
            | Self::Transfer { .. }
            | Self::Split { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_an_end_and_a_node_has_a_weight() {
        let code = |request: Cluster<'_>| request.check(&Limits::DEFAULT).err().map(|it| it.code);
        let token = |name, lives_ms, uses| code(Cluster::Token { name, lives_ms, uses });
        assert_eq!(token("rack 7", TOKEN_LIVES_MS_MAX, 1), None);
        assert_eq!(token("", TOKEN_LIVES_MS_MAX + 1, 1), Some(Code::InvalidInput));
        assert_eq!(token("", 0, 1), Some(Code::InvalidInput));
        assert_eq!(token("", 1, 0), Some(Code::InvalidInput));
        let long = "n".repeat(TOKEN_NAME_BYTES_MAX + 1);
        assert_eq!(token(&long, 1, 1), Some(Code::TooLarge));
        assert_eq!(token(&long[1..], 1, 1), None);
        assert_eq!(code(Cluster::Weigh { node: 1, weight: 0 }), Some(Code::InvalidInput));
        assert_eq!(code(Cluster::Weigh { node: 1, weight: 1 }), None);
        let split = |groups| code(Cluster::Split { groups });
        assert_eq!([2, 256].map(split), [None, None]);
        assert_eq!([0, 1, 257].map(split), [Some(Code::InvalidInput); 3]);
    }
}
