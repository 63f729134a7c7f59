//! What was measured, by name: `get-16/resp/per_core` is one value for each round. Kept after every
//! scene, so that a run that breaks off, or that measures one row, loses nothing of the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bench::figures::{Spread, spread};
use crate::workspace::Workspace;

const FILE: &str = "bench/results.json";

/// Every series so far.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Results {
    #[serde(skip)]
    file: Option<PathBuf>,
    /// On what machine and how each scene was measured last.
    #[serde(default)]
    scenes: BTreeMap<String, String>,
    series: BTreeMap<String, Vec<f64>>,
    /// Tables that are no series.
    #[serde(default)]
    tables: BTreeMap<String, String>,
    /// Points of curves: what lies on the way and the value.
    curves: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Results {
    /// As earlier runs left them.
    pub(super) fn load(workspace: &Workspace) -> Result<Self> {
        let file = workspace.target().join(FILE);
        let mut results: Self = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is of another version; delete it", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error).context("cannot read the results of earlier runs"),
        };
        results.file = Some(file);
        Ok(results)
    }

    /// Results that are forgotten.
    pub(super) fn unkept() -> Self {
        Self::default()
    }

    /// Writes them down, unless they are to be forgotten.
    pub(super) fn keep(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_vec_pretty(self)?).context("cannot keep the results")
    }

    /// Says how a scene is being measured.
    pub(super) fn state_conditions(&mut self, scene: &str, conditions: &str) {
        self.scenes.insert(scene.to_owned(), conditions.to_owned());
    }

    /// A paragraph on how these scenes were measured; they are named where they differ.
    pub(super) fn conditions(&self, scenes: &[String]) -> String {
        let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (scene, conditions) in self.scenes.iter().filter(|it| scenes.contains(it.0)) {
            kinds.entry(conditions).or_default().push(scene);
        }
        let one = kinds.len() == 1;
        let lines = kinds.into_iter().map(|(conditions, scenes)| match one {
            true => format!("Measured by `cargo xtask bench`: {conditions}."),
            false => {
                format!("Measured by `cargo xtask bench`: {conditions} ({}).", scenes.join(", "))
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Forgets a series, so that values of two runs do not mix.
    pub(super) fn clear(&mut self, name: &str) {
        self.series.remove(name);
    }

    /// Adds one round's value.
    pub(super) fn add(&mut self, name: &str, value: f64) {
        self.series.entry(name.to_owned()).or_default().push(value);
    }

    /// Gives a series another name, too.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        if let Some(series) = self.series.get(from).cloned() {
            self.series.insert(to.to_owned(), series);
        }
    }

    pub(super) fn spread(&self, name: &str) -> Option<Spread> {
        spread(self.series.get(name)?)
    }

    pub(super) fn set_table(&mut self, name: &str, table: String) {
        self.tables.insert(name.to_owned(), table);
    }

    pub(super) fn table(&self, name: &str) -> Option<&str> {
        self.tables.get(name).map(String::as_str)
    }

    pub(super) fn set_curve(&mut self, name: &str, points: Vec<(f64, f64)>) {
        self.curves.insert(name.to_owned(), points);
    }

    pub(super) fn curve(&self, name: &str) -> &[(f64, f64)] {
        self.curves.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_live_through_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/results.json");
        let mut results = Results { file: Some(file.clone()), ..Results::default() };
        results.add("a/b", 2.0);
        results.add("a/b", 4.0);
        results.set_curve("c", vec![(1.0, 5.0)]);
        results.keep().unwrap();
        let again: Results = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(again.spread("a/b").unwrap().median, 3.0);
        assert_eq!(again.curve("c"), [(1.0, 5.0)]);
        results.state_conditions("get-1", "quietly");
        results.state_conditions("get-16", "loudly");
        let both = ["get-1", "get-16"].map(str::to_owned);
        let one = "Measured by `cargo xtask bench`: quietly.";
        assert_eq!(results.conditions(&both[..1]), one);
        assert!(results.conditions(&both).contains("loudly (get-16)."));
        assert!(again.spread("x").is_none() && again.curve("x").is_empty());
    }
}
