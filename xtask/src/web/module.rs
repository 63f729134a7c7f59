//! The wasm module: compiles `client-web` for the browser, writes wasm-bindgen's glue beside it
//! and shrinks it. Every flag here was measured; together they halve what a page downloads.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::process;
use crate::setup::{CrossRust, Tools, WASM_TARGET};
use crate::web::{Flavour, locals, order, pack, seconds, sections};
use crate::workspace::Workspace;

/// The module's name as the glue imports it.
const NAME: &str = "tidekeep";
/// What the packed one is named by, in place of `wasm`.
const PACKED: &str = "lzma";
/// One page of stack is plenty for a state machine without recursion; the default is 1 MiB.
const STACK: &str = "-Clink-arg=-zstack-size=65536";
/// A panic becomes a bare trap, without the code that formats its message, the places in the sources
/// that it would name, and what writes values for programmers.
const IMMEDIATE_ABORT: [&str; 4] =
    ["-Zunstable-options", "-Cpanic=immediate-abort", "-Zlocation-detail=none", "-Zfmt-debug=none"];
/// What makes loops faster by more code: their counters rewritten, loads repeated before branches.
const PLAIN_LOOPS: &str = "-Cllvm-args=-disable-lsr -enable-pre=false -enable-load-pre=false";
/// Inlining makes a module shorter as it is and longer once compressed, and so do common expressions
/// that are kept in locals. Control flow that is made anew from basic blocks has less nesting, and the
/// more so when it is made twice; functions that differ in constants alone become one. The lowest
/// kilobyte is the end of the stack, where no value's address is.
const OPTIMISE: [&str; 15] = [
    "-Oz",
    "-ocimfs=10",
    "--skip-pass=local-cse",
    "--flatten",
    "--rereloop",
    "-Oz",
    "--converge",
    "--flatten",
    "--rereloop",
    "-Oz",
    "--converge",
    "--merge-similar-functions",
    "-Oz",
    "--converge",
    "--low-memory-unused",
];
/// Puts functions where their names say, which are made for that.
const ORDER: [&str; 3] =
    ["--reorder-functions-by-name", "--strip-debug", "--strip-target-features"];
const OPTIMISE_LIMIT: Duration = Duration::from_secs(300);

/// Everything but the sources that decides what the module looks like.
pub(super) fn settings(rust: &CrossRust, wasm_opt: Option<&Path>, flavour: Flavour) -> String {
    let CrossRust { name, sources, .. } = rust;
    // The text of these files stands for the flags in them, and for what they do.
    let texts = [
        include_str!("module.rs"),
        include_str!("sections.rs"),
        include_str!("locals.rs"),
        include_str!("order.rs"),
        include_str!("pack.rs"),
    ];
    format!("{name} {sources:?} {wasm_opt:?} {} {}", flavour.name(), texts.concat())
}

/// Compiles, writes the glue to `client-web/wasm/`, optimises, and packs a second one.
pub(super) fn build(workspace: &Workspace, tools: &Tools, flavour: Flavour) -> Result<()> {
    let start = Instant::now();
    let what = if tools.wasm.sources.is_some() { "the client and std" } else { "the client" };
    println!("web: module    compiling {what} for the browser by {}", tools.wasm.name);
    let compiled = compile(workspace, &tools.wasm, flavour)?;
    let out = workspace.path("client-web/wasm");
    bind(&compiled, &out, flavour).context("wasm-bindgen cannot write the module's glue")?;
    let module = out.join(format!("{NAME}_bg.wasm"));
    rewrite(&module, sections::with_short_names).context("cannot shorten the module's names")?;
    if let (Some(wasm_opt), Flavour::Release) = (&tools.wasm_opt, flavour) {
        let done = optimise(workspace, wasm_opt, &module, &OPTIMISE)
            .and_then(|()| rewrite(&module, locals::alike))
            .and_then(|()| rewrite(&module, order::named))
            .and_then(|()| optimise(workspace, wasm_opt, &module, &ORDER));
        if let Err(error) = done {
            let why = error.to_string();
            let why = why.lines().next().unwrap_or_default();
            println!("web: module    stays larger than it could be: {why}");
        }
    }
    let packed = pack::lzma(&fs::read(&module)?).context("cannot pack the module")?;
    let file = module.with_extension(PACKED);
    fs::write(&file, packed).with_context(|| format!("cannot write {}", file.display()))?;
    println!("web: module    done in {}", seconds(start));
    Ok(())
}

