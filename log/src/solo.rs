//! One machine's group: the local log alone decides what is safe. Opens a store, runs its threads
//! (expiry, snapshots), and is the [`Commit`] that a server alone is built on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::planted;
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::entry::Entry;
use tidekeep_store::fingerprint::Fingerprint;

use crate::background::Background;
use crate::backup::Backup;
use crate::clock::Clock;
use crate::commit::{
    Answers, Call, Commit, Counted, Elsewhere, Failed, Identity, Pending, PendingBackup, Promise,
    Sampled, Standing,
};
use crate::disk::Disk;
use crate::error::{OpenError, Refused, SnapshotError};
use crate::feed::{Changed, Changes, Feed, PendingView, TooOld};
use crate::group::Group;
use crate::load::{Loaded, load};
use crate::memory::MemoryOptions;
use crate::options::{Durability, Upkeep};
use crate::{batch, eviction, expiry, snapshots};

/// How a store is opened.
pub struct SoloOptions {
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// When a reply may be given.
    pub durability: Durability,
    /// The bounds of pages that it reads.
    pub limits: Limits,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// A snapshot is written when the log since the last one has this many bytes, and at least half
    /// as many as the data.
    pub snapshot_log_bytes: u64,
    /// Changes are remembered for watchers up to this many bytes.
    pub history_bytes: usize,
    /// How much memory it may take.
    pub memory: MemoryOptions,
    /// Locks that the keys are spread over.
    pub shards: usize,
    /// Who does what the store does by itself.
    pub upkeep: Upkeep,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Source of ids and seeds; must not repeat after a restart.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

impl SoloOptions {
    /// What a server uses unless it is told otherwise.
    pub fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        Self {
            disk,
            durability: Durability::Always,
            limits: Limits::DEFAULT,
            segment_bytes: 64 << 20,
            snapshot_log_bytes: 64 << 20,
            history_bytes: 32 << 20,
            memory: MemoryOptions::default(),
            shards: 16,
            upkeep: Upkeep::Threads,
            clock,
            random: Box::new(random),
        }
    }
}

/// A store on this machine alone.
pub struct Solo {
    group: Arc<Group>,
    feeds: [Arc<dyn Feed>; 1],
    identity: Identity,
    background: Background,
}

impl Solo {
    /// Opens the store, or makes an empty one where there has never been any, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`]: what is there cannot be trusted; nothing is changed.
    pub fn open(options: SoloOptions) -> Result<Self, OpenError> {
        let log_bytes = options.snapshot_log_bytes;
        let (upkeep, durability) = (options.upkeep, options.durability);
        let Loaded { group, identity, snapshot } = load(options)?;
        let group = Arc::new(group);
        let feeds: [Arc<dyn Feed>; 1] = [Arc::new(Ordered(Arc::clone(&group)))];
        let solo = Self { group, feeds, identity, background: Background::default() };
        if let Some(head) = snapshot {
            let tally = &solo.background.tally;
            tally.snapshots.note_newest(head.revision, head.now_ms);
        }
        if upkeep == Upkeep::Steps {
            return Ok(solo);
        }
        let group = Arc::clone(&solo.group);
        solo.background.spawn("tidekeep-expiry", move |tally| expiry::run(&group, tally))?;
        if solo.group.memory.eviction().is_some() {
            let group = Arc::clone(&solo.group);
            solo.background
                .spawn("tidekeep-eviction", move |tally| eviction::run(&group, tally))?;
        }
        if durability != Durability::Memory {
            let group = Arc::clone(&solo.group);
            solo.background.spawn("tidekeep-snapshot", move |tally| {
                snapshots::run(&group, tally, log_bytes);
            })?;
        }
        Ok(solo)
    }

    /// The feed of the one group.
    pub fn feed(&self) -> &dyn Feed {
        &*self.feeds[0]
    }

    /// A sum over all entries: equal stores have equal digests.
    pub fn digest(&self) -> u64 {
        self.group.digest()
    }

    /// With [`Upkeep::Steps`], does one piece of the log's work; whether there was any.
    pub fn step(&self) -> bool {
        self.group.log().step()
    }

