//! A backup: everything at one revision as a file of its own, in the format of a snapshot. Made from
//! a frozen cut while writes go on; whoever takes the bytes decides how fast.
//!
//! One of several groups is put together of a [`Portion`](crate::Portion) of each.
//!
//! It lacks what a snapshot remembers of recent changes: the store that is made from it has another
//! incarnation, so that nobody resumes from before it.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tidekeep_store::leases;
use tidekeep_store::snapshot::{Feed, Head, items, write_tables};
use tidekeep_store::tables::SavedTables;

use crate::commit::{Lost, PendingBackup, Promise};
use crate::disk::File;
use crate::error::{BoxError, OpenError};
use crate::group::Cut;
use crate::pace::Pace;
use crate::portion::PortionTables;
use crate::snapshot::{self, Framing, Header, Purpose};
use crate::state::State;
use crate::ticket::{Progress, Ticket};

/// Bytes of entries whose sum, which a file begins with, is worth a thread: nobody else is to wait for it.
const MANY_BYTES: u64 = 8 << 20;

/// A consistent cut of a store, and how much of its file has been given.
pub struct Backup {
    head: Head,
    estimate: u64,
    framing: Framing,
    entries: Box<dyn Chunks>,
    /// Bytes of the file that are made, and not yet given.
    ready: Vec<u8>,
    given: usize,
    ended: bool,
    chunk: Vec<u8>,
}

/// Gives the entries of a backup, chunk by chunk.
pub trait Chunks: Send {
    /// Appends the next chunk to `out`, which is empty.
    ///
    /// # Errors
    /// Who was to give it does not, and nobody else can.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<Fed, Lost>;
}

/// What came of asking for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// As much as was asked for.
    More,
    /// It is yet to come from elsewhere: ask again.
    Later,
    /// That was all.
    End,
}

impl Chunks for Feed {
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<Fed, Lost> {
        Feed::next_chunk(self, out);
        Ok(if out.is_empty() { Fed::End } else { Fed::More })
    }
}

impl Backup {
    /// Begins one of a cut of about so many bytes, which may be shown once it is safe. Much is summed up on a thread of
    /// its own.
    pub(crate) fn begin(
        cut: Cut,
        store_id: u128,
        estimate: u64,
        safe: Option<Ticket>,
    ) -> PendingBackup {
        if estimate >= MANY_BYTES {
            return begin_apart(
                move || Self::of(cut, store_id, estimate, Pace::giving_way()),
                safe,
            );
        }
        let backup = Self::of(cut, store_id, estimate, Pace::alone());
        match safe {
            None => Promise::ready(Ok(backup)),
            Some(safe) => Promise::later(async move {
                safe.await?;
                Ok(backup)
            }),
        }
    }

    fn of(mut cut: Cut, store_id: u128, estimate: u64, pace: Pace) -> Self {
        // Whoever restores it has not the other groups of a transaction at the same moment: what is under way
        // is left out, so that nothing stays locked there.
        cut.tables.intents.clear();
        cut.head.intents = 0;
        let (mut framing, mut ready) = begin_file(store_id, cut.index, cut.head.now_ms);
        let Ok(()) = cut.write_tables(pace, |chunk| {
            framing.block(chunk, &mut ready);
            Ok::<(), Infallible>(())
        });
        let Cut { head, view, .. } = cut;
        Self::new(head, estimate, framing, ready, Box::new(Feed::new(view)))
    }

