//! Who a browser says it acts for. An origin is compared whole and exactly: parts that merely look
//! alike (`http://localhost.evil.example`) are other sites.

use std::fmt;
use std::str::FromStr;

/// A web origin in its one normal form: lower case, the scheme's own port left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    authority: Authority,
}

impl Origin {
    /// Whether a page of this origin was served by the host that `Host:` names.
    pub(crate) fn serves(&self, host_header: &str) -> bool {
        Authority::parse(host_header, default_port(&self.scheme))
            .is_some_and(|host| host == self.authority)
    }

    /// The host without its port.
    pub(crate) fn host(&self) -> &str {
        &self.authority.host
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let not = || NotAnOrigin(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(not)?;
        let scheme = scheme.to_ascii_lowercase();
        let word = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let authority = Authority::parse(authority, default_port(&scheme)).ok_or_else(not)?;
        if word { Ok(Self { scheme, authority }) } else { Err(not()) }
    }
}

/// The text is not `scheme://host` or `scheme://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnOrigin(String);

impl fmt::Display for NotAnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no origin; write scheme://host or scheme://host:port", self.0)
    }
}

impl std::error::Error for NotAnOrigin {}

/// A host with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: String,
    port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; `default_port` counts as none given.
    pub(crate) fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                let port = match after.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if after.is_empty() => None,
                    None => return None,
                };
                (&text[..address.len() + 2], port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return None;
        }
        let port = match port {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        let port = port.filter(|port| Some(*port) != default_port);
        Some(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Whether the host is an address rather than a name.
    pub(crate) fn is_address(&self) -> bool {
        self.host.starts_with('[') || self.host.parse::<std::net::Ipv4Addr>().is_ok()
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serves(origin: &str, host: &str) -> bool {
        origin.parse::<Origin>().is_ok_and(|origin| origin.serves(host))
    }

    #[test]
    fn a_page_of_the_same_host_and_port_is_served_by_it() {
        assert!(serves("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(serves("http://LOCALHOST:8080", "localhost:8080"));
        assert!(serves("https://kv.example", "kv.example:443"));
        assert!(serves("http://[::1]:8080", "[::1]:8080"));
        assert!(serves("http://kv.example:80", "kv.example"));
    }

    #[test]
    fn what_only_looks_alike_is_another_site() {
        for origin in [
            "null",
            "",
            "http://",
            "127.0.0.1:8080",
            "http://127.0.0.1:80800",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://127.0.0.1:8080.evil.example",
            "http://127.0.0.1:8080@evil.example",
            "http://evil.example/127.0.0.1:8080",
            "http://127.0.0.1:8080/",
            "http://127.0.0.1:8080#",
            "http://evil.example#127.0.0.1:8080",
            "http://xn--127.0.0.1:8080",
        ] {
            assert!(!serves(origin, "127.0.0.1:8080"), "{origin}");
        }
        assert!(!serves("http://localhost.evil.example:8080", "localhost:8080"));
        assert!(!serves("http://[::1]x:8080", "[::1]:8080"));
        assert!(!serves("https://kv.example", "kv.example:80"));
    }
}
