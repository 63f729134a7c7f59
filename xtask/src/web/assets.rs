//! Turns the page's bundle into what the server embeds: a brotli and a gzip twin beside each file
//! where that saves bytes, and `manifest.json` with types, entity tags and cache rules.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fingerprint::{files_below, hex};

const MANIFEST: &str = "manifest.json";
const BROTLI_QUALITY: u32 = 11;
/// The largest window every decoder must accept.
const BROTLI_WINDOW: u32 = 22;
/// Digits of the content's hash that make an entity tag.
const TAG_DIGITS: usize = 32;
/// The shortest part of a file name that counts as a content hash.
const HASH_CHARS: usize = 8;

/// Where pages that are not built find the package: `import … from "/tidekeep/index.js"`.
const PACKAGE: &str = "tidekeep";
/// Entries that a page which is not built has no use for: those with the module as text (the slim one
/// fetches it from beside itself, so it need not be there twice), those of other runtimes, and those
/// that import what a bundler would have to find.
const LEFT_OUT: [&str; 5] = ["index.js", "workerd.js", "file.js", "react.js", "testing.js"];
const PACKAGE_INDEX: &str = "export * from \"./slim.js\";\n";

/// Puts the package, from its own `dist`, below the page's.
pub(super) fn add_package(package: &Path, dist: &Path) -> Result<()> {
    let folder = dist.join(PACKAGE);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in files_below(package, &LEFT_OUT)? {
        let script = file.extension().is_some_and(|end| end == "js" || end == "wasm");
        let name = file.file_name().context("a file has a name")?;
        if script && file.parent() == Some(package) {
            let bytes =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            write(&folder.join(name), &bytes)?;
        }
    }
    write(&folder.join("index.js"), PACKAGE_INDEX.as_bytes())
}

/// Writes the twins and the manifest of the folder `dist`.
pub(super) fn prepare(dist: &Path) -> Result<()> {
    let mut files = Vec::new();
    for file in files_below(dist, &[])? {
        let path = file.strip_prefix(dist)?.to_string_lossy().replace('\\', "/");
        if path == MANIFEST || path.ends_with(".br") || path.ends_with(".gz") {
            continue;
        }
        files.push(describe(dist, &path)?);
    }
    if !files.iter().any(|file| file["path"] == "index.html") {
        bail!("the page's build left no {}", dist.join("index.html").display());
    }
    let text = serde_json::to_string_pretty(&json!({ "files": files }))?;
    write(&dist.join(MANIFEST), format!("{text}\n").as_bytes())
}

fn describe(dist: &Path, path: &str) -> Result<Value> {
    let file = dist.join(path);
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let (br, gz) = (brotli(&bytes)?, gzip(&bytes)?);
    Ok(json!({
        "path": path,
        "type": content_type(path)?,
        "etag": &hex(&Sha256::digest(&bytes))[..TAG_DIGITS],
        "immutable": has_hash(path),
        "bytes": bytes.len(),
        "br": twin(dist, path, "br", &bytes, &br)?,
        "gz": twin(dist, path, "gz", &bytes, &gz)?,
    }))
}

/// Writes a compressed twin and names it, when it is smaller than the file itself.
fn twin(
    dist: &Path,
    path: &str,
    extension: &str,
    bytes: &[u8],
    packed: &[u8],
) -> Result<Option<String>> {
    let name = format!("{path}.{extension}");
    let file = dist.join(&name);
    if packed.len() >= bytes.len() {
        // One of an earlier build would be served in its place.
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot drop {}", file.display()))?;
        }
        return Ok(None);
    }
    write(&file, packed)?;
    Ok(Some(name))
}

/// gzip at its best level.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// brotli at its best level.
pub(super) fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder =
        brotli::CompressorWriter::new(&mut out, 64 * 1024, BROTLI_QUALITY, BROTLI_WINDOW);
    encoder.write_all(bytes)?;
    encoder.flush()?;
    drop(encoder);
    Ok(out)
}

fn content_type(path: &str) -> Result<&'static str> {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    Ok(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => bail!("{path} has no known content type; name one in xtask/src/web/assets.rs"),
    })
}

/// Whether the name carries a content hash (`app.4f0c2a9b.js`, `app-4F0CXA9B.js`), so that the
/// file under this name never changes.
fn has_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut parts: Vec<&str> = name.split(['.', '-']).collect();
    // First the file's own name and last its extension: neither is a hash.
    parts.pop();
    parts.iter().skip(1).any(|part| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        // esbuild writes base 32 in capitals.
        let base32 = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        part.len() >= HASH_CHARS && (part.bytes().all(hex) || part.bytes().all(base32))
    })
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_a_page() {
        let dist = tempfile::tempdir().unwrap();
        fs::write(dist.path().join("index.html"), "<p>tide</p>".repeat(50)).unwrap();
        fs::write(dist.path().join("app.4f0c2a9b.js"), "x").unwrap();
        fs::write(dist.path().join("app.4f0c2a9b.js.gz"), "left over").unwrap();
        prepare(dist.path()).unwrap();

        let text = fs::read_to_string(dist.path().join(MANIFEST)).unwrap();
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let (app, index) = (&manifest["files"][0], &manifest["files"][1]);
        assert_eq!(app["immutable"], true);
        assert_eq!(app["gz"], Value::Null);
        assert!(!dist.path().join("app.4f0c2a9b.js.gz").exists());
        assert_eq!(index["type"], "text/html; charset=utf-8");
        assert_eq!(index["immutable"], false);
        assert_eq!(index["br"], "index.html.br");
        assert!(dist.path().join("index.html.br").metadata().unwrap().len() < 100);
    }

    #[test]
    fn refuses_a_bundle_without_a_page() {
        let dist = tempfile::tempdir().unwrap();
        fs::write(dist.path().join("app.js"), "x").unwrap();
        assert!(prepare(dist.path()).is_err());
    }

    #[test]
    fn puts_what_pages_use_of_the_package_beside_the_page() {
        let (package, dist) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["index.js", "slim.js", "tidekeep.wasm", "slim.d.ts", "react.js"] {
            fs::write(package.path().join(name), "from the package").unwrap();
        }
        add_package(package.path(), dist.path()).unwrap();
        let files = files_below(&dist.path().join("tidekeep"), &[]).unwrap();
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
        assert_eq!(names, ["index.js", "slim.js", "tidekeep.wasm"]);
        assert_eq!(fs::read_to_string(&files[0]).unwrap(), PACKAGE_INDEX);
    }

    #[test]
    fn knows_hashed_names() {
        assert!(has_hash("assets/app-ABCDEFGH.js"));
        assert!(has_hash("tidekeep.0a1b2c3d.wasm"));
        assert!(!has_hash("service-worker.js"));
        assert!(!has_hash("index.html"));
    }
}
