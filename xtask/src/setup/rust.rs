//! A Rust that compiles for targets other than this machine: wasm for the browser, and a target
//! without std for the dry crates. rustup's when it can be had, else Debian's own packaged Rust.
//! With the library's sources it also compiles std itself, which makes the module a fifth smaller.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::apt::{self, Apt};
use crate::setup::{NeedsYou, Teller, first_time, on_path};
use crate::workspace::Workspace;

/// The browser's target.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// A target that has `core` and `alloc`, and no `std` to fall back on.
pub(crate) const BARE_TARGET: &str = "x86_64-unknown-none";

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// The linker's package for the LLVM of the time; corrected after a look at the installed Rust.
const LLVM_AT_WRITING: &str = "22";
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// A Rust for another target.
#[derive(Clone)]
pub(crate) struct CrossRust {
    /// Debian's, or the toolchain that runs xtask.
    debian: Option<Debian>,
    /// Sources of the library: std can be compiled anew, with flags of our own.
    pub(crate) sources: Option<PathBuf>,
    /// Whether a compiled library is there as well.
    prebuilt: bool,
    /// As in `Debian's Rust 1.96.0`.
    pub(crate) name: String,
}

/// Debian's packaged Rust, which has no compiled library for other targets.
#[derive(Clone)]
struct Debian {
    rustc: PathBuf,
    cargo: PathBuf,
    /// `wasm-ld-NN` of the same LLVM.
    wasm_linker: PathBuf,
}

impl CrossRust {
    /// A cargo that compiles for the browser, std included where the sources are there.
    pub(crate) fn wasm_cargo(&self) -> Command {
        let mut cargo = self.cargo();
        if self.sources.is_some() {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        if let Some(debian) = &self.debian {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &debian.wasm_linker);
        }
        cargo
    }

    /// A cargo that compiles for `BARE_TARGET`.
    pub(crate) fn bare_cargo(&self) -> Command {
        let mut cargo = self.cargo();
        if !self.prebuilt {
            cargo.arg("-Zbuild-std=core,alloc");
        }
        cargo
    }

    fn cargo(&self) -> Command {
        let Some(debian) = &self.debian else {
            let mut cargo = Command::new("cargo");
            if self.sources.is_some() {
                cargo.env("RUSTC_BOOTSTRAP", "1");
            }
            return cargo;
        };
        let mut cargo = Command::new(&debian.cargo);
        cargo.env("RUSTC", &debian.rustc).env("RUSTC_BOOTSTRAP", "1");
        // `cargo run` sets these for xtask; they would lead to another compiler's libraries.
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "LD_LIBRARY_PATH"] {
            cargo.env_remove(name);
        }
        cargo
    }
}

/// Finds or installs a Rust for the browser.
pub(super) fn wasm(workspace: &Workspace, teller: &Teller) -> Result<CrossRust> {
    let rust = find_or_install(workspace, teller, "wasm", WASM_TARGET)?;
    if rust.sources.is_some() {
        return Ok(rust);
    }
    if on_path("rustup").is_some() && first_time(workspace, "rust-src")? {
        teller.doing("wasm", "adding Rust's library sources by rustup, for a smaller module");
        by_rustup(workspace, &["component", "add", "rust-src"]);
    }
    Ok(CrossRust { sources: toolchain_sources(), ..rust })
}

/// Finds or installs a Rust for a target without std.
pub(super) fn bare(workspace: &Workspace, teller: &Teller) -> Result<CrossRust> {
    find_or_install(workspace, teller, "no_std", BARE_TARGET)
}

fn find_or_install(
    workspace: &Workspace,
    teller: &Teller,
    what: &str,
    target: &str,
) -> Result<CrossRust> {
    if let Some(toolchain) = find_toolchain(target) {
        teller.found(what, &toolchain.name);
        return Ok(toolchain);
    }
    if let Some(debian) = find_debian(workspace)? {
        teller.found(what, &debian.name);
        return Ok(debian);
    }
    if on_path("rustup").is_some() {
        teller.doing(what, &format!("adding the target {target} by rustup, to compile for it"));
        by_rustup(workspace, &["target", "add", target]);
        if let Some(toolchain) = find_toolchain(target) {
            return Ok(toolchain);
        }
        teller.doing(what, "rustup could not download it; taking Debian's packaged Rust instead");
    }
    install_debian(workspace, teller, what)
}

/// The toolchain that runs xtask, when it has a compiled library for the target.
fn find_toolchain(target: &str) -> Option<CrossRust> {
    let folder = process::probe("rustc", &["--print", "target-libdir", "--target", target])?;
    let mut files = Path::new(folder.trim()).read_dir().ok()?.flatten();
    files.find(|file| file.file_name().to_string_lossy().starts_with("libcore-"))?;
    let about = process::probe("rustc", &["-vV"])?;
    let name = format!("Rust {} with its {target}", field(&about, "release")?);
    Some(CrossRust { debian: None, sources: toolchain_sources(), prebuilt: true, name })
}

fn toolchain_sources() -> Option<PathBuf> {
    sources(&process::probe("rustc", &["--print", "sysroot"])?)
}

/// Where a Rust keeps the sources of its library, when they are installed.
fn sources(sysroot: &str) -> Option<PathBuf> {
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    sources.join("library/std/Cargo.toml").is_file().then_some(sources)
}

/// Lets rustup try; whoever calls looks for the result, whatever rustup said.
fn by_rustup(workspace: &Workspace, args: &[&str]) {
    let log = workspace.scratch("log/rustup.log");
    drop(process::quiet(Command::new("rustup").args(args), &log, RUSTUP_LIMIT));
}

fn install_debian(workspace: &Workspace, teller: &Teller, what: &str) -> Result<CrossRust> {
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
fn find_debian(workspace: &Workspace) -> Result<Option<CrossRust>> {
    let (rustc, cargo) = (PathBuf::from(DEBIAN_RUSTC), PathBuf::from("/usr/bin/cargo"));
    let (Some(about), true) = (process::probe(&rustc, &["-vV"]), cargo.is_file()) else {
        return Ok(None);
    };
    let Some(sysroot) = process::probe(&rustc, &["--print", "sysroot"]) else { return Ok(None) };
    let linker = field(&about, "LLVM version").and_then(|llvm| wasm_linker(major(&llvm)));
    let (Some(sources), Some(wasm_linker)) = (sources(&sysroot), linker) else { return Ok(None) };
    let version = field(&about, "release").context("`rustc -vV` names no release")?;
    if numbers(&version) < numbers(&oldest_rust(workspace)?) {
        return Ok(None);
    }
    Ok(Some(CrossRust {
        debian: Some(Debian { rustc, cargo, wasm_linker }),
        sources: Some(sources),
        prebuilt: false,
        name: format!("Debian's Rust {version}"),
    }))
}

fn wasm_linker(llvm: &str) -> Option<PathBuf> {
    on_path(&format!("wasm-ld-{llvm}"))
}

fn installed_llvm() -> Option<String> {
    let about = process::probe(DEBIAN_RUSTC, &["-vV"])?;
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
    let manifest = fs::read_to_string(workspace.path("Cargo.toml"))
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
