//! A frozen cut of a range: leaves that were shared at one revision, read at leisure while writes go
//! on beside it. Feeds a watch's first content and snapshots.

use alloc::vec::Vec;

use tidekeep_protocol::range::{KeyRange, successor};
use triomphe::Arc;

use crate::digest::digest;
use crate::entry::Entry;
use crate::leaf::{self, Leaf};
use crate::merge::{Direction, merge};
use crate::moment::Moment;
use crate::shard::Shard;

/// Leaves of one piece of long work.
const PIECE_LEAVES: usize = 32;

/// What a range held at one revision.
#[derive(Debug)]
pub struct View {
    revision: u64,
    moment: Moment,
    range: KeyRange,
    runs: Vec<Vec<Arc<Leaf>>>,
}

impl View {
    /// Freezes `range`; the caller holds all shards, so that no write is half inside.
    pub fn freeze<'a>(
        shards: impl IntoIterator<Item = &'a Shard>,
        range: &KeyRange,
        moment: Moment,
        revision: u64,
    ) -> Self {
        let runs = shards.into_iter().map(|shard| shard.freeze(range.as_range())).collect();
        Self { revision, moment, range: range.clone(), runs }
    }

    /// The revision of the cut.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Memory that the view takes for itself, in bytes: its bounds and its row of leaves. What the
    /// leaves hold is shared with the store.
    pub fn held_bytes(&self) -> usize {
        let bounds = self.range.start.capacity() + self.range.end.as_ref().map_or(0, Vec::capacity);
        let leaves: usize = self.runs.iter().map(Vec::capacity).sum();
        let runs = self.runs.capacity() * size_of::<Vec<Arc<Leaf>>>();
        bounds + runs + leaves * size_of::<Arc<Leaf>>()
    }

    /// The next entries behind the key `after`, in key order: at most `entries` of them, of `bytes`
    /// in sum, but at least one; empty at the end. Entries whose time was over when the cut was made
    /// are left out.
    pub fn page(&self, after: Option<&[u8]>, entries: usize, bytes: usize) -> Vec<Entry> {
        let mut range = self.range.clone();
        if let Some(after) = after {
            range.start = range.start.max(successor(after));
        }
        let range = range.as_range();
        let runs = self.runs.iter().map(|run| leaf::ascending(&run[..], range));
        let mut page = Vec::new();
        let mut taken = 0;
        for entry in merge(runs, Direction::Ascending).filter(|entry| !self.moment.is_over(entry)) {
            taken += entry.packed_len();
            let full = page.len() >= entries || taken > bytes;
            if full && !page.is_empty() {
                break;
            }
            page.push(entry.clone());
        }
        page
    }

    /// The entries of a part of the cut, in the order of [`Self::entries`]; none behind the last part.
    /// Parts are small, and numbered from 0.
    pub fn part(&self, number: usize) -> Option<impl Iterator<Item = &Entry>> {
        let mut number = number;
        for run in &self.runs {
            match run.get(number..=number) {
                Some(part) => return Some(leaf::ascending(part, self.range.as_range())),
                None => number -= run.len(),
            }
        }
        None
    }

    /// A sum over the packed bytes of [`Self::entries`]: of everything, that of the shards' digests.
    /// After each piece of the work, which is a fraction of a millisecond, `between` is called.
    pub fn digest(&self, mut between: impl FnMut()) -> u64 {
        let range = self.range.as_range();
        let pieces = self.runs.iter().flat_map(|run| run.chunks(PIECE_LEAVES));
        pieces.fold(0, |sum: u64, piece| {
            let sum = sum.wrapping_add(digest(leaf::ascending(piece, range)));
            between();
            sum
        })
    }

    /// The same sum over a part alone; none behind the last part. That of everything is the sum of the parts'.
    pub fn digest_of_part(&self, number: usize) -> Option<u64> {
        self.part(number).map(digest)
    }

    /// Every entry, shard by shard, those included whose time is over and who wait for their expire
    /// command.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let range = self.range.as_range();
        self.runs.iter().flat_map(move |run| leaf::ascending(&run[..], range))
    }
}
