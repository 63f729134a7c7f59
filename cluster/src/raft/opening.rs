//! What a node's log holds, group by group, as it is read at a start. A store that ran alone left records and
//! snapshots of its own in the same log: they are the first group's state from before the node was of a
//! cluster, which [`Opened::adopt`] makes it the first member of.
//!
//! ```text
//! | records of a store alone | Promise, Adopted | items of the first group …                    one group
//! | records of a store alone | Divided          | items of all groups …                         several
//! ```
//! One record says that its keys are several groups' from then on. The parts are not written: whoever reads the log
//! divides what came before once more, until a snapshot of the groups takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tidekeep_log::{BoxError, OpenError, ReplicaOptions};
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::link::PeerAddress;
use crate::placement::NodeId;
use crate::raft::item::{Divided, Installed, Item};
use crate::raft::journal::Journal;
use crate::raft::recovered::Recovered;
use crate::raft::types::{LeaderId, LogId, Membership, Promise};

/// The group that a store that ran alone becomes.
const FIRST_GROUP: u32 = GroupId(0).0 as u32;

/// Records below begin with the version of a store that runs alone; items begin with their kind.
const KINDS: u8 = 0x80;

/// Where the state of a store that ran alone is in its group's order: at its beginning.
const FIRST_PLACE: u64 = 1;

/// A log that was opened, and what it holds of each group.
pub struct Opened {
    /// The log.
    pub journal: Arc<Journal>,
    pub(crate) recovered: Mutex<BTreeMap<u32, Recovered>>,
    pub(super) runs: AtomicBool,
    alone: bool,
}

/// What was read so far.
pub(super) struct Reading<'r> {
    replica: &'r ReplicaOptions,
    groups: BTreeMap<u32, Recovered>,
    /// Of a snapshot that a store wrote that ran alone.
    chunks: Vec<Vec<u8>>,
    /// Whether the log holds such a store, and no group has adopted it.
    alone: bool,
}

impl<'r> Reading<'r> {
    pub(super) fn new(replica: &'r ReplicaOptions) -> Self {
        Self { replica, groups: BTreeMap::new(), chunks: Vec::new(), alone: false }
    }

    /// Takes in a chunk of the snapshot that the log begins with.
    pub(super) fn chunk(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        // Of such a store only the first says what it is.
        let alone = !self.chunks.is_empty() || self.groups.is_empty() && is_of_one_alone(chunk);
        match alone {
            true => self.chunks.push(chunk.to_vec()),
            false => self.item(None, chunk)?,
        }
        Ok(())
    }

    /// Takes in what the snapshot was, if it was one of a store that ran alone.
    fn chunks_end(&mut self) -> Result<(), BoxError> {
        let chunks = std::mem::take(&mut self.chunks);
        if chunks.is_empty() {
            return Ok(());
        }
        self.alone = true;
        self.group(FIRST_GROUP)?.replica.install(chunks.iter().map(Vec::as_slice))
    }

    /// Takes in the log's next record.
    pub(super) fn record(&mut self, index: u64, record: &[u8]) -> Result<(), BoxError> {
        self.chunks_end()?;
        if !is_of_one_alone(record) {
            return self.item(Some(index), record);
        }
        if !self.alone && !self.groups.is_empty() {
            return Err("a record of a store that runs alone follows those of a cluster's".into());
        }
        self.alone = true;
        self.group(FIRST_GROUP)?.replica.apply(record)?;
        Ok(())
    }

    fn item(&mut self, index: Option<u64>, bytes: &[u8]) -> Result<(), BoxError> {
        let (group, item) = Item::decode(bytes)?;
        match item {
            // A snapshot that has this record may have the group anew, from behind it.
            Item::Forgotten if self.groups.get(&group).is_some_and(|it| !it.has(index)) => {
                self.groups.remove(&group);
                Ok(())
            }
            Item::Forgotten => Ok(()),
            Item::Divided(_) if self.groups.get(&group).is_some_and(|it| it.has(index)) => Ok(()),
            Item::Divided(divided) => {
                self.alone = false;
                divide(&mut self.groups, self.replica, &divided)
            }
            item => {
                self.alone &= !matches!(item, Item::Adopted(_));
                self.group(group)?.take(index, item)
            }
        }
    }

