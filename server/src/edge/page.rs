//! The page: files that the build put into the binary, with the headers that keep a browser safe and
//! its cache right. Without a built page there is a small one that says how to build it.

use super::encoding::{self, Encoding};
use super::request::Request;
use super::response::Response;

/// A file of the page.
struct Asset {
    /// Its path, with the slash.
    path: &'static str,
    content_type: &'static str,
    /// The quoted entity tag of the file as it is.
    etag: &'static str,
    /// Whether its name changes with its content, so that it may be kept for ever.
    immutable: bool,
    identity: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

// `ASSETS: &[Asset]`, the index being the one whose path is "/".
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const FALLBACK: &[u8] = include_bytes!("fallback.html");

/// What the page may load and talk to: this server and nobody else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

/// The file at this path, if there is one.
pub(crate) fn serve(request: &Request<'_>) -> Option<Response> {
    match ASSETS.iter().find(|asset| asset.path == request.path) {
        Some(asset) => Some(serve_asset(asset, request)),
        None if request.path == "/" => Some(guard(
            Response::bytes("text/html; charset=utf-8", FALLBACK).with("cache-control", "no-cache"),
        )),
        None => None,
    }
}

fn serve_asset(asset: &Asset, request: &Request<'_>) -> Response {
    let variants = [
        (Encoding::Brotli, asset.brotli),
        (Encoding::Gzip, asset.gzip),
        (Encoding::Identity, Some(asset.identity)),
    ];
    let there = variants.iter().filter(|(_, body)| body.is_some());
    let available: Vec<Encoding> = there.map(|(encoding, _)| *encoding).collect();
    let accept: Vec<&str> = request.all("accept-encoding").collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    let encoding = encoding::choose(accept.as_deref(), &available);
    let chosen = variants.iter().find(|(variant, _)| *variant == encoding);
    let body = chosen.and_then(|(_, body)| *body).unwrap_or(asset.identity);

    let etag = variant_etag(asset.etag, encoding);
    let has_it = request.all("if-none-match").flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    });
    let response =
        if has_it { Response::not_modified() } else { Response::bytes(asset.content_type, body) };
    let cache = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let response = guard(response)
        .with("etag", etag)
        .with("cache-control", cache)
        .with("vary", "accept-encoding");
    match encoding {
        Encoding::Identity => response,
        Encoding::Brotli | Encoding::Gzip => response.with("content-encoding", encoding.name()),
    }
}

/// Each encoding of a file is a body of its own and has its own tag.
fn variant_etag(etag: &str, encoding: Encoding) -> String {
    match (encoding, etag.strip_suffix('"')) {
        (Encoding::Brotli | Encoding::Gzip, Some(open)) => format!("{open}-{}\"", encoding.name()),
        _ => etag.to_owned(),
    }
}

fn guard(response: Response) -> Response {
    response
        .with("content-security-policy", CONTENT_SECURITY_POLICY)
        .with("referrer-policy", "no-referrer")
        .with("cross-origin-opener-policy", "same-origin")
}
