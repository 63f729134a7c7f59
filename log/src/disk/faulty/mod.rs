//! A disk in memory that fails on purpose. It keeps what a program sees (live) apart from what a
//! power cut leaves (durable), and numbers every call that changes something, so that a test can
//! cut the power after each of them in turn. Everything random comes from the seed.
//!
//! A file in a folder is called `folder/file`, and the folder itself `folder/`.

mod calls;
mod world;

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{Disk, File};
use world::{World, next_random};

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
    /// A read or a write of another place, by chance in this file or in another one, that says
    /// nothing of it. Any other call is done.
    Misdirected,
}

/// The disk, or a folder of it. Clones are handles to the same one.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Shared>, String);

struct Shared {
    world: Mutex<World>,
    released: Condvar,
}

/// A seeded source of numbers (splitmix64).
pub fn seeded(seed: u64) -> impl FnMut() -> u64 + Send + 'static {
    let mut state = seed;
    move || next_random(&mut state)
}

impl FaultyDisk {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        let world =
            World { random: seed, cut_after: u64::MAX, quota: u64::MAX, ..World::default() };
        Self::of(world)
    }

    fn of(world: World) -> Self {
        let shared = Shared { world: Mutex::new(world), released: Condvar::new() };
        Self(Arc::new(shared), String::new())
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

    /// Number of all calls so far, those that only read included: open, list, length and read.
    pub fn touches(&self) -> u64 {
        self.0.world.lock().touches
    }

    /// Makes call number `touch` fail, where all calls count.
    pub fn fail_touch(&self, touch: u64, fault: Fault) {
        self.0.world.lock().touch_fault = Some((touch, fault));
    }

    /// What the fault that was planned was done to: a file or the directory. None if it is yet to
    /// come.
    pub fn struck(&self) -> Option<String> {
        self.0.world.lock().struck.clone()
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

    /// A separate disk with the same files, whose faults come from another seed.
    pub fn reseeded(&self, seed: u64) -> Self {
        let disk = self.copy();
        disk.0.world.lock().random = seed;
        disk
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
}
