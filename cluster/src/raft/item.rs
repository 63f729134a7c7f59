//! What a node's log keeps of its groups: each record of the log is one item of one group. A snapshot of
//! the log is made of the same items.
//!
//! ```text
//! | kind u8 | group u32 | body |    little-endian
//! 0xC1 entry      postcard: openraft's entry
//! 0xC2 promise    postcard: openraft's vote
//! 0xC3 truncate   postcard: the last index that stays, if any
//! 0xC4 coming     nothing: the chunks of a state follow, from its first on
//! 0xC5 piece      of a chunk that is longer than a record may be
//! 0xC6 chunk      of a state that is coming, or the last piece of one
//! 0xC7 installed  postcard: the place and the membership of the state whose chunks came before
//! 0xC8 captured   u64: the last record whose items are in what the snapshot has of the group; in the log:
//!                 records from here on are new, although the snapshot that was read had more than the log
//! 0xC9 forgotten  nothing: the node takes no part in the group any more, and keeps nothing of it
//! 0xCA adopted    postcard: the place and the membership of what a store that ran alone has left here
//! 0xCB divided    postcard: the same, of each of several groups that have its keys from here on
//! 0xCC born       postcard: the place, the membership and the promise that a group begins with which has its
//!                 keys from another one; the chunks of its state came before
//! 0xCD given      postcard: the promise and the place that a replica begins with which the group has given to the
//!                 node: it counts for nothing before it has reached that place
//! ```
//! A record of a store that runs alone begins with its version, which is below 0x80.

use serde::{Deserialize, Serialize};

use crate::raft::types::{Entry, LogId, Membership, Payload, Promise};

const ENTRY: u8 = 0xC1;
const PROMISE: u8 = 0xC2;
const TRUNCATE: u8 = 0xC3;
const COMING: u8 = 0xC4;
const PIECE: u8 = 0xC5;
const CHUNK: u8 = 0xC6;
const INSTALLED: u8 = 0xC7;
const CAPTURED: u8 = 0xC8;
const FORGOTTEN: u8 = 0xC9;
const ADOPTED: u8 = 0xCA;
const DIVIDED: u8 = 0xCB;
const BORN: u8 = 0xCC;
const GIVEN: u8 = 0xCD;

/// Bytes before an item's body.
const HEAD: usize = 5;

/// Where in its group's order a state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    /// The last entry that was applied.
    pub(crate) applied: Option<LogId>,
    /// The membership as of that entry.
    pub(crate) membership: Membership,
}

/// What a store that ran alone was divided into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Divided {
    /// How many groups have its keys from here on.
    pub(crate) groups: u16,
    /// What each of them promises to begin with.
    pub(crate) promise: Promise,
    /// Where in its group's order each part is.
    pub(crate) installed: Installed,
}

/// How a group begins that another one was split into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Born {
    /// What it promises to begin with.
    pub(crate) promise: Promise,
    /// Where in its order its state is.
    pub(crate) installed: Installed,
}

/// How a replica begins that its group has given to the node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// What it promises to begin with, so that it listens to no leader from before.
    pub(crate) promise: Promise,
    /// What was ordered by then: a log that ends there or later has all of it.
    pub(crate) place: LogId,
}

/// One thing to keep of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Entry(Entry),
    Promise(Promise),
    Truncate(Option<u64>),
    Coming,
    Piece(Vec<u8>),
    Chunk(Vec<u8>),
    Installed(Installed),
    Captured(u64),
    Forgotten,
    Adopted(Installed),
    Divided(Divided),
    Born(Born),
    Given(Given),
}

/// Bytes that are no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadItem {
    #[error("a group's record ends in the middle")]
    Cut,
    #[error("a group's record has the unknown kind {0:#04x}")]
    Kind(u8),
    #[error("a group's record of kind {0:#04x} cannot be read")]
    Body(u8),
}

impl Item {
    /// The bytes of a group's item.
    pub(crate) fn encode(&self, group: u32) -> Vec<u8> {
        match self {
            Self::Entry(entry) => encode_entry(group, entry),
            Self::Promise(promise) => encode(PROMISE, group, promise),
            Self::Truncate(last) => encode(TRUNCATE, group, last),
            Self::Coming => head(COMING, group, 0),
            Self::Piece(piece) => encode_bytes(PIECE, group, piece),
            Self::Chunk(chunk) => encode_chunk(group, chunk),
            Self::Installed(installed) => encode(INSTALLED, group, installed),
            Self::Captured(index) => encode(CAPTURED, group, &index.to_le_bytes()),
            Self::Forgotten => head(FORGOTTEN, group, 0),
            Self::Adopted(installed) => encode(ADOPTED, group, installed),
            Self::Divided(divided) => encode(DIVIDED, group, divided),
            Self::Born(born) => encode(BORN, group, born),
            Self::Given(given) => encode(GIVEN, group, given),
        }
    }

