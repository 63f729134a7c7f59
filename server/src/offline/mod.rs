//! What the program does to a data directory that no server runs on, and says of it: on standard
//! output what was found, for people or as JSON; on standard error progress and what went wrong.

mod progress;
mod repair;
mod report;
mod restore;
mod verify;

use std::path::Path;
use std::sync::Arc;

use tidekeep_log::OpenError;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::read_only::ReadOnlyDisk;
use tidekeep_log::offline::{Error, ProblemKind};
use tidekeep_server::config::args::{Offline, Output};

use crate::exit;

/// What makes a data directory one of a cluster's node, whose log holds other records.
const NODE: &str = "cluster/cluster.json";

/// Runs a command to its exit code.
pub(crate) fn run(command: &Offline) -> u8 {
    if let Offline::Verify { path: dir, .. } | Offline::Repair { dir, .. } = command
        && dir.join(NODE).exists()
    {
        eprintln!(
            "error: {} is a node of a cluster: if it is damaged, remove the node and let it join anew, \
             with an empty directory",
            dir.display()
        );
        return exit::DATA_DIRECTORY;
    }
    let done = match command {
        Offline::Verify { path, output } => verify::run(path, *output).map_err(Error::from),
        Offline::Repair { dir, yes, output } => repair::run(dir, *yes, *output),
        Offline::Restore { file, dir, output } => restore::run(file, dir, *output),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        match &error {
            Error::Open(error) => code(error),
            Error::NotEmpty { .. } | Error::Write(_) => exit::DATA_DIRECTORY,
            Error::Hands { problem } if problem.kind == ProblemKind::Unreadable => {
                exit::DATA_DIRECTORY
            }
            _ => exit::DAMAGED,
        }
    })
}

/// What a process that met this error ends with.
pub(crate) fn code(error: &OpenError) -> u8 {
    match error {
        OpenError::Locked { .. } | OpenError::Io { .. } => exit::DATA_DIRECTORY,
        _ => exit::DAMAGED,
    }
}

fn look(dir: &Path) -> Result<Arc<dyn Disk>, OpenError> {
    Ok(Arc::new(ReadOnlyDisk::open(dir)?))
}

/// Prints a report in the wanted form. Whoever asked for it may have stopped listening.
fn print(output: Output, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
    use std::io::Write;
    let report = match output {
        Output::Text => text(),
        Output::Json => format!("{:#}\n", json()),
    };
    let _ = std::io::stdout().lock().write_all(report.as_bytes());
}
