//! What can go wrong with the disk, sorted by what must happen next: an [`OpenError`] refuses to
//! start, a [`Refused`] write changes nothing, a [`Failure`] ends the process, and a
//! [`SnapshotError`] leaves the store as it was.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::ticket::Ticket;

/// An error of the caller's own, carried through recovery or a snapshot.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a store is not opened. Nothing has been changed that recovery could need again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process serves this directory.
    #[error("the data directory {dir} is in use by another server{}", by_pid(.pid))]
    Locked {
        /// The directory as it was given.
        dir: String,
        /// The process that holds the lock, where it could be read.
        pid: Option<u32>,
    },
    /// The operating system refused a call.
    #[error("cannot {doing} {file}: {source}")]
    Io {
        /// The call, as a verb.
        doing: &'static str,
        /// The file or directory it was made for.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were once on disk whole are not any more. Starting would lose acknowledged data.
    #[error("{file} is damaged at byte {offset}: {what} (records {first} to {last} affected)")]
    Damaged {
        /// The file that holds the damage.
        file: String,
        /// Where in the file it begins, in bytes.
        offset: u64,
        /// First record index that cannot be read.
        first: u64,
        /// Last record index known to be affected; at least `first`.
        last: u64,
        /// What was found wrong.
        what: &'static str,
    },
    /// Files that the store marker or the neighbouring files promise are not there.
    #[error("the store lacks {missing}; restore the directory from a backup")]
    Missing {
        /// What was looked for.
        missing: String,
    },
    /// The file was written by a newer version of this program.
    #[error("{file} has format {found}, this version reads up to format {supported}")]
    NewerFormat {
        /// The file.
        file: String,
        /// Format version found in it.
        found: u32,
        /// Newest format version known here.
        supported: u32,
    },
    /// A file of another store lies in this directory.
    #[error("{file} belongs to another store")]
    Foreign {
        /// The file.
        file: String,
    },
    /// A repair or a restore was cut off, and the directory holds a part of its outcome.
    #[error("a {by} of this directory was interrupted ({file} is there); run it again")]
    Interrupted {
        /// The file that says so.
        file: String,
        /// What was interrupted.
        by: &'static str,
    },
    /// The caller could not use what was read.
    #[error("record {index} in {file} cannot be replayed: {source}")]
    Replay {
        /// The file that holds the record.
        file: String,
        /// Index of the record; of the snapshot, where the file is one.
        index: u64,
        /// What the caller said.
        source: BoxError,
    },
}

fn by_pid(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Why a write was not admitted. Nothing was logged, nothing was applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The writer is behind. The ticket resolves when room has grown; ask again then.
    #[error("the log is busy")]
    Busy(Ticket),
    /// The disk is full. Reads go on, and writes are admitted again once there is space.
    #[error("the disk is full")]
    Full,
    /// More bytes than one admission may ask for.
    #[error("{bytes} bytes are more than the log takes at once ({limit})")]
    TooLarge {
        /// Bytes asked for.
        bytes: u64,
        /// The most that one admission or one record may have.
        limit: u64,
    },
    /// The log has met a fatal error before.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The log is being closed.
    #[error("the log is closed")]
    Closed,
}

/// The disk failed under the log. Final: whatever was not yet durable has an unknown outcome,
/// and no call is tried again, because the system may have dropped the bytes that a second sync
/// would claim to have written.
#[derive(Clone)]
pub struct Failure(Arc<Cause>);

struct Cause {
    doing: &'static str,
    file: String,
    error: io::Error,
}

impl Failure {
    pub(crate) fn new(doing: &'static str, file: impl Into<String>, error: io::Error) -> Self {
        Self(Arc::new(Cause { doing, file: file.into(), error }))
    }

    /// The file whose call failed.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.error.kind()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause { doing, file, error } = &*self.0;
        write!(f, "outcome unknown: the disk failed to {doing} {file}: {error}")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

impl Error for Failure {}

/// Why a snapshot was not published. The snapshots and the log are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No space for it; worth trying again later.
    #[error("no space for a snapshot")]
    Full,
    /// The operating system refused a call.
    #[error("cannot {doing} {file}: {source}")]
    Io {
        /// The call, as a verb.
        doing: &'static str,
        /// The file it was made for.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was read back is not what was written.
    #[error("{file} read back differs from what was written: {what}")]
    Unreadable {
        /// The file.
        file: String,
        /// What was found wrong.
        what: &'static str,
    },
    /// A snapshot at or after this index exists already, or the log has not reached it yet.
    #[error("index {index} is outside of {after} < index <= {appended}")]
    Index {
        /// Index asked for.
        index: u64,
        /// Index of the newest snapshot, 0 if none.
        after: u64,
        /// Last index in the log.
        appended: u64,
    },
    /// The log has met a fatal error.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The caller's own content could not be produced.
    #[error("the snapshot's content failed: {0}")]
    Feed(BoxError),
}

/// Whether the error says that the disk, or this user's share of it, has no space left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
