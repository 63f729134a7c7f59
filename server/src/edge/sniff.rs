//! Tells visitors apart by their first bytes. Nothing else is decided here: each language checks the
//! rest of what it is sent.

use tidekeep_protocol::hello::PREFACE;

/// Who is there, as far as the first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// Native frames.
    Native,
    /// An HTTP request: methods are upper-case words.
    Http,
    /// A Redis client, or a person who types one's commands.
    Resp,
    /// A TLS handshake, which is not served.
    Tls,
    /// Something else.
    Unknown,
}

/// The first byte of a TLS record with a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// The longest first line that is waited for: a longer one is told by its first words.
const LINE_MAX: usize = 1024;

/// The methods of HTTP that are no commands. What begins with one is HTTP whatever follows, so that
/// no page can have a browser speak to the store in the other language.
const METHODS: [&[u8]; 9] =
    [b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PRI"];

/// Tells by its first bytes who a visitor is; none while that needs more of them.
pub(crate) fn tell(early: &[u8]) -> Option<Visitor> {
    let first = *early.first()?;
    match first {
        first if first == PREFACE[0] => Some(Visitor::Native),
        b'A'..=b'Z' => words(early),
        // No request of HTTP begins like the rest of these; a command that is typed may.
        b'*' | b'a'..=b'z' | b'\r' | b'\n' | b'\t' | b' ' | b'"' | b'\'' => Some(Visitor::Resp),
        TLS_HANDSHAKE => Some(Visitor::Tls),
        _ => Some(Visitor::Unknown),
    }
}

/// Tells a request of HTTP from a command that is typed.
fn words(early: &[u8]) -> Option<Visitor> {
    // What comes behind decides nothing, or who comes in one piece would be told from who comes in two.
    let early = &early[..early.len().min(LINE_MAX)];
    let too_long = (early.len() == LINE_MAX).then_some(Visitor::Resp);
    let line = early.iter().position(|&byte| byte == b'\n').map(|end| &early[..end]);
    let space = early.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let Some((word, behind)) = space.map(|at| (&early[..at], &early[at..])) else {
        return too_long;
    };
    // A path: a key that begins so is asked for in the other form.
    if METHODS.contains(&word) || word == b"GET" && behind.starts_with(b" /") {
        return Some(Visitor::Http);
    }
    match line {
        Some(line) if names_http(line) => Some(Visitor::Http),
        Some(_) => Some(Visitor::Resp),
        // What is asked of a proxy.
        None if word == b"GET" && behind.starts_with(b" http") => too_long.map(|_| Visitor::Http),
        // No page can have a browser send a method of another name, unless the server has allowed it.
        None => too_long,
    }
}

/// Whether a line ends as the first line of a request of HTTP does.
fn names_http(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    matches!(line, [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

impl Visitor {
    /// What a visitor that is not served is told before the connection closes: in its own language
    /// where there is one.
    pub(crate) fn farewell(self) -> &'static [u8] {
        match self {
            Self::Native | Self::Http => b"",
            Self::Resp => b"-ERR this port does not speak RESP: it is switched off\r\n",
            // A fatal alert: handshake_failure.
            Self::Tls => b"\x15\x03\x01\x00\x02\x02\x28",
            Self::Unknown => b"err: this port speaks Tidekeep's protocol, RESP and HTTP\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_who_is_there() {
        use Visitor::{Http, Resp};
        for (early, visitor) in [
            (&b"*1\r\n"[..], Some(Resp)),
            (b"ping\r\n", Some(Resp)),
            (b"PING\r\n", Some(Resp)),
            (b"PIN", None),
            (b"SET a b\n", Some(Resp)),
            (b"GET a\r\n", Some(Resp)),
            (b"GET a", None),
            (b"GET ", None),
            (b"GET /", Some(Http)),
            (b"GET / HTTP/1.1\r\n", Some(Http)),
            (b"GET http://host/ HTTP/1.1\r\n", Some(Http)),
            (b"POST ", Some(Http)),
            (b"POST\n", Some(Http)),
            (b"OPTIONS * HTTP/1.0\r\n", Some(Http)),
            (b"BREW /pot HTTP/1.1\r\n", Some(Http)),
            (b"", None),
            (b"\x16\x03", Some(Visitor::Tls)),
            (b"\xF1", Some(Visitor::Native)),
            (b"\0", Some(Visitor::Unknown)),
            (b"\r", Some(Resp)),
            (b"\nPING", Some(Resp)),
            (b" PING", Some(Resp)),
            (b"\tPING", Some(Resp)),
            (b"\"PING", Some(Resp)),
            (b"'PING'", Some(Resp)),
        ] {
            assert_eq!(tell(early), visitor, "{:?}", early.escape_ascii().to_string());
        }
        assert_eq!(tell(&[b'A'; LINE_MAX]), Some(Resp));
    }

    #[test]
    fn a_long_first_line_is_told_by_its_beginning_wherever_it_is_cut() {
        use Visitor::{Http, Resp};
        for (word, visitor) in [
            ("GET ", Resp),
            ("GET http://host/", Http),
            ("SET a ", Resp),
            ("", Resp),
            ("PING\t", Resp),
        ] {
            let line = [word.as_bytes(), &[b'A'; LINE_MAX], b" HTTP/1.1\n"].concat();
            assert_eq!(tell(&line), Some(visitor), "{word}");
            assert!((1..LINE_MAX).all(|cut| tell(&line[..cut]).is_none()), "{word}");
        }
    }
}
