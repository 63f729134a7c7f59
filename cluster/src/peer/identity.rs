//! Who a node is: its cluster, its number, its key and certificate, and the cluster's authority. It is made
//! once, by founding or by joining, and kept in the folder `cluster/` of the data directory.

use std::path::Path;
use std::sync::Arc;

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use tidekeep_protocol::slot::GroupCount;

use super::certificates::{Authority, ClusterId, NodeKey, node_of};
use super::folder::{Folder, FolderError};
use super::join::JoinGrant;
use super::tls;
use crate::link::PeerAddress;
use crate::placement::NodeId;

const MEMBER: &str = "cluster.json";
const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca-key.pem";
const CERTIFICATE: &str = "node.pem";
const KEY: &str = "node-key.pem";

const FORMAT: u32 = 1;
/// The node that founds a cluster.
const FIRST: NodeId = NodeId(1);

/// Who a node is, and how it proves it.
pub struct Identity {
    node: NodeId,
    address: PeerAddress,
    incarnation: Option<u64>,
    groups: Option<GroupCount>,
    authority: Authority,
    certificate: CertificateDer<'static>,
    key: NodeKey,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// What `cluster.json` holds.
#[derive(Serialize, Deserialize)]
struct Membership {
    format: u32,
    /// 32 hexadecimal digits.
    cluster: String,
    node: u64,
    /// Where other nodes find this one.
    peer_address: String,
    /// The cluster's, once the node knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    /// How many groups share the cluster's keys, once the node knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<u16>,
}

impl Identity {
    /// The first node of a new cluster of this name and with so many groups, with a new authority. `address` is
    /// where other nodes will find it.
    ///
    /// # Errors
    /// A key or certificate cannot be made.
    pub fn found(
        cluster: ClusterId,
        groups: GroupCount,
        address: PeerAddress,
    ) -> Result<Self, FolderError> {
        let (authority, key) = (Authority::make(cluster)?, NodeKey::make()?);
        let certificate = CertificateDer::from(authority.sign(FIRST, &key.request()?)?);
        let identity =
            Self::of(FIRST, address, authority, certificate, key).map_err(FolderError::Grant)?;
        Ok(Self { groups: Some(groups), ..identity })
    }

    /// What a node is after it joined with `key`, and under `address`.
    ///
    /// # Errors
    /// The grant contradicts itself, or is for another key.
    pub fn joined(
        key: NodeKey,
        address: PeerAddress,
        grant: &JoinGrant,
    ) -> Result<Self, FolderError> {
        let authority = Authority::from_der(grant.cluster, &grant.authority, &grant.authority_key)?;
        let certificate = CertificateDer::from(grant.certificate.clone());
        Self::of(grant.node, address, authority, certificate, key).map_err(FolderError::Grant)
    }

    /// What the data directory says the node is, or none if it is no member of a cluster.
    ///
    /// # Errors
    /// [`FolderError`]: the folder `cluster/` is there and cannot be used.
    pub fn load(data_directory: &Path) -> Result<Option<Self>, FolderError> {
        let folder = Folder::of(data_directory);
        let Some(member) = folder.read(MEMBER)? else { return Ok(None) };
        let member: Membership =
            serde_json::from_slice(&member).map_err(|why| folder.damaged(MEMBER, why))?;
        if member.format != FORMAT {
            let why = format!("it is of format {}, and this version reads {FORMAT}", member.format);
            return Err(folder.damaged(MEMBER, why));
        }
        let cluster = member.cluster.parse().map_err(|why| folder.damaged(MEMBER, why))?;
        let (authority, authority_key) =
            (folder.certificate(AUTHORITY)?, folder.key(AUTHORITY_KEY)?);
        let authority = Authority::from_der(cluster, &authority, &authority_key)
            .map_err(|why| folder.damaged(AUTHORITY, why))?;
        let key = NodeKey::from_der(&folder.key(KEY)?).map_err(|why| folder.damaged(KEY, why))?;
        let certificate = CertificateDer::from(folder.certificate(CERTIFICATE)?);
        let address = PeerAddress { address: member.peer_address };
        let identity = Self::of(NodeId(member.node), address, authority, certificate, key)
            .map_err(|why| folder.damaged(CERTIFICATE, why))?;
        let groups = match (member.groups, member.incarnation) {
            (Some(groups), _) => Some(GroupCount::new(groups).ok_or_else(|| {
                folder.damaged(MEMBER, format!("no cluster has {groups} groups"))
            })?),
            // Versions that did not write it down knew clusters of one group alone.
            (None, Some(_)) => Some(GroupCount::ONE),
            (None, None) => None,
        };
        Ok(Some(Self { incarnation: member.incarnation, groups, ..identity }))
    }

