//! The network between nodes: who a node is ([`Identity`]), how it finds into a cluster ([`join()`]), how it
//! calls others ([`PeerNetwork`], a [`crate::Link`]) and answers them ([`serve`]).
//!
//! ```text
//! Member ─▶ PeerNetwork ─▶ one connection per node and lane ═ TLS, both sides known ═▶ serve ─▶ Serve
//! a new node ─▶ join ═ TLS, the server known by the token ═▶ serve ─▶ Serve::join ─▶ JoinGrant ─▶ Identity
//! ```
//!
//! Every connection is TLS 1.3 under the cluster's own authority. What is said on it are frames
//! (`frame.rs`); the protocol's name in the handshake tells peers from joiners, and one version from another.

mod certificates;
mod connection;
mod explain;
mod folder;
mod frame;
mod identity;
mod join;
mod listener;
mod network;
mod session;
mod tls;
mod token;
mod way;

pub use self::certificates::{
    Authority, CertificateError, ClusterId, Fingerprint, MalformedClusterId, NodeKey,
};
pub use self::folder::FolderError;
pub use self::identity::Identity;
pub use self::join::{JoinError, JoinGrant, JoinRefused, JoinRequest, join};
pub use self::listener::{ListenerOptions, Serve, serve};
pub use self::network::{PeerNetwork, PeerOptions};
pub use self::token::{JoinToken, Secret, TokenError};
