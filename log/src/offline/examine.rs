//! Looks at every byte of a store: each file by itself, how they follow each other, and what they
//! come to. Changes nothing.

use std::sync::Arc;

use super::content::{Base, Content, Replay};
use super::findings::{Findings, Inspected, Problem, ProblemKind, Role, Torn};
use super::{Progress, Watcher};
use crate::disk::Disk;
use crate::envelope::Kind;
use crate::error::OpenError;
use crate::load;
use crate::manifest::{MARKER, MARKER_TEMP, Manifest};
use crate::recover::{at, refuse_interrupted};
use crate::state::State;
use crate::tail::Tail;
use crate::walk::{Found, Walk};
use crate::{segment, snapshot};

/// Looks at all files of a data directory.
///
/// # Errors
/// [`OpenError::Io`] if it cannot be listed. Whatever is wrong with a file is a finding.
pub fn verify(disk: &Arc<dyn Disk>, watcher: &mut Watcher<'_>) -> Result<Findings, OpenError> {
    Ok(examine(disk, watcher)?.findings)
}

/// What was found, and what a repair goes on with.
pub(crate) struct Examination {
    pub(crate) findings: Findings,
    /// The newest state that can be trusted.
    pub(crate) content: Option<Content>,
}

pub(crate) fn examine(
    disk: &Arc<dyn Disk>,
    watcher: &mut Watcher<'_>,
) -> Result<Examination, OpenError> {
    let names = disk.list().map_err(at("list", "the data directory"))?;
    let interrupted = refuse_interrupted(&names).err();
    let mut examiner = Examiner::new(&**disk, names, watcher);
    if let Some(error) = interrupted {
        examiner.findings.refusal = Some(error.to_string());
        examiner.problem(error);
        return Ok(examiner.nothing_more());
    }
    examiner.find_marker();
    if examiner.findings.store_id.is_none() && examiner.findings.problems.is_empty() {
        return Ok(examiner.nothing_more());
    }
    examiner.open_segments();
    examiner.read_snapshots();
    examiner.look_at_spare();
    let content = examiner.replay();
    examiner.describe();
    let Examiner { mut findings, .. } = examiner;
    findings.trusted = content.as_ref().map(Content::trusted);
    if !findings.problems.is_empty() {
        findings.refusal = load::rehearse(disk).err().map(|error| error.to_string());
    }
    Ok(Examination { findings, content })
}

struct Examiner<'e, 'w> {
    disk: &'e dyn Disk,
    names: Vec<String>,
    watcher: &'e mut Watcher<'w>,
    findings: Findings,
    manifest: Option<Manifest>,
    /// Whose header is good, oldest first.
    segments: Vec<Found>,
    /// From which a state can be made, oldest first.
    bases: Vec<Base>,
    done: u64,
    total: u64,
}

impl<'e, 'w> Examiner<'e, 'w> {
    fn new(disk: &'e dyn Disk, names: Vec<String>, watcher: &'e mut Watcher<'w>) -> Self {
        let findings = Findings::default();
        let mut examiner = Self {
            disk,
            names,
            watcher,
            findings,
            manifest: None,
            segments: Vec::new(),
            bases: Vec::new(),
            done: 0,
            total: 0,
        };
        examiner.total = examiner.names.iter().map(|name| examiner.cost(name)).sum();
        examiner
    }

    /// The files alone, since there is no store in them.
    fn nothing_more(mut self) -> Examination {
        self.describe();
        Examination { findings: self.findings, content: None }
    }

    /// Bytes of a file that are read, as far as progress is concerned.
    fn cost(&self, name: &str) -> u64 {
        match role(name) {
            Role::Segment | Role::Snapshot | Role::Spare => length(self.disk, name),
            _ => 0,
        }
    }

    fn doing(&mut self, doing: &'static str, file: &str) {
        (self.watcher)(Progress { doing, file, done: self.done, total: self.total });
    }

    fn problem(&mut self, problem: impl Into<Problem>) {
        self.findings.problems.push(problem.into());
    }

    fn of_role(&self, wanted: Role) -> Vec<String> {
        self.names.iter().filter(|name| role(name) == wanted).cloned().collect()
    }

    /// Finds out which store this is: from the marker or, where that is bad, from the other files.
    fn find_marker(&mut self) {
        match Manifest::load(self.disk, MARKER) {
            Ok(Some(manifest)) => {
                self.findings.store_id = Some(manifest.store_id);
                self.findings.incarnation = Some(manifest.incarnation);
                self.manifest = Some(manifest);
                return;
            }
            Ok(None) => {
                let unfinished = self.names.iter().any(|name| name == MARKER_TEMP);
                let data = [Role::Segment, Role::Snapshot];
                let none = self.names.iter().all(|name| !data.contains(&role(name)));
                if unfinished || none {
                    return;
                }
                self.problem(Problem::missing(format!("its marker, the file {MARKER}")));
            }
            Err(error) => self.problem(error),
        }
        // The newest file is the least likely to be a stray one.
        let names = self.names.iter().rev();
        self.findings.store_id = names.into_iter().find_map(|name| match role(name) {
            Role::Segment => segment::store_of(self.disk, name),
            Role::Snapshot => snapshot::store_of(self.disk, name),
            _ => None,
        });
    }

