//! What a store must contain, kept beside it by the tests.

use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Durability, Log, OpenError, Options, Recovery, Refused};

/// Bytes of a segment: a few records fill one.
pub(crate) const SEGMENT: u64 = 4096;

/// How one run of the store is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) seed: u64,
    /// Records of different lives differ, even where they have the same index.
    pub(crate) number: u64,
    pub(crate) durability: Durability,
    pub(crate) mark_after: Duration,
}

impl Default for Life {
    fn default() -> Self {
        let durability = Durability::Always;
        Self { seed: 0, number: 1, durability, mark_after: Duration::from_millis(50) }
    }
}

pub(crate) fn options(life: Life) -> Options {
    Options {
        durability: life.durability,
        segment_bytes: SEGMENT,
        mark_after: life.mark_after,
        retry_full: Duration::from_millis(1),
        ..Options::new(seeded(life.seed ^ life.number.wrapping_mul(0x5851_f42d_4c95_7f2d)))
    }
}

/// The records of a store, and how many of them were confirmed.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) written: Vec<Vec<u8>>,
    pub(crate) confirmed: usize,
    /// Whether a snapshot may be found damaged; no power cut ever does that to a named one.
    pub(crate) damaged: bool,
    /// What to say when a check fails.
    pub(crate) context: String,
}

impl Model {
    /// Opens the store and checks its content against the model. What it lacks of the unconfirmed
    /// is struck from the model; the rest is confirmed by having been read.
    pub(crate) fn recover(&mut self, disk: &FaultyDisk, life: Life) -> Result<Log, OpenError> {
        let recovery = Recovery::begin(Arc::new(disk.clone()), options(life))?;
        let mut found: Vec<Vec<u8>> = Vec::new();
        recovery.load_snapshot(|chunk| {
            found.push(chunk.to_vec());
            Ok(())
        })?;
        let snapshot = recovery.snapshot().map_or(0, |info| info.index);
        assert_eq!(found.len() as u64, snapshot, "{}", self.context);
        let (log, report) = recovery.replay(|index, payload| {
            assert_eq!(index, found.len() as u64 + 1, "records come without gaps");
            found.push(payload.to_vec());
            Ok(())
        })?;
        let context = &self.context;
        assert_eq!(report.last_index, found.len() as u64, "{context}");
        assert!(self.damaged || report.fell_back.is_none(), "{:?}: {context}", report.fell_back);
        assert!(found.len() >= self.confirmed, "a confirmed record is lost: {context}");
        assert!(found.len() <= self.written.len(), "a record is invented: {context}");
        assert!(found == self.written[..found.len()], "a record has changed: {context}");
        self.written.truncate(found.len());
        self.confirmed = found.len();
        Ok(log)
    }

    /// Appends records together and waits for them. `None` once the log has failed.
    pub(crate) fn append(&mut self, log: &Log, life: Life, count: u64) -> Option<()> {
        let next = self.written.len() as u64 + 1;
        let payloads: Vec<_> = (next..next + count).map(|index| payload(index, life)).collect();
        let bytes = payloads.iter().map(Vec::len).sum();
        let permit = loop {
            match log.admit(payloads.len(), bytes) {
                Ok(permit) => break permit,
                Err(Refused::Busy(room)) => room.wait().ok()?,
                Err(_) => return None,
            }
        };
        self.written.extend_from_slice(&payloads);
        let last = log.append(permit, payloads.iter().map(Vec::as_slice));
        assert_eq!(last, self.written.len() as u64);
        let safe = log.ticket(last).wait();
        self.confirmed = self.confirmed.max(log.synced() as usize);
        safe.ok()
    }

    /// Writes a snapshot of everything there is.
    pub(crate) fn snapshot(&mut self, log: &Log) -> Option<()> {
        let index = self.written.len() as u64;
        log.write_snapshot(index, 1_000, |out| {
            self.written.iter().try_for_each(|record| out.write(record))
        })
        .ok()?;
        Some(())
    }
}

/// Between 1 and 1000 bytes that depend on index and life alone.
fn payload(index: u64, life: Life) -> Vec<u8> {
    let mut random = seeded(index << 8 | life.number);
    let len = 1 + random() % if random().is_multiple_of(3) { 1000 } else { 60 };
    (0..len).map(|_| random() as u8).collect()
}
