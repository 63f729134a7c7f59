//! Findings in words for people and as JSON for programs. Identities are hexadecimal in both.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use tidekeep_log::backup::BackupInfo;
use tidekeep_log::offline::{Findings, Inspected, Problem, Verdict};

/// For people.
pub(super) fn text(findings: &Findings, dir: &Path) -> String {
    let mut out = String::new();
    let dir = dir.display();
    let said: Result<(), std::fmt::Error> = (|| {
        match (findings.store_id, findings.incarnation) {
            (Some(id), Some(incarnation)) => {
                writeln!(out, "{dir}: store {id:032x}, incarnation {incarnation:016x}")?;
            }
            (Some(id), None) => writeln!(out, "{dir}: store {id:032x}")?,
            _ => writeln!(out, "{dir}")?,
        }
        let width = findings.files.iter().map(|file| file.name.len()).max().unwrap_or(0);
        for Inspected { name, role, bytes, good, holds } in &findings.files {
            let state = if *good { "good" } else { "BAD" };
            let line =
                format!("  {state:4} {:8} {name:width$} {bytes:>12} B  {holds}", role.name());
            writeln!(out, "{}", line.trim_end())?;
        }
        if let Some(torn) = &findings.torn {
            writeln!(
                out,
                "torn write: {} bytes at byte {} of {}; none of it was confirmed, and the next \
                 start cuts it off",
                torn.bytes, torn.offset, torn.file
            )?;
        }
        match findings.verdict() {
            Verdict::Empty => writeln!(out, "there is no store here")?,
            Verdict::Good => writeln!(out, "good: {}", trusted(findings))?,
            Verdict::Damaged => {
                writeln!(out, "damaged:")?;
                for problem in &findings.problems {
                    writeln!(out, "  {problem}")?;
                }
                writeln!(out, "what can be trusted: {}", trusted(findings))?;
                match &findings.refusal {
                    Some(why) => writeln!(out, "a server does not start on this: {why}")?,
                    None => writeln!(out, "a server starts on this, and loses nothing")?,
                }
                writeln!(out, "what to do: tidekeep-server repair {dir}")?;
            }
        }
        Ok(())
    })();
    debug_assert!(said.is_ok(), "a string takes all text");
    out
}

/// The trusted state in a line.
pub(super) fn trusted(findings: &Findings) -> String {
    let Some(trusted) = &findings.trusted else { return "nothing".to_owned() };
    let from = match trusted.snapshot_index {
        0 => "the log from its beginning".to_owned(),
        index => format!("the snapshot of record {index}"),
    };
    format!(
        "revision {}, {} keys, up to record {} ({from} and {} records after it)",
        trusted.revision, trusted.keys, trusted.index, trusted.replayed
    )
}

/// For programs.
pub(super) fn json(findings: &Findings, dir: &Path) -> Value {
    let files = findings.files.iter().map(|file| {
        json!({
            "name": file.name,
            "role": file.role.name(),
            "bytes": file.bytes,
            "good": file.good,
        })
    });
    json!({
        "path": dir.display().to_string(),
        "verdict": match findings.verdict() {
            Verdict::Empty => "empty",
            Verdict::Good => "good",
            Verdict::Damaged => "damaged",
        },
        "store_id": findings.store_id.map(|id| format!("{id:032x}")),
        "incarnation": findings.incarnation.map(|number| format!("{number:016x}")),
        "files": files.collect::<Vec<_>>(),
        "problems": findings.problems.iter().map(problem).collect::<Vec<_>>(),
        "torn": findings.torn.as_ref().map(|torn| json!({
            "file": torn.file,
            "offset": torn.offset,
            "bytes": torn.bytes,
        })),
        "trusted": findings.trusted.map(|trusted| json!({
            "record": trusted.index,
            "revision": trusted.revision,
            "keys": trusted.keys,
            "snapshot": trusted.snapshot_index,
            "replayed": trusted.replayed,
        })),
        "last_record": findings.last_index,
        "starts": findings.refusal.is_none(),
        "refusal": findings.refusal,
    })
}

fn problem(problem: &Problem) -> Value {
    json!({
        "kind": problem.kind.name(),
        "file": problem.file,
        "offset": problem.offset,
        "first_record": problem.records.map(|(first, _)| first),
        "last_record": problem.records.map(|(_, last)| last),
        "what": problem.what,
    })
}

/// A good backup, for people.
pub(super) fn backup_text(info: &BackupInfo, name: &str) -> String {
    format!(
        "{name}: backup of store {:032x}, {} bytes\ngood: revision {}, {} keys\n",
        info.store_id, info.file_bytes, info.revision, info.keys
    )
}

/// A good backup, for programs.
pub(super) fn backup_json(info: &BackupInfo, name: &str) -> Value {
    json!({
        "path": name,
        "verdict": "good",
        "store_id": format!("{:032x}", info.store_id),
        "bytes": info.file_bytes,
        "revision": info.revision,
        "keys": info.keys,
        "record": info.index,
        "created_ms": info.created_ms,
    })
}
