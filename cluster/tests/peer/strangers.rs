//! Who may not speak to whom: nodes of other clusters, nodes that answer in another's place, and whoever has
//! no certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tidekeep_cluster::PeerAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::nodes::{Desk, PATIENCE, Running, call, founded, member, network, run};

#[test]
fn another_node_in_its_place_is_noticed() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let third = Running::start(member(&first, 3), &desk).await;
        let why = call(&network, 1, &third.at, "hello").await.unwrap_err();
        assert!(why.0.contains("another node of the cluster answers there"), "{why}");
    });
}

#[test]
fn a_node_of_another_cluster_is_not_spoken_to() {
    run(async {
        let desk = Desk::new();
        let network = network(&member(&founded(), 2));
        let other = Running::start(founded(), &desk).await;
        let why = call(&network, 1, &other.at, "hello").await.unwrap_err();
        assert!(why.0.contains("of another cluster"), "{why}");
    });
}

/// Believes whatever certificate it is shown.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A frame: length, number, kind, payload.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&length, [0; 8].as_slice(), &[kind], payload].concat()
}

/// Connects without a certificate, or with one of another cluster, says something, and returns what came back
/// until the connection was closed.
async fn say(at: &PeerAddress, protocol: &str, is_foreign: bool, said: &[u8]) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("terms")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = if is_foreign {
        let key = rcgen::KeyPair::generate().expect("terms");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("terms");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        config.with_client_auth_cert(vec![certificate.der().clone()], key.into()).expect("terms")
    } else {
        config.with_no_client_auth()
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let socket = TcpStream::connect(&at.address).await.expect("a connection");
    let name = ServerName::try_from("anyone").expect("a name");
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, socket).await else {
        return Vec::new();
    };
    // It may be closed before all is said.
    let _ = stream.write_all(said).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("it should be closed in time");
    answer
}

#[test]
fn without_a_certificate_nothing_is_served() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let second = network(&member(&first, 2));
        let first = Running::start(first, &desk).await;
        let request = frame(1, b"a request");
        assert_eq!(say(&first.at, "tidekeep-peer/1", false, &request).await, b"");
        assert_eq!(say(&first.at, "tidekeep-peer/1", true, &request).await, b"");
        assert_eq!(say(&first.at, "tidekeep-join/1", false, &request).await, b"");
        assert_eq!(say(&first.at, "http/1.1", false, &request).await, b"");
        // A request to join that is far too long is not waited for.
        let long = frame(6, &vec![0; 1 << 20]);
        assert_eq!(say(&first.at, "tidekeep-join/1", false, &long).await, b"");
        // One that cannot be read is told so, and is the last thing that is heard.
        let twice = [frame(6, b"\xff"), request].concat();
        let answer = say(&first.at, "tidekeep-join/1", false, &twice).await;
        assert_eq!(answer.get(12), Some(&7), "{answer:?}");
        assert!(call(&second, 1, &first.at, "a node").await.is_ok());
        assert_eq!(desk.begun(1).await, [b"a node"]);
    });
}
