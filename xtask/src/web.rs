//! Builds what runs in the browser, in three stages that are skipped when nothing changed:
//! the wasm module with its glue, the npm package around it, and the page with its manifest.

mod assets;
mod locals;
mod module;
mod order;
mod pack;
mod sections;
mod size;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::fingerprint::{Fingerprint, Stamp};
use crate::process;
use crate::setup::Tools;
use crate::workspace::Workspace;

const NPM_LIMIT: Duration = Duration::from_secs(300);

/// What the module is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Small; a panic is a bare trap.
    Release,
    /// Panics keep their messages, and nothing is minified.
    Debug,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
        }
    }
}

/// What happens with the client's size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A table always, and a failure when it is over the limit.
    Checked,
    /// A table when something was built: who wants to serve is not stopped by it.
    Shown,
}

/// Builds module, package and page as far as their inputs changed, and checks the size.
pub(crate) fn run(
    workspace: &Workspace,
    tools: &Tools,
    flavour: Flavour,
    size: Size,
) -> Result<()> {
    let build = Build { workspace, tools, flavour };
    let _lock = build.lock()?;
    let module = build.module()?;
    let package = build.package()?;
    let checked = size == Size::Checked;
    let sizes = size::measure(workspace)?;
    if checked || module || package {
        print!("{}", sizes.table()?);
    }
    build.page()?;
    if !checked || flavour == Flavour::Debug {
        return Ok(());
    }
    if tools.wasm.sources.is_none() {
        println!("web: size      not checked: without Rust's library sources std is not small");
        return Ok(());
    }
    sizes.check()
}

struct Build<'a> {
    workspace: &'a Workspace,
    tools: &'a Tools,
    flavour: Flavour,
}

impl Build<'_> {
    /// Keeps a second xtask out of the folders that the stages write to.
    fn lock(&self) -> Result<File> {
        let folder = self.workspace.path("client-web/wasm");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let file = File::create(folder.join(".lock")).context("cannot write a lock file")?;
        if file.try_lock().is_err() {
            println!("web: waiting for another `cargo xtask` that is building the page");
            file.lock().context("cannot lock the page's folder")?;
        }
        Ok(file)
    }

    /// Stage 1: Rust to `client-web/wasm/`. Each stage says whether it had to build.
    fn module(&self) -> Result<bool> {
        let (settings, stamp_file) = (
            module::settings(&self.tools.wasm, self.tools.wasm_opt.as_deref(), self.flavour),
            self.workspace.path("client-web/wasm/.module"),
        );
        let mut print = Fingerprint::of(&settings);
        for input in ["Cargo.toml", "Cargo.lock", "protocol", "client-core"] {
            print.add(&self.workspace.path(input))?;
        }
        print.add(&self.workspace.path("client-web/Cargo.toml"))?;
        print.add(&self.workspace.path("client-web/src"))?;
        let stamp = print.finish();
        let result = self.workspace.path("client-web/wasm/tidekeep_bg.wasm");
        self.stage(&stamp, stamp_file, result, || {
            module::build(self.workspace, self.tools, self.flavour)
        })
    }

    /// Stage 2: TypeScript around the module, to `client-web/dist/`.
    fn package(&self) -> Result<bool> {
        let mut print = Fingerprint::of(&self.npm_settings());
        print.add(&self.workspace.path("client-web"))?;
        print.add(&self.workspace.path("client-web/wasm"))?;
        let stamp = print.finish();
        let stamp_file = self.workspace.path("client-web/wasm/.package");
        let result = self.workspace.path("client-web/dist/index.js");
        self.stage(&stamp, stamp_file, result, || {
            println!("web: package   bundling the npm package");
            self.npm_build("client-web")
        })
    }

    /// Stage 3: the page on top of the package, to `www/dist/`.
    fn page(&self) -> Result<bool> {
        // The text of that file stands for what it does.
        let assets = include_str!("web/assets.rs");
        let mut print = Fingerprint::of(&format!("{} {assets}", self.npm_settings()));
        print.add(&self.workspace.path("client-web/dist"))?;
        print.add(&self.workspace.path("www"))?;
        let stamp = print.finish();
        let stamp_file = self.workspace.path("www/dist/.page");
        let result = self.workspace.path("www/dist/manifest.json");
        self.stage(&stamp, stamp_file, result, || {
            println!("web: page      bundling the page, compressing it for the server");
            self.npm_build("www")?;
            let dist = self.workspace.path("www/dist");
            assets::add_package(&self.workspace.path("client-web/dist"), &dist)?;
            assets::prepare(&dist)
        })
    }

    fn stage(
        &self,
        stamp: &Stamp,
        stamp_file: PathBuf,
        result: PathBuf,
        build: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        if stamp.holds(&stamp_file, &[result]) {
            return Ok(false);
        }
        build()?;
        stamp.keep(&stamp_file)?;
        Ok(true)
    }

    /// What npm scripts depend on beside files.
    fn npm_settings(&self) -> String {
        format!("{} {}", self.flavour.name(), self.tools.node.version)
    }

    fn npm_build(&self, folder: &str) -> Result<()> {
        let mut npm: Command = self.tools.node.command("npm");
        npm.args(["run", "build"])
            .env("TIDEKEEP_FLAVOUR", self.flavour.name())
            .current_dir(self.workspace.path(folder));
        let log = self.workspace.scratch(&format!("log/build-{folder}.log"));
        process::quiet(&mut npm, &log, NPM_LIMIT)
            .with_context(|| format!("the build of {folder} failed"))
    }
}

/// `12.3 s` since a moment.
pub(crate) fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
