//! A store that no server runs on: look at every byte of it ([`verify`]), save what can be trusted
//! of a damaged one, make one from a backup. Looking changes nothing; what changes something is
//! complete or not there, wherever the power is cut.

mod assemble;
mod content;
mod examine;
mod findings;
mod repair;
mod restore;

use crate::error::{OpenError, SnapshotError};

pub use examine::verify;
pub use findings::{Findings, Inspected, Problem, ProblemKind, Role, Torn, Trusted, Verdict};
pub use repair::{Outcome, Repair};
pub use restore::{Restored, restore};

/// Why a repair or a restore was not begun, or not finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files are not what they must be.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The files of the new store could not be written.
    #[error("the new store could not be written: {0}")]
    Write(#[from] SnapshotError),
    /// A store is only restored where nothing is.
    #[error("the directory is not empty: {file} is in it")]
    NotEmpty {
        /// A file that is in the way.
        file: String,
    },
    /// A repair would throw away what something else than a repair can save.
    #[error("this is not for a repair to solve: {problem}")]
    Hands {
        /// What is in the way.
        problem: Problem,
    },
    /// No state can be made from what is there.
    #[error(
        "nothing can be saved: there is no good snapshot, and the log does not go back to its \
         beginning; restore a backup"
    )]
    NothingTrusted,
}

/// How far a long piece of work has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What is done, as a verb with its object.
    pub doing: &'static str,
    /// The file it is done to.
    pub file: &'a str,
    /// Bytes done, of all files.
    pub done: u64,
    /// Bytes to do, of all files.
    pub total: u64,
}

/// Whoever wants to know how far it is.
pub type Watcher<'w> = dyn FnMut(Progress<'_>) + 'w;
