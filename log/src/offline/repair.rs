//! Makes a damaged store open again with the newest state that can be trusted. Every file is kept: the
//! new ones are written beside them under names of their own, then the old ones are moved into a
//! folder, then the new ones take their places.
//!
//! ```text
//! repaired-*  written ─▶ repair.begun ─▶ old files to damaged-1/ ─▶ repair.moved
//!                                         ─▶ repaired-* without the prefix ─▶ repair.moved becomes store
//! ```
//! Each arrow waits for the disk. Before `repair.begun` nothing has happened; from then on a server
//! refuses the directory, and a second repair goes on where the first one was cut off.

use std::sync::Arc;

use tidekeep_protocol::planted;

use super::assemble;
use super::content::Content;
use super::examine::{Examination, examine, role};
use super::{Error, Findings, Problem, ProblemKind, Role, Trusted, Verdict, Watcher};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::manifest::{MARKER, Manifest, REPAIR_BEGUN, REPAIR_MOVED};
use crate::pace::Pace;
use crate::recover::at;
use crate::segment::remove_if_there;
use crate::{segment, snapshot};

const PREFIX: &str = "repaired-";
const FOLDER: &str = "damaged-";

/// What a repair would do. Nothing has been changed.
pub struct Repair {
    findings: Findings,
    steps: Steps,
}

enum Steps {
    Nothing,
    /// An earlier one has decided already.
    GoOn,
    /// These files are damaged, and nobody needs them.
    MoveAside(Vec<String>),
    Rebuild {
        store_id: u128,
        content: Box<Content>,
    },
}

/// What a repair does, or has done, to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing to repair.
    Nothing,
    /// An interrupted repair is carried through.
    GoOn,
    /// The files are moved aside. Nothing is given up.
    MoveAside(Vec<String>),
    /// A new history begins with this state.
    Rebuild {
        /// The state.
        kept: Trusted,
        /// The first and the last record after it that were there once, as far as is known.
        given_up: Option<(u64, u64)>,
        /// The newest revision that was there once, as far as is known.
        last_revision: u64,
    },
}

impl Repair {
    /// Looks at a store and decides what to do.
    ///
    /// # Errors
    /// Why nothing can be done: a newer version or a better disk is needed, or there is no state that
    /// could be trusted.
    pub fn plan(disk: &Arc<dyn Disk>, watcher: &mut Watcher<'_>) -> Result<Self, Error> {
        let Examination { findings, content } = examine(disk, watcher)?;
        let steps = steps(disk, &findings, content)?;
        Ok(Self { findings, steps })
    }

    /// What was found.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        match &self.steps {
            Steps::Nothing => Outcome::Nothing,
            Steps::GoOn => Outcome::GoOn,
            Steps::MoveAside(files) => Outcome::MoveAside(files.clone()),
            Steps::Rebuild { content, .. } => {
                let (kept, last) = (content.trusted(), self.findings.last_index);
                let given_up = (last > kept.index).then_some((kept.index + 1, last));
                let last_revision = self.findings.last_revision.max(kept.revision);
                Outcome::Rebuild { kept, given_up, last_revision }
            }
        }
    }

    /// Does it. `reports` are files, by name and content, for the folder that the originals go to;
    /// gives the folder's name, if there is one.
    ///
    /// # Errors
    /// What the disk has refused. The originals are in their places or in the folder.
    pub fn carry_out(
        self,
        disk: &Arc<dyn Disk>,
        random: &mut dyn FnMut() -> u64,
        reports: &[(&str, Vec<u8>)],
    ) -> Result<Option<String>, Error> {
        match self.steps {
            Steps::Nothing => Ok(None),
            Steps::GoOn => finish(&**disk).map(Some),
            Steps::MoveAside(files) => {
                let folder = make_folder(&**disk, reports)?;
                move_into(&**disk, &folder, files)?;
                Ok(Some(folder))
            }
            Steps::Rebuild { store_id, content } => {
                let manifest =
                    Manifest { store_id, incarnation: random(), segment: 1, lossy: false };
                if let Err(error) = stage(&**disk, &manifest, *content, random()) {
                    // What is left of it would only fill the disk.
                    let _ = unstage(&**disk);
                    return Err(error);
                }
                make_folder(&**disk, reports)?;
                manifest.write_as(&**disk, REPAIR_BEGUN).map_err(at("write", REPAIR_BEGUN))?;
                finish(&**disk).map(Some)
            }
        }
    }
}

