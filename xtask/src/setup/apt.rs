//! Debian packages: installs as root or through passwordless sudo, else says what to type.
//! The only place that changes the machine outside of the repository and rustup's home.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::{NeedsYou, on_path};
use crate::workspace::Workspace;

const UPDATE_LIMIT: Duration = Duration::from_secs(180);
const INSTALL_LIMIT: Duration = Duration::from_secs(900);
/// Another package manager may be at work; apt waits for it this long.
const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";

const LISTS: &str = "/var/lib/apt/lists";

/// How this process may install packages.
enum Power {
    Root,
    Sudo,
}

fn power() -> Option<Power> {
    if process::probe("id", &["-u"]).is_some_and(|id| id.trim() == "0") {
        return Some(Power::Root);
    }
    process::probe("sudo", &["-n", "true"]).map(|_| Power::Sudo)
}

/// Whether there is an apt to install packages with.
pub(super) fn is_here() -> bool {
    on_path("apt-get").is_some()
}

/// Whether packages can be installed without asking anybody.
pub(super) fn can_install() -> bool {
    is_here() && power().is_some()
}

/// Whether package lists were ever fetched, or there is no apt to have any.
pub(super) fn has_lists() -> bool {
    let Ok(lists) = Path::new(LISTS).read_dir() else { return true };
    lists.flatten().any(|file| file.file_name().to_string_lossy().contains("_Packages"))
}

/// Fetches the package lists.
pub(super) fn update_lists(workspace: &Workspace) -> Result<()> {
    let power = power().ok_or_else(|| NeedsYou {
        why: "Debian's package lists are missing, and neither root nor sudo is at hand".to_owned(),
        command: "sudo apt-get update".to_owned(),
    })?;
    update(&power, &workspace.scratch("log/apt.log"))
}

/// Installs packages, refreshing the package lists only when they turn out to be stale.
pub(super) fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let missing = packages.join(" ");
    if !is_here() {
        return Err(NeedsYou {
            why: format!("{missing}: missing, and there is no apt-get to install it"),
            command: format!("(your system's way to install {missing})"),
        }
        .into());
    }
    let power = power().ok_or_else(|| NeedsYou {
        why: format!("{missing}: missing, and neither root nor sudo is at hand to install it"),
        command: format!(
            "sudo apt-get update && sudo apt-get install --no-install-recommends {missing}"
        ),
    })?;
    let log = workspace.scratch("log/apt.log");
    if !packages.iter().all(|package| has_candidate(package)) {
        update(&power, &log)?;
    }
    if install_once(&power, packages, &log).is_ok() {
        return Ok(());
    }
    // A list that is too old names versions which the archive has dropped since.
    update(&power, &log)?;
    install_once(&power, packages, &log)
}

fn has_candidate(package: &str) -> bool {
    process::probe("apt-cache", &["show", "--no-all-versions", package])
        .is_some_and(|text| !text.trim().is_empty())
}

fn update(power: &Power, log: &Path) -> Result<()> {
    let mut command = apt_get(power);
    process::quiet(command.arg("update"), log, UPDATE_LIMIT)
        .context("cannot refresh Debian's package lists")
}

fn install_once(power: &Power, packages: &[&str], log: &Path) -> Result<()> {
    let mut command = apt_get(power);
    command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    process::quiet(&mut command, log, INSTALL_LIMIT)
}

fn apt_get(power: &Power) -> Command {
    let mut command = match power {
        Power::Root => Command::new("env"),
        Power::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "env"]);
            sudo
        }
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", LOCK_WAIT]);
    command
}