    /// One of all groups of a store, from the [`Portion`]s of one moment of them: what they say of themselves
    /// first, and then their entries, of one group after the other. None if they do not say it as portions do.
    ///
    /// Its revision is the greatest of the groups', or that of the youngest lease if that is greater: the store
    /// that is made from it gives neither again.
    ///
    /// [`Portion`]: crate::Portion
    pub fn of_portions(
        store_id: [u8; 16],
        tables: &[PortionTables],
        estimate: u64,
        entries: Box<dyn Chunks>,
    ) -> Option<Self> {
        let rows = tables.iter().flat_map(|it| &it.leases).flat_map(|chunk| items(chunk));
        let leases = leases::merged(rows.collect::<Option<Vec<_>>>()?)?;
        let youngest = leases.last().map_or(0, leases::number_of);
        let heads = || tables.iter().map(|it| &it.head);
        let most = |number: fn(&Head) -> u64| heads().map(number).max().unwrap_or(0);
        let head = Head {
            revision: most(|head| head.revision).max(youngest),
            now_ms: most(|head| head.now_ms),
            keys: heads().map(|head| head.keys).sum(),
            digest: heads().fold(0, |sum, head| sum.wrapping_add(head.digest)),
            sessions: heads().map(|head| head.sessions).sum(),
            forgotten_ms: most(|head| head.forgotten_ms),
            leases: leases.len() as u64,
            intents: 0,
        };
        // The groups' records are counted by each for itself.
        let (mut framing, mut ready) = begin_file(u128::from_be_bytes(store_id), 1, head.now_ms);
        framing.block(&head.encode(), &mut ready);
        tables.iter().flat_map(|it| &it.sessions).for_each(|it| framing.block(it, &mut ready));
        let saved = SavedTables { leases, ..SavedTables::default() };
        let Ok(()) = write_tables(&saved, |chunk| {
            framing.block(chunk, &mut ready);
            Ok::<(), Infallible>(())
        });
        Some(Self::new(head, estimate, framing, ready, entries))
    }

    fn new(
        head: Head,
        estimate: u64,
        framing: Framing,
        ready: Vec<u8>,
        entries: Box<dyn Chunks>,
    ) -> Self {
        let (given, ended, chunk) = (0, false, Vec::new());
        Self { head, estimate, framing, entries, ready, given, ended, chunk }
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

    /// Appends the file's next bytes, at most `most` of them.
    ///
    /// # Errors
    /// What is missing does not come any more: the file cannot be made whole.
    pub fn read(&mut self, most: usize, out: &mut Vec<u8>) -> Result<Fed, Lost> {
        let mut left = most;
        while left > 0 {
            if self.given == self.ready.len() {
                match self.refill()? {
                    Fed::More => {}
                    fed @ (Fed::Later | Fed::End) => return Ok(fed),
                }
            }
            let ready = &self.ready[self.given..];
            let step = &ready[..left.min(ready.len())];
            out.extend_from_slice(step);
            self.given += step.len();
            left -= step.len();
        }
        Ok(Fed::More)
    }

    fn refill(&mut self) -> Result<Fed, Lost> {
        if self.ended {
            return Ok(Fed::End);
        }
        self.chunk.clear();
        let fed = self.entries.next_chunk(&mut self.chunk)?;
        if fed != Fed::Later {
            self.ready.clear();
            self.given = 0;
        }
        match fed {
            Fed::Later => return Ok(Fed::Later),
            Fed::More => self.framing.block(&self.chunk, &mut self.ready),
            Fed::End => {
                self.framing.end(&mut self.ready);
                self.ended = true;
            }
        }
        Ok(Fed::More)
    }
}

/// Begins one on a thread of its own.
fn begin_apart(
    begin: impl FnOnce() -> Backup + Send + 'static,
    safe: Option<Ticket>,
) -> PendingBackup {
    /// Says that the thread is done, however it ends.
    struct Done(Arc<Progress>);
    impl Drop for Done {
        fn drop(&mut self) {
            self.0.advance(1);
        }
    }
    let progress = Progress::new(0);
    let (begun, done) = (Arc::new(Mutex::new(None)), progress.ticket(1));
    let place = Arc::clone(&begun);
    let thread = thread::Builder::new().name("tidekeep-backup".into()).spawn(move || {
        let _done = Done(progress);
        let backup = begin();
        *place.lock() = Some(backup);
    });
    Promise::later(async move {
        thread.map_err(|error| Lost::new(&format!("no thread for the backup: {error}")))?;
        done.await?;
        if let Some(safe) = safe {
            safe.await?;
        }
        let backup = begun.lock().take();
        backup.ok_or_else(|| Lost::new("the backup could not be begun"))
    })
}

/// The beginning of a file.
fn begin_file(store_id: u128, index: u64, created_ms: u64) -> (Framing, Vec<u8>) {
    let mut ready = Vec::new();
    let header = Header { purpose: Purpose::Backup, store_id, index, created_ms };
    (Framing::begin(&header, &mut ready), ready)
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
