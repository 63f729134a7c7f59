//! The etcd that clusters are measured against: Debian's newest that runs here, unpacked below the target
//! folder without installing it, or else the one of this Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::apt::Apt;
use crate::setup::{Teller, first_time, on_path};
use crate::workspace::Workspace;

const ETCD: &str = "etcd";
const PACKAGE: &str = "etcd-server";
/// Newer than oldstable's, and its libraries are old enough for that.
const SUITE: &str = "stable";
const FETCH_LIMIT: Duration = Duration::from_secs(180);

/// Finds or fetches it.
pub(super) fn prepare(workspace: &Workspace, teller: &Teller) -> Result<PathBuf> {
    let unpacked = workspace.scratch("etcd/root/usr/bin/etcd");
    if runs(&unpacked) {
        return Ok(unpacked);
    }
    if first_time(workspace, ETCD)? {
        teller.doing(ETCD, "fetching Debian's newest etcd-server, to measure against");
        match fetch(workspace) {
            Ok(()) if runs(&unpacked) => return Ok(unpacked),
            Ok(()) => teller.doing(ETCD, "that one does not run here"),
            Err(error) => teller.doing(ETCD, &format!("it cannot be had: {error:#}")),
        }
    }
    if on_path(ETCD).is_none() {
        let apt = Apt::open(workspace, &[PACKAGE])?;
        teller.doing(ETCD, "installing this Debian's etcd-server");
        apt.install(&[PACKAGE])?;
    }
    on_path(ETCD).context("etcd-server has brought no etcd")
}

/// The version that a program says it is.
pub(super) fn version(program: &Path) -> Option<String> {
    let said = process::probe(program, &["--version"])?;
    Some(said.lines().next()?.rsplit_once(' ')?.1.to_owned())
}

fn runs(program: &Path) -> bool {
    version(program).is_some()
}

/// Downloads and unpacks the package by an apt whose lists and caches are of its own.
fn fetch(workspace: &Workspace) -> Result<()> {
    let folder = workspace.scratch(ETCD);
    for part in ["lists/partial", "cache/archives/partial", "sources"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let mirror = mirror().context("apt names no mirror of Debian")?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let source = format!(
        "Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {keys}\n"
    );
    fs::write(folder.join("sources/newer.sources"), source)?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for (setting, value) in [
            ("Dir::State::lists", folder.join("lists")),
            ("Dir::Cache", folder.join("cache")),
            ("Dir::Etc::sourcelist", PathBuf::from("/dev/null")),
            ("Dir::Etc::sourceparts", folder.join("sources")),
        ] {
            command.arg("-o").arg(format!("{setting}={}", value.display()));
        }
        let log = workspace.scratch("log/etcd.log");
        process::quiet(command.args(words).current_dir(&folder), &log, FETCH_LIMIT)
    };
    apt(&["update"])?;
    apt(&["download", PACKAGE])?;
    let package = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|it| it == "deb"))
        .context("apt has left no package")?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(package).arg(folder.join("root"));
    process::quiet(&mut unpack, &workspace.scratch("log/etcd.log"), FETCH_LIMIT)
}

/// Where this machine's own Debian comes from.
fn mirror() -> Option<String> {
    let targets = ["indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)"];
    let listed = process::probe("apt-get", &[&targets[..], &["Created-By: Packages"]].concat())?;
    let debian = listed.lines().find_map(|line| line.strip_suffix(" Debian Debian"))?;
    Some(debian.to_owned())
}
