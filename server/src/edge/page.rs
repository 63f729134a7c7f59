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

/// Where the npm package is, for pages that are not built: `import … from "/tidekeep/index.js"`.
const PACKAGE: &str = "/tidekeep/";

/// The npm package's file at this path, if there is one.
pub(crate) fn serve_package(request: &Request<'_>) -> Option<Response> {
    if request.path.starts_with(PACKAGE) { serve(request) } else { None }
}

/// The file at this path, if there is one.
pub(crate) fn serve(request: &Request<'_>) -> Option<Response> {
    match ASSETS.iter().find(|asset| asset.path == request.path) {
        Some(asset) => Some(serve_asset(asset, request)),
        None if request.path == "/" => Some(guard(
            Response::bytes("text/html; charset=utf-8", FALLBACK).with("cache-control", "no-cache"),
            CONTENT_SECURITY_POLICY,
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
    let encoding = accepted_by(request)(&available);
    let chosen = variants.iter().find(|(variant, _)| *variant == encoding);
    let body = chosen.and_then(|(_, body)| *body).unwrap_or(asset.identity);

    let etag = variant_etag(asset.etag, encoding);
    let known = is_known(request, &etag);
    let response =
        if known { Response::not_modified() } else { Response::bytes(asset.content_type, body) };
    let cache = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let response = guard(response, CONTENT_SECURITY_POLICY)
        .with("etag", etag)
        .with("cache-control", cache)
        .with("vary", "accept-encoding");
    encoded(response, encoding)
}

/// Chooses the encoding that a request takes best among those that there are.
pub(super) fn accepted_by(request: &Request<'_>) -> impl FnOnce(&[Encoding]) -> Encoding + use<> {
    let accept: Vec<&str> = request.all("accept-encoding").collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    move |available| encoding::choose(accept.as_deref(), available)
}

/// Whether the client says that it has what bears this tag.
pub(super) fn is_known(request: &Request<'_>, etag: &str) -> bool {
    request.all("if-none-match").flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// Names the encoding of a response's body.
pub(super) fn encoded(response: Response, encoding: Encoding) -> Response {
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

/// Adds what keeps a browser from being used against this server or by others.
pub(super) fn guard(response: Response, policy: &'static str) -> Response {
    response
        .with("content-security-policy", policy)
        .with("referrer-policy", "no-referrer")
        .with("cross-origin-opener-policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use super::super::request;
    use super::*;

    const ASSET: Asset = Asset {
        path: "/app.abc.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"abc\"",
        immutable: true,
        identity: b"plain",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };

    fn ask(headers: &str) -> String {
        let text = format!("GET /app.abc.js HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let (request, _) = request::parse(text.as_bytes()).unwrap().unwrap();
        let mut out = Vec::new();
        serve_asset(&ASSET, &request).write_to(&mut out, true);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_file_comes_as_the_browser_takes_it() {
        let plain = ask("");
        assert!(plain.ends_with("\r\n\r\nplain") && !plain.contains("content-encoding"), "{plain}");
        let brotli = ask("Accept-Encoding: gzip, br\r\n");
        assert!(brotli.contains("content-encoding: br\r\n") && brotli.ends_with("br"), "{brotli}");
        let gzip = ask("Accept-Encoding: br;q=0\r\nAccept-Encoding: gzip\r\n");
        assert!(gzip.contains("content-encoding: gzip\r\n") && gzip.ends_with("gz"), "{gzip}");
        for response in [plain, brotli, gzip] {
            assert!(response.contains("vary: accept-encoding\r\n"));
            assert!(response.contains("cache-control: public, max-age=31536000, immutable\r\n"));
            assert!(response.contains("content-security-policy: default-src 'none'"));
        }
    }

    #[test]
    fn a_file_that_is_known_does_not_come_again() {
        let known = ask("If-None-Match: \"other\", W/\"abc\"\r\n");
        assert!(known.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{known}");
        assert!(known.ends_with("\r\n\r\n") && known.contains("etag: \"abc\"\r\n"));
        let other_encoding = ask("If-None-Match: \"abc\"\r\nAccept-Encoding: br\r\n");
        assert!(other_encoding.starts_with("HTTP/1.1 200 OK\r\n"), "{other_encoding}");
        let same = ask("If-None-Match: \"abc-br\"\r\nAccept-Encoding: br\r\n");
        assert!(same.starts_with("HTTP/1.1 304 "), "{same}");
    }
}
