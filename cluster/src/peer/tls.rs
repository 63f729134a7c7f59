//! The terms under which connections between nodes are made: TLS 1.3 alone, both sides with a certificate
//! of the cluster's authority, and the protocol's name, which tells peers from joiners.

use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring as suites};
use rustls::pki_types::{
    CertificateDer, InvalidDnsNameError, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{Error, RootCertStore, ServerConfig};

use super::certificates::{ClusterId, name_of};
use super::identity::Identity;
use crate::placement::NodeId;

/// What peers speak. Another version of the frames has another name.
pub(crate) const PEER: &[u8] = b"tidekeep-peer/1";
/// What a node speaks that wants to join, and has no certificate yet.
pub(crate) const JOIN: &[u8] = b"tidekeep-join/1";

/// The shorter key first: it is safe, and a third faster.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let cipher_suites = vec![
        suites::cipher_suite::TLS13_AES_128_GCM_SHA256,
        suites::cipher_suite::TLS13_AES_256_GCM_SHA384,
        suites::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..suites::default_provider() })
});

/// How a node answers.
pub(crate) fn server(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots(identity)?, Arc::clone(&PROVIDER))
            .allow_unauthenticated()
            .build()
            .map_err(|why| Error::General(why.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients);
    let mut config = config.with_single_cert(identity.chain(), key_of(identity))?;
    config.alpn_protocols = vec![PEER.to_vec(), JOIN.to_vec()];
    // Connections last: nobody comes back for a short handshake.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The name that a node's certificate must bear.
pub(crate) fn server_name(
    cluster: ClusterId,
    node: NodeId,
) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(name_of(cluster, node))
}

/// Checks that a node's certificate is one of its authority's.
pub(crate) fn own(identity: &Identity) -> Result<(), Error> {
    let name = server_name(identity.cluster(), identity.node());
    let name = name.map_err(|why| Error::General(why.to_string()))?;
    let chain = identity.chain();
    let verifier = verifier(roots(identity)?)?;
    verifier.verify_server_cert(&chain[0], &[], &name, &[], UnixTime::now()).map(drop)
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>, Error> {
    roots_of(CertificateDer::from(identity.authority().certificate()))
}

fn roots_of(authority: CertificateDer<'_>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.into_owned())?;
    Ok(Arc::new(roots))
}

fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER));
    builder.build().map_err(|why| Error::General(why.to_string()))
}

fn key_of(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key().to_der().to_vec()))
}
