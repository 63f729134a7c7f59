//! Relative links and pictures in the documents must lead to a file of the repository.

use crate::tidy::{Findings, Source};

/// Checks every link of a Markdown file; other files have none.
pub(super) fn check(source: &Source, findings: &mut Findings) {
    if !source.has_extension(&["md"]) {
        return;
    }
    let Some(folder) = source.path.parent() else { return };
    for (number, target) in targets(&source.text) {
        let file = target.split('#').next().unwrap_or_default();
        if !file.is_empty() && !folder.join(file).exists() {
            let place = format!("{}:{number}", source.name);
            findings.error(&place, &format!("the link `{target}` leads nowhere"));
        }
    }
}

/// Line numbers and targets of relative links outside of code blocks.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let ends = [("](", [')', ' ']), ("src=\"", ['"', ' ']), ("href=\"", ['"', ' '])];
        for (start, end) in ends {
            for rest in line.split(start).skip(1) {
                let target = rest.split(end).next().unwrap_or_default();
                if !target.contains(':') {
                    found.push((number, target));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_relative_links_only() {
        let text =
            "[a](docs/a.md#x) [b](https://example.org)\n```\n[c](c.md)\n```\n<img src=\"p.png\">";
        assert_eq!(targets(text), [(1, "docs/a.md#x"), (5, "p.png")]);
    }

    #[test]
    fn a_dead_link_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.md"), "").unwrap();
        let source = Source {
            name: "README.md".into(),
            path: folder.path().join("README.md"),
            text: "[a](there.md)\n[b](#below)\n[c](gone.md)\n".into(),
        };
        let mut findings = Findings::default();
        check(&source, &mut findings);
        assert_eq!(findings.errors, ["README.md:3: the link `gone.md` leads nowhere"]);
    }
}
