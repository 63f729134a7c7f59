//! `verify`: whether a directory's store, or a backup's file, is as it was written.

use std::path::Path;

use serde_json::json;
use tidekeep_log::disk::read_only;
use tidekeep_log::offline::{self, Verdict};
use tidekeep_log::{OpenError, backup};
use tidekeep_server::config::args::Output;

use super::progress::Display;
use super::{code, look, print, report};
use crate::exit;

/// Checks what is at `path`.
///
/// # Errors
/// If it cannot be looked at.
pub(super) fn run(path: &Path, output: Output) -> Result<u8, OpenError> {
    if path.is_file() {
        return Ok(verify_backup(path, output));
    }
    let disk = look(path)?;
    let mut display = Display::default();
    let findings = offline::verify(&disk, &mut |progress| display.show(progress))?;
    display.end();
    print(output, || report::text(&findings, path), || report::json(&findings, path));
    Ok(match findings.verdict() {
        Verdict::Good => exit::DRAINED,
        Verdict::Empty => exit::DATA_DIRECTORY,
        Verdict::Damaged => exit::DAMAGED,
    })
}

fn verify_backup(path: &Path, output: Output) -> u8 {
    let name = path.display().to_string();
    let opened = read_only::open_file(path);
    let opened =
        opened.map_err(|source| OpenError::Io { doing: "open", file: name.clone(), source });
    match opened.and_then(|file| backup::verify(&file, &name)) {
        Ok(info) => {
            let text = || report::backup_text(&info, &name);
            print(output, text, || report::backup_json(&info, &name));
            exit::DRAINED
        }
        Err(error) => {
            let text = || format!("damaged: {error}\n");
            let json = || json!({"path": name, "verdict": "damaged", "error": error.to_string()});
            print(output, text, json);
            code(&error)
        }
    }
}
