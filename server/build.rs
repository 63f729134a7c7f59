//! Puts the built page into the binary: a table of the files in `www/dist` after its manifest. A
//! missing or broken manifest is no error: the table is then empty, and the server shows a small
//! page that says how to build the real one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let www = root.join("../www");
    let dist = www.join("dist");
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo takes a path that is not there for one that has changed: without a built page, watch
    // the folder in which it would appear.
    let watched = if dist.exists() { &dist } else { &www };
    if watched.exists() {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let rows = match fs::read_to_string(dist.join("manifest.json")) {
        Ok(manifest) => table(&dist, &manifest).unwrap_or_else(|why| {
            println!("cargo::warning=www/dist is left out of the server: {why}");
            String::new()
        }),
        Err(_) => String::new(),
    };
    let code = format!("static ASSETS: &[Asset] = &[\n{rows}];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("assets.rs");
    if let Err(error) = fs::write(&out, code) {
        println!("cargo::warning=cannot write {}: {error}", out.display());
    }
}

fn table(dist: &Path, manifest: &str) -> Result<String, String> {
    let manifest: Value = serde_json::from_str(manifest).map_err(|error| error.to_string())?;
    let files = manifest["files"].as_array().ok_or("manifest.json has no list of files")?;
    let mut rows = String::new();
    for file in files {
        let text = |name: &str| {
            file[name].as_str().ok_or_else(|| format!("a file in manifest.json has no {name}"))
        };
        let name = text("path")?;
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let etag = format!("\"{}\"", text("etag")?.trim_matches('"'));
        let immutable = file["immutable"].as_bool().unwrap_or(false);
        let content_type = text("type")?;
        let identity = include(dist, name)?;
        let brotli = variant(dist, &file["br"])?;
        let gzip = variant(dist, &file["gz"])?;
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, etag: {etag:?}, \
             immutable: {immutable}, identity: {identity}, brotli: {brotli}, gzip: {gzip} }},"
        );
    }
    Ok(rows)
}

fn variant(dist: &Path, name: &Value) -> Result<String, String> {
    match name.as_str() {
        Some(name) => Ok(format!("Some({})", include(dist, name)?)),
        None => Ok("None".to_owned()),
    }
}

fn include(dist: &Path, name: &str) -> Result<String, String> {
    let path = dist.join(name);
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("include_bytes!({:?})", path.display().to_string()))
}
