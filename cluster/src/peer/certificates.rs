//! A cluster's certificate authority and the certificates that it gives to nodes. A certificate's one name
//! says which node of which cluster bears it, and peers ask for nothing else.

use std::fmt;
use std::str::FromStr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use ring::rand::SystemRandom;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

use crate::placement::NodeId;

/// Certificates say nothing of time: a node whose clock is far off must still find its peers.
const VALID_FROM_YEAR: i32 = 2000;
const VALID_TO_YEAR: i32 = 2200;

/// Names a cluster for good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

/// The SHA-256 of an authority's certificate: who knows it knows the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What signs the certificates of a cluster's nodes. Every node has it.
pub struct Authority {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A node's private key.
pub struct NodeKey(KeyPair);

/// A key or certificate that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The machine gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// It could not be made.
    #[error("cannot make {what}: {source}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// It is not what it should be.
    #[error("{what} cannot be read: {source}")]
    Malformed {
        /// What was to be read.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// The key is another certificate's.
    #[error("the cluster's key is not that of the cluster's certificate")]
    OtherKey,
}

impl ClusterId {
    /// A name that no other cluster has.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn random() -> Result<Self, CertificateError> {
        random().map(Self)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

impl FromStr for ClusterId {
    type Err = MalformedClusterId;

    fn from_str(text: &str) -> Result<Self, MalformedClusterId> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(MalformedClusterId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| MalformedClusterId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// A text that names no cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster is named by 32 hexadecimal digits")]
pub struct MalformedClusterId;

impl Authority {
    /// Makes the authority of a new cluster.
    ///
    /// # Errors
    /// [`CertificateError::Make`].
    pub fn make(cluster: ClusterId) -> Result<Self, CertificateError> {
        let failed = |source| CertificateError::Make { what: "the cluster's certificate", source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = lasting(&format!("tidekeep cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(failed)?.der().clone();
        Ok(Self { cluster, certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority with this certificate and this key, a PKCS #8 document; both in DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], [`CertificateError::OtherKey`].
    pub fn from_der(
        cluster: ClusterId,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<Self, CertificateError> {
        let malformed =
            |source| CertificateError::Malformed { what: "the cluster's certificate", source };
        let key = key_of("the cluster's key", key)?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let public = webpki::EndEntityCert::try_from(&certificate);
        let public = public.map(|certificate| certificate.subject_public_key_info());
        let is_its = |public: SubjectPublicKeyInfoDer<'_>| *public == key.subject_public_key_info();
        if !public.is_ok_and(is_its) {
            return Err(CertificateError::OtherKey);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(malformed)?;
        Ok(Self { cluster, certificate, issuer })
    }

    /// Signs a node's certificate. Of the signing request only the public key counts.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] if the request cannot be read, or was not signed with the key in it.
    pub fn sign(&self, node: NodeId, request: &[u8]) -> Result<Vec<u8>, CertificateError> {
        let failed = |source| CertificateError::Make { what: "the node's certificate", source };
        let malformed =
            |source| CertificateError::Malformed { what: "the signing request", source };
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request).map_err(malformed)?;
        let name = name_of(self.cluster, node);
        let mut params = lasting(&name);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().map_err(failed)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&request.public_key, &self.issuer).map_err(failed)?;
        Ok(signed.der().to_vec())
    }

    /// The cluster that it is of.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its private key, a PKCS #8 document in DER.
    pub fn key(&self) -> &[u8] {
        self.issuer.key().serialized_der()
    }

    /// What a joiner knows it by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(sha256(certificate))
    }
}

impl NodeKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`CertificateError::Make`].
    pub fn make() -> Result<Self, CertificateError> {
        let failed = |source| CertificateError::Make { what: "the node's key", source };
        KeyPair::generate().map(Self).map_err(failed)
    }

    /// The key in a PKCS #8 document, DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_der(key: &[u8]) -> Result<Self, CertificateError> {
        key_of("the node's key", key).map(Self)
    }

    /// A PKCS #8 document, DER.
    pub fn to_der(&self) -> &[u8] {
        self.0.serialized_der()
    }

    /// The request to sign a certificate for this key, DER.
    ///
    /// # Errors
    /// [`CertificateError::Make`].
    pub fn request(&self) -> Result<Vec<u8>, CertificateError> {
        let failed = |source| CertificateError::Make { what: "the signing request", source };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "tidekeep node");
        let request = params.serialize_request(&self.0).map_err(failed)?;
        Ok(request.der().to_vec())
    }
}

/// The name in a node's certificate.
pub(crate) fn name_of(cluster: ClusterId, node: NodeId) -> String {
    format!("node-{}.{cluster}.tidekeep", node.0)
}

/// Which node a certificate names. Whether it is to be trusted is the handshake's to say.
pub(crate) fn node_of(certificate: &CertificateDer<'_>) -> Option<(ClusterId, NodeId)> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    let (name, None) = (names.next()?, names.next()) else { return None };
    let (node, rest) = name.strip_prefix("node-")?.split_once('.')?;
    let cluster = rest.strip_suffix(".tidekeep")?.parse().ok()?;
    let node = NodeId(node.parse().ok()?);
    // A number can be written in several ways, and a node's name only in one.
    (name_of(cluster, node) == name).then_some((cluster, node))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], CertificateError>
where
    [u8; N]: ring::rand::RandomlyConstructable,
{
    let bytes = ring::rand::generate(&SystemRandom::new());
    bytes.map(ring::rand::Random::expose).map_err(|_| CertificateError::NoRandomness)
}

fn key_of(what: &'static str, key: &[u8]) -> Result<KeyPair, CertificateError> {
    KeyPair::try_from(key).map_err(|source| CertificateError::Malformed { what, source })
}

fn lasting(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(VALID_FROM_YEAR, 1, 1);
    params.not_after = date_time_ymd(VALID_TO_YEAR, 1, 1);
    params
}
