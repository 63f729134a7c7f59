//! The terms under which connections between nodes are made: TLS 1.3 alone, both sides with a certificate
//! of the cluster's authority, and the protocol's name, which tells peers from joiners.

use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as suites, verify_tls13_signature};
use rustls::pki_types::{
    CertificateDer, InvalidDnsNameError, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::certificates::{Authority, ClusterId, Fingerprint, NodeKey, name_of, node_of};
use crate::placement::NodeId;

/// What peers speak. Another version of the frames has another name.
pub(crate) const PEER: &[u8] = b"tidekeep-peer/1";
/// What a node speaks that wants to join, and has no certificate yet.
pub(crate) const JOIN: &[u8] = b"tidekeep-join/1";

/// Bytes that TLS keeps of what the socket does not take at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The shorter key first: it is safe, and a third faster.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let cipher_suites = vec![
        suites::cipher_suite::TLS13_AES_128_GCM_SHA256,
        suites::cipher_suite::TLS13_AES_256_GCM_SHA384,
        suites::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..suites::default_provider() })
});

/// How a node answers and calls, if its certificate is one of its authority's and for this key.
pub(crate) fn terms(
    authority: &Authority,
    node: NodeId,
    certificate: &CertificateDer<'static>,
    key: &NodeKey,
) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), Error> {
    let roots = roots_of(CertificateDer::from(authority.certificate()))?;
    let name = server_name(authority.cluster(), node);
    let name = name.map_err(|why| Error::General(why.to_string()))?;
    let verifier = verifier(Arc::clone(&roots))?;
    verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now())?;
    // The authority's certificate is shown too: a joiner knows it by its fingerprint.
    let shown = CertificateDer::from(authority.certificate().to_vec());
    let chain = vec![certificate.clone(), shown];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_der().to_vec()));
    let server = server(Arc::clone(&roots), chain.clone(), key.clone_key())?;
    Ok((server, client(roots, chain, key)?))
}

fn server(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER))
        .allow_unauthenticated()
        .build()
        .map_err(|why| Error::General(why.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![PEER.to_vec(), JOIN.to_vec()];
    // Connections last: nobody comes back for a short handshake.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn client(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![PEER.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// How a node calls that knows of the cluster its fingerprint only.
pub(crate) fn joiner(authority: Fingerprint) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ByFingerprint(authority)))
        .with_no_client_auth();
    config.alpn_protocols = vec![JOIN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Bounds what TLS keeps, and lets one write to the socket take all of it.
pub(crate) fn bounds<Data>(connection: &mut rustls::ConnectionCommon<Data>) {
    connection.set_buffer_limit(Some(BUFFER_BYTES));
}

/// The name that a node's certificate must bear.
pub(crate) fn server_name(
    cluster: ClusterId,
    node: NodeId,
) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(name_of(cluster, node))
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

/// Trusts a node of the cluster whose authority has a fingerprint, whichever node it is.
#[derive(Debug)]
struct ByFingerprint(Fingerprint);

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|it| Fingerprint::of(it) == self.0);
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
        let (cluster, node) = node_of(end_entity).ok_or(CertificateError::BadEncoding)?;
        let name = server_name(cluster, node).map_err(|_| CertificateError::BadEncoding)?;
        let verifier = verifier(roots_of(authority.clone())?)?;
        verifier.verify_server_cert(end_entity, &[], &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
