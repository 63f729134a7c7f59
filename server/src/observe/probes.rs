//! Whether the server is alive and whether it is ready, with the reason in words.

use tidekeep_log::{Commit, Standing};

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Whether all is well.
    pub(crate) well: bool,
    /// One line for people.
    pub(crate) text: String,
}

/// Whether a restart would not help: everything but failed storage.
pub(crate) fn live(commit: &dyn Commit) -> Probe {
    match commit.standing() {
        Standing::Failed(why) => Probe { well: false, text: format!("storage failed: {why}\n") },
        Standing::Ready | Standing::ReadOnly(_) => Probe { well: true, text: "ok\n".to_owned() },
    }
}

/// Whether new clients should come here.
pub(crate) fn ready(commit: &dyn Commit, draining: bool) -> Probe {
    let reason = match commit.standing() {
        _ if draining => Some("draining".to_owned()),
        Standing::Ready => None,
        Standing::ReadOnly(refusal) => Some(format!("read-only: {refusal}")),
        Standing::Failed(why) => Some(format!("storage failed: {why}")),
    };
    let well = reason.is_none();
    let mut text = reason.unwrap_or_else(|| "ready".to_owned()) + "\n";
    // Whoever is sent elsewhere for it would find the same there, or nobody at all.
    if let Some(warning) = commit.warning() {
        text += &format!("warning: {warning}\n");
    }
    Probe { well, text }
}
