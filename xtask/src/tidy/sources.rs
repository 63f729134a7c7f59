//! Rules for one file at a time: its length, its opening lines, words that must not stay, and
//! where code for the browser may live.

use crate::tidy::{Findings, Source};

const SOFT_LINES: usize = 400;
const HARD_LINES: usize = 700;
const CODE: [&str; 9] = ["rs", "ts", "mjs", "js", "py", "sh", "css", "html", "toml"];
/// Written in two halves, as this file is checked too.
const BANNED: [&str; 4] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
];
/// Allowed with the number of an issue: `#12` on the same line.
const OPEN_WORK: &str = concat!("TO", "DO");
const WASM: [&str; 2] =
    [concat!("target_arch = \"", "wasm32\""), concat!("target_family = \"", "wasm\"")];
/// The only folder that may know that it runs in a browser.
const WASM_HOME: &str = "client-web/";

/// The page lives on what the npm package makes public.
const PAGE: &str = "www/src/";
const BEHIND_THE_PACKAGE: [&str; 2] = ["client-web/", "tidekeep/dist/"];

/// Checks one file.
pub(super) fn check(source: &Source, findings: &mut Findings) {
    if source.has_extension(&["rs", "ts"]) {
        check_length(source, findings);
    }
    if source.has_extension(&["rs"]) && !source.text.starts_with("//!") {
        findings.error(&source.name, "does not open with `//!` lines on its purpose");
    }
    if source.has_extension(&CODE) {
        for (number, line) in (1..).zip(source.text.lines()) {
            check_line(source, &format!("{}:{number}", source.name), line, findings);
        }
    }
}

fn check_length(source: &Source, findings: &mut Findings) {
    let lines = source.text.lines().count();
    if lines > HARD_LINES {
        let what = format!("{lines} lines are over {HARD_LINES}; split it by what it tells");
        findings.error(&source.name, &what);
    } else if lines > SOFT_LINES {
        findings.note(&source.name, &format!("{lines} lines are over {SOFT_LINES}"));
    }
}

fn check_line(source: &Source, place: &str, line: &str, findings: &mut Findings) {
    for word in BANNED {
        if line.contains(word) {
            findings.error(place, &format!("`{word}` must not stay"));
        }
    }
    if let Some((_, rest)) = line.split_once(OPEN_WORK)
        && !has_issue_number(rest)
    {
        findings.error(place, &format!("{OPEN_WORK} needs the number of an issue, as in `#12`"));
    }
    if !source.name.starts_with(WASM_HOME) && WASM.iter().any(|cfg| line.contains(cfg)) {
        findings.error(place, "only client-web may ask whether it runs in a browser");
    }
    let imports = line.contains(" from ") || line.contains("import");
    if source.name.starts_with(PAGE)
        && imports
        && BEHIND_THE_PACKAGE.iter().any(|path| line.contains(path))
    {
        findings.error(place, "the page may import only what `tidekeep` exports");
    }
}

fn has_issue_number(text: &str) -> bool {
    text.split('#').skip(1).any(|after| after.starts_with(|char: char| char.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(name: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        check(&Source { name: name.into(), path: name.into(), text: text.into() }, &mut findings);
        findings.errors
    }

    #[test]
    fn a_rust_file_says_what_it_is() {
        assert!(errors("store/src/a.rs", "//! Purpose.\n").is_empty());
        assert_eq!(errors("store/src/a.rs", "fn a() {}\n").len(), 1);
        assert!(errors("www/src/a.ts", "let a = 1;\n").is_empty());
    }

    #[test]
    fn open_work_needs_a_number() {
        let with = |rest: &str| format!("//! P.\n// {OPEN_WORK}{rest}\n");
        assert_eq!(errors("a.rs", &with(": later")).len(), 1);
        assert!(errors("a.rs", &with("(#12): later")).is_empty());
        assert_eq!(errors("a.rs", &format!("//! P.\n{});", BANNED[0])).len(), 1);
    }

    #[test]
    fn files_stay_short() {
        let lines = |count: usize| "let a = 1;\n".repeat(count);
        assert!(errors("a.ts", &lines(HARD_LINES)).is_empty());
        assert_eq!(errors("a.ts", &lines(HARD_LINES + 1)).len(), 1);
    }

    #[test]
    fn the_page_imports_the_package_only() {
        let import = |from: &str| format!("import {{ connect }} from \"{from}\";\n");
        assert!(errors("www/src/app.ts", &import("tidekeep")).is_empty());
        assert_eq!(errors("www/src/app.ts", &import("../../client-web/ts/client.ts")).len(), 1);
    }

    #[test]
    fn the_browser_has_one_home() {
        let text = format!("//! P.\n#[cfg({})]\n", WASM[0]);
        assert_eq!(errors("client-core/src/a.rs", &text).len(), 1);
        assert!(errors("client-web/src/a.rs", &text).is_empty());
    }
}