    fn open_segments(&mut self) {
        let store_id = self.findings.store_id.unwrap_or(0);
        let mut expected = None;
        for name in self.of_role(Role::Segment) {
            let sequence = segment::sequence_of(&name).unwrap_or(0);
            for missing in expected.unwrap_or(sequence)..sequence {
                self.problem(Problem::missing(segment::name(missing)));
            }
            expected = Some(sequence + 1);
            match Found::open(self.disk, &name, store_id) {
                Ok(found) => self.segments.push(found),
                Err(error) => self.problem(error),
            }
        }
        let reached = self.manifest.map_or(0, |manifest| manifest.segment);
        match expected {
            None => self.problem(Problem::missing("its log")),
            Some(next) if next <= reached => {
                self.problem(Problem::missing(segment::name(reached)));
            }
            Some(_) => {}
        }
    }

    fn read_snapshots(&mut self) {
        let first = self.segments.first().map(|found| found.header);
        if first.is_some_and(|header| header.first_index == 1) {
            self.bases.push(Base { index: 0, snapshot: None });
        }
        for name in self.of_role(Role::Snapshot) {
            self.doing("reading", &name);
            match self.load(&name) {
                Ok((state, _)) => {
                    let index = snapshot::index_of(&name).unwrap_or(0);
                    self.findings.last_index = self.findings.last_index.max(index);
                    let snapshot = Some((name.clone(), state.head()));
                    self.bases.push(Base { index, snapshot });
                }
                Err(error) => self.problem(error),
            }
            self.done += length(self.disk, &name);
        }
        let reach = first.map_or(u64::MAX, |header| header.first_index);
        if reach > 1 && self.bases.iter().all(|base| base.index + 1 < reach) {
            let what = format!("a good snapshot of the records before {reach}");
            return self.problem(Problem::missing(what));
        }
        // The log behind a snapshot is only released once that is no longer kept.
        for base in self.bases.clone().into_iter().filter(|base| base.index + 1 < reach) {
            if let Some((file, _)) = base.snapshot {
                let what = "the log does not reach back to it";
                self.problem(Problem {
                    records: Some((base.index + 1, reach - 1)),
                    ..Problem::of(ProblemKind::Missing, &file, what)
                });
            }
        }
    }

    fn load(&self, name: &str) -> Result<(State, Tail), OpenError> {
        load_snapshot(self.disk, name, self.findings.store_id.unwrap_or(0))
    }

    /// The server writes over it, so that nothing depends on it; but it was written as zeros.
    fn look_at_spare(&mut self) {
        for name in self.of_role(Role::Spare) {
            self.doing("reading", &name);
            match first_not_zero(self.disk, &name) {
                Ok(None) => {}
                Ok(Some(offset)) => {
                    let what = "it is not all zeros";
                    let offset = Some(offset);
                    self.problem(Problem {
                        offset,
                        ..Problem::of(ProblemKind::Damaged, &name, what)
                    });
                }
                Err(source) => self.problem(OpenError::Io { doing: "read", file: name, source }),
            }
        }
    }

    /// Goes through all records, and comes to the newest state that can be trusted.
    fn replay(&mut self) -> Option<Content> {
        let (content, stuck) = self.pass(u64::MAX);
        match stuck {
            // A part of the bad record may have been applied: once more, without it.
            Some(index) => {
                let known = (self.findings.problems.clone(), self.findings.torn.clone());
                let (content, _) = self.pass(index - 1);
                (self.findings.problems, self.findings.torn) = known;
                content
            }
            None => content,
        }
    }

    fn pass(&mut self, limit: u64) -> (Option<Content>, Option<u64>) {
        let (disk, store_id) = (self.disk, self.findings.store_id.unwrap_or(0));
        let mut load = |name: &str| load_snapshot(disk, name, store_id);
        let newest = self.bases.last().map_or(0, |base| base.index);
        let bases = self.bases.iter().filter(|base| base.index <= limit).cloned().collect();
        let mut replay = Replay::new(bases, limit, &mut load);
        let mut problems = Vec::new();
        for i in 0..self.segments.len() {
            let name = self.segments[i].name.clone();
            self.doing("replaying", &name);
            let (found, next) = (&self.segments[i], self.segments.get(i + 1));
            let walked = walk(found, next, newest, &mut replay, &mut problems);
            self.findings.last_index = self.findings.last_index.max(walked.last_index);
            if walked.torn.is_some() {
                self.findings.torn = walked.torn;
            }
            self.done = self.total.min(self.done + length(disk, &name));
            if next.is_none() && walked.last_index < newest {
                let lost = format!("records {} to {newest} of the log", walked.last_index + 1);
                problems.push(Problem::missing(lost));
            }
        }
        self.findings.last_revision = self.findings.last_revision.max(replay.last_revision);
        let (content, more, stuck) = replay.finish();
        problems.into_iter().chain(more).for_each(|problem| self.problem(problem));
        (content, stuck)
    }

