//! The door for other nodes: takes connections, knows who is there by the certificate, and hands requests
//! on. Whoever has no certificate can ask to join, once, and nothing else.

use std::future::Future;
use std::pin::Pin;

use super::join::{JoinGrant, JoinRefused, JoinRequest};
use crate::placement::NodeId;

/// What a node does with what others ask of it.
pub trait Serve: Send + Sync + 'static {
    /// Answers a request of a node of this cluster, which may have been removed from it since it was given
    /// its certificate.
    ///
    /// The requests of one connection are first polled in the order in which they came, and all by one
    /// task: what computes for long belongs into a task of its own.
    fn serve(
        &self,
        from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

    /// Decides about a node that wants to join. Nothing is known of it but that it has this request.
    fn join(
        &self,
        request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>>;
}
