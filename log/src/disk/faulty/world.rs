//! What is on the disk: names and contents, as they are seen and as a power cut leaves them.

use std::collections::BTreeMap;
use std::io;

use super::{Crash, Fault};

#[derive(Default)]
pub(super) struct World {
    pub(super) random: u64,
    pub(super) inodes: Vec<Inode>,
    pub(super) live: BTreeMap<String, usize>,
    pub(super) durable: BTreeMap<String, usize>,
    pub(super) unsynced: Vec<Renaming>,
    pub(super) calls: u64,
    pub(super) touches: u64,
    pub(super) cut_after: u64,
    pub(super) fault: Option<(u64, Fault)>,
    pub(super) touch_fault: Option<(u64, Fault)>,
    pub(super) struck: Option<String>,
    pub(super) quota: u64,
    pub(super) holding: bool,
    pub(super) held: usize,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<(usize, Vec<u8>)>,
}

/// A change of names: `gone` disappears and `there` comes to mean the inode, in one step.
#[derive(Clone)]
pub(super) struct Renaming {
    gone: Option<String>,
    there: Option<(String, usize)>,
    /// Folders that must be synced before it is durable.
    waits: Vec<String>,
}

pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The folder that a file is in, with its slash; empty at the top.
fn folder_of(name: &str) -> &str {
    let file = name.strip_suffix('/').unwrap_or(name);
    &name[..file.rfind('/').map_or(0, |slash| slash + 1)]
}

impl Renaming {
    pub(super) fn new(gone: Option<String>, there: Option<(String, usize)>) -> Self {
        let names = gone.iter().chain(there.iter().map(|(name, _)| name));
        let mut waits: Vec<_> = names.map(|name| folder_of(name).to_owned()).collect();
        waits.dedup();
        Self { gone, there, waits }
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, id)) = &self.there {
            names.insert(name.clone(), *id);
        }
    }
}

impl World {
    pub(super) fn is_off(&self) -> bool {
        self.calls >= self.cut_after
    }

    pub(super) fn used(&self) -> u64 {
        self.live.values().map(|&id| self.inodes[id].live.len() as u64).sum()
    }

    pub(super) fn find(&self, name: &str) -> io::Result<usize> {
        self.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The names in a folder, without it.
    pub(super) fn list(&self, folder: &str) -> Vec<String> {
        let inside = self.live.keys().filter_map(|name| name.strip_prefix(folder));
        let own = inside.map(|name| name.strip_suffix('/').unwrap_or(name));
        own.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
    }

    pub(super) fn sync_dir(&mut self, folder: &str) {
        let Self { unsynced, durable, .. } = self;
        unsynced.retain_mut(|change| {
            change.waits.retain(|waits| waits != folder);
            if change.waits.is_empty() {
                change.apply(durable);
            }
            !change.waits.is_empty()
        });
    }

    pub(super) fn names_after(&self, crash: Crash, random: &mut u64) -> BTreeMap<String, usize> {
        let mut names = self.durable.clone();
        let mut changes = self.unsynced.clone();
        match crash {
            Crash::Drop => changes.clear(),
            Crash::Keep => {}
            Crash::Tear(_) => changes.truncate(below(changes.len() + 1, random)),
            Crash::Reorder => changes.retain(|_| next_random(random) & 1 == 0),
        }
        changes.iter().for_each(|change| change.apply(&mut names));
        // What is in a folder is lost with the folder.
        let folders: Vec<_> = names.keys().filter(|name| name.ends_with('/')).cloned().collect();
        names.retain(|name, _| {
            let folder = folder_of(name);
            folder.is_empty() || folders.iter().any(|there| there == folder)
        });
        names
    }

    /// Another place for `len` bytes: a file, and an offset in it. As much as the file has from there
    /// on may be less.
    pub(super) fn elsewhere(
        &mut self,
        id: usize,
        offset: u64,
        len: usize,
    ) -> Option<(usize, usize)> {
        const SECTOR: usize = 512;
        let mut random = next_random(&mut self.random);
        let mut places = Vec::new();
        for &other in self.live.values() {
            let sectors = self.inodes[other].live.len().div_ceil(SECTOR);
            if sectors > 0 {
                places.push((other, below(sectors, &mut random) * SECTOR));
                // Reads want all of it.
                places.push((other, self.inodes[other].live.len().saturating_sub(len)));
            }
        }
        places.retain(|&place| place != (id, offset as usize));
        (!places.is_empty()).then(|| places[below(places.len(), &mut random)])
    }
}

impl Inode {
    pub(super) fn after(&self, crash: Crash, random: &mut u64) -> Self {
        let mut content = self.durable.clone();
        match crash {
            Crash::Drop => {}
            Crash::Keep => content.clone_from(&self.live),
            Crash::Tear(sector) => {
                for (offset, data) in &self.unsynced {
                    tear(&mut content, *offset, data, sector, random);
                }
            }
            Crash::Reorder => {
                let mut writes: Vec<_> = self.unsynced.iter().collect();
                writes.retain(|_| next_random(random) & 1 == 0);
                for i in (1..writes.len()).rev() {
                    writes.swap(i, below(i + 1, random));
                }
                writes.iter().for_each(|(offset, data)| put(&mut content, *offset, data));
            }
        }
        Self { live: content.clone(), durable: content, unsynced: Vec::new() }
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        put(&mut self.live, offset, data);
        self.unsynced.push((offset, data.to_vec()));
    }

    pub(super) fn sync(&mut self) {
        let Self { durable, unsynced, .. } = self;
        for (offset, data) in unsynced.drain(..) {
            put(durable, offset, &data);
        }
    }
}

/// Puts each sector that the write touches by chance; sectors are aligned in the file.
fn tear(content: &mut Vec<u8>, offset: usize, data: &[u8], sector: usize, random: &mut u64) {
    let mut at = 0;
    while at < data.len() {
        let end = data.len().min((offset + at) / sector * sector + sector - offset);
        if next_random(random) & 1 == 0 {
            put(content, offset + at, &data[at..end]);
        }
        at = end;
    }
}

fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(data);
}

fn below(bound: usize, random: &mut u64) -> usize {
    (next_random(random) % bound as u64) as usize
}