    /// Lists the files.
    fn describe(&mut self) {
        for name in std::mem::take(&mut self.names) {
            let (role, bytes) = (role(&name), length(self.disk, &name));
            let of_it = |problem: &&Problem| problem.file.as_ref() == Some(&name);
            let good = self.findings.problems.iter().find(of_it).is_none();
            let segment = self.segments.iter().find(|found| found.name == name);
            let holds = match (role, segment) {
                (Role::Segment, Some(found)) => {
                    format!("records from {}", found.header.first_index)
                }
                (Role::Snapshot, _) => snapshot::index_of(&name)
                    .map_or(String::new(), |index| format!("records 1 to {index}")),
                (Role::Leftover, _) => "removed at the next start".into(),
                _ => String::new(),
            };
            self.findings.files.push(Inspected { name, role, bytes, good, holds });
        }
    }
}

struct Walked {
    last_index: u64,
    torn: Option<Torn>,
}

/// Goes through a segment. What is bad before the newest snapshot's record is passed over, since the
/// snapshot makes up for it.
fn walk(
    found: &Found,
    next: Option<&Found>,
    newest: u64,
    replay: &mut Replay<'_>,
    problems: &mut Vec<Problem>,
) -> Walked {
    let mut walked = Walked { last_index: found.header.first_index - 1, torn: None };
    let content = match found.read() {
        Ok(content) => content,
        Err(error) => {
            problems.push(error.into());
            return walked;
        }
    };
    let mut walk = Walk::new(found, &content);
    loop {
        while let Some((header, payload)) = walk.next() {
            walked.last_index = walked.last_index.max(header.index);
            if header.kind == Kind::Entry {
                replay.take(&found.name, header.index, payload);
            }
        }
        let stopped = walk.position();
        let follows = next.filter(|next| next.header.sequence == found.header.sequence + 1);
        match follows {
            Some(next) => match walk.must_lead_to(next) {
                Ok(()) => return walked,
                Err(error) => problems.push(error.into()),
            },
            None => match walk.end_of_log() {
                Ok(0) => return walked,
                Ok(bytes) if next.is_none() && walked.last_index >= newest => {
                    let (file, offset) = (found.name.clone(), stopped);
                    walked.torn = Some(Torn { file, offset, bytes });
                    return walked;
                }
                Ok(_) => problems.push(walk.bad_record().into()),
                Err(error) => problems.push(error.into()),
            },
        }
        if !walk.resume_through(newest.saturating_add(1)) {
            // Lost all the same: it does not follow what came before. But it says how much is.
            for (index, payload) in walk.beyond() {
                walked.last_index = walked.last_index.max(index);
                replay.note_revision(payload);
            }
            return walked;
        }
    }
}

fn load_snapshot(disk: &dyn Disk, name: &str, store_id: u128) -> Result<(State, Tail), OpenError> {
    let mut state = State::empty();
    let info = snapshot::read(disk, name, store_id, &mut |chunk| state.take(chunk))?;
    let tail = state.begin_tail(0).map_err(|source| OpenError::Replay {
        file: name.into(),
        index: info.index,
        source,
    })?;
    Ok((state, tail))
}

/// What a file of this name is for.
pub(crate) fn role(name: &str) -> Role {
    match name {
        MARKER => Role::Marker,
        segment::SPARE => Role::Spare,
        MARKER_TEMP | segment::SPARE_TEMP | snapshot::TEMP => Role::Leftover,
        _ if segment::sequence_of(name).is_some() => Role::Segment,
        _ if snapshot::index_of(name).is_some() => Role::Snapshot,
        _ => Role::Other,
    }
}

fn length(disk: &dyn Disk, name: &str) -> u64 {
    disk.open(name).and_then(|file| file.len()).unwrap_or(0)
}

/// A spare that was about to become a segment may have its header, or a part of it.
fn first_not_zero(disk: &dyn Disk, name: &str) -> std::io::Result<Option<u64>> {
    let file = disk.open(name)?;
    let len = file.len()?;
    let mut buffer = vec![0; 1 << 20];
    let mut offset = segment::HEADER as u64;
    while offset < len {
        let step = (len - offset).min(buffer.len() as u64) as usize;
        file.read_at(&mut buffer[..step], offset)?;
        if let Some(found) = buffer[..step].iter().position(|&byte| byte != 0) {
            return Ok(Some(offset + found as u64));
        }
        offset += step as u64;
    }
    Ok(None)
}
