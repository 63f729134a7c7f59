//! The list of allowed imports between crates, held against what the manifests say.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tidy::Findings;
use crate::workspace::Workspace;

const PREFIX: &str = "tidekeep-";

/// Each crate with all it may import of ours. `tests` may import everything.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("protocol", &[]),
    ("store", &["protocol"]),
    ("log", &["store", "protocol"]),
    ("cluster", &["log", "store", "protocol"]),
    ("server", &["cluster", "log", "protocol"]),
    ("client-core", &["protocol"]),
    ("client", &["client-core", "protocol"]),
    ("cli", &["client", "protocol"]),
    ("client-web", &["client-core", "protocol"]),
    ("bench", &["protocol"]),
    ("xtask", &["protocol"]),
];
/// Imports everything, and may be imported by the tests of any crate: it starts real servers.
const TESTS: &str = "tests";

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
        let name = short(package["name"].as_str().unwrap_or_default());
        check_crate(name, &imports(package), findings);
    }
    Ok(())
}

fn members(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A crate of ours that another one names.
#[derive(Debug, PartialEq, Eq)]
struct Import<'a> {
    name: &'a str,
    /// For tests, examples and benches only.
    dev: bool,
}

fn imports(package: &Value) -> Vec<Import<'_>> {
    let dependencies = members(&package["dependencies"]).iter();
    dependencies
        // Ours have a path and no registry.
        .filter(|dependency| dependency["path"].is_string())
        .filter_map(|dependency| {
            let name = short(dependency["name"].as_str()?);
            Some(Import { name, dev: dependency["kind"] == "dev" })
        })
        .collect()
}

/// Without the prefix that all crates of ours share.
fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn check_crate(name: &str, imports: &[Import<'_>], findings: &mut Findings) {
    if name == TESTS {
        return;
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        findings.error(name, "is a new crate; give it a row in xtask/src/tidy/arrows.rs");
        return;
    };
    for import in imports {
        // A crate's own tests may name it too, to switch on its features.
        let for_tests = import.dev && [name, TESTS].contains(&import.name);
        if !for_tests && !allowed.contains(&import.name) {
            let list = match allowed {
                [] => "nothing of ours".to_owned(),
                names => names.join(", "),
            };
            findings.error(name, &format!("imports {}, and may import {list}", import.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(name: &str, dev: bool, imports: &[&str]) -> usize {
        let imports: Vec<_> = imports.iter().map(|name| Import { name, dev }).collect();
        let mut findings = Findings::default();
        check_crate(name, &imports, &mut findings);
        findings.errors.len()
    }

    #[test]
    fn only_the_drawn_arrows_are_allowed() {
        assert_eq!(errors("log", false, &["protocol", "store"]), 0);
        assert_eq!(errors("store", false, &["protocol", "log"]), 1);
        assert_eq!(errors("server", false, &["store"]), 1);
        assert_eq!(errors("tests", false, &["server", "store"]), 0);
        assert_eq!(errors("attic", false, &[]), 1);
    }

    #[test]
    fn the_harness_is_for_tests_only() {
        assert_eq!(errors("cli", true, &["tests", "cli"]), 0);
        assert_eq!(errors("cli", false, &["tests"]), 1);
        assert_eq!(errors("cli", true, &["server"]), 1);
    }

    #[test]
    fn a_registry_crate_is_no_arrow() {
        let package = json!({ "name": "tidekeep-log", "dependencies": [
            { "name": "tidekeep-store", "path": "/store", "kind": null },
            { "name": "tidekeep-server", "source": "registry", "kind": null },
        ]});
        assert_eq!(imports(&package), [Import { name: "store", dev: false }]);
    }
}
