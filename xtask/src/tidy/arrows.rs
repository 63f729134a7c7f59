//! The list of allowed imports between crates, held against what the manifests say.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tidy::Findings;
use crate::workspace::Workspace;

const PREFIX: &str = "tidekeep-";

/// Each crate with all it may import of ours. `tests` may import everything.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("protocol", &[]),
    ("store", &["protocol"]),
    ("log", &["store", "protocol"]),
    ("cluster", &["log", "store", "protocol"]),
    ("server", &["cluster", "log", "protocol"]),
    ("client-core", &["protocol"]),
    ("client", &["client-core", "protocol"]),
    ("cli", &["client", "protocol"]),
    ("client-web", &["client-core", "protocol"]),
    ("xtask", &["protocol"]),
];
const UNBOUND: &str = "tests";

/// Checks every member's dependencies of every kind.
pub(super) fn check(workspace: &Workspace, findings: &mut Findings) -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace.root())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")?;
    for package in members(&metadata["packages"]) {
        let (name, imports) = edges(package);
        check_crate(name, &imports, findings);
    }
    Ok(())
}

fn members(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A crate and the crates of ours that it names, without the prefix they share.
fn edges(package: &Value) -> (&str, Vec<&str>) {
    let name = package["name"].as_str().unwrap_or_default();
    let imports = members(&package["dependencies"])
        .iter()
        // Ours have a path and no registry.
        .filter(|dependency| dependency["path"].is_string())
        .filter_map(|dependency| dependency["name"].as_str())
        .map(short)
        .collect();
    (short(name), imports)
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn check_crate(name: &str, imports: &[&str], findings: &mut Findings) {
    if name == UNBOUND {
        return;
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        findings.error(name, "is a new crate; give it a row in xtask/src/tidy/arrows.rs");
        return;
    };
    for import in imports {
        // A crate's own tests may switch on its features by naming it.
        if *import != name && !allowed.contains(import) {
            let list =
                if allowed.is_empty() { "nothing of ours".into() } else { allowed.join(", ") };
            findings.error(name, &format!("imports {import}, and may import {list}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(name: &str, imports: &[&str]) -> usize {
        let mut findings = Findings::default();
        check_crate(name, imports, &mut findings);
        findings.errors.len()
    }

    #[test]
    fn only_the_drawn_arrows_are_allowed() {
        assert_eq!(errors("store", &["protocol", "store"]), 0);
        assert_eq!(errors("store", &["protocol", "log"]), 1);
        assert_eq!(errors("server", &["store"]), 1);
        assert_eq!(errors("tests", &["server", "store"]), 0);
        assert_eq!(errors("attic", &[]), 1);
    }

    #[test]
    fn a_registry_crate_is_no_arrow() {
        let package = json!({ "name": "tidekeep-log", "dependencies": [
            { "name": "tidekeep-store", "path": "/store" },
            { "name": "tidekeep-server", "source": "registry" },
        ]});
        assert_eq!(edges(&package), ("log", vec!["store"]));
    }
}
