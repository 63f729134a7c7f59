//! The head of an HTTP request, parsed by httparse and held to what is served here: no bodies, one
//! host, sizes bounded.

use super::response::Response;

/// The longest head, request line and headers together.
pub(crate) const HEAD_BYTES: usize = 8 << 10;

const HEADERS_MAX: usize = 64;

/// A request without a body.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// The path without its query.
    pub(crate) path: &'a str,
    /// What stands behind the path's `?`; empty without one.
    pub(crate) query: &'a str,
    /// The `Host` header; none only in HTTP/1.0.
    pub(crate) host: Option<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    /// Whether the client wants to ask again on this connection.
    pub(crate) keep_alive: bool,
    /// Whether the client speaks HTTP/1.1.
    pub(crate) is_1_1: bool,
}

/// Reads the request that `bytes` begin with, and its length; `None` while it is not whole.
///
/// # Errors
/// The response to what is no request, or none that is served; the connection then closes, because
/// it is unknown where the next request would begin.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES => return Ok(None),
        Ok(_) => return Err(Response::text(431, "the request's head is too long\n")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::text(431, "the request has too many headers\n"));
        }
        Err(httparse::Error::Version) => {
            return Err(Response::text(505, "only HTTP/1.0 and HTTP/1.1 are spoken here\n"));
        }
        Err(_) => return Err(Response::text(400, "this is no HTTP request\n")),
    };
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let is_1_1 = parsed.version == Some(1);
    let mut list = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        // A value that is no text cannot be one that matters here.
        list.push((header.name, std::str::from_utf8(header.value).unwrap_or_default().trim()));
    }
    let (path, query) = path_of(target)?;
    let mut request =
        Request { method, path, query, host: None, headers: list, keep_alive: is_1_1, is_1_1 };
    request.host = request.only_host()?;
    request.refuse_body()?;
    request.keep_alive = match request.header("connection") {
        Some(value) if lists(value, "close") => false,
        Some(value) if lists(value, "keep-alive") => true,
        _ => is_1_1,
    };
    Ok(Some((request, length)))
}

impl<'a> Request<'a> {
    /// The first header of this name, in any case of letters.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Every header of this name.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a str> + 's {
        let same = move |(header, _): &&(&str, &str)| header.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| *value)
    }

    /// Whether any header of this name lists `word`.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).any(|value| lists(value, word))
    }

    fn only_host(&self) -> Result<Option<&'a str>, Response> {
        let mut hosts = self.all("host");
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => Ok(Some(host)),
            (None, _) if !self.is_1_1 => Ok(None),
            _ => Err(Response::text(400, "a request has exactly one Host header\n")),
        }
    }

    fn refuse_body(&self) -> Result<(), Response> {
        let has_length = self.all("content-length").any(|length| length != "0");
        if has_length || self.header("transfer-encoding").is_some() {
            return Err(Response::text(413, "requests with a body are not taken\n"));
        }
        Ok(())
    }
}

/// Whether a comma-separated header value has `word` in it, in any case of letters.
fn lists(value: &str, word: &str) -> bool {
    value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// The path and the query of a request's target, which may be a whole address.
fn path_of(target: &str) -> Result<(&str, &str), Response> {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    };
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match path.starts_with('/') {
        true => Ok((path, query)),
        false => Err(Response::text(400, "no such target\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> Option<u16> {
        parse(request.as_bytes()).err().map(|response| response.status)
    }

    #[test]
    fn a_whole_request_is_read_and_a_part_waited_for() {
        let text = "GET /ws?x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\r\nmore";
        let (request, length) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((request.method, request.path, request.host), ("GET", "/ws", Some("a")));
        assert!(request.keep_alive && request.lists("CONNECTION", "upgrade"));
        assert_eq!(&text[length..], "more");
        for cut in 1..length {
            assert!(parse(&text.as_bytes()[..cut]).unwrap().is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_served_gets_its_status() {
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Some(400));
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), Some(400));
        assert_eq!(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Some(505));
        assert_eq!(status("GET no-slash HTTP/1.1\r\nHost: a\r\n\r\n"), Some(400));
        assert_eq!(status("G@T / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(400));
        assert_eq!(status("PING\r\n"), Some(400));
        let post = |body: &str| status(&format!("POST / HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n"));
        assert_eq!(post("Content-Length: 5"), Some(413));
        assert_eq!(post("Transfer-Encoding: chunked"), Some(413));
        assert_eq!(post("Content-Length: 0"), None);
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD_BYTES));
        assert_eq!(status(&long), Some(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(status(&many), Some(431));
    }

    #[test]
    fn old_requests_need_no_host_and_close() {
        let (request, _) = parse(b"GET /livez HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert!(!request.keep_alive && request.host.is_none());
    }

    #[test]
    fn a_target_may_be_a_whole_address() {
        assert_eq!(path_of("http://h:1/a?b=?#c?d").ok(), Some(("/a", "b=?")));
        assert_eq!(path_of("http://h").ok(), Some(("/", "")));
        assert_eq!(path_of("/a://b").ok(), Some(("/a://b", "")));
        assert_eq!(path_of("/a#b?c").ok(), Some(("/a", "")));
    }
}
