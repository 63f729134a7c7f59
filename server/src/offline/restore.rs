//! `restore`: a store from a backup's file.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tidekeep_log::OpenError;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::read_only;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::offline::{Error, Restored, restore};
use tidekeep_server::config::args::Output;

use super::print;
use super::progress::Display;
use crate::exit;

/// Restores `file` into `dir`, which is made if it is not there.
///
/// # Errors
/// If the file is no good backup, or the directory is not empty or cannot be written.
pub(super) fn run(file: &Path, dir: &Path, output: Output) -> Result<u8, Error> {
    let name = file.display().to_string();
    let opened = read_only::open_file(file).map_err(|source| OpenError::Io {
        doing: "open",
        file: name.clone(),
        source,
    })?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir)?);
    let mut display = Display::default();
    let restored = restore(&disk, &opened, &name, &mut || fastrand::u64(..), &mut |progress| {
        display.show(progress);
    });
    display.end();
    let Restored { backup, store_id, incarnation } = restored?;
    let text = || {
        format!(
            "restored revision {} with {} keys into {}\nstore {store_id:032x}, incarnation \
             {incarnation:016x}: a new history, so every watch starts over\n",
            backup.revision,
            backup.keys,
            dir.display()
        )
    };
    let json = || {
        json!({
            "path": dir.display().to_string(),
            "store_id": format!("{store_id:032x}"),
            "incarnation": format!("{incarnation:016x}"),
            "revision": backup.revision,
            "keys": backup.keys,
        })
    };
    print(output, text, json);
    Ok(exit::DRAINED)
}