    fn group(&mut self, group: u32) -> Result<&mut Recovered, OpenError> {
        Ok(match self.groups.entry(group) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(Recovered::new(self.replica)?)
            }
        })
    }

    /// What was found; `last` is the log's last record.
    pub(super) fn end(mut self, last: u64) -> Result<Found, OpenError> {
        let file = "the newest snapshot".to_owned();
        self.chunks_end().map_err(|source| OpenError::Replay { file, index: last, source })?;
        self.groups.retain(|_, group| !group.is_unborn());
        Ok(Found { groups: self.groups, alone: self.alone })
    }
}

/// What a log holds.
pub(super) struct Found {
    groups: BTreeMap<u32, Recovered>,
    alone: bool,
}

impl Found {
    /// The groups.
    pub(super) fn groups(&self) -> BTreeSet<u32> {
        self.groups.keys().copied().collect()
    }

    /// The groups of which the snapshot had more than the log: what was on its way to the disk when the
    /// snapshot was made, and was lost. Records that get these places now are new.
    pub(super) fn ahead(&self, last: u64) -> impl Iterator<Item = u32> {
        let ahead = self.groups.iter().filter(move |(_, group)| group.captured > last);
        ahead.map(|(&group, _)| group)
    }
}

/// Makes several groups of the first one, which is a store that ran alone. If it fails, nothing is changed.
fn divide(
    groups: &mut BTreeMap<u32, Recovered>,
    options: &ReplicaOptions,
    divided: &Divided,
) -> Result<(), BoxError> {
    let count = GroupCount::new(divided.groups).ok_or("it is divided into no number of groups")?;
    let whole = groups.get(&FIRST_GROUP).ok_or("there is no store that could be divided")?;
    let parts = whole.replica.divide(count, options)?;
    let begin = |replica| Recovered::divided(options, replica, divided);
    let parts = parts.into_iter().map(begin).collect::<Result<Vec<_>, _>>()?;
    for (group, part) in count.groups().zip(parts) {
        groups.insert(u32::from(group.0), part);
    }
    Ok(())
}

fn is_of_one_alone(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|&first| first < KINDS)
}

impl Opened {
    pub(super) fn new(journal: Arc<Journal>, found: Found) -> Self {
        let (recovered, runs) = (Mutex::new(found.groups), AtomicBool::new(false));
        Self { journal, recovered, runs, alone: found.alone }
    }

    /// The groups that the log holds something of and that no member was started for.
    pub fn groups(&self) -> Vec<u32> {
        self.recovered.lock().keys().copied().collect()
    }

    /// Whether the log holds the data of a store that ran alone and was not adopted.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Makes what a store that ran alone has left the state of so many groups, each with the keys of its slots,
    /// and this node their only member. One record says so, and a start before that is on disk finds the store
    /// as it was. Where there is no such store, nothing is done.
    ///
    /// # Errors
    /// There is no memory for several groups beside the one; nothing was done.
    pub fn adopt(&self, node: NodeId, at: PeerAddress, into: GroupCount) -> Result<(), OpenError> {
        let mut groups = self.recovered.lock();
        let alone = groups.get_mut(&FIRST_GROUP).filter(|_| self.alone);
        let Some(group) = alone.filter(|group| group.installed.applied.is_none()) else {
            return Ok(());
        };
        let leader = LeaderId { term: FIRST_PLACE, node_id: node };
        let place = LogId::new(leader, FIRST_PLACE);
        let voters = vec![BTreeSet::from([node])];
        let members = openraft::Membership::new(voters, BTreeMap::from([(node, at)]));
        let Ok(members) = members else { unreachable!("its only member is among its nodes") };
        let installed =
            Installed { applied: Some(place), membership: Membership::new(Some(place), members) };
        let promise = Promise::new(leader.term, node);
        let items = match into {
            GroupCount::ONE => {
                group.promise = Some(promise);
                group.installed = installed.clone();
                vec![Item::Promise(promise), Item::Adopted(installed)]
            }
            into => {
                let divided = Divided { groups: into.get(), promise, installed };
                let failed = |source| OpenError::Replay {
                    file: "the store that ran alone".into(),
                    index: self.journal.last(),
                    source,
                };
                divide(&mut groups, self.journal.replica_options(), &divided).map_err(failed)?;
                vec![Item::Divided(divided)]
            }
        };
        let records = items.iter().map(|item| item.encode(FIRST_GROUP)).collect();
        // A failure of the log ends the node, whoever is told.
        self.journal.append(records, Box::new(|_| ()));
        Ok(())
    }
}
