//! `docs/protocol.md` is held against the crate: its examples are the vectors' bytes, and its tables
//! are the crate's.

use std::path::Path;

use tidekeep_protocol::error::Code;
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::OPERATIONS;

use crate::block;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    std::fs::read_to_string(path).expect("docs/protocol.md is there")
}

/// Examples: what the fence names (`get.txt: request`), and the hexadecimal digits of its lines.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```text ") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let digits = body.iter().flat_map(|line| pairs(line)).collect();
        examples.push((name.to_owned(), digits));
    }
    examples
}

/// The pairs of digits that a line begins with; two spaces part them from its remark.
fn pairs(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ')
        .take_while(|word| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[test]
fn every_example_is_a_vector() {
    let examples = examples(&page());
    assert!(examples.len() > 2 * OPERATIONS.len(), "each operation has a request and a reply");
    for (name, digits) in examples {
        let vector = block::all().find(|block| block.to_string() == name);
        let vector = vector.unwrap_or_else(|| panic!("no vector {name}"));
        assert_eq!(digits, block::to_hex(&vector.frames.concat()), "{name}");
    }
}

#[test]
fn every_operation_has_a_section_with_its_number_and_examples() {
    let page = page();
    for spec in OPERATIONS {
        let heading = format!("\n### {} (0x{:02X})\n", spec.name, spec.kind);
        let start = page.find(&heading).unwrap_or_else(|| panic!("no heading {heading:?}"));
        let rest = &page[start + heading.len()..];
        let section = &rest[..rest.find("\n### ").unwrap_or(rest.len())];
        for kind in [spec.kind, spec.kind | 0x80] {
            assert!(section.contains(&format!("`0x{kind:02X}`")), "{}: {kind:#04X}", spec.name);
        }
        let prefix = format!("{}.txt: ", spec.name);
        let count = examples(section).iter().filter(|(name, _)| name.starts_with(&prefix)).count();
        assert!(count >= 2, "{} has {count} examples", spec.name);
    }
}

#[test]
fn the_table_of_errors_is_complete() {
    let page = page();
    for code in Code::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        let row = format!("\n| {} | `{}` | {retryable} |", code.number(), code.name());
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn the_table_of_limits_has_every_default() {
    let page = page();
    let limits = serde_json::to_value(Limits::DEFAULT).expect("limits are plain numbers");
    let limits = limits.as_object().expect("limits have fields");
    assert_eq!(limits.len(), 10);
    for (name, value) in limits {
        let row = format!("| `{name}` | {value} |");
        assert!(page.contains(&row), "{row}");
    }
}
