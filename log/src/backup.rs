//! A backup: everything at one revision as a file of its own, in the format of a snapshot. Made from
//! a frozen cut while writes go on; whoever takes the bytes decides how fast.
//!
//! It lacks what a snapshot remembers of recent changes: the store that is made from it has another
//! incarnation, so that nobody resumes from before it.

use std::convert::Infallible;
use std::sync::Arc;

use tidekeep_store::snapshot::{Feed, Head};

use crate::disk::File;
use crate::error::{BoxError, OpenError};
use crate::group::Cut;
use crate::pace::Pace;
use crate::snapshot::{self, Framing, Header, Purpose};
use crate::state::State;

/// A consistent cut of a store, and how much of its file has been given.
pub struct Backup {
    head: Head,
    estimate: u64,
    framing: Framing,
    feed: Feed,
    /// Bytes of the file that are made, and not yet given.
    ready: Vec<u8>,
    given: usize,
    ended: bool,
    chunk: Vec<u8>,
}

impl Backup {
    pub(crate) fn of(mut cut: Cut, store_id: u128, estimate: u64) -> Self {
        // Whoever restores it has not the other groups of a transaction at the same moment: what is under way
        // is left out, so that nothing stays locked there.
        cut.tables.intents.clear();
        cut.head.intents = 0;
        let mut ready = Vec::new();
        let (purpose, created_ms) = (Purpose::Backup, cut.head.now_ms);
        let header = Header { purpose, store_id, index: cut.index, created_ms };
        let mut framing = Framing::begin(&header, &mut ready);
        let Ok(()) = cut.write_tables(Pace::giving_way(), |chunk| {
            framing.block(chunk, &mut ready);
            Ok::<(), Infallible>(())
        });
        let Cut { head, view, .. } = cut;
        let (feed, chunk) = (Feed::new(view), Vec::new());
        Self { head, estimate, framing, feed, ready, given: 0, ended: false, chunk }
    }

    /// The revision of the cut.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// How many entries are in it.
    pub fn keys(&self) -> u64 {
        self.head.keys
    }

    /// When it was cut, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.head.now_ms
    }

    /// About how many bytes the file will have.
    pub fn estimate_bytes(&self) -> u64 {
        self.estimate
    }

    /// Appends the file's next bytes, at most `most` of them; nothing at its end.
    pub fn read(&mut self, most: usize, out: &mut Vec<u8>) {
        let mut left = most;
        while left > 0 {
            if self.given == self.ready.len() && !self.refill() {
                return;
            }
            let ready = &self.ready[self.given..];
            let step = &ready[..left.min(ready.len())];
            out.extend_from_slice(step);
            self.given += step.len();
            left -= step.len();
        }
    }

    fn refill(&mut self) -> bool {
        self.ready.clear();
        self.given = 0;
        if self.ended {
            return false;
        }
        self.chunk.clear();
        self.feed.next_chunk(&mut self.chunk);
        if self.chunk.is_empty() {
            self.framing.end(&mut self.ready);
            self.ended = true;
        } else {
            self.framing.block(&self.chunk, &mut self.ready);
        }
        true
    }
}

/// What a backup's file holds. It has been read from its first byte to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// The store that it was made of.
    pub store_id: u128,
    /// Its length in bytes.
    pub file_bytes: u64,
    /// The last record before the cut.
    pub index: u64,
    /// The revision of the cut.
    pub revision: u64,
    /// How many entries are in it.
    pub keys: u64,
    /// When it was cut, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Reads a backup's file whole, and checks that it adds up.
///
/// # Errors
/// [`OpenError`]: what is wrong with it, by its `name`.
pub fn verify(file: &Arc<dyn File>, name: &str) -> Result<BackupInfo, OpenError> {
    read(file, name, &mut |_| Ok(()))
}

/// Reads a backup's file whole, checks that it adds up, and gives its chunks to `use_chunk` on the
/// way: before all of it is known to be good.
pub(crate) fn read(
    file: &Arc<dyn File>,
    name: &str,
    use_chunk: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
) -> Result<BackupInfo, OpenError> {
    let mut state = State::empty();
    let (info, store_id) =
        snapshot::read_file(Arc::clone(file), name, Purpose::Backup, None, &mut |chunk| {
            state.take(chunk)?;
            use_chunk(chunk)
        })?;
    let index = info.index;
    let adds_up = |source| OpenError::Replay { file: name.into(), index, source };
    state.begin_tail(0).map_err(adds_up)?;
    let measure = |source| OpenError::Io { doing: "measure", file: name.into(), source };
    let Head { revision, keys, .. } = state.head();
    Ok(BackupInfo {
        store_id,
        file_bytes: file.len().map_err(measure)?,
        index,
        revision,
        keys,
        created_ms: info.created_ms,
    })
}
