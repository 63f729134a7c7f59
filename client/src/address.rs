//! Where a server is, from the text that a person writes.

use tidekeep_protocol::error::Code;
use tidekeep_protocol::hello::WEBSOCKET_PATH;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::Error;

/// The port of a server that was started without a word about ports.
const DEFAULT_PORT: u16 = 8080;

/// A server and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name or IP address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) way: Way,
}

/// How bytes travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Frames on a plain stream.
    Tcp,
    /// Frames in WebSocket messages, at this URL.
    WebSocket { url: String },
}

impl Address {
    /// Reads one address, or several with commas between them.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Self>, Error> {
        text.split(',').map(|one| Self::parse(one.trim())).collect()
    }

    /// Reads `host:port`, `tcp://host:port`, `ws://host:port/path` or `http://host:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let uri: Uri = text.parse().map_err(|_| refused(text, "it is no URL"))?;
        let scheme = uri.scheme_str().unwrap_or("tcp");
        let authority = uri.authority().ok_or_else(|| refused(text, "it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused(text, "user names are not supported"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(refused(text, "it names no host"));
        }
        let written = authority.as_str().len() > authority.host().len();
        if written && authority.port_u16().is_none() {
            return Err(refused(text, "its port is no number from 0 to 65535"));
        }
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let path = if path.is_empty() || path == "/" { WEBSOCKET_PATH } else { path };
        match scheme {
            "tcp" if path != WEBSOCKET_PATH => Err(refused(text, "a TCP address has no path")),
            "tcp" => {
                let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
                Ok(Self { host, port, way: Way::Tcp })
            }
            "ws" | "http" => {
                let port = authority.port_u16().unwrap_or(80);
                let url = format!("ws://{authority}{path}");
                Ok(Self { host, port, way: Way::WebSocket { url } })
            }
            "tls" | "wss" | "https" => Err(refused(text, "this client speaks no TLS")),
            _ => Err(refused(text, "its scheme is none of tcp, ws and http")),
        }
    }
}

fn refused(text: &str, why: &str) -> Error {
    Error::new(Code::InvalidInput, format!("{text:?} is no address of a server: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port, way: Way::Tcp }
    }

    fn ws(host: &str, port: u16, url: &str) -> Address {
        Address { host: host.to_owned(), port, way: Way::WebSocket { url: url.to_owned() } }
    }

    #[test]
    fn every_way_of_writing_an_address_is_understood() {
        let good = [
            ("127.0.0.1:8080", tcp("127.0.0.1", 8080)),
            ("localhost", tcp("localhost", 8080)),
            ("tcp://db.example:1", tcp("db.example", 1)),
            ("tcp://[::1]:9000", tcp("::1", 9000)),
            ("[::1]:9000", tcp("::1", 9000)),
            ("ws://h:81/ws", ws("h", 81, "ws://h:81/ws")),
            ("ws://h:81/behind/a/proxy", ws("h", 81, "ws://h:81/behind/a/proxy")),
            ("http://h:81", ws("h", 81, "ws://h:81/ws")),
            ("http://h/", ws("h", 80, "ws://h/ws")),
        ];
        for (text, address) in good {
            assert_eq!(Address::parse(text).as_ref(), Ok(&address), "{text}");
        }
    }

    #[test]
    fn the_nodes_of_a_cluster_are_given_together() {
        let two = [tcp("a", 1), ws("b", 2, "ws://b:2/ws")];
        assert_eq!(Address::parse_all("a:1, http://b:2"), Ok(two.to_vec()));
        assert!(Address::parse_all("a:1,").is_err());
    }

    #[test]
    fn anything_else_is_invalid_input_with_the_reason() {
        let bad = [
            "",
            "/",
            "tcp://",
            ":8080",
            "h:",
            "h:99999",
            "h:x",
            "tcp://h:1/path",
            "ftp://h:1",
            "wss://h:1",
            "https://h",
            "a b",
            "tcp://user@h:1",
            "tcp://user:secret@h",
        ];
        for text in bad {
            let error = Address::parse(text).expect_err(text);
            assert_eq!(error.code(), Code::InvalidInput, "{text}");
            assert!(error.message().contains("is no address of a server"), "{error}");
        }
    }
}
