//! The network between nodes: who a node is ([`Identity`]), how it finds into a cluster (`join`), how it
//! calls others (`PeerNetwork`, a [`crate::Link`]) and answers them ([`Serve`]).
//!
//! ```text
//! Member ─▶ PeerNetwork ─▶ one connection per node and lane ═ TLS, both sides known ═▶ serve ─▶ Serve
//! a new node ─▶ join ═ TLS, the server known by the token ═▶ serve ─▶ Serve::join ─▶ JoinGrant ─▶ Identity
//! ```
//!
//! Every connection is TLS 1.3 under the cluster's own authority. What is said on it are frames
//! (`frame.rs`); the protocol's name in the handshake tells peers from joiners, and one version from another.

mod certificates;
mod folder;
mod identity;
mod join;
mod listener;
mod tls;
mod token;

pub use self::certificates::{Authority, CertificateError, ClusterId, Fingerprint, NodeKey};
pub use self::folder::FolderError;
pub use self::identity::Identity;
pub use self::join::{JoinGrant, JoinRefused, JoinRequest};
pub use self::listener::Serve;
pub use self::token::{JoinToken, Secret, TokenError};
