//! Looks at a visitor's first bytes as the edge does, up to where a socket would be needed.

use super::encoding::{self, Encoding};
use super::page;
use super::request::{self, HEAD_BYTES, Request};
use super::sniff::{self, Visitor};
use super::upgrade::{self, Hosts, Refused};
use crate::config::Origin;

const ENCODINGS: [Encoding; 3] = [Encoding::Brotli, Encoding::Gzip, Encoding::Identity];

/// Reads requests out of `bytes`, one behind the other, and answers those that need no store.
pub(crate) fn visit(bytes: &[u8]) {
    if let Some(visitor) = sniff::tell(bytes) {
        let silent = matches!(visitor, Visitor::Native | Visitor::Http);
        assert_eq!(silent, visitor.farewell().is_empty());
        // Who is known is not taken for another when more comes.
        assert!(
            (1..bytes.len())
                .all(|cut| { sniff::tell(&bytes[..cut]).is_none_or(|early| early == visitor) })
        );
    }
    let mut rest = bytes;
    while let Some(length) = request(rest) {
        rest = &rest[length..];
    }
}

/// Reads the first request; its length if there is a whole one that is served.
fn request(bytes: &[u8]) -> Option<usize> {
    let (request, length) = match request::parse(bytes) {
        Ok(parsed) => parsed?,
        Err(refused) => {
            assert!((400..600).contains(&refused.status));
            well_formed(|out| refused.write_to(out, false));
            return None;
        }
    };
    assert!(length <= HEAD_BYTES.min(bytes.len()) && request.path.starts_with('/'));
    // What follows a request is no part of it, and nothing less than all of it is one.
    let alone = request::parse(&bytes[..length]);
    assert!(matches!(alone, Ok(Some((_, again))) if again == length));
    assert!(!matches!(request::parse(&bytes[..length - 1]), Ok(Some(_))));
    if let Some(response) = page::serve(&request) {
        well_formed(|out| response.write_to(out, request.keep_alive));
    }
    encoding::choose(request.header("accept-encoding"), &ENCODINGS);
    upgrade(&request);
    Some(length)
}

fn upgrade(request: &Request<'_>) {
    let site = "https://app.example".parse::<Origin>();
    let hosts = Hosts::new("kv.internal:8080", site.into_iter().collect());
    match upgrade::accept(request, &hosts) {
        Ok(head) => {
            well_formed(|out| out.extend_from_slice(&head));
            let lines = head.split(|&byte| byte == b'\n').count();
            assert_eq!(lines, 7, "nothing of the request but a checked key gets into the answer");
            assert!(request.host.is_some(), "an upgrade names its host");
            let mut origins = request.all("origin");
            let first = origins.next();
            assert!(origins.next().is_none(), "two origins are none");
            let host = request.host.unwrap_or_default();
            let own = |origin: &Origin| origin.serves(host) || origin.host() == "app.example";
            assert!(first.is_none_or(|origin| origin.parse().is_ok_and(|origin| own(&origin))));
        }
        Err(Refused::Handshake(response) | Refused::Origin(response)) => {
            assert!((400..600).contains(&response.status));
            well_formed(|out| response.write_to(out, request.keep_alive));
        }
    }
}

/// A client can tell where the response's head ends and what it says.
fn well_formed(write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&out).expect("a response can be parsed");
    let httparse::Status::Complete(head) = parsed else { panic!("a response's head is whole") };
    let length = response.headers.iter().find(|header| header.name == "content-length");
    if let Some(length) = length.and_then(|header| std::str::from_utf8(header.value).ok()) {
        assert_eq!(length.parse(), Ok(out.len() - head));
    }
}
