//! How a node is let in: it knows the secret of a token, is given an id, and is told where the others are.
//! Then it starts with an empty log, the coordinator hears of it, and takes it in.

use crate::link::PeerAddress;
use crate::meta::keys::SecretHash;
use crate::meta::rules::Introduction;
use crate::node::admin::{AdminError, Command, Done};
use crate::node::running::Node;
use crate::placement::NodeId;
use crate::raft::Runtime;

/// What a node is told that is let in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Admitted {
    /// Its id.
    pub node: NodeId,
    /// The nodes that there are, itself included.
    pub peers: Vec<(NodeId, PeerAddress)>,
}

impl<R: Runtime> Node<R> {
    /// Lets a node in that knows the secret of a token, of which `secret` is the hash. One that asks again
    /// because it did not get the reply is told the same.
    ///
    /// # Errors
    /// [`AdminError::NotAdmitted`] says why not; the others, why that is not known.
    pub async fn admit(
        &self,
        newcomer: Introduction,
        secret: SecretHash,
    ) -> Result<Admitted, AdminError> {
        match self.order(Command::Admit { newcomer, secret }).await? {
            Done::Admitted(admitted) => Ok(admitted),
            Done::Changed | Done::Status(_) => Err(AdminError::unlike()),
        }
    }
}
