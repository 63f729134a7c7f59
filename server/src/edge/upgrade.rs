//! The upgrade to WebSocket: who may ask for it, and the answer. Browsers let any site open a
//! WebSocket to any host, so the page's origin is compared exactly, and names that could have been
//! pointed here by somebody else (DNS rebinding) are refused.

use tidekeep_protocol::hello::WEBSOCKET_SUBPROTOCOL;
use tungstenite::handshake::derive_accept_key;

use super::request::Request;
use super::response::Response;
use crate::config::{Authority, Origin};

/// Length of `Sec-WebSocket-Key`: 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// Which hosts this server goes by, and which sites may use it.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    origins: Vec<Origin>,
}

/// Why an upgrade is refused.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The request is no upgrade, or not one that is spoken here.
    Handshake(Response),
    /// Whoever asks may not.
    Origin(Response),
}

impl Hosts {
    /// The hosts of a server that listens on `listen` (`HOST:PORT`) and lets pages of `origins` in.
    pub(crate) fn new(listen: &str, origins: Vec<Origin>) -> Self {
        let listen = Authority::parse(listen, None).map(|authority| authority.host);
        let names = listen.into_iter().chain(origins.iter().map(|o| o.host().to_owned()));
        Self { names: names.chain(["localhost".to_owned()]).collect(), origins }
    }

    /// Whether this is a name of the server's own: an address, `localhost`, what it listens on or
    /// the host of an allowed origin.
    fn knows(&self, host: &str) -> bool {
        Authority::parse(host, None)
            .is_some_and(|host| host.is_address() || self.names.contains(&host.host))
    }

    /// Whether a page of this origin may connect to this host.
    fn allows(&self, origin: &str, host: &str) -> bool {
        origin
            .parse::<Origin>()
            .is_ok_and(|origin| origin.serves(host) || self.origins.contains(&origin))
    }

    /// Refuses what a page of a foreign site asks, or one that was led here by a foreign name.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Refused> {
        let forbidden = |text| Err(Refused::Origin(Response::text(403, text)));
        let Some(host) = request.host else {
            return Err(Refused::Handshake(Response::text(
                400,
                "the request does not name its Host\n",
            )));
        };
        if !self.knows(host) {
            return forbidden(
                "this server does not go by that Host; \
                 start it with --allow-origin SCHEME://HOST:PORT if it should\n",
            );
        }
        let mut origins = request.all("origin");
        match (origins.next(), origins.next()) {
            // No browser: nothing acts in another's name.
            (None, _) => Ok(()),
            (Some(origin), None) if self.allows(origin, host) => Ok(()),
            _ => forbidden(
                "pages of that Origin may not connect; \
                 start the server with --allow-origin if they should\n",
            ),
        }
    }
}

/// Checks an upgrade and makes the head that accepts it.
pub(crate) fn accept(request: &Request<'_>, hosts: &Hosts) -> Result<Vec<u8>, Refused> {
    let refused = |status, text| Err(Refused::Handshake(Response::text(status, text)));
    let asks = request.lists("connection", "upgrade") && request.lists("upgrade", "websocket");
    if !asks || !request.is_1_1 {
        return Err(Refused::Handshake(upgrade_required("this is a WebSocket endpoint\n")));
    }
    hosts.check(request)?;
    if request.header("sec-websocket-version") != Some("13") {
        return Err(Refused::Handshake(upgrade_required("only WebSocket version 13 is spoken\n")));
    }
    let Some(key) = request.header("sec-websocket-key").filter(|key| is_key(key)) else {
        return refused(400, "Sec-WebSocket-Key is not 16 bytes in base64\n");
    };
    // Unlike other words, names of subprotocols are compared as they are.
    let offers = |value: &str| value.split(',').any(|name| name.trim() == WEBSOCKET_SUBPROTOCOL);
    if !request.all("sec-websocket-protocol").any(offers) {
        return refused(400, "the subprotocol tidekeep.1 must be offered\n");
    }
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\
         sec-websocket-protocol: {WEBSOCKET_SUBPROTOCOL}\r\n\r\n"
    );
    Ok(head.into_bytes())
}

fn upgrade_required(text: &'static str) -> Response {
    Response::text(426, text).with("upgrade", "websocket").with("sec-websocket-version", "13")
}

fn is_key(key: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let bytes = key.as_bytes();
    bytes.len() == KEY_LENGTH
        && bytes.ends_with(b"==")
        && bytes[..KEY_LENGTH - 2].iter().all(|byte| base64(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_its_own_are_known() {
        let hosts = Hosts::new("kv.internal:8080", vec!["https://app.example".parse().unwrap()]);
        for host in ["127.0.0.1:9", "[::1]:8080", "LOCALHOST", "kv.internal:1", "app.example"] {
            assert!(hosts.knows(host), "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!hosts.knows(host), "{host}");
        }
    }

    #[test]
    fn keys_are_sixteen_bytes_in_base64() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is_key("dGhlIHNhbXBsZSBub25jZQ="));
        assert!(!is_key("dGhlIHNhbXBsZSBub25jZ@=="));
        assert!(!is_key(""));
    }
}
