//! The table of operations is complete: each row has its file, its golden vectors, its section in
//! the protocol's description, its verb at the terminal and its method in TypeScript.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tidy::Findings;

const TABLE: &str = "protocol/src/op.rs";
const DESCRIPTION: &str = "docs/protocol.md";
const METHODS: &str = "client-web/ts/types.ts";

/// Operations whose verb at the terminal has another name than theirs.
const VERBS: [(&str, &str); 8] = [
    ("scan", "list"),
    ("children", "list"),
    ("increment", "incr"),
    ("delete_range", "delete"),
    ("lease_grant", "lease"),
    ("lease_keep_alive", "lease"),
    ("lease_revoke", "lease"),
    ("leases", "lease"),
];

/// Operations whose method in TypeScript has another name than theirs: a lease there is an object
/// that is kept alive by itself.
const SPECIAL_METHODS: [(&str, &str); 3] =
    [("lease_grant", "lease"), ("lease_keep_alive", "lease"), ("lease_revoke", "revoke")];

/// Operations that nobody asks for from a browser, where every byte of the client is paid for.
const NOT_IN_BROWSERS: [&str; 2] = ["cluster", "sessions"];

/// One row: the frame kind as written there, and the name.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    kind: String,
    name: String,
}

/// Checks every row of the table.
pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let rows = rows(&read(root, TABLE)?)?;
    let description = read(root, DESCRIPTION).unwrap_or_default();
    let methods = read(root, METHODS).unwrap_or_default();
    for row in rows {
        let name = &row.name;
        let mut missing = |what: &str| findings.error(&format!("operation {name}"), what);
        let file = format!("protocol/src/op/{name}.rs");
        if !root.join(&file).is_file() {
            missing(&format!("write its messages to {file}"));
        }
        let vectors = format!("protocol/vectors/{name}.txt");
        let golden = read(root, &vectors).unwrap_or_default();
        if !golden.lines().any(|line| line.starts_with("bytes:")) {
            missing(&format!("add golden vectors to {vectors}"));
        }
        if !is_described(&description, &row) {
            missing(&format!("add a heading with {name} and {} to {DESCRIPTION}", row.kind));
        }
        let verb = format!("client-cli/src/verb/{}.rs", verb(name));
        if !root.join(&verb).is_file() {
            missing(&format!("give it a verb in {verb}"));
        }
        let method = method(name);
        if !NOT_IN_BROWSERS.contains(&name.as_str()) && !has_method(&methods, &method) {
            missing(&format!("declare the method {method}() in {METHODS}"));
        }
    }
    Ok(())
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

/// Rows look like `DeleteRange<'a> = 0x18, "delete_range", Write => DeleteRangeReply;`.
fn rows(table: &str) -> Result<Vec<Row>> {
    let block = table.lines().skip_while(|line| *line != "operations! {").skip(1);
    let mut rows = Vec::new();
    for line in block.take_while(|line| *line != "}") {
        let Some((_, after)) = line.split_once(" = ") else { continue };
        let mut parts = after.split([',', '"']).map(str::trim).filter(|part| !part.is_empty());
        let (Some(kind), Some(name)) = (parts.next(), parts.next()) else { continue };
        rows.push(Row { kind: kind.to_owned(), name: name.to_owned() });
    }
    if rows.is_empty() {
        bail!(
            "{TABLE} has no `operations! {{` block with rows; xtask/src/tidy/operations.rs reads it"
        );
    }
    Ok(rows)
}

/// Whether a heading names both the operation and its frame kind.
fn is_described(description: &str, row: &Row) -> bool {
    description.lines().filter(|line| line.starts_with('#')).any(|heading| {
        let mut words = heading.split(|char: char| !char.is_alphanumeric() && char != '_');
        let kind = heading.to_ascii_lowercase().contains(&row.kind.to_ascii_lowercase());
        kind && words.any(|word| word.eq_ignore_ascii_case(&row.name))
    })
}

fn verb(name: &str) -> String {
    let special = VERBS.iter().find(|(operation, _)| *operation == name);
    special.map_or_else(|| name.to_owned(), |(_, verb)| (*verb).to_owned())
}

/// `delete_range` as `deleteRange`.
fn method(name: &str) -> String {
    if let Some((_, method)) = SPECIAL_METHODS.iter().find(|(operation, _)| *operation == name) {
        return (*method).to_owned();
    }
    let mut words = name.split('_');
    let mut method = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        method.push_str(&first.to_uppercase());
        method.push_str(rest);
    }
    method
}

/// Whether some line declares `method(` or `method<T>(`.
fn has_method(methods: &str, method: &str) -> bool {
    methods.lines().any(|line| {
        let rest = line.trim_start().strip_prefix(method);
        rest.is_some_and(|rest| rest.starts_with(['(', '<']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "operations! {\n    Get<'a> = 0x10, \"get\", Read => GetReply<'r>;\n    \
                        DeleteRange<'a> = 0x18, \"delete_range\", Write => DeleteRangeReply;\n}\n";

    #[test]
    fn reads_the_table() {
        let row = |kind: &str, name: &str| Row { kind: kind.into(), name: name.into() };
        assert_eq!(rows(ROWS).unwrap(), [row("0x10", "get"), row("0x18", "delete_range")]);
        assert!(rows("pub const A: u8 = 1;\n").is_err());
    }

    #[test]
    fn every_part_that_is_missing_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let errors = || {
            let mut findings = Findings::default();
            check(root.path(), &mut findings).unwrap();
            findings.errors.len()
        };
        write(TABLE, "operations! {\n    Scan<'a> = 0x13, \"scan\", Read => ScanReply<'r>;\n}\n");
        assert_eq!(errors(), 5);
        write("protocol/src/op/scan.rs", "");
        write("protocol/vectors/scan.txt", "name: one\nbytes: 00\n");
        write(DESCRIPTION, "### `scan` (0x13)\n");
        write("client-cli/src/verb/list.rs", "");
        write(METHODS, "interface Client {\n  scan(range: Range): Scan;\n}\n");
        assert_eq!(errors(), 0);
    }

    #[test]
    fn names_methods_in_typescript() {
        assert_eq!(method("delete_range"), "deleteRange");
        assert!(has_method("  get<T>(key: Key): T;", "get"));
        assert!(!has_method("  getMany(keys: Key[]): T;", "get"));
    }
}
