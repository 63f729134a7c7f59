//! What a failed handshake means, in words that tell whoever runs the nodes what to look at.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Whether the other side's certificate is of another cluster.
pub(crate) fn is_other_cluster(error: &io::Error) -> bool {
    let trusted = |why: &CertificateError| {
        !matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature)
    };
    matches!(tls_error(error), Some(Error::InvalidCertificate(why)) if !trusted(why))
}

/// Why a connection could not be made.
pub(crate) fn explain(error: &io::Error) -> String {
    if is_other_cluster(error) {
        return "the node there is of another cluster".into();
    }
    match tls_error(error) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "another node of the cluster answers there".into(),
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "it does not speak this version of the peers' protocol".into()
        }
        Some(Error::AlertReceived(alert)) => {
            format!("it refused this node's certificate ({alert:?}): is it of the same cluster?")
        }
        Some(Error::InvalidMessage(_)) => {
            "what answers there does not speak TLS: is it the address for peers?".into()
        }
        Some(why) => format!("the handshake failed: {why}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it closed the connection".into(),
        None => error.to_string(),
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
