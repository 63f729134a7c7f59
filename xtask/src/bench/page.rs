//! The table, and the page that it stands on between two markers; what is written around them by
//! hand stays.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::bench::plot;
use crate::bench::results::Results;
use crate::bench::row::Row;
use crate::bench::rows::every_row;
use crate::workspace::Workspace;

const PAGE: &str = "docs/benchmarks.md";
const PLOTS: &str = "docs/benchmarks";
const START: &str = "<!-- bench:start -->";
const END: &str = "<!-- bench:end -->";

/// Writes the table of all rows and the plots.
pub(super) fn write(workspace: &Workspace, results: &Results) -> Result<()> {
    let rows: Vec<&Row> = every_row().collect();
    let mut text = format!("{}\n\n{}", results.conditions(), table(&rows, results));
    let folder = workspace.path(PLOTS);
    fs::create_dir_all(&folder)?;
    for plot in plot::all(results) {
        fs::write(folder.join(plot.file), &plot.svg)?;
        text.push_str(&format!("\n![{}](benchmarks/{})\n", plot.title, plot.file));
    }
    keep(&workspace.path(PAGE), &text)?;
    println!("kept in {PAGE}");
    Ok(())
}

/// One line for each row.
pub(super) fn table(rows: &[&Row], results: &Results) -> String {
    let mut table = String::from(
        "| row | what | target | measured | reached | from |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let (id, what, target) = (row.id, row.what, row.target());
        let line = match row.verdict(results) {
            Some(verdict) => {
                let reached = match verdict.reached {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "",
                };
                let (measured, from) = (verdict.measured, verdict.from);
                format!("| {id} | {what} | {target} | {measured} | {reached} | {from} |\n")
            }
            None => format!("| {id} | {what} | {target} | not measured | | |\n"),
        };
        table.push_str(&line);
    }
    table
}

/// Puts `text` between the page's markers; a page without them gets them at its end.
fn keep(page: &Path, text: &str) -> Result<()> {
    let old = match fs::read_to_string(page) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Benchmarks\n".to_owned(),
        Err(error) => return Err(error).context("cannot read the page of benchmarks"),
    };
    fs::write(page, replaced(&old, text)?).context("cannot write the page of benchmarks")
}

fn replaced(page: &str, text: &str) -> Result<String> {
    let Some((before, rest)) = page.split_once(START) else {
        return Ok(format!("{}\n\n{START}\n{text}{END}\n", page.trim_end()));
    };
    let Some((_, after)) = rest.split_once(END) else {
        bail!("{PAGE} has `{START}` without `{END}`");
    };
    Ok(format!("{before}{START}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_what_lies_between_the_markers() {
        let page = replaced("# Benchmarks\n", "old\n").unwrap();
        let page = replaced(&format!("{page}\nBy hand.\n"), "new\n").unwrap();
        assert_eq!(page, format!("# Benchmarks\n\n{START}\nnew\n{END}\n\nBy hand.\n"));
        assert!(replaced(START, "x").is_err());
    }

    #[test]
    fn a_row_that_was_not_measured_says_so() {
        let mut results = Results::unkept();
        results.add("memory/tidekeep", 3e8);
        results.add("memory/redis", 1e8);
        let rows: Vec<&Row> = every_row().filter(|row| row.is_called("memory")).collect();
        let text = table(&rows, &results);
        assert!(text.contains("| 3.00× | **no** | Tidekeep 300 MB, Redis 100 MB |"), "{text}");
        let start: Vec<&Row> = every_row().filter(|row| row.is_called("start")).collect();
        assert!(table(&start, &results).contains("| not measured | | |"));
    }
}
