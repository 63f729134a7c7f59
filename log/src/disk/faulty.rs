//! A disk in memory that fails on purpose. It keeps what a program sees (live) apart from what a
//! power cut leaves (durable), and numbers every call that changes something, so that a test can
//! cut the power after each of them in turn. Everything random comes from the seed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Disk, File};

/// What a power cut leaves of the writes and names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing of them.
    Drop,
    /// All of them.
    Keep,
    /// Each sector of this many bytes as it was or as it was to become, by chance; names up to a
    /// random one.
    Tear(usize),
    /// A random choice of whole writes and names, in random order.
    Reorder,
}

impl Crash {
    /// Every variant, sectors of 512 and 4096 bytes.
    pub const ALL: [Self; 5] =
        [Self::Drop, Self::Keep, Self::Tear(512), Self::Tear(4096), Self::Reorder];
}

/// How a single call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`, and nothing was done.
    Io,
    /// A write stops half-way with `EIO`; any other call does nothing.
    Short,
    /// `ENOSPC`, and nothing was done.
    Full,
}

/// The disk. Clones are handles to the same one.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    released: Condvar,
}

#[derive(Default)]
struct World {
    random: u64,
    inodes: Vec<Inode>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<Renaming>,
    calls: u64,
    cut_after: u64,
    fault: Option<(u64, Fault)>,
    quota: u64,
    holding: bool,
    held: usize,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// A change of names: `gone` disappears and `there` comes to mean the inode, in one step.
#[derive(Clone)]
struct Renaming {
    gone: Option<String>,
    there: Option<(String, usize)>,
}

/// A seeded source of numbers (splitmix64).
pub fn seeded(seed: u64) -> impl FnMut() -> u64 + Send + 'static {
    let mut state = seed;
    move || next_random(&mut state)
}

fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl FaultyDisk {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        let world =
            World { random: seed, cut_after: u64::MAX, quota: u64::MAX, ..World::default() };
        Self::of(world)
    }

    fn of(world: World) -> Self {
        Self(Arc::new(Shared { world: Mutex::new(world), released: Condvar::new() }))
    }

    /// Number of calls so far that changed something: create, write, sync, rename, remove and
    /// directory sync. Reads are not counted, since a cut after one is a cut before it.
    pub fn calls(&self) -> u64 {
        self.0.world.lock().calls
    }

    /// Cuts the power once call number `call` has been made; every later one fails.
    pub fn cut_after(&self, call: u64) {
        self.0.world.lock().cut_after = call;
    }

    /// Puts the power back on as if only the process had died: what was written is still there,
    /// and what was not synced is still not durable.
    pub fn restart(&self) {
        self.0.world.lock().cut_after = u64::MAX;
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.0.world.lock().is_off()
    }

    /// Makes call number `call` fail.
    pub fn fail_call(&self, call: u64, fault: Fault) {
        self.0.world.lock().fault = Some((call, fault));
    }

    /// Limits the bytes in all files together; growing further gives `ENOSPC`.
    pub fn set_quota(&self, bytes: u64) {
        self.0.world.lock().quota = bytes;
    }

    /// Bytes in all files together.
    pub fn used(&self) -> u64 {
        self.0.world.lock().used()
    }

    /// While `hold` is set, file syncs do not return.
    pub fn hold_syncs(&self, hold: bool) {
        self.0.world.lock().holding = hold;
        self.0.released.notify_all();
    }

    /// Number of syncs that are being held.
    pub fn held_syncs(&self) -> usize {
        self.0.world.lock().held
    }

    /// Flips one bit of a file for good. Bits count from the start of the file.
    ///
    /// # Panics
    /// If there is no such file or bit.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut world = self.0.world.lock();
        let id = world.live[name];
        let inode = &mut world.inodes[id];
        for content in [&mut inode.live, &mut inode.durable] {
            content[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }

    /// The live content of a file, if there is one of that name.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.0.world.lock();
        world.live.get(name).map(|&id| world.inodes[id].live.clone())
    }

    /// A separate disk with the same files, all of them durable, and no faults.
    pub fn copy(&self) -> Self {
        self.crash(Crash::Keep)
    }

    /// The disk as it is found after the power came back. This one stays as it is.
    pub fn crash(&self, crash: Crash) -> Self {
        let mut world = self.0.world.lock();
        let mut random = next_random(&mut world.random);
        let live = world.names_after(crash, &mut random);
        let inodes = world.inodes.iter().map(|inode| inode.after(crash, &mut random)).collect();
        Self::of(World {
            random,
            inodes,
            durable: live.clone(),
            live,
            cut_after: u64::MAX,
            quota: world.quota,
            ..World::default()
        })
    }

    fn reading(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.0.world.lock();
        if world.is_off() { Err(io::Error::other("the power is off")) } else { Ok(world) }
    }

    /// Numbers a call; the fault is to be applied by the caller.
    fn changing(&self) -> io::Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let mut world = self.reading()?;
        world.calls += 1;
        let fault = world.fault.filter(|&(call, _)| call == world.calls).map(|(_, fault)| fault);
        Ok((world, fault))
    }

    fn change_names(
        &self,
        change: impl FnOnce(&mut World) -> io::Result<Renaming>,
    ) -> io::Result<()> {
        let (mut world, fault) = self.changing()?;
        fault.map_or(Ok(()), |fault| Err(fault.error()))?;
        let change = change(&mut world)?;
        change.apply(&mut world.live);
        world.unsynced.push(change);
        Ok(())
    }

    fn file(&self, id: usize) -> Arc<dyn File> {
        Arc::new(FaultyFile { disk: self.clone(), id })
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io | Self::Short => io::Error::other("input/output error"),
            Self::Full => io::ErrorKind::StorageFull.into(),
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, id)) = &self.there {
            names.insert(name.clone(), *id);
        }
    }
}

