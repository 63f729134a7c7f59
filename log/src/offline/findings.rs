//! What was found in a data directory, in words and numbers for people and for programs.

use std::fmt;

use crate::error::OpenError;
use crate::load::is_newer;

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Which store it is, as the marker says or, where there is none, the other files.
    pub store_id: Option<u128>,
    /// Which history of it; only the marker knows.
    pub incarnation: Option<u64>,
    /// Every file, in the order of the names.
    pub files: Vec<Inspected>,
    /// What is wrong. A torn write is not.
    pub problems: Vec<Problem>,
    /// A write at the end of the log that was cut off before it was confirmed.
    pub torn: Option<Torn>,
    /// The newest state that everything before it leads to; none if there is no such state.
    pub trusted: Option<Trusted>,
    /// The newest record that any file speaks of.
    pub last_index: u64,
    /// The newest revision that a record which is no part of the trusted state speaks of, if it is
    /// newer than that.
    pub last_revision: u64,
    /// Why a server would not start on this directory; none if it would.
    pub refusal: Option<String>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No store has ever been here, or its making was cut off.
    Empty,
    /// Every byte is as it was written.
    Good,
    /// Something is not as it was written.
    Damaged,
}

impl Findings {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        match (self.problems.is_empty(), self.store_id) {
            (false, _) => Verdict::Damaged,
            (true, None) => Verdict::Empty,
            (true, Some(_)) => Verdict::Good,
        }
    }

    /// The first file that a newer version of this program has written, if there is one.
    pub fn newer(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.kind == ProblemKind::Newer)
    }
}

/// A file, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether nothing is wrong with it.
    pub good: bool,
    /// What is in it, in a few words.
    pub holds: String,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Says which store this is.
    Marker,
    /// A part of the log.
    Segment,
    /// The whole state after a record.
    Snapshot,
    /// Space for the next segment.
    Spare,
    /// Something that was being written; removed at the next start.
    Leftover,
    /// Not of the store's own.
    Other,
}

impl Role {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Marker => "marker",
            Self::Segment => "segment",
            Self::Snapshot => "snapshot",
            Self::Spare => "spare",
            Self::Leftover => "leftover",
            Self::Other => "other",
        }
    }
}

/// Bytes of a write that was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The last segment.
    pub file: String,
    /// Where in it they begin.
    pub offset: u64,
    /// How many they are.
    pub bytes: u64,
}

/// A state, and how it is come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The last record in it.
    pub index: u64,
    /// Its revision.
    pub revision: u64,
    /// Its keys.
    pub keys: u64,
    /// The snapshot that it begins with; 0 if the log alone makes it.
    pub snapshot_index: u64,
    /// Records after that.
    pub replayed: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Of which kind.
    pub kind: ProblemKind,
    /// The file that it is in, if it is in one.
    pub file: Option<String>,
    /// Where in the file it begins.
    pub offset: Option<u64>,
    /// The first and the last record known to be affected.
    pub records: Option<(u64, u64)>,
    /// What it is, in words.
    pub what: String,
}

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Bytes are not as they were written.
    Damaged,
    /// A file is not there.
    Missing,
    /// A newer version of this program has written it.
    Newer,
    /// It belongs to another store.
    Foreign,
    /// The system cannot read it.
    Unreadable,
    /// Its bytes are whole, and mean nothing.
    Undecodable,
    /// Two files say different things.
    Contradiction,
    /// A repair or a restore was cut off.
    Interrupted,
}

impl ProblemKind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Newer => "newer-format",
            Self::Foreign => "foreign",
            Self::Unreadable => "unreadable",
            Self::Undecodable => "undecodable",
            Self::Contradiction => "contradiction",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Problem {
    /// A problem of a file.
    pub(crate) fn of(kind: ProblemKind, file: &str, what: impl Into<String>) -> Self {
        let file = Some(file.to_owned());
        Self { kind, file, offset: None, records: None, what: what.into() }
    }

    /// Something that should be there.
    pub(crate) fn missing(what: impl Into<String>) -> Self {
        let kind = ProblemKind::Missing;
        Self { kind, file: None, offset: None, records: None, what: what.into() }
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged { file, offset, first, last, what } => Self {
                kind: ProblemKind::Damaged,
                file: Some(file),
                offset: Some(offset),
                records: (last > 0).then_some((first, last)),
                what: what.into(),
            },
            OpenError::Missing { missing } => Self::missing(missing),
            OpenError::NewerFormat { file, found, supported } => {
                let what = format!("format {found}, this version reads up to {supported}");
                Self::of(ProblemKind::Newer, &file, what)
            }
            OpenError::Foreign { file } => {
                Self::of(ProblemKind::Foreign, &file, "it belongs to another store")
            }
            OpenError::Io { doing, file, source } => {
                Self::of(ProblemKind::Unreadable, &file, format!("cannot {doing} it: {source}"))
            }
            OpenError::Replay { file, index, source } => {
                let newer = is_newer(&source);
                let kind = if newer { ProblemKind::Newer } else { ProblemKind::Undecodable };
                let records = Some((index, index));
                Self { records, ..Self::of(kind, &file, source.to_string()) }
            }
            OpenError::Locked { dir, .. } => {
                Self::of(ProblemKind::Unreadable, &dir, "another server uses it")
            }
            OpenError::Interrupted { file, by } => {
                let what = format!("a {by} was interrupted; run it again");
                Self::of(ProblemKind::Interrupted, &file, what)
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(file) = &self.file {
            write!(f, ": {file}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        match self.records {
            None => Ok(()),
            Some((first, last)) if first == last => write!(f, " (record {first})"),
            Some((first, last)) => write!(f, " (records {first} to {last})"),
        }
    }
}
