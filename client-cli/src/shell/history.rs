//! What was typed, kept in the user's state folder for the next time.

use std::path::{Path, PathBuf};

use rustyline::history::FileHistory;
use rustyline::{Editor, Helper};

/// The history's file: `$XDG_STATE_HOME/tidekeep/history`, by default below `~/.local/state`.
pub(crate) fn path() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("tidekeep/history"))
}

/// Writes the history, its folder made if it is not there.
pub(crate) fn save<H: Helper>(
    editor: &mut Editor<H, FileHistory>,
    path: &Path,
) -> rustyline::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    editor.save_history(path)
}