impl World {
    fn is_off(&self) -> bool {
        self.calls >= self.cut_after
    }

    fn used(&self) -> u64 {
        self.live.values().map(|&id| self.inodes[id].live.len() as u64).sum()
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names_after(&self, crash: Crash, random: &mut u64) -> BTreeMap<String, usize> {
        let mut names = self.durable.clone();
        let mut changes = self.unsynced.clone();
        match crash {
            Crash::Drop => changes.clear(),
            Crash::Keep => {}
            Crash::Tear(_) => changes.truncate(below(changes.len() + 1, random)),
            Crash::Reorder => changes.retain(|_| next_random(random) & 1 == 0),
        }
        changes.iter().for_each(|change| change.apply(&mut names));
        names
    }
}

impl Inode {
    fn after(&self, crash: Crash, random: &mut u64) -> Self {
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

impl Disk for FaultyDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut id = 0;
        self.change_names(|world| {
            if world.live.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            id = world.inodes.len();
            world.inodes.push(Inode::default());
            Ok(Renaming { gone: None, there: Some((name.into(), id)) })
        })?;
        Ok(self.file(id))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = self.reading()?.find(name)?;
        Ok(self.file(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(|world| {
            let id = world.find(from)?;
            Ok(Renaming { gone: Some(from.into()), there: Some((to.into(), id)) })
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(|world| {
            world.find(name)?;
            Ok(Renaming { gone: Some(name.into()), there: None })
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.reading()?.live.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let (mut world, fault) = self.changing()?;
        fault.map_or(Ok(()), |fault| Err(fault.error()))?;
        world.durable = world.live.clone();
        world.unsynced.clear();
        Ok(())
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    id: usize,
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.reading()?.inodes[self.id].live.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let world = self.disk.reading()?;
        let content = &world.inodes[self.id].live;
        let start = (offset as usize).min(content.len());
        let found = content[start..].get(..buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let (mut world, fault) = self.disk.changing()?;
        let written = match fault {
            None => data,
            Some(Fault::Short) => &data[..data.len() / 2],
            Some(_) => &[],
        };
        let (start, len) = (offset as usize, world.inodes[self.id].live.len());
        let growth = (start + written.len()).saturating_sub(len) as u64;
        if growth > 0 && world.used() + growth > world.quota {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = &mut world.inodes[self.id];
        put(&mut inode.live, start, written);
        inode.unsynced.push((start, written.to_vec()));
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn sync(&self) -> io::Result<()> {
        let (mut world, fault) = self.disk.changing()?;
        if let Some(fault) = fault {
            // As Linux does: the pages count as clean now, and no later sync will write them.
            world.inodes[self.id].unsynced.clear();
            return Err(fault.error());
        }
        world.held += 1;
        while world.holding {
            self.disk.0.released.wait(&mut world);
        }
        world.held -= 1;
        let Inode { durable, unsynced, .. } = &mut world.inodes[self.id];
        for (offset, data) in unsynced.drain(..) {
            put(durable, offset, &data);
        }
        Ok(())
    }
}