    /// Keeps it in the data directory. It survives a power cut once this returns.
    ///
    /// # Errors
    /// [`FolderError::Io`]. What is there then is no member yet, and may be stored over.
    pub fn store(&self, data_directory: &Path) -> Result<(), FolderError> {
        let folder = Folder::of(data_directory);
        let member = Membership {
            format: FORMAT,
            cluster: self.cluster().to_string(),
            node: self.node.0,
            peer_address: self.address.address.clone(),
            incarnation: self.incarnation,
            groups: self.groups.map(GroupCount::get),
        };
        let mut member =
            serde_json::to_vec_pretty(&member).map_err(|why| folder.damaged(MEMBER, why))?;
        member.push(b'\n');
        folder.write(AUTHORITY, pem_of("CERTIFICATE", self.authority.certificate()).as_bytes())?;
        folder.write(AUTHORITY_KEY, pem_of("PRIVATE KEY", self.authority.key()).as_bytes())?;
        folder.write(CERTIFICATE, pem_of("CERTIFICATE", &self.certificate).as_bytes())?;
        folder.write(KEY, pem_of("PRIVATE KEY", self.key.to_der()).as_bytes())?;
        // From here on it is a member.
        folder.write(MEMBER, &member)
    }

    /// Its cluster.
    pub fn cluster(&self) -> ClusterId {
        self.authority.cluster()
    }

    /// Its number.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Where other nodes find it.
    pub fn address(&self) -> &PeerAddress {
        &self.address
    }

    /// Which history of the store its cluster keeps, if it knows: what a node can serve by before it hears of
    /// any other.
    pub fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    /// How many groups share the cluster's keys, if it knows.
    pub fn groups(&self) -> Option<GroupCount> {
        self.groups
    }

    /// Keeps what the node has learnt of its cluster in the data directory.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn learn(
        &mut self,
        incarnation: u64,
        groups: GroupCount,
        data_directory: &Path,
    ) -> Result<(), FolderError> {
        (self.incarnation, self.groups) = (Some(incarnation), Some(groups));
        self.store(data_directory)
    }

    /// What signs certificates for nodes that join.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How it answers.
    pub(crate) fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }

    /// How it calls.
    pub(crate) fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }

    /// Puts the parts together, if they belong together.
    fn of(
        node: NodeId,
        address: PeerAddress,
        authority: Authority,
        certificate: CertificateDer<'static>,
        key: NodeKey,
    ) -> Result<Self, String> {
        match node_of(&certificate) {
            Some(named) if named == (authority.cluster(), node) => {}
            Some((cluster, node)) => {
                return Err(format!("the certificate is {node}'s of the cluster {cluster}"));
            }
            None => return Err("the certificate names no node".into()),
        }
        let terms = tls::terms(&authority, node, &certificate, &key);
        let (server, client) = terms.map_err(|why| why.to_string())?;
        let (incarnation, groups) = (None, None);
        Ok(Self { node, address, incarnation, groups, authority, certificate, key, server, client })
    }
}

impl NodeKey {
    /// The key that a joiner keeps in its data directory, made when there is none: a joiner that is
    /// interrupted asks again with the same key, and can be told from another.
    ///
    /// # Errors
    /// [`FolderError`]: it cannot be read or written.
    pub fn kept_in(data_directory: &Path) -> Result<Self, FolderError> {
        let folder = Folder::of(data_directory);
        if folder.read(KEY)?.is_some() {
            return Self::from_der(&folder.key(KEY)?).map_err(|why| folder.damaged(KEY, why));
        }
        let key = Self::make()?;
        folder.write(KEY, pem_of("PRIVATE KEY", key.to_der()).as_bytes())?;
        Ok(key)
    }
}

fn pem_of(kind: &str, der: &[u8]) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(kind, der), lines)
}
