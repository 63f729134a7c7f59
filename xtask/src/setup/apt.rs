//! Debian packages: installs as root or through passwordless sudo, else says what to type.
//! The only place that changes the machine outside of the repository and rustup's home.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::{NeedsYou, on_path};
use crate::workspace::Workspace;

const LISTS: &str = "/var/lib/apt/lists";
const UPDATE_LIMIT: Duration = Duration::from_secs(180);
const INSTALL_LIMIT: Duration = Duration::from_secs(900);
/// Another package manager may be at work; apt waits for it this long.
const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";

/// How this process may install packages.
enum Power {
    Root,
    Sudo,
}

/// An apt that can install without asking anybody.
pub(super) struct Apt {
    power: Power,
    log: PathBuf,
}

/// Whether there is an apt at all.
pub(super) fn is_here() -> bool {
    on_path("apt-get").is_some()
}

/// Whether package lists were ever fetched, or there is no apt to have any.
pub(super) fn has_lists() -> bool {
    let Ok(lists) = Path::new(LISTS).read_dir() else { return true };
    lists.flatten().any(|file| file.file_name().to_string_lossy().contains("_Packages"))
}

impl Apt {
    /// Fails with the command to type when these packages cannot be installed from here.
    pub(super) fn open(workspace: &Workspace, packages: &[&str]) -> Result<Self> {
        let missing = packages.join(" ");
        if !is_here() {
            return Err(NeedsYou {
                why: format!("{missing}: missing, and there is no apt-get to install it"),
                command: format!("(your system's way to install {missing})"),
            }
            .into());
        }
        let power = power().ok_or_else(|| by_hand(&missing))?;
        Ok(Self { power, log: workspace.scratch("log/apt.log") })
    }

    /// Installs packages, refreshing the package lists only when they turn out to be stale.
    pub(super) fn install(&self, packages: &[&str]) -> Result<()> {
        if !packages.iter().all(|package| has_candidate(package)) {
            self.update()?;
        }
        if self.install_once(packages).is_ok() {
            return Ok(());
        }
        // A list that is too old names versions which the archive has dropped since.
        self.update()?;
        self.install_once(packages)
    }

    /// Fetches the package lists.
    pub(super) fn update(&self) -> Result<()> {
        process::quiet(self.command().arg("update"), &self.log, UPDATE_LIMIT)
            .context("cannot refresh Debian's package lists")
    }

    fn install_once(&self, packages: &[&str]) -> Result<()> {
        let mut command = self.command();
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        process::quiet(&mut command, &self.log, INSTALL_LIMIT)
    }

    fn command(&self) -> Command {
        let mut command = match self.power {
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
}

/// What to type where this process may not install; no package at all means the lists.
fn by_hand(missing: &str) -> NeedsYou {
    let (what, install) = match missing {
        "" => ("Debian's package lists".to_owned(), String::new()),
        _ => (
            missing.to_owned(),
            format!(" && sudo apt-get install --no-install-recommends {missing}"),
        ),
    };
    NeedsYou {
        why: format!("{what}: missing, and neither root nor sudo is at hand to install it"),
        command: format!("sudo apt-get update{install}"),
    }
}

fn power() -> Option<Power> {
    if process::probe("id", &["-u"]).is_some_and(|id| id.trim() == "0") {
        return Some(Power::Root);
    }
    process::probe("sudo", &["-n", "true"]).map(|_| Power::Sudo)
}

fn has_candidate(package: &str) -> bool {
    process::probe("apt-cache", &["show", "--no-all-versions", package])
        .is_some_and(|text| !text.trim().is_empty())
}
