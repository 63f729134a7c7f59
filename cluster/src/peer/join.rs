//! How a new node finds into a cluster: it shows a token's secret to any node of the cluster that the token
//! names, and is given a number, a certificate, the authority and its peers.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::certificates::ClusterId;
use super::explain::{explain, is_other_cluster};
use super::frame::{Frame, Inbox, Kind, Stream, buffered, next_frame, write_frame};
use super::tls;
use super::token::{JoinToken, Secret};
use crate::link::PeerAddress;
use crate::placement::NodeId;

/// The longest request to join.
pub(crate) const JOIN_BYTES_MAX: usize = 16 << 10;
/// The longest grant: some ten thousand nodes.
const GRANT_BYTES_MAX: usize = 1 << 20;

/// Time to reach a node.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a node to have the cluster decide.
const DECIDE: Duration = Duration::from_secs(60);

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

/// A node that was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No node of the cluster was reached, or none could decide: why, for each address.
    #[error("no node could be asked: {}. Check the addresses, and that the nodes there run", list(.0))]
    Unreachable(Vec<(String, String)>),
    /// The token is of another cluster.
    #[error(
        "the token is of another cluster than the node at {0}: take one from the cluster to join, \
         or its address"
    )]
    OtherCluster(String),
    /// The cluster said no.
    #[error(transparent)]
    Refused(#[from] JoinRefused),
    /// What this node says of itself is too long to be asked with.
    #[error(
        "the request to join has {0} bytes, and {JOIN_BYTES_MAX} are allowed: shorten its names"
    )]
    TooLong(usize),
    /// The system does not let connections be made.
    #[error("cannot prepare a connection: {0}")]
    Prepare(String),
}

/// Asks the nodes at these addresses (host and port) in turn to be let in, until one of them decides. To
/// ask again with the same key is safe.
///
/// # Errors
/// [`JoinError`]. Of [`JoinError::Unreachable`] it is not known whether the cluster has let the node in.
pub async fn join(
    addresses: &[String],
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinGrant, JoinError> {
    let request = encode(request);
    if request.len() > JOIN_BYTES_MAX {
        return Err(JoinError::TooLong(request.len()));
    }
    let terms = tls::joiner(token.authority).map_err(|why| JoinError::Prepare(why.to_string()))?;
    let terms = TlsConnector::from(terms);
    let mut tried = Vec::new();
    for address in addresses {
        match ask(&terms, address, &request).await {
            Ok(Ok(grant)) => return Ok(grant),
            Ok(Err(later @ JoinRefused::NotNow(_))) => {
                tried.push((address.clone(), later.to_string()));
            }
            Ok(Err(refused)) => return Err(JoinError::Refused(refused)),
            Err(why) if is_other_cluster(&why) => {
                return Err(JoinError::OtherCluster(address.clone()));
            }
            Err(why) => tried.push((address.clone(), explain(&why))),
        }
    }
    Err(JoinError::Unreachable(tried))
}

async fn ask(
    terms: &TlsConnector,
    address: &str,
    request: &[u8],
) -> io::Result<Result<JoinGrant, JoinRefused>> {
    // Whose name the certificate bears is not known yet: the token says whom to trust.
    let name = ServerName::try_from("tidekeep").map_err(io::Error::other)?;
    let connect = async {
        let socket = buffered(TcpStream::connect(address).await?)?;
        terms.connect(name, socket).await
    };
    let mut stream = Stream::from(timeout(CONNECT, connect).await??);
    let asked = async {
        write_frame(&mut stream, Frame::new(0, Kind::Join, request.to_vec())).await?;
        let mut inbox = Inbox::new(GRANT_BYTES_MAX);
        next_frame(&mut inbox, &mut stream).await
    };
    let frame = timeout(DECIDE, asked).await??;
    let decision = (frame.kind == Kind::Joined).then(|| decode(&frame.payload)).flatten();
    decision.ok_or_else(|| io::Error::other("its answer cannot be read"))
}

/// The bytes of what is said while joining.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let encoded = postcard::to_extend(value, Vec::new());
    encoded.unwrap_or_else(|_| unreachable!("memory takes any message"))
}

pub(crate) fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

fn list(tried: &[(String, String)]) -> String {
    let tried = tried.iter().map(|(address, why)| format!("{address}: {why}"));
    tried.collect::<Vec<_>>().join("; ")
}

impl fmt::Debug for JoinGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinGrant({} of {}, beside {:?})", self.node, self.cluster, self.peers)
    }
}
