//! The node as its listener sees it: requests of other nodes, and those who want to join, whose certificates
//! it signs by the cluster's authority, which every node has.

use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;

use crate::meta::rules::{Introduction, NotAdmitted};
use crate::node::admin::AdminError;
use crate::node::running::Node;
use crate::peer::{Authority, JoinGrant, JoinRefused, JoinRequest, Serve};
use crate::placement::NodeId;
use crate::raft::Runtime;

/// A node behind a listener.
pub struct Gate<R: Runtime> {
    node: Node<R>,
    authority: Arc<Authority>,
}

impl<R: Runtime> Gate<R> {
    /// Lets a listener serve a node.
    pub fn new(node: Node<R>, authority: Arc<Authority>) -> Self {
        Self { node, authority }
    }
}

impl<R: Runtime> Serve for Gate<R> {
    fn serve(
        &self,
        from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> {
        let node = self.node.clone();
        Box::pin(async move { node.serve(from, request).await })
    }

    fn join(
        &self,
        request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>> {
        let (node, authority) = (self.node.clone(), Arc::clone(&self.authority));
        Box::pin(async move { join(&node, &authority, request).await })
    }
}

async fn join<R: Runtime>(
    node: &Node<R>,
    authority: &Authority,
    request: JoinRequest,
) -> Result<JoinGrant, JoinRefused> {
    let secret = request.secret.hash();
    let malformed = |what: String| JoinRefused::Malformed(what);
    let weight = u16::try_from(request.weight).ok().and_then(NonZeroU16::new);
    let newcomer = Introduction {
        peer: request.peer_address,
        client: request.client_address,
        zone: request.zone,
        weight: weight.ok_or_else(|| malformed("a weight is 1 to 65,535".into()))?,
        version: request.version,
    };
    let admitted = node.admit(newcomer, secret).await.map_err(refused)?;
    let certificate = authority.sign(admitted.node, &request.signing_request);
    Ok(JoinGrant {
        cluster: authority.cluster(),
        node: admitted.node,
        certificate: certificate.map_err(|error| malformed(error.to_string()))?,
        authority: authority.certificate().to_vec(),
        authority_key: authority.key().to_vec(),
        peers: admitted.peers,
    })
}

fn refused(error: AdminError) -> JoinRefused {
    match error {
        AdminError::NotAdmitted(NotAdmitted::UnknownToken) => JoinRefused::TokenUnknown,
        AdminError::NotAdmitted(NotAdmitted::Expired) => JoinRefused::TokenExpired,
        AdminError::NotAdmitted(NotAdmitted::AddressTaken { address, .. }) => {
            JoinRefused::AddressUsed(address)
        }
        error => JoinRefused::NotNow(error.to_string()),
    }
}
