//! HTTP responses: a status, a few headers and a body that is in memory.

use std::borrow::Cow;
use std::fmt::Write as _;

use tokio::sync::OwnedSemaphorePermit;

/// What answers a request.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
    /// Whether the body's length is told; it is not where there can be no body.
    has_body: bool,
    /// What the body takes of a bound, until it was sent.
    hold: Option<OwnedSemaphorePermit>,
}

impl Response {
    /// A line of text, not to be cached.
    pub(crate) fn text(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let body = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self { status, headers: Vec::new(), body, has_body: true, hold: None }
            .with("content-type", "text/plain; charset=utf-8")
            .with("cache-control", "no-store")
    }

    /// Bytes of some type, not to be cached unless a header says so.
    pub(crate) fn bytes(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), has_body: true, hold: None }
            .with("content-type", content_type)
    }

    /// "Not Modified": the client has the body already.
    pub(crate) fn not_modified() -> Self {
        Self {
            status: 304,
            headers: Vec::new(),
            body: Cow::Borrowed(b""),
            has_body: false,
            hold: None,
        }
    }

    /// The server has too much to do.
    pub(crate) fn busy(why: &str, retry_after_ms: u32) -> Self {
        Self::text(503, format!("{why}\n"))
            .with("retry-after", retry_after_ms.div_ceil(1000).to_string())
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Keeps a part of a bound until the response was sent.
    pub(crate) fn holding(mut self, hold: OwnedSemaphorePermit) -> Self {
        self.hold = Some(hold);
        self
    }

    /// What is to be kept until the response was sent.
    pub(crate) fn into_hold(self) -> Option<OwnedSemaphorePermit> {
        self.hold
    }

    /// Appends the response; `keep_alive` says whether the connection stays open behind it.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>, keep_alive: bool) {
        self.write_head(out, keep_alive);
        out.extend_from_slice(&self.body);
    }

    /// Appends the response without its body, as an answer to `HEAD`.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, keep_alive: bool) {
        let mut head = String::with_capacity(512);
        let reason = reason(self.status);
        // Writing to a string cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.has_body {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str("x-content-type-options: nosniff\r\n");
        head.push_str("cross-origin-resource-policy: same-origin\r\n");
        head.push_str(if keep_alive { "connection: keep-alive" } else { "connection: close" });
        head.push_str("\r\n\r\n");
        out.extend_from_slice(head.as_bytes());
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
