//! A Rust that compiles for targets other than this machine: wasm for the browser, and a target
//! without std for the dry crates. rustup's when it can be had, else Debian's own packaged Rust.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::apt::{self, Apt};
use crate::setup::{NeedsYou, Teller, on_path};
use crate::workspace::Workspace;

/// The browser's target.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// A target that has `core` and `alloc`, and no `std` to fall back on.
pub(crate) const BARE_TARGET: &str = "x86_64-unknown-none";

/// The linker's package for the LLVM of the time; corrected after a look at the installed Rust.
const LLVM_AT_WRITING: &str = "22";
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// Debian's Rust with its library sources, which compiles `std` itself for any target.
#[derive(Clone)]
pub(crate) struct DebianRust {
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: PathBuf,
    /// `wasm-ld-NN` of the same LLVM.
    pub(crate) wasm_linker: PathBuf,
    /// The library's sources.
    pub(crate) sources: PathBuf,
    pub(crate) version: String,
}

/// Who compiles for the browser.
#[derive(Clone)]
pub(crate) enum WasmRust {
    /// The toolchain that runs xtask, with the target's std installed.
    Toolchain,
    Debian(DebianRust),
}

/// Who compiles for `BARE_TARGET`.
#[derive(Clone)]
pub(crate) enum BareTarget {
    Toolchain,
    Debian(DebianRust),
}

/// Finds or installs a Rust for the browser.
pub(super) fn wasm(workspace: &Workspace, teller: &Teller) -> Result<WasmRust> {
    if toolchain_has(WASM_TARGET) {
        teller.found("wasm", "the toolchain's own wasm32-unknown-unknown");
        return Ok(WasmRust::Toolchain);
    }
    if let Some(debian) = find_debian(workspace)? {
        teller.found("wasm", &format!("Debian's Rust {}", debian.version));
        return Ok(WasmRust::Debian(debian));
    }
    if add_by_rustup(workspace, teller, "wasm", WASM_TARGET) {
        return Ok(WasmRust::Toolchain);
    }
    install_debian(workspace, teller, "wasm").map(WasmRust::Debian)
}

/// Finds or installs a Rust for a target without std.
pub(super) fn bare(workspace: &Workspace, teller: &Teller) -> Result<BareTarget> {
    if toolchain_has(BARE_TARGET) {
        teller.found("no_std", "the toolchain's own x86_64-unknown-none");
        return Ok(BareTarget::Toolchain);
    }
    if let Some(debian) = find_debian(workspace)? {
        teller.found("no_std", &format!("Debian's Rust {}", debian.version));
        return Ok(BareTarget::Debian(debian));
    }
    if add_by_rustup(workspace, teller, "no_std", BARE_TARGET) {
        return Ok(BareTarget::Toolchain);
    }
    install_debian(workspace, teller, "no_std").map(BareTarget::Debian)
}

/// Whether the toolchain that runs xtask has a compiled library for the target.
fn toolchain_has(target: &str) -> bool {
    let Some(folder) = process::probe("rustc", &["--print", "target-libdir", "--target", target])
    else {
        return false;
    };
    let Ok(files) = Path::new(folder.trim()).read_dir() else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

/// Asks rustup for a target; false where there is no rustup or it cannot reach its downloads.
fn add_by_rustup(workspace: &Workspace, teller: &Teller, what: &str, target: &str) -> bool {
    if on_path("rustup").is_none() {
        return false;
    }
    teller.doing(what, &format!("adding the target {target} by rustup, to compile for it"));
    let log = workspace.scratch("log/rustup.log");
    let mut command = Command::new("rustup");
    let added = process::quiet(command.args(["target", "add", target]), &log, RUSTUP_LIMIT);
    if added.is_ok() && toolchain_has(target) {
        return true;
    }
    teller.doing(what, "rustup could not download it; taking Debian's packaged Rust instead");
    false
}

fn install_debian(workspace: &Workspace, teller: &Teller, what: &str) -> Result<DebianRust> {
    if !apt::is_here() {
        let why = "a Rust target is missing, and this is no Debian to take one from".to_owned();
        let command = format!("rustup target add {WASM_TARGET} {BARE_TARGET}");
        return Err(NeedsYou { why, command }.into());
    }
    let linker = format!("lld-{LLVM_AT_WRITING}");
    let packages = ["rustc-web", "cargo-web", "rust-web-src", &linker];
    let apt = Apt::open(workspace, &packages)?;
    teller.doing(what, "installing Debian's packaged Rust (120 MB), to compile other targets");
    apt.install(&packages)?;
    if let Some(llvm) = installed_llvm().filter(|llvm| llvm != LLVM_AT_WRITING) {
        teller.doing(what, &format!("installing lld-{llvm}, the linker of that Rust's LLVM"));
        apt.install(&[&format!("lld-{llvm}")])?;
    }
    find_debian(workspace)?.context("Debian's Rust is installed and still cannot be found")
}

/// Debian's Rust when compiler, cargo, sources and linker are all there and new enough.
fn find_debian(workspace: &Workspace) -> Result<Option<DebianRust>> {
    let (rustc, cargo) = (PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"));
    let (Some(about), true) = (process::probe(&rustc, &["-vV"]), cargo.is_file()) else {
        return Ok(None);
    };
    let Some(sysroot) = process::probe(&rustc, &["--print", "sysroot"]) else { return Ok(None) };
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    let linker = field(&about, "LLVM version").and_then(|llvm| wasm_linker(major(&llvm)));
    let has_std = sources.join("library/std/Cargo.toml").is_file();
    let (true, Some(wasm_linker)) = (has_std, linker) else { return Ok(None) };
    let version = field(&about, "release").context("`rustc -vV` names no release")?;
    if numbers(&version) < numbers(&oldest_rust(workspace)?) {
        return Ok(None);
    }
    Ok(Some(DebianRust { rustc, cargo, wasm_linker, sources, version }))
}

fn wasm_linker(llvm: &str) -> Option<PathBuf> {
    on_path(&format!("wasm-ld-{llvm}"))
}

fn installed_llvm() -> Option<String> {
    let about = process::probe("/usr/bin/rustc", &["-vV"])?;
    field(&about, "LLVM version").map(|llvm| major(&llvm).to_owned())
}

/// A line `name: value` of `rustc -vV`.
fn field(about: &str, name: &str) -> Option<String> {
    let line = about.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// `1.96.0-dfsg` as `[1, 96, 0]`, so that versions compare as numbers.
pub(super) fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// `rust-version` of the workspace.
fn oldest_rust(workspace: &Workspace) -> Result<String> {
    let manifest = std::fs::read_to_string(workspace.path("Cargo.toml"))
        .context("cannot read the workspace's Cargo.toml")?;
    for line in manifest.lines() {
        if let Some((name, value)) = line.split_once('=')
            && name.trim() == "rust-version"
        {
            return Ok(value.trim().trim_matches('"').to_owned());
        }
    }
    bail!("the workspace's Cargo.toml names no rust-version")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "rustc 1.96.0 (built from a source tarball)\nrelease: 1.96.0\n\
                         host: x86_64-unknown-linux-gnu\nLLVM version: 22.1.4\n";

    #[test]
    fn reads_release_and_llvm() {
        assert_eq!(field(ABOUT, "release").as_deref(), Some("1.96.0"));
        assert_eq!(field(ABOUT, "LLVM version").as_deref().map(major), Some("22"));
        assert_eq!(field(ABOUT, "commit-hash"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.85.0+dfsg3") < numbers("1.95"));
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("20.19.1-nodesource1") > numbers("20"));
    }
}
