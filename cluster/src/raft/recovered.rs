//! What a node's log holds of a group, on its way from the disk: the state of the newest snapshot, then
//! the items behind it, each done to the group as it was the first time.

use std::collections::VecDeque;

use tidekeep_log::{BoxError, OpenError, Replica, ReplicaOptions};

use crate::raft::item::{Born, Divided, Given, Installed, Item};
use crate::raft::types::{Entry, Promise};

/// A group as it is after the items so far.
pub(crate) struct Recovered {
    pub(crate) promise: Option<Promise>,
    /// Behind `installed.applied`, without a gap.
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) installed: Installed,
    pub(crate) replica: Replica,
    /// How it began, if the group has given it to the node.
    pub(crate) given: Option<Given>,
    /// Of a chunk that is coming.
    piece: Vec<u8>,
    /// Of a state that is coming.
    chunks: Vec<Vec<u8>>,
    /// Items up to this record of the log are in the snapshot that it began with.
    pub(super) captured: u64,
}

impl Recovered {
    pub(crate) fn new(replica: &ReplicaOptions) -> Result<Self, OpenError> {
        Ok(Self {
            promise: None,
            entries: VecDeque::new(),
            installed: Installed::default(),
            replica: Replica::new(replica)?,
            given: None,
            piece: Vec::new(),
            chunks: Vec::new(),
            captured: 0,
        })
    }

    /// A group that begins with a part of another one's state.
    pub(crate) fn divided(
        options: &ReplicaOptions,
        replica: Replica,
        divided: &Divided,
    ) -> Result<Self, OpenError> {
        let (promise, installed) = (Some(divided.promise), divided.installed.clone());
        Ok(Self { promise, installed, replica, ..Self::new(options)? })
    }

    /// A group that another one was split into, with its part of the state.
    pub(crate) fn born(
        options: &ReplicaOptions,
        replica: Replica,
        born: &Born,
    ) -> Result<Self, OpenError> {
        let (promise, installed) = (Some(born.promise), born.installed.clone());
        Ok(Self { promise, installed, replica, ..Self::new(options)? })
    }

    /// A replica that its group gives to the node now.
    pub(crate) fn given(options: &ReplicaOptions, given: Given) -> Result<Self, OpenError> {
        Ok(Self { promise: Some(given.promise), given: Some(given), ..Self::new(options)? })
    }

    /// Whether there is nothing of it but a state that ended in the middle: its birth is to be done again.
    pub(super) fn is_unborn(&self) -> bool {
        let begun = !self.chunks.is_empty() || !self.piece.is_empty();
        let nothing = self.promise.is_none() && self.installed.applied.is_none();
        begun && nothing && self.entries.is_empty()
    }

    /// Whether the snapshot that it began with has what this record of the log did.
    pub(crate) fn has(&self, index: Option<u64>) -> bool {
        index.is_some_and(|index| index <= self.captured)
    }

    /// Takes in the next item: of the log, with its record's index, or of a snapshot.
    pub(crate) fn take(&mut self, index: Option<u64>, item: Item) -> Result<(), BoxError> {
        match item {
            Item::Captured(captured) => self.captured = captured,
            _ if self.has(index) => {}
            Item::Promise(promise) => self.promise = Some(promise),
            Item::Coming => {
                // One before may have ended in the middle, with the node.
                self.piece.clear();
                self.chunks.clear();
            }
            Item::Piece(piece) => self.piece.extend(piece),
            Item::Chunk(last) => {
                let mut chunk = std::mem::take(&mut self.piece);
                chunk.extend(last);
                self.chunks.push(chunk);
            }
            Item::Installed(installed) => self.install(installed)?,
            Item::Born(Born { promise, installed }) => {
                self.install(installed)?;
                self.promise.get_or_insert(promise);
            }
            Item::Given(given) => {
                self.given = Some(given);
                self.promise.get_or_insert(given.promise);
            }
            // The replica has what was there before the cluster.
            Item::Adopted(installed) => self.installed = installed,
            Item::Truncate(last) => {
                let stays = last.map_or(0, |last| last + 1);
                self.entries.retain(|entry| entry.log_id.index < stays);
            }
            Item::Entry(entry) => self.push(entry)?,
            // Of groups as a whole: whoever keeps the groups has done it.
            Item::Forgotten | Item::Divided(_) => {}
        }
        Ok(())
    }

