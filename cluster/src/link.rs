//! The network between nodes as a member sees it: a request goes to a node, and its reply comes back, or
//! it is not known whether it arrived. What lies below (TLS, a simulated wire) is another's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::placement::NodeId;

/// Where the other nodes find a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAddress {
    /// Host and port.
    pub address: String,
}

/// Requests of one lane do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Heartbeats, votes, and what else is short and urgent.
    Control,
    /// Entries.
    Entries,
    /// Whole states.
    Snapshots,
}

/// The reply to a request, once it is there.
pub type LinkFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, Unreachable>> + Send>>;

/// Carries requests to other nodes.
pub trait Link: Send + Sync + 'static {
    /// Sends a request to a node and resolves with its reply, within `limit`.
    fn call(
        &self,
        to: NodeId,
        at: &PeerAddress,
        lane: Lane,
        request: Vec<u8>,
        limit: Duration,
    ) -> LinkFuture;
}

/// No reply came: the request may have arrived or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable(pub String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}
