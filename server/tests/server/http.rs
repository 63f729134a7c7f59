//! HTTP on the same port: the page, the probes, the figures, and requests that are none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{PATIENCE, TestServer, eventually, put};

/// A response as text.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Page {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (header, value) = line.split_once(": ")?;
            header.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Asks for a path on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Page {
    let mut http = Http::connect(address);
    http.send(&format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    http.page(true)
}

/// A connection that speaks HTTP.
pub struct Http {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self { stream, input: Vec::new() }
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the server takes bytes");
    }

    /// Reads a response; `with_body` says whether its length counts bytes that follow.
    #[track_caller]
    pub fn page(&mut self, with_body: bool) -> Page {
        let head_end = loop {
            if let Some(at) = find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            self.read();
        };
        let head = String::from_utf8(self.input.drain(..head_end).collect()).expect("text");
        let status = head[9..12].parse().expect("a status is a number");
        let mut page = Page { status, head, body: String::new() };
        let length = page
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length is a number"));
        if with_body {
            while self.input.len() < length {
                self.read();
            }
            page.body = String::from_utf8(self.input.drain(..length).collect()).expect("text");
        }
        page
    }

    /// The bytes that were read behind the last response.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    #[track_caller]
    pub fn is_closed(&mut self) {
        let mut rest = self.rest();
        let _ = self.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }

    #[track_caller]
    fn read(&mut self) {
        let mut bytes = [0; 16 << 10];
        let count = self.stream.read(&mut bytes).expect("the server answers");
        assert!(count > 0, "the connection ended before the response");
        self.input.extend_from_slice(&bytes[..count]);
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[test]
fn the_page_is_there_with_its_guards() {
    let server = TestServer::start();
    let page = get(server.address, "/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("Tidekeep"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"));
    assert!(policy.ends_with("require-trusted-types-for 'script'"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(page.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
}

#[test]
fn probes_and_figures_answer() {
    let server = TestServer::start();
    server.client().put(b"k", b"v");
    assert_eq!(get(server.address, "/livez").status, 200);
    assert_eq!(get(server.address, "/readyz?verbose").body, "ready\n");
    let figures = get(server.address, "/metrics");
    assert_eq!(figures.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in figures.body.lines() {
        let known = line.starts_with("# HELP ") || line.starts_with("# TYPE ");
        let value = line.rsplit(' ').next().unwrap_or_default().parse::<f64>();
        assert!(known || (line.starts_with("tidekeep_") && value.is_ok()), "{line}");
    }
    assert!(figures.body.contains("tidekeep_store_keys 1\n"));
}

#[test]
fn a_server_that_runs_alone_says_so_where_a_cluster_would_be() {
    let server = TestServer::start();
    let page = get(server.address, "/cluster");
    assert_eq!(page.status, 404);
    assert!(page.body.starts_with("this server runs alone; "), "{}", page.body);
}

#[test]
fn one_connection_serves_many_requests() {
    let server = TestServer::start();
    let mut http = Http::connect(server.address);
    http.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    http.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(http.page(true).body, "ok\n");
    let head = http.page(false);
    assert_eq!((head.status, head.header("connection")), (200, Some("keep-alive")));
    assert!(head.header("content-length").is_some_and(|length| length != "0"));
    assert_eq!(http.page(true).status, 404);
    http.send("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(http.page(true).status, 200);
    http.is_closed();

    let mut old = Http::connect(server.address);
    old.send("GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(old.page(true).header("connection"), Some("close"));
    old.is_closed();
}

#[test]
fn what_is_not_served_gets_its_status() {
    let server = TestServer::start();
    let long = "x".repeat(9000);
    let cases = [
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("DELETE /livez HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(), 413),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 413),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("POST\r\n\r\n".to_owned(), 400),
        ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
    ];
    for (request, status) in cases {
        let mut http = Http::connect(server.address);
        http.send(&request);
        assert_eq!(http.page(true).status, status, "{}", &request[..request.len().min(60)]);
    }
    server.client().is_well();
}

#[test]
fn a_request_that_is_not_finished_in_time_is_closed() {
    let server = TestServer::with(|config| config.handshake_ms = 600);
    let mut http = Http::connect(server.address);
    http.send("GET / HTTP/1.1\r\nHos");
    assert_eq!(http.page(true).status, 408);
    http.is_closed();
    server.client().is_well();
}

#[test]
fn a_snapshot_that_fails_is_a_warning_of_a_ready_server() {
    let server = TestServer::with(|config| config.snapshot_log_bytes = 10_000);
    eventually("the spare segment", || server.disk.content("spare").is_some());
    server.disk.set_quota(server.disk.used() + 100);
    server.client().put(b"key", &[1; 20_000]);
    eventually("a failure", || server.figure("tidekeep_store_snapshot_failing_ms") > 0.0);
    let ready = get(server.address, "/readyz");
    assert_eq!(ready.status, 200);
    let (first, warning) = ready.body.split_once('\n').unwrap();
    assert_eq!(first, "ready");
    assert!(warning.starts_with("warning: no snapshot could be written for "), "{warning}");
}

#[test]
fn a_full_disk_makes_the_server_unready_and_not_dead() {
    let server = TestServer::with(|config| config.durability = tidekeep_log::Durability::None);
    server.disk.set_quota(server.disk.used());
    let mut client = server.client();
    let value = vec![0; 500_000];
    let refused =
        (0..200_u32).find(|n| client.call(1, &put(&n.to_be_bytes(), &value)).kind == 0x07);
    assert!(refused.is_some(), "the disk is full after a while");
    let ready = get(server.address, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("no-space"), "{}", ready.body);
    assert_eq!(get(server.address, "/livez").status, 200);
    client.is_well();
}