    /// Takes over the state that has come, if it is newer.
    fn install(&mut self, installed: Installed) -> Result<(), BoxError> {
        let chunks = std::mem::take(&mut self.chunks);
        if installed.applied > self.installed.applied {
            self.replica.install(chunks.iter().map(Vec::as_slice))?;
            self.installed = installed;
            let applied = self.applied();
            self.entries.retain(|entry| entry.log_id.index > applied);
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<(), BoxError> {
        let index = entry.log_id.index;
        if self.installed.applied.is_some_and(|applied| index <= applied.index) {
            return Ok(());
        }
        let next = match self.entries.back() {
            Some(last) => last.log_id.index + 1,
            None => self.installed.applied.map_or(0, |applied| applied.index + 1),
        };
        if index != next {
            return Err(format!("a group's entry {index} follows entry {next} missing").into());
        }
        self.entries.push_back(entry);
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.installed.applied.map_or(0, |applied| applied.index)
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::placement::NodeId;
    use crate::raft::types::{LeaderId, LogId, Payload, Proposal};

    fn recovered() -> Recovered {
        Recovered::new(&ReplicaOptions::new(1)).unwrap()
    }

    fn entry(index: u64) -> Entry {
        let log_id = LogId::new(LeaderId { term: 1, node_id: NodeId(1) }, index);
        Entry { log_id, payload: Payload::Normal(Proposal::new(Vec::new())) }
    }

    fn indexes(recovered: &Recovered) -> Vec<u64> {
        recovered.entries.iter().map(|entry| entry.log_id.index).collect()
    }

    fn state() -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let replica = Replica::new(&ReplicaOptions::new(2)).unwrap();
        let Ok(()) = replica.freeze().write(|chunk| {
            chunks.push(chunk.to_vec());
            Ok::<_, std::convert::Infallible>(())
        });
        chunks
    }

    fn installed(index: u64) -> Item {
        Item::Installed(Installed { applied: Some(entry(index).log_id), ..Installed::default() })
    }

    #[test]
    fn entries_follow_each_other_and_give_way() {
        let mut recovered = recovered();
        for index in 0..5 {
            recovered.take(Some(index + 1), Item::Entry(entry(index))).unwrap();
        }
        assert!(recovered.take(Some(9), Item::Entry(entry(6))).is_err(), "5 is missing");
        recovered.take(Some(6), Item::Truncate(Some(2))).unwrap();
        recovered.take(Some(7), Item::Entry(entry(3))).unwrap();
        assert_eq!(indexes(&recovered), [0, 1, 2, 3]);
        recovered.take(Some(8), Item::Truncate(None)).unwrap();
        assert_eq!(indexes(&recovered), [0; 0]);
    }

    #[test]
    fn what_a_snapshot_has_is_not_done_again() {
        let mut recovered = recovered();
        recovered.take(None, Item::Captured(10)).unwrap();
        recovered.take(None, Item::Entry(entry(0))).unwrap();
        recovered.take(Some(10), Item::Truncate(None)).unwrap();
        assert_eq!(indexes(&recovered), [0]);
        recovered.take(Some(11), Item::Entry(entry(1))).unwrap();
        assert_eq!(indexes(&recovered), [0, 1]);
    }

    #[test]
    fn a_state_that_ended_in_the_middle_is_nothing() {
        let mut recovered = recovered();
        let chunks = state();
        recovered.take(Some(1), Item::Coming).unwrap();
        recovered.take(Some(2), Item::Chunk(chunks[0].clone())).unwrap();
        recovered.take(Some(3), Item::Piece(b"half of".to_vec())).unwrap();
        recovered.take(Some(4), Item::Coming).unwrap();
        for chunk in &chunks {
            let (piece, rest) = chunk.split_at(chunk.len() / 2);
            recovered.take(Some(5), Item::Piece(piece.to_vec())).unwrap();
            recovered.take(Some(6), Item::Chunk(rest.to_vec())).unwrap();
        }
        recovered.take(Some(7), installed(4)).unwrap();
        assert_eq!(recovered.installed.applied, Some(entry(4).log_id));
        // Entries that the state has are passed over.
        recovered.take(Some(8), Item::Entry(entry(4))).unwrap();
        recovered.take(Some(9), Item::Entry(entry(5))).unwrap();
        assert_eq!(indexes(&recovered), [5]);
    }
}
