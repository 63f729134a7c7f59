//! `cargo xtask dist`: what is handed out, in `dist/`: server and CLI as release builds with the
//! page in them, the npm package, and their checksums. Proves that the page is really in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fingerprint::hex;
use crate::process;
use crate::running::RunningServer;
use crate::setup::{self, Need, Talk};
use crate::web::{self, Flavour, Size};
use crate::workspace::Workspace;

const PROGRAMS: [&str; 2] = ["tidekeep-server", "tidekeep"];
const NPM_LIMIT: Duration = Duration::from_secs(120);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Builds everything anew where it changed, and fills `dist/`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tools = setup::run(workspace, Need::Page, Talk::Actions)?;
    web::run(workspace, &tools, Flavour::Release, Size::Checked)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked"]);
    cargo.args(["--package", "tidekeep-server", "--package", "tidekeep-cli"]);
    process::loud(cargo.current_dir(workspace.root()))?;
    check_page(workspace)?;

    let dist = workspace.path("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("cannot empty {}", dist.display()))?;
    }
    fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
    for program in PROGRAMS {
        let built = workspace.program(program);
        let name = built.file_name().context("a program has a name")?;
        fs::copy(&built, dist.join(name))
            .with_context(|| format!("cannot copy {}", built.display()))?;
    }
    let mut npm = tools.node.command("npm");
    npm.args(["pack", "--pack-destination"]).arg(&dist);
    npm.current_dir(workspace.path("client-web"));
    process::quiet(&mut npm, &workspace.scratch("log/npm-pack.log"), NPM_LIMIT)?;

    let sums = checksums(&dist)?;
    fs::write(dist.join("SHA256SUMS"), &sums).context("cannot write the checksums")?;
    print!("{sums}");
    println!("dist: everything is in {}", dist.display());
    Ok(())
}

/// The server must hand out the page just built, not the one that says how to build it.
fn check_page(workspace: &Workspace) -> Result<()> {
    let manifest = fs::read_to_string(workspace.path("www/dist/manifest.json"))
        .context("cannot read the page's manifest")?;
    let script = hashed_script(&manifest).context("the page's manifest names no script")?;
    let parent = workspace.scratch("dist");
    fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let server = RunningServer::start(&workspace.program("tidekeep-server"), &parent, &[])?;
    let page = get(&server.address, "/").context("the server does not hand out its page")?;
    if !page.contains(&script) {
        bail!("the server's page does not refer to {script}: it was built without the page");
    }
    Ok(())
}

/// The first script with a content hash in its name.
fn hashed_script(manifest: &str) -> Option<String> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let files = manifest["files"].as_array()?;
    let paths = files.iter().filter(|file| file["immutable"] == true);
    paths
        .filter_map(|file| file["path"].as_str())
        .find(|path| path.ends_with(".js"))
        .map(Into::into)
}

/// One plain HTTP request; the whole answer as text.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("it answers {}", answer.lines().next().unwrap_or("nothing"));
    }
    Ok(answer)
}

/// Lines as `sha256sum --check` reads them.
fn checksums(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    let mut sums = String::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        sums.push_str(&format!("{}  {name}\n", hex(&Sha256::digest(&bytes))));
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_script_that_the_page_must_name() {
        let manifest = r#"{"files":[{"path":"index.html","immutable":false},
            {"path":"app-ABCDEFGH.css","immutable":true},
            {"path":"app-ABCDEFGH.js","immutable":true}]}"#;
        assert_eq!(hashed_script(manifest).as_deref(), Some("app-ABCDEFGH.js"));
        assert_eq!(hashed_script("{}"), None);
    }

    #[test]
    fn writes_checksums_as_sha256sum_does() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(checksums(folder.path()).unwrap(), format!("{empty}  empty\n"));
    }
}