    /// Reads an item, and whose it is.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(u32, Self), BadItem> {
        let (&[kind, a, b, c, d], body) = bytes.split_first_chunk::<HEAD>().ok_or(BadItem::Cut)?;
        let item = match kind {
            ENTRY => Self::Entry(decode(kind, body)?),
            PROMISE => Self::Promise(decode(kind, body)?),
            TRUNCATE => Self::Truncate(decode(kind, body)?),
            COMING if body.is_empty() => Self::Coming,
            ADOPTED => Self::Adopted(decode(kind, body)?),
            DIVIDED => Self::Divided(decode(kind, body)?),
            BORN => Self::Born(decode(kind, body)?),
            GIVEN => Self::Given(decode(kind, body)?),
            FORGOTTEN if body.is_empty() => Self::Forgotten,
            COMING | FORGOTTEN => return Err(BadItem::Body(kind)),
            PIECE => Self::Piece(body.to_vec()),
            CHUNK => Self::Chunk(body.to_vec()),
            INSTALLED => Self::Installed(decode(kind, body)?),
            CAPTURED => Self::Captured(u64::from_le_bytes(decode(kind, body)?)),
            _ => return Err(BadItem::Kind(kind)),
        };
        Ok((u32::from_le_bytes([a, b, c, d]), item))
    }
}

/// The bytes of a group's entry.
pub(crate) fn encode_entry(group: u32, entry: &Entry) -> Vec<u8> {
    encode_of(ENTRY, group, entry, BODY_BYTES + record_bytes(entry))
}

/// The bytes of the record that an entry carries.
pub(crate) fn record_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(proposal) => proposal.record.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

/// The bytes of a chunk of a group's state.
pub(crate) fn encode_chunk(group: u32, chunk: &[u8]) -> Vec<u8> {
    encode_bytes(CHUNK, group, chunk)
}

/// The same as records of at most `most` bytes.
pub(crate) fn encode_pieces(group: u32, chunk: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut left = chunk;
    let mut records = Vec::new();
    while left.len() > most - HEAD {
        let (piece, rest) = left.split_at(most - HEAD);
        records.push(encode_bytes(PIECE, group, piece));
        left = rest;
    }
    records.push(encode_chunk(group, left));
    records
}

fn encode_bytes(kind: u8, group: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = head(kind, group, bytes.len());
    out.extend_from_slice(bytes);
    out
}

fn head(kind: u8, group: u32, body_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + body_bytes);
    out.push(kind);
    out.extend_from_slice(&group.to_le_bytes());
    out
}

fn encode(kind: u8, group: u32, body: &impl Serialize) -> Vec<u8> {
    encode_of(kind, group, body, BODY_BYTES)
}

/// The same of a body that takes about so many bytes.
fn encode_of(kind: u8, group: u32, body: &impl Serialize, bytes: usize) -> Vec<u8> {
    let out = head(kind, group, bytes);
    postcard::to_extend(body, out).unwrap_or_else(|_| unreachable!("memory takes any item"))
}

/// What most items' bodies take at least.
const BODY_BYTES: usize = 64;

fn decode<'b, T: Deserialize<'b>>(kind: u8, body: &'b [u8]) -> Result<T, BadItem> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(BadItem::Body(kind)),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::placement::NodeId;
    use crate::raft::types::{LeaderId, Proposal};

    fn items() -> Vec<Item> {
        let applied = LogId::new(LeaderId { term: 3, node_id: NodeId(9) }, 7);
        let payload = Payload::Normal(Proposal::new(b"record".to_vec()));
        vec![
            Item::Entry(Entry { log_id: applied, payload }),
            Item::Entry(Entry { log_id: applied, payload: Payload::Blank }),
            Item::Promise(Promise::new_committed(4, NodeId(2))),
            Item::Truncate(None),
            Item::Truncate(Some(300)),
            Item::Chunk(b"chunk".to_vec()),
            Item::Piece(b"piece".to_vec()),
            Item::Captured(u64::MAX),
            Item::Coming,
            Item::Forgotten,
            Item::Installed(Installed { applied: Some(applied), ..Installed::default() }),
            Item::Adopted(Installed { applied: Some(applied), ..Installed::default() }),
            Item::Divided(Divided {
                groups: 9,
                promise: Promise::new(4, NodeId(1)),
                installed: Installed { applied: Some(applied), ..Installed::default() },
            }),
            Item::Born(Born {
                promise: Promise::new(1, NodeId(1)),
                installed: Installed { applied: Some(applied), ..Installed::default() },
            }),
            Item::Given(Given { promise: Promise::new(3, NodeId(9)), place: applied }),
        ]
    }

    #[test]
    fn bytes_bring_items_back() {
        for item in items() {
            assert_eq!(Item::decode(&item.encode(77)), Ok((77, item)));
        }
    }

    #[test]
    fn what_says_that_a_replica_is_given_is_written_as_it_always_was() {
        let place = LogId::new(LeaderId { term: 3, node_id: NodeId(9) }, 300);
        let given = Given { promise: Promise::new(3, NodeId(9)), place };
        let bytes = [0xCD, 77, 0, 0, 0, 3, 9, 0, 3, 9, 0xAC, 0x02];
        assert_eq!(Item::Given(given).encode(77), bytes);
    }

    #[test]
    fn what_is_cut_or_longer_is_no_item() {
        let whole = |item: &Item| !matches!(item, Item::Chunk(_) | Item::Piece(_));
        for item in items().into_iter().filter(whole) {
            let mut bytes = item.encode(1);
            for end in 0..bytes.len() {
                assert!(Item::decode(&bytes[..end]).is_err(), "{item:?} cut at {end}");
            }
            bytes.push(0);
            assert!(Item::decode(&bytes).is_err(), "{item:?} with a byte more");
        }
        assert_eq!(Item::decode(&[2, 0, 0, 0, 0]), Err(BadItem::Kind(2)));
    }
}