fn steps(
    disk: &Arc<dyn Disk>,
    findings: &Findings,
    content: Option<Content>,
) -> Result<Steps, Error> {
    if findings.verdict() != Verdict::Damaged {
        return Ok(Steps::Nothing);
    }
    let names = names(&**disk)?;
    if names.iter().any(|name| name == REPAIR_BEGUN || name == REPAIR_MOVED) {
        return Ok(Steps::GoOn);
    }
    let stop = [ProblemKind::Newer, ProblemKind::Unreadable, ProblemKind::Interrupted];
    if let Some(problem) = findings.problems.iter().find(|p| stop.contains(&p.kind)) {
        return Err(Error::Hands { problem: problem.clone() });
    }
    if findings.refusal.is_none()
        && let Some(files) = aside(&findings.problems)
    {
        return Ok(Steps::MoveAside(files));
    }
    match (findings.store_id, content) {
        (Some(store_id), Some(content)) => {
            Ok(Steps::Rebuild { store_id, content: Box::new(content) })
        }
        _ => Err(Error::NothingTrusted),
    }
}

/// The files of all problems, if a start needs none of them.
fn aside(problems: &[Problem]) -> Option<Vec<String>> {
    let mut files = Vec::new();
    for problem in problems {
        let file = problem.file.clone()?;
        if !matches!(role(&file), Role::Snapshot | Role::Spare) {
            return None;
        }
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Some(files)
}

fn names(disk: &dyn Disk) -> Result<Vec<String>, OpenError> {
    disk.list().map_err(at("list", "the data directory"))
}

fn sync(disk: &dyn Disk) -> Result<(), OpenError> {
    disk.sync_dir().map_err(at("sync", "the data directory"))
}

/// Writes the files of the new store under names that nobody looks for.
fn stage(disk: &dyn Disk, manifest: &Manifest, content: Content, epoch: u64) -> Result<(), Error> {
    // A repair that was cut off before it decided anything may have left some.
    unstage(disk)?;
    let index = content.index.max(1);
    let cut = content.state.into_cut(index);
    let (store_id, created_ms) = (manifest.store_id, cut.head.now_ms);
    let plan = assemble::Plan { prefix: PREFIX, store_id, index, created_ms, epoch };
    plan.write(disk, |out| cut.write(Pace::alone(), |chunk| out.write(chunk)))?;
    Ok(())
}

fn unstage(disk: &dyn Disk) -> Result<(), Error> {
    for name in names(disk)?.iter().filter(|name| name.starts_with(PREFIX)) {
        remove_if_there(disk, name).map_err(at("remove", name))?;
    }
    Ok(())
}

/// Makes the next folder for originals and puts the reports into it.
fn make_folder(disk: &dyn Disk, reports: &[(&str, Vec<u8>)]) -> Result<String, Error> {
    let last = names(disk)?.iter().filter_map(|name| number(name)).max();
    let folder = format!("{FOLDER}{}", last.unwrap_or(0) + 1);
    let inside = disk.folder(&folder).map_err(at("make", &folder))?;
    for (name, content) in reports {
        let written = inside.create(name).and_then(|file| {
            file.write_at(content, 0)?;
            file.sync()
        });
        written.map_err(at("write", name))?;
    }
    sync(&*inside)?;
    sync(disk)?;
    Ok(folder)
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(FOLDER)?.parse().ok()
}

fn move_into(disk: &dyn Disk, folder: &str, files: Vec<String>) -> Result<(), Error> {
    let inside = disk.folder(folder).map_err(at("open", folder))?;
    for file in files {
        disk.move_into(folder, &file).map_err(at("move aside", &file))?;
    }
    // Where they went before where they were: a cut in between must not lose them.
    if !planted::is_awake("originals-not-synced") {
        sync(&*inside)?;
    }
    sync(disk)?;
    Ok(())
}

/// Carries through what has been decided; gives the folder of the originals.
fn finish(disk: &dyn Disk) -> Result<String, Error> {
    let found = names(disk)?;
    let folder = found
        .iter()
        .filter(|name| number(name).is_some())
        .max_by_key(|name| number(name))
        .ok_or_else(|| OpenError::Missing { missing: format!("the folder {FOLDER}1") })?;
    if found.iter().any(|name| name == REPAIR_BEGUN) {
        let old = found.iter().filter(|name| role(name) != Role::Other).cloned();
        move_into(disk, folder, old.collect())?;
        disk.rename(REPAIR_BEGUN, REPAIR_MOVED).map_err(at("rename", REPAIR_BEGUN))?;
        sync(disk)?;
    }
    for name in names(disk)? {
        if let Some(place) = name.strip_prefix(PREFIX)
            && (segment::sequence_of(place).is_some() || snapshot::index_of(place).is_some())
        {
            disk.rename(&name, place).map_err(at("put in place", place))?;
        }
    }
    sync(disk)?;
    disk.rename(REPAIR_MOVED, MARKER).map_err(at("put in place", MARKER))?;
    sync(disk)?;
    Ok(folder.clone())
}
