//! The entries of a snapshot on their way into the shards. Where there are many, all cores decode them
//! beside the thread that reads the file, and then lay the shards out.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{Scope, ScopedJoinHandle};

use parking_lot::Mutex;
use tidekeep_store::entry::Entry;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::snapshot;

use crate::error::BoxError;

/// Entries that are worth threads of their own.
pub(crate) const MUCH: usize = 50_000;

/// Chunks that may wait for a thread to decode them.
const QUEUED_MAX: usize = 8;

/// A shard, and the entries that it is to take in.
type Work<'s> = (&'s mut Shard, Vec<Entry>);

/// Entries that no shard has taken in yet.
pub(crate) struct Coming {
    spread: Spread,
    /// By shards.
    entries: Vec<Vec<Entry>>,
    /// Those that go with a lease.
    leased: Vec<Entry>,
}

impl Coming {
    pub(crate) fn new(spread: Spread) -> Self {
        Self { spread, entries: vec![Vec::new(); spread.shards()], leased: Vec::new() }
    }

    /// Takes in the entries of a chunk.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        for entry in snapshot::entries(chunk) {
            self.push(entry.ok_or("an entry in it cannot be read")?);
        }
        Ok(())
    }

    /// Takes in an entry.
    pub(crate) fn push(&mut self, entry: Entry) {
        if entry.lease().is_some() {
            self.leased.push(entry.clone());
        }
        self.entries[self.spread.shard_of(entry.key())].push(entry);
    }

    fn join(&mut self, other: Self) {
        for (entries, mut more) in self.entries.iter_mut().zip(other.entries) {
            entries.append(&mut more);
        }
        self.leased.extend(other.leased);
    }

    /// The entries that go with a lease and were not asked for yet.
    pub(crate) fn take_leased(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.leased)
    }

    /// Lays out the shards of what has come, and gives the sum over all entries. Each shard is one
    /// thread's, as many at a time as there are cores, where this is much work.
    pub(crate) fn lay_out(&mut self, shards: &mut [(usize, Box<Shard>)]) -> u64 {
        let coming = std::mem::take(&mut self.entries);
        let much = coming.iter().map(Vec::len).sum::<usize>() >= MUCH;
        let threads = if much { cores().min(shards.len()) } else { 1 };
        let mut shares: Vec<Vec<Work<'_>>> = (0..threads).map(|_| Vec::new()).collect();
        for (at, (shard, entries)) in shards.iter_mut().zip(coming).enumerate() {
            shares[at % threads].push((&mut *shard.1, entries));
        }
        let lay_out = |share: Vec<Work<'_>>| {
            share.into_iter().fold(0, |sum: u64, (shard, entries)| {
                shard.fill(entries);
                sum.wrapping_add(shard.digest())
            })
        };
        let mine = shares.pop();
        std::thread::scope(|scope| {
            let others: Vec<_> =
                shares.into_iter().map(|share| scope.spawn(move || lay_out(share))).collect();
            let mine = mine.map_or(0, lay_out);
            others.into_iter().map(joined).fold(mine, u64::wrapping_add)
        })
    }
}

/// Threads that decode chunks.
pub(crate) struct Decoders<'scope> {
    queue: SyncSender<Vec<u8>>,
    threads: Vec<ScopedJoinHandle<'scope, Result<Coming, BoxError>>>,
}

impl<'scope> Decoders<'scope> {
    pub(crate) fn start(scope: &'scope Scope<'scope, '_>, spread: Spread) -> Self {
        let (queue, chunks) = mpsc::sync_channel(QUEUED_MAX);
        let chunks = Arc::new(Mutex::new(chunks));
        let threads = (0..cores()).map(|_| {
            let chunks = Arc::clone(&chunks);
            scope.spawn(move || decode(spread, &chunks))
        });
        Self { queue, threads: threads.collect() }
    }

    /// Passes a chunk on. What is wrong with it is told at the end.
    pub(crate) fn take(&self, chunk: &[u8]) -> Result<(), BoxError> {
        Ok(self.queue.send(chunk.to_vec())?)
    }

    /// Everything that was passed on.
    pub(crate) fn finish(self, coming: &mut Coming) -> Result<(), BoxError> {
        drop(self.queue);
        self.threads.into_iter().map(joined).try_for_each(|decoded| {
            coming.join(decoded?);
            Ok(())
        })
    }
}

fn decode(spread: Spread, chunks: &Mutex<Receiver<Vec<u8>>>) -> Result<Coming, BoxError> {
    let (mut coming, mut outcome) = (Coming::new(spread), Ok(()));
    loop {
        // The lock is let go before the chunk is decoded.
        let next = chunks.lock().recv();
        let Ok(chunk) = next else { return outcome.map(|()| coming) };
        // Goes on behind a chunk that cannot be read, so that the reader never waits for nobody.
        if outcome.is_ok() {
            outcome = coming.take(&chunk);
        }
    }
}

/// How many threads have a core each.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What a thread gives when it has ended.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
