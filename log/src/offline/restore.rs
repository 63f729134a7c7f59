//! From a backup's file to a store. The directory is refused by a server until all is in place, since
//! the first thing in it is a file that says what is going on, and that becomes the marker at last.

use std::sync::Arc;

use super::assemble::Plan;
use super::examine::role;
use super::{Error, Progress, Role, Watcher};
use crate::backup::{self, BackupInfo};
use crate::disk::{Disk, File};
use crate::manifest::{MARKER, Manifest, RESTORE_BEGUN};
use crate::recover::at;
use crate::snapshot::{self, Purpose};

/// A store that was made from a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup held, and the store holds now.
    pub backup: BackupInfo,
    /// The new store.
    pub store_id: u128,
    /// Its incarnation: no position of the old store is one of this.
    pub incarnation: u64,
}

/// Makes a store from the backup `file`, called `name`, in a directory without any files but a lock,
/// or with those of a restore that was interrupted. Revisions go on from the backup's, and what ends
/// at a moment ends at that moment.
///
/// # Errors
/// Why there is none. A server refuses the directory then, and a second try begins anew.
pub fn restore(
    disk: &Arc<dyn Disk>,
    file: &Arc<dyn File>,
    name: &str,
    random: &mut dyn FnMut() -> u64,
    watcher: &mut Watcher<'_>,
) -> Result<Restored, Error> {
    let total = file.len().map_err(at("measure", name))? * 2;
    let (mut done, mut tell) = (0, |doing, done| {
        watcher(Progress { doing, file: name, done, total });
    });
    // Whole before anything is begun.
    let info = backup::read(file, name, &mut |chunk| {
        done += chunk.len() as u64;
        tell("reading", done);
        Ok(())
    })?;
    clear(&**disk)?;
    let manifest = Manifest::random(random);
    manifest.write_as(&**disk, RESTORE_BEGUN).map_err(at("write", RESTORE_BEGUN))?;
    let plan = Plan {
        prefix: "",
        store_id: manifest.store_id,
        // A snapshot is of a record, and an empty store has none.
        index: info.index.max(1),
        created_ms: info.created_ms,
        epoch: random(),
    };
    plan.write(&**disk, |out| {
        let copied =
            snapshot::read_file(Arc::clone(file), name, Purpose::Backup, None, &mut |chunk| {
                done += chunk.len() as u64;
                tell("copying", done);
                Ok(out.write(chunk)?)
            });
        copied.map(drop).map_err(|error| crate::SnapshotError::Feed(error.into()))
    })?;
    disk.rename(RESTORE_BEGUN, MARKER)
        .and_then(|()| disk.sync_dir())
        .map_err(at("put in place", MARKER))?;
    let Manifest { store_id, incarnation, .. } = manifest;
    Ok(Restored { backup: info, store_id, incarnation })
}

/// Makes sure that nothing is in the way. What an interrupted restore has left is removed; its
/// announcement last.
fn clear(disk: &dyn Disk) -> Result<(), Error> {
    let names = disk.list().map_err(at("list", "the data directory"))?;
    let interrupted = names.iter().any(|name| name == RESTORE_BEGUN);
    // The lock is the caller's; the announcement, whole or not, is dealt with by itself.
    let own =
        |name: &str| name == "lock" || name.strip_suffix(".tmp").unwrap_or(name) == RESTORE_BEGUN;
    let others = || names.iter().filter(|name| !own(name));
    let ours = |name: &String| !matches!(role(name), Role::Other | Role::Marker);
    if let Some(name) = others().find(|name| !interrupted || !ours(name)) {
        return Err(Error::NotEmpty { file: name.clone() });
    }
    for name in others() {
        disk.remove(name).map_err(at("remove", name))?;
    }
    if interrupted {
        disk.sync_dir().map_err(at("sync", "the data directory"))?;
        disk.remove(RESTORE_BEGUN).map_err(at("remove", RESTORE_BEGUN))?;
    }
    disk.sync_dir().map_err(at("sync", "the data directory"))?;
    Ok(())
}