    /// Removes what has expired by now, as far as it fits into one record; how many entries these
    /// are. With [`Upkeep::Threads`], a thread sees to it.
    ///
    /// # Errors
    /// The log has no room now, or has failed.
    pub fn expire(&self) -> Result<usize, Refused> {
        expiry::remove_due(&self.group, self.group.clock.now_ms(), &self.background.tally)
    }

    /// Writes a snapshot now, whatever the log's length.
    ///
    /// # Errors
    /// Why there is none; the store is as it was.
    pub fn snapshot(&self) -> Result<(), SnapshotError> {
        snapshots::write(&self.group, &self.background.tally)
    }
}

impl Commit for Solo {
    fn submit(&self, calls: &[Call<'_>], answers: &mut dyn Answers) -> Pending {
        batch::run(&self.group, calls, answers)
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Entry>, Elsewhere> {
        Ok(self.group.peek(key))
    }

    fn sample(&self, random: u64) -> Sampled {
        Promise::ready(Ok(self.group.sample(random).map(|entry| entry.key().to_vec())))
    }

    fn fingerprint(&self, key: &[u8]) -> u64 {
        Fingerprint::from(self.group.spread.hash(key)).number()
    }

    fn with_fingerprint(&self, fingerprint: u64) -> Vec<Entry> {
        self.group.with_fingerprint(Fingerprint::new(fingerprint))
    }

    fn keys(&self) -> Counted {
        Promise::ready(Ok(self.group.size().0))
    }

    fn feeds(&self) -> &[Arc<dyn Feed>] {
        &self.feeds
    }

    fn backup(&self) -> PendingBackup {
        let cut = self.group.cut();
        let safe = self.group.positions.ticket(cut.head.revision);
        let store_id = u128::from_be_bytes(self.identity.store_id);
        let estimate = self.group.size().1;
        Backup::begin(cut, store_id, estimate, safe)
    }

    fn time_at(&self, unix_ms: u64) -> u64 {
        self.group.clock.at(unix_ms)
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn standing(&self) -> Standing {
        let log = self.group.log();
        match log.failure() {
            Some(failure) => Standing::Failed(failure.to_string()),
            None if log.stats().full => Standing::ReadOnly(batch::no_space()),
            None => Standing::Ready,
        }
    }

    fn warning(&self) -> Option<String> {
        self.background.tally.snapshots.warning(self.group.log())
    }

    fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let group = &*self.group;
        group.figures(each);
        group.log().figures(each);
        let tally = &*self.background.tally;
        tally.snapshots.figures(group.clock.now_ms(), each);
        each("expired", tally.expired.load(Ordering::Relaxed));
        group.lag_figures(each);
    }

    fn failed(&self) -> Failed {
        let failed = self.group.log().until_failure();
        Promise::later(async move {
            match failed.await {
                Err(failure) => failure.to_string(),
                Ok(()) => std::future::pending().await,
            }
        })
    }

    fn close(&self) -> Result<(), String> {
        self.background.stop();
        self.group.log().close().map_err(|failure| failure.to_string())
    }
}

/// The feed of a group that is ordered by the log of this machine.
struct Ordered(Arc<Group>);

impl Feed for Ordered {
    fn revision(&self) -> u64 {
        self.0.positions.safe()
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        let safe = self.revision();
        let through = match planted::is_awake("event-before-durability") {
            true => self.0.revision.load(Ordering::Acquire),
            false => safe,
        };
        self.0.tail.read(after, through, bytes)
    }

    fn changed(&self, after: u64) -> Changed {
        let group = Arc::clone(&self.0);
        Promise::later(async move { Ok(group.positions.changed(after).await?) })
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        let view = self.0.freeze(range);
        match self.0.positions.ticket(view.revision()) {
            None => Promise::ready(Ok(view)),
            Some(safe) => Promise::later(async move {
                safe.await?;
                Ok(view)
            }),
        }
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        if let Err(why) = self.close() {
            tracing::error!(why, "the store was not closed cleanly");
        }
    }
}
