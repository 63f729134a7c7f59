//! The files of a folder in place of the built-in page (`--www`). They are read when they are asked
//! for, so that whoever works on them sees each change; nothing outside of the folder is ever
//! reached, and what is read at once has bounds.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::warn;

use super::encoding::Encoding;
use super::page;
use super::request::Request;
use super::response::Response;

/// The longest file that is served; a page has no longer one, and a body is in memory as a whole.
const FILE_BYTES: u64 = 16 << 20;
/// Bytes of files that may be on their way to browsers at once.
const SENDING_BYTES: usize = 128 << 20;
/// What [`SENDING_BYTES`] are counted in.
const UNIT_BYTES: usize = 1 << 10;
/// Files that are open at once; who asks for one more waits for a moment.
const OPEN_FILES: usize = 16;

/// What such a page may load and talk to: this server and nobody else. Unlike the built-in page it
/// may be made with a library that needs `innerHTML`, start workers by their address, and show what
/// it made itself.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; \
     font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// A folder that is served.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    opening: Semaphore,
    sending: Arc<Semaphore>,
}

/// What a request wants of the folder.
struct Wanted {
    /// Below the root, without anything that could lead out of it.
    path: PathBuf,
    /// Whether the address ends as that of a folder does.
    as_folder: bool,
}

/// What was found.
enum Found {
    File {
        content_type: &'static str,
        encoding: Encoding,
        bytes: Vec<u8>,
    },
    /// A folder whose address lacks its slash, without which links in its page would be wrong.
    Folder,
    Nothing,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        let sending = Arc::new(Semaphore::new(SENDING_BYTES / UNIT_BYTES));
        Self { root, opening: Semaphore::new(OPEN_FILES), sending }
    }

    /// The file that a request asks for, if there is one.
    pub(crate) async fn serve(&self, request: &Request<'_>) -> Option<Response> {
        let wanted = wanted(request.path)?;
        let _open = self.opening.acquire().await.ok()?;
        let root = self.root.clone();
        let choose = page::accepted_by(request);
        let read = tokio::task::spawn_blocking(move || find(&root, &wanted, choose)).await;
        let (content_type, encoding, bytes) = match read.map_err(io::Error::other).flatten() {
            Ok(Found::File { content_type, encoding, bytes }) => (content_type, encoding, bytes),
            Ok(Found::Folder) => {
                let address = format!("{}/", request.path);
                return Some(Response::text(301, "it is a folder\n").with("location", address));
            }
            Ok(Found::Nothing) => return None,
            Err(error) => return Some(unreadable(request.path, &error)),
        };
        let units = u32::try_from(bytes.len().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let Ok(hold) = Arc::clone(&self.sending).try_acquire_many_owned(units) else {
            return Some(Response::busy("too many files are on their way", 1_000));
        };
        let etag = etag(&bytes);
        let known = page::is_known(request, &etag);
        let response =
            if known { Response::not_modified() } else { Response::bytes(content_type, bytes) };
        let response = page::guard(response, CONTENT_SECURITY_POLICY)
            .with("etag", etag)
            .with("cache-control", "no-cache")
            .with("vary", "accept-encoding")
            .holding(hold);
        Some(page::encoded(response, encoding))
    }
}

fn unreadable(path: &str, error: &io::Error) -> Response {
    warn!(path, %error, "a file of --www cannot be served");
    let status = if error.kind() == io::ErrorKind::FileTooLarge { 403 } else { 500 };
    Response::text(status, format!("the file cannot be served: {error}\n"))
}

/// Reads an address. Names that begin with a dot are of nobody's page: what leads upwards, and
/// what is kept beside a page, such as `.git`.
fn wanted(address: &str) -> Option<Wanted> {
    let address = decoded(address)?;
    let (names, as_folder) = match address.strip_suffix('/') {
        Some(names) => (names, true),
        None => (address.as_str(), false),
    };
    let mut path = PathBuf::new();
    for name in names.split('/').skip(1) {
        if name.is_empty() || name.starts_with('.') || name.contains(['\0', '\\', ':']) {
            return None;
        }
        path.push(name);
    }
    Some(Wanted { path, as_folder })
}

/// The text behind `%20` and the like; none if it is no text, or hides a slash.
fn decoded(address: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(address.len());
    let mut rest = address.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        let byte = u8::try_from(high << 4 | low).ok().filter(|byte| *byte != b'/')?;
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// Looks for a file and reads it, or its twin in an encoding that `choose` takes.
fn find(
    root: &Path,
    wanted: &Wanted,
    choose: impl FnOnce(&[Encoding]) -> Encoding,
) -> io::Result<Found> {
    // Anew each time: the folder may be a link that is moved to another version of the page.
    let root = root.canonicalize()?;
    let Some(mut path) = inside(&root, &root.join(&wanted.path)) else { return Ok(Found::Nothing) };
    if path.is_dir() {
        if !wanted.as_folder {
            return Ok(Found::Folder);
        }
        match inside(&root, &path.join("index.html")) {
            Some(index) => path = index,
            None => return Ok(Found::Nothing),
        }
    } else if wanted.as_folder {
        return Ok(Found::Nothing);
    }
    if !path.is_file() {
        return Ok(Found::Nothing);
    }
    let twins = [(Encoding::Brotli, "br"), (Encoding::Gzip, "gz")];
    let twins = twins.map(|(encoding, end)| (encoding, twin(&root, &path, end)));
    let there = twins.iter().filter(|(_, twin)| twin.is_some());
    let encoding = choose(&there.map(|(encoding, _)| *encoding).collect::<Vec<_>>());
    let content_type = content_type(&path);
    let chosen = twins.into_iter().find(|(twin, _)| *twin == encoding);
    let path = chosen.and_then(|(_, twin)| twin).unwrap_or(path);
    Ok(Found::File { content_type, encoding, bytes: read(&path)? })
}

/// Where a path leads, if that is inside of the folder: links out of it lead nowhere.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.starts_with(root))
}

/// The file with this end beside another, unless it is older, so made from an earlier version.
fn twin(root: &Path, path: &Path, end: &str) -> Option<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    let twin = inside(root, Path::new(&name)).filter(|twin| twin.is_file())?;
    let time = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    (time(&twin)? >= time(path)?).then_some(twin)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    // It may grow meanwhile, so its length is not asked for.
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        let why = format!("it is longer than {} MiB", FILE_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Of the content itself: times of files are too coarse for who saves twice in a moment.
fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}\"", hasher.finish())
}

fn content_type(path: &Path) -> &'static str {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    match end.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "webmanifest" => "application/manifest+json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_below_the_root() {
        let path = |address| wanted(address).map(|wanted| wanted.path);
        assert_eq!(path("/"), Some(PathBuf::new()));
        assert_eq!(path("/a/b%20c.js"), Some("a/b c.js".into()));
        assert_eq!(path("/%C3%A4.html"), Some("ä.html".into()));
        assert!(wanted("/a/").is_some_and(|wanted| wanted.as_folder));
        assert!(wanted("/a").is_some_and(|wanted| !wanted.as_folder));
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_address() {
        for address in [
            "/..",
            "/a/../b",
            "/%2e%2e/b",
            "/..%2fb",
            "/a//b",
            "//b",
            "/.git/config",
            "/a/.env",
            "/a%00",
            "/a%2",
            "/a%zz",
            "/%ff",
            "/a\\..\\b",
            "/C:/b",
            "/./a",
        ] {
            assert!(wanted(address).is_none(), "{address}");
        }
    }
}
