//! How a log is kept, and the figures it gives of itself.

use std::time::Duration;

/// When a reply may be given, and hence what a power cut can take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After `fdatasync` has returned: nothing that was confirmed can be lost.
    Always,
    /// At once; a sync begins so long after that at the latest, or where one is under way then, when it
    /// returns. A power cut loses at most that much time and what the sync takes; a crash of the process
    /// alone loses the last two milliseconds.
    Interval(Duration),
    /// At once; synced only at the end of a segment and at close. The system decides.
    None,
    /// At once, and nothing is written: the store lives as long as its process. It is opened on a
    /// [`crate::disk::memory::MemoryDisk`].
    Memory,
}

impl Durability {
    /// Interval mode with the default of 100 ms.
    pub const INTERVAL: Self = Self::Interval(Duration::from_millis(100));
}

/// Who does the work that comes up beside appending: writing and syncing, reserving segments, and in a
/// store also expiring and writing snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// Threads, which are started when it is opened.
    #[default]
    Threads,
    /// Whoever opened it, a step at a time ([`crate::Log::step`], [`crate::Solo::expire`],
    /// [`crate::Solo::snapshot`]). Nothing happens between two steps, so a run on a disk in memory can
    /// be repeated exactly; the log marks its end in the first step that finds nothing else to do.
    Steps,
}

/// How the log is kept.
pub struct Options {
    /// When a reply may be given.
    pub durability: Durability,
    /// Bytes of a segment file. Also the most that one admission may ask for.
    pub segment_bytes: u64,
    /// Bytes that may wait for the disk in memory.
    pub buffer_bytes: u64,
    /// Quiet time after which the log notes on disk that all before is durable, so that later
    /// damage to the last records is told from a torn write.
    pub mark_after: Duration,
    /// Time between two tries to reserve space on a full disk.
    pub retry_full: Duration,
    /// Who does the log's work.
    pub upkeep: Upkeep,
    /// Source of store ids and epochs; must not repeat after a restart.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

impl Options {
    /// `Always`, 64 MiB segments, 64 MiB of buffer.
    pub fn new(random: impl FnMut() -> u64 + Send + 'static) -> Self {
        Self {
            durability: Durability::Always,
            segment_bytes: 64 << 20,
            buffer_bytes: 64 << 20,
            mark_after: Duration::from_millis(50),
            retry_full: Duration::from_secs(1),
            upkeep: Upkeep::Threads,
            random: Box::new(random),
        }
    }
}

/// Figures since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records appended.
    pub records: u64,
    /// Bytes written to segments, headers and padding included.
    pub bytes: u64,
    /// Writes to segments.
    pub writes: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// Time spent in those syncs, in microseconds.
    pub sync_micros: u64,
    /// Segments on disk, the current one included.
    pub segments: u64,
    /// Whether space for the next segment could not be reserved.
    pub full: bool,
}
