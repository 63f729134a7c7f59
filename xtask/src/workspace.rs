//! Where things are: the repository's root and the directories that builds write to.
//! Every other module takes its paths from here.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository this xtask was compiled in.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the root beside xtask's own manifest, and the target directory as cargo would.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies outside of a workspace")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // Cargo reads a relative directory from where the user stands.
            Some(dir) => env::current_dir().context("no current directory")?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The repository's root, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder of the repository, named from its root with `/`.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The native build's target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A program as `cargo build --release` leaves it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.program_in("release", name)
    }

    /// A program as cargo leaves it in a profile's folder.
    pub(crate) fn program_in(&self, folder: &str, name: &str) -> PathBuf {
        self.target.join(folder).join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// xtask's own notes: fingerprints, logs of commands, tools from npm.
    pub(crate) fn scratch(&self, relative: &str) -> PathBuf {
        self.target.join("xtask").join(relative)
    }
}
