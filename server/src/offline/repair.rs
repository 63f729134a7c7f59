//! `repair`: says what it would do, and with --yes does it and leaves a report beside the originals.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidekeep_log::OpenError;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::offline::{Error, Outcome, Repair};
use tidekeep_server::config::args::Output;

use super::progress::Display;
use super::{look, print, report};
use crate::exit;

/// Repairs `dir`, or says what that would come to.
///
/// # Errors
/// If it cannot be looked at or repaired.
pub(super) fn run(dir: &Path, yes: bool, output: Output) -> Result<u8, Error> {
    // Looking first: a directory that is not there is not to be made.
    let mut disk = look(dir)?;
    if yes {
        drop(disk);
        disk = lock(dir)?;
    }
    let mut display = Display::default();
    let repair = Repair::plan(&disk, &mut |progress| display.show(progress));
    display.end();
    let repair = repair?;
    let outcome = repair.outcome();
    let before = text(&repair, dir);
    let found = report::json(repair.findings(), dir);
    if !yes || outcome == Outcome::Nothing {
        let text = || format!("{before}{}\n", plan_text(&outcome, dir));
        print(output, text, || report(found.clone(), &outcome, false, None));
        return Ok(if outcome == Outcome::Nothing { exit::DRAINED } else { exit::DAMAGED });
    }
    let written = report(found.clone(), &outcome, true, None);
    let reports = [
        ("report.txt", format!("{before}{}\n", done_text(&outcome)).into_bytes()),
        ("report.json", format!("{written:#}\n").into_bytes()),
    ];
    let folder = repair.carry_out(&disk, &mut || fastrand::u64(..), &reports)?;
    let text = || {
        let folder = folder.as_deref().unwrap_or_default();
        let kept = dir.join(folder);
        format!("{before}{}\nthe originals and a report: {}\n", done_text(&outcome), kept.display())
    };
    print(output, text, || report(found.clone(), &outcome, true, folder.as_deref()));
    Ok(exit::DRAINED)
}

fn lock(dir: &Path) -> Result<Arc<dyn Disk>, OpenError> {
    Ok(Arc::new(RealDisk::open(dir)?))
}

fn text(repair: &Repair, dir: &Path) -> String {
    report::text(repair.findings(), dir)
}

fn plan_text(outcome: &Outcome, dir: &Path) -> String {
    match outcome {
        Outcome::Nothing => "there is nothing to repair".to_owned(),
        _ => format!(
            "nothing has been changed. With --yes, a repair would do this:\n{}\n\
             run: tidekeep-server repair --yes {}",
            steps_text(outcome),
            dir.display()
        ),
    }
}

fn done_text(outcome: &Outcome) -> String {
    format!("repaired:\n{}", steps_text(outcome))
}

fn steps_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Nothing => "  nothing".to_owned(),
        Outcome::GoOn => "  carry an interrupted repair through".to_owned(),
        Outcome::MoveAside(files) => {
            format!("  move aside, needed by nobody: {}\n  given up: nothing", files.join(", "))
        }
        Outcome::Rebuild { kept, given_up, last_revision } => {
            let lost = match given_up {
                None => "nothing that is known of".to_owned(),
                Some((first, last)) => format!(
                    "records {first} to {last}, revisions {} to at least {}",
                    kept.revision + 1,
                    (*last_revision).max(kept.revision + 1)
                ),
            };
            format!(
                "  keep: revision {}, {} keys, up to record {}\n  given up: {lost}\n  \
                 move all files aside and begin a new incarnation, so that every watch starts over",
                kept.revision, kept.keys, kept.index
            )
        }
    }
}

fn report(found: Value, outcome: &Outcome, done: bool, folder: Option<&str>) -> Value {
    let mut steps = match outcome {
        Outcome::Nothing => json!({"repair": "nothing"}),
        Outcome::GoOn => json!({"repair": "go-on"}),
        Outcome::MoveAside(files) => json!({"repair": "move-aside", "files": files}),
        Outcome::Rebuild { kept, given_up, last_revision } => json!({
            "repair": "rebuild",
            "kept_record": kept.index,
            "kept_revision": kept.revision,
            "kept_keys": kept.keys,
            "given_up_first_record": given_up.map(|(first, _)| first),
            "given_up_last_record": given_up.map(|(_, last)| last),
            "given_up_last_revision_at_least": given_up.map(|_| last_revision),
        }),
    };
    steps["done"] = done.into();
    if let Some(folder) = folder {
        steps["originals"] = folder.into();
    }
    json!({"found": found, "outcome": steps})
}
