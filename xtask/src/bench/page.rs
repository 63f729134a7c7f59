//! The tables, and the page that they stand on, each between two markers; what is written around them
//! by hand stays, and so does a table of which nothing was measured here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::bench::plot;
use crate::bench::results::Results;
use crate::bench::row::Row;
use crate::bench::rows;
use crate::bench::web::SIZES;
use crate::workspace::Workspace;

const PAGE: &str = "docs/benchmarks.md";
const PLOTS: &str = "docs/benchmarks";

/// Writes the tables of which anything was measured here, and the plots.
pub(super) fn write(workspace: &Workspace, results: &Results) -> Result<()> {
    let folder = workspace.path(PLOTS);
    fs::create_dir_all(&folder)?;
    let mut plots = String::new();
    for plot in plot::all(results) {
        fs::write(folder.join(plot.file), &plot.svg)?;
        plots.push_str(&format!("\n![{}](benchmarks/{})\n", plot.title, plot.file));
    }
    let sizes = results.table(SIZES).map_or_else(String::new, |table| {
        format!("\nWhat a page downloads of each client, in bytes:\n\n{table}")
    });
    let sections = [
        ("server", rows::of_one_server(), plots),
        ("cluster", rows::of_clusters(), String::new()),
        ("web", rows::of_the_package(), sizes),
    ];
    for (name, rows, more) in sections {
        if let Some(text) = section(rows, results) {
            keep(&workspace.path(PAGE), name, &format!("{text}{more}"))?;
            println!("kept in {PAGE}: {name}");
        }
    }
    Ok(())
}

/// How these rows were measured, and their table; none where nothing of them was.
fn section(rows: &[Row], results: &Results) -> Option<String> {
    let rows: Vec<&Row> = rows.iter().collect();
    rows.iter().find(|row| row.verdict(results).is_some())?;
    let scenes: Vec<String> = rows.iter().map(|row| row.scene().name()).collect();
    Some(format!("{}\n\n{}", results.conditions(&scenes), table(&rows, results)))
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

/// Puts `text` between the markers of this name; a page without them gets them at its end.
fn keep(page: &Path, name: &str, text: &str) -> Result<()> {
    let old = match fs::read_to_string(page) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Benchmarks\n".to_owned(),
        Err(error) => return Err(error).context("cannot read the page of benchmarks"),
    };
    fs::write(page, replaced(&old, name, text)?).context("cannot write the page of benchmarks")
}

fn replaced(page: &str, name: &str, text: &str) -> Result<String> {
    let [start, end] = ["start", "end"].map(|side| format!("<!-- bench:{name}:{side} -->"));
    let Some((before, rest)) = page.split_once(&start) else {
        return Ok(format!("{}\n\n{start}\n{text}{end}\n", page.trim_end()));
    };
    let Some((_, after)) = rest.split_once(&end) else {
        bail!("{PAGE} has `{start}` without `{end}`");
    };
    Ok(format!("{before}{start}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_what_lies_between_the_markers_of_its_name() {
        let page = replaced("# Benchmarks\n", "server", "old\n").unwrap();
        let page = replaced(&page, "cluster", "other\n").unwrap();
        let page = replaced(&format!("{page}\nBy hand.\n"), "server", "new\n").unwrap();
        let marked =
            |name, text| format!("<!-- bench:{name}:start -->\n{text}\n<!-- bench:{name}:end -->");
        let (new, other) = (marked("server", "new"), marked("cluster", "other"));
        assert_eq!(page, format!("# Benchmarks\n\n{new}\n\n{other}\n\nBy hand.\n"));
        assert!(replaced("<!-- bench:server:start -->", "server", "x").is_err());
    }

    #[test]
    fn a_row_that_was_not_measured_says_so_and_a_section_without_figures_is_left_alone() {
        let mut results = Results::unkept();
        results.add("memory/tidekeep", 3e8);
        results.add("memory/redis", 1e8);
        let text = section(rows::of_one_server(), &results).unwrap();
        assert!(text.contains("| 3.00× | **no** | Tidekeep 300 MB, Redis 100 MB |"), "{text}");
        assert!(text.contains("| not measured | | |"), "{text}");
        assert!(section(rows::of_clusters(), &results).is_none());
    }
}
