//! The keys of the meta group, on the way between what is kept and its bytes.
//!
//! ```text
//! cluster   next   table   split   node/<id, 8 bytes big-endian>   token/<SHA-256 of the secret, 32 bytes>
//! ```

use crate::placement::NodeId;

/// The cluster itself.
pub const CLUSTER: &[u8] = b"cluster";
/// The id of the next node.
pub const NEXT_NODE: &[u8] = b"next";
/// The table of groups.
pub const TABLE: &[u8] = b"table";
/// What the groups were split into, or are being split into.
pub const SPLIT: &[u8] = b"split";

const NODE: &[u8] = b"node/";
const TOKEN: &[u8] = b"token/";

/// A hash of a join token's secret.
pub type SecretHash = [u8; 32];

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// [`CLUSTER`].
    Cluster,
    /// [`NEXT_NODE`].
    NextNode,
    /// [`TABLE`].
    Table,
    /// [`SPLIT`].
    Split,
    /// A node.
    Node(NodeId),
    /// A join token.
    Token(SecretHash),
}

impl Key {
    /// The key's bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Cluster => CLUSTER.to_vec(),
            Self::NextNode => NEXT_NODE.to_vec(),
            Self::Table => TABLE.to_vec(),
            Self::Split => SPLIT.to_vec(),
            Self::Node(node) => [NODE, &node.0.to_be_bytes()].concat(),
            Self::Token(hash) => [TOKEN, &hash].concat(),
        }
    }

    /// Reads a key; none of those that no version so far has written.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            CLUSTER => return Some(Self::Cluster),
            NEXT_NODE => return Some(Self::NextNode),
            TABLE => return Some(Self::Table),
            SPLIT => return Some(Self::Split),
            _ => {}
        }
        if let Some(id) = bytes.strip_prefix(NODE) {
            return Some(Self::Node(NodeId(u64::from_be_bytes(id.try_into().ok()?))));
        }
        Some(Self::Token(bytes.strip_prefix(TOKEN)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_bring_keys_back() {
        let all = [
            Key::Cluster,
            Key::NextNode,
            Key::Table,
            Key::Split,
            Key::Node(NodeId(0x0102)),
            Key::Token([7; 32]),
        ];
        for key in all {
            assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }
    }

    #[test]
    fn other_keys_are_passed_over() {
        for other in [&b""[..], b"clusters", b"node/", b"node/123456789", b"token/short"] {
            assert_eq!(Key::from_bytes(other), None);
        }
    }
}
