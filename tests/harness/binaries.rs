//! Where the built programs are. `cargo xtask test` builds them and says where by
//! `TIDEKEEP_BIN_DIR`; a test run by hand builds them itself, once per process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The server's program.
pub fn server() -> PathBuf {
    directory().join("tidekeep-server")
}

/// The command line's program.
pub fn tidekeep() -> PathBuf {
    directory().join("tidekeep")
}

/// The repository's top folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| match std::env::var_os("TIDEKEEP_BIN_DIR") {
        Some(directory) => directory.into(),
        None => build(),
    })
}

/// Builds both programs in the test's own profile, beside the test's own binary.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a binary");
    let directory = test.ancestors().nth(2).expect("tests lie in <target>/<profile>/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository()).args(["build", "--quiet"]);
    cargo.args(["--package", "tidekeep-server", "--package", "tidekeep-cli"]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the programs under test do not build");
    directory.to_owned()
}
