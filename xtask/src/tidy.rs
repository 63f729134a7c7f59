//! House rules that no compiler checks: which crate may import which, how long a file may grow,
//! that every operation is complete, that links in the documents lead somewhere.

mod arrows;
mod links;
mod operations;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::fingerprint::files_below;
use crate::workspace::Workspace;

/// Folders whose files nobody wrote.
const GENERATED: [&str; 5] = ["node_modules", "dist", "target", "wasm", "data"];

/// What is wrong, each with its place and its remedy in one line.
#[derive(Default)]
struct Findings {
    errors: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    fn error(&mut self, place: &str, what: &str) {
        self.errors.push(format!("{place}: {what}"));
    }

    fn note(&mut self, place: &str, what: &str) {
        self.notes.push(format!("{place}: {what}"));
    }
}

/// A text file of the repository.
struct Source {
    /// From the root, with `/`.
    name: String,
    path: PathBuf,
    text: String,
}

impl Source {
    fn has_extension(&self, wanted: &[&str]) -> bool {
        let extension = self.path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| wanted.contains(&extension))
    }
}

/// Checks everything and fails when anything is wrong.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = read_sources(workspace.root())?;
    let mut findings = Findings::default();
    arrows::check(workspace, &mut findings)?;
    for source in &sources {
        sources::check(source, &mut findings);
        links::check(source, &mut findings);
    }
    operations::check(workspace.root(), &mut findings)?;
    for note in &findings.notes {
        println!("tidy: note: {note}");
    }
    for error in &findings.errors {
        println!("tidy: {error}");
    }
    if !findings.errors.is_empty() {
        bail!("{} house rules are broken", findings.errors.len());
    }
    Ok(())
}

fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files_below(root, &GENERATED)? {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Pictures and other files that are no text have no rules.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        sources.push(Source { name, path, text });
    }
    Ok(sources)
}
