//! What a node asks of one that has a replica of a group, to follow it.
//!
//! ```text
//! request: | FORWARD + FOLLOW + group u32 | postcard: Ask |    reply: postcard: Told
//! ```

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tidekeep_log::{Change, Entry};
use tidekeep_protocol::codec;
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::history;
use tidekeep_store::step::TxnId;

use crate::link::Lane;
use crate::replicated::FORWARD;

/// Marks, beside [`FORWARD`], what is asked in order to follow a group. Its number is in the bits below.
pub(crate) const FOLLOW: u32 = 0x4000_0000;

/// What is asked of a node that has a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Which revision is the newest.
    Newest,
    /// The changes after a revision, of about `bytes`; if there is none, the next one within `wait_ms`.
    Changes { after: u64, bytes: u32, wait_ms: u32 },
    /// A cut of a range.
    View { start: ByteBuf, end: Option<ByteBuf> },
    /// The entries of a cut behind those before; pages are numbered from 0.
    Page { view: u64, number: u32 },
    /// A cut of everything, for a backup: while these keys are held, if they are.
    Portion { hold: Option<TxnId> },
    /// The next piece of it; they are numbered from 0. The last one may be asked for again.
    Piece { portion: u64, number: u32 },
    /// More of it will be asked for.
    Keep { portion: u64 },
    /// No more of it will be asked for.
    Drop { portion: u64 },
    /// How many keys there are.
    Keys,
    /// Some key, chosen by a number.
    Sample { random: u64 },
    /// Behind which revision the changes are remembered.
    Oldest,
}

/// A piece of a cut for a backup. They come in this order: its sum, what is no entry, its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Piece {
    /// It is being summed up.
    Summing,
    /// What it adds up to: a head as a snapshot has it.
    Head(ByteBuf),
    /// A chunk of answers to numbered writes.
    Sessions(ByteBuf),
    /// A chunk of leases.
    Leases(ByteBuf),
    /// The entries come next.
    Tables,
    /// Chunks of entries; none at the end.
    Entries(Vec<ByteBuf>),
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// It has no replica, or none that can be asked now.
    NotHere,
    /// It has forgotten these changes.
    TooOld,
    /// The newest revision.
    Newest(u64),
    /// Changes, in chunks as a snapshot has them, and the revision of the last one.
    Changes { chunks: Vec<ByteBuf>, last: u64 },
    /// A cut was made.
    View { view: u64, revision: u64 },
    /// Packed entries, in the order of keys; none at the end.
    Page(Vec<ByteBuf>),
    /// It keeps no such cut any more, or is at another page.
    Gone,
    /// A cut was made for a backup, of about so many bytes.
    Portion { portion: u64, estimate: u64 },
    /// The keys are not held.
    NotHeld,
    /// What is under way there is to end first.
    Busy,
    /// A piece of a cut.
    Piece(Piece),
    /// It is kept, or let go.
    Noted,
    /// So many keys are there.
    Keys(u64),
    /// Some key, if there is one.
    Sample(Option<ByteBuf>),
    /// The revision before the oldest change that is remembered.
    Oldest(u64),
}

impl Ask {
    pub(super) fn view(range: &KeyRange) -> Self {
        let (start, end) = (range.start.clone(), range.end.clone());
        Self::View { start: ByteBuf::from(start), end: end.map(ByteBuf::from) }
    }

    /// How it travels: what is long must not be in the way of what is waited for.
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::Newest
            | Self::Oldest
            | Self::Changes { .. }
            | Self::View { .. }
            | Self::Portion { .. }
            | Self::Keys
            | Self::Sample { .. } => Lane::Entries,
            Self::Page { .. } | Self::Piece { .. } | Self::Keep { .. } | Self::Drop { .. } => {
                Lane::Snapshots
            }
        }
    }

    /// The request's bytes.
    pub(crate) fn encode(&self, group: u32) -> Vec<u8> {
        let mut out = (FORWARD | FOLLOW | group).to_le_bytes().to_vec();
        codec::encode(self, &mut out);
        out
    }

    pub(super) fn decode(request: &[u8]) -> Option<Self> {
        codec::decode(request.get(4..)?).ok()
    }
}

impl Told {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(self, &mut out);
        out
    }

    pub(crate) fn decode(reply: &[u8]) -> Option<Self> {
        codec::decode(reply).ok()
    }

    /// Some changes, those after a revision.
    pub(super) fn changes(changes: &[Change], after: u64) -> Self {
        let mut chunks = Vec::new();
        let Ok(()) = history::write(changes, |chunk| {
            chunks.push(ByteBuf::from(chunk.to_vec()));
            Ok::<(), Infallible>(())
        });
        let last = changes.last().map_or(after, |change| change.revision);
        Self::Changes { chunks, last }
    }
}

/// The changes in these chunks, after one revision and up to another; none if they are others.
pub(super) fn changes_of(chunks: &[ByteBuf], after: u64, last: u64) -> Option<Vec<Change>> {
    let mut reader = history::Reader::new(usize::MAX);
    chunks.iter().try_for_each(|chunk| reader.read(chunk))?;
    let changes: Vec<Change> = reader.into_recent(last)?.all(last).changes().collect();
    let first = changes.first().map_or(last + 1, |first| first.revision);
    (first == after + 1).then_some(changes)
}

/// The entries of a page; none if they are none.
pub(super) fn entries_of(page: &[ByteBuf]) -> Option<Vec<Entry>> {
    let mut scratch = Vec::new();
    page.iter().map(|entry| Entry::unpack(entry, &mut scratch)).collect()
}

/// The page of these entries.
pub(super) fn page_of(entries: &[Entry]) -> Told {
    let pack = |entry: &Entry| {
        let mut bytes = Vec::with_capacity(entry.packed_len());
        entry.pack(&mut bytes);
        ByteBuf::from(bytes)
    };
    Told::Page(entries.iter().map(pack).collect())
}