/// Runs cargo in a target directory of its own, so that its flags never touch the native build.
fn compile(workspace: &Workspace, rust: &CrossRust, flavour: Flavour) -> Result<PathBuf> {
    let target = workspace.target().join("wasm");
    let mut cargo = rust.wasm_cargo();
    cargo
        .args(["build", "--package", "tidekeep-client-web", "--lib"])
        .args(["--profile", "wasm", "--target", WASM_TARGET])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace, rust, flavour)?.join("\u{1f}"))
        .current_dir(workspace.root());
    if flavour == Flavour::Debug {
        cargo.env("CARGO_PROFILE_WASM_DEBUG_ASSERTIONS", "true");
    }
    process::loud(&mut cargo).context("the client does not compile for the browser")?;
    Ok(target.join(WASM_TARGET).join("wasm/tidekeep_client_web.wasm"))
}

fn rustflags(workspace: &Workspace, rust: &CrossRust, flavour: Flavour) -> Result<Vec<String>> {
    let mut flags = vec![STACK.to_owned(), PLAIN_LOOPS.to_owned()];
    let mut hide = |prefix: PathBuf| {
        flags.push(format!("--remap-path-prefix={}=.", prefix.display()));
    };
    // Panic locations would otherwise carry this machine's folders into every page.
    hide(workspace.root().to_path_buf());
    if let Some(home) = cargo_home() {
        hide(home.clone());
        // The last prefix that fits wins: these shorten the path by the registry's own name too.
        for registry in home.join("registry/src").read_dir().into_iter().flatten().flatten() {
            hide(registry.path());
        }
    }
    if let Some(sources) = &rust.sources {
        hide(sources.clone());
        hide(sources.canonicalize().context("cannot find the sources of Rust's library")?);
        if flavour == Flavour::Release {
            flags.extend(IMMEDIATE_ABORT.map(str::to_owned));
        }
    }
    Ok(flags)
}

fn cargo_home() -> Option<PathBuf> {
    let set = env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

fn bind(compiled: &Path, out: &Path, flavour: Flavour) -> Result<()> {
    let debug = flavour == Flavour::Debug;
    // The package always hands the module over, so the glue must not look for it by itself:
    // bundlers take such a look for a reference and copy the file.
    Bindgen::new()
        .input_path(compiled)
        .out_name(NAME)
        .web(true)?
        .typescript(true)
        .omit_default_module_path(true)
        .keep_debug(debug)
        .remove_name_section(!debug)
        .remove_producers_section(!debug)
        .generate(out)
}

/// Makes another module of a module.
fn rewrite(module: &Path, make: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let bytes = fs::read(module).context("cannot read the module")?;
    fs::write(module, make(&bytes)?).context("cannot replace the module")
}

/// Shrinks the module in place; a failure costs a tenth of the size and is told, nothing more.
fn optimise(workspace: &Workspace, wasm_opt: &Path, module: &Path, passes: &[&str]) -> Result<()> {
    let smaller = module.with_extension("opt.wasm");
    let mut command = Command::new(wasm_opt);
    // No feature flags: the module names the features it uses in a section of its own, which is
    // read first and stripped last. `--all-features` would produce what no engine loads.
    command.arg(module).args(passes).arg("-o").arg(&smaller);
    let log = workspace.scratch("log/wasm-opt.log");
    let done = process::quiet(&mut command, &log, OPTIMISE_LIMIT)
        .and_then(|()| fs::rename(&smaller, module).context("cannot replace the module"));
    if done.is_err() {
        drop(fs::remove_file(&smaller));
    }
    done.with_context(|| format!("wasm-opt failed; see {}", log.display()))
}
