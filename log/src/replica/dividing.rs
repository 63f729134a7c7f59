//! A replica's state in parts, each of which is the beginning of a group: what a store of one group becomes that is
//! to have several. The same state gives the same parts, wherever and however often it is divided.

use std::convert::Infallible;

use tidekeep_protocol::slot::{GroupCount, slot_of};
use tidekeep_store::entry::Entry;
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::tables::SavedTables;

use crate::error::BoxError;
use crate::group::Cut;
use crate::replica::{Replica, ReplicaOptions};

/// Bytes that all parts together may remember of clients' numbered writes, about.
const SESSIONS_BYTES: usize = 64 << 20;

impl Replica {
    /// A part of the state for each of so many groups: the keys of its slots. Time, revision and leases are the same
    /// in all, and so is what is remembered of numbered writes, since nobody knows any more whose keys they
    /// were about; as much of it as all can hold.
    ///
    /// # Errors
    /// There is no memory for the parts.
    pub fn divide(
        &self,
        groups: GroupCount,
        options: &ReplicaOptions,
    ) -> Result<Vec<Self>, BoxError> {
        let Cut { head, tables, view, .. } = self.group.cut();
        let SavedTables { mut sessions, leases, .. } = tables;
        sessions.shrink(SESSIONS_BYTES / usize::from(groups.get()));
        let head = Head {
            sessions: sessions.len() as u64,
            forgotten_ms: sessions.forgotten_ms(),
            intents: 0,
            ..head
        };
        let tables = SavedTables { sessions, leases, intents: Vec::new() };
        let mut parts = vec![Vec::new(); usize::from(groups.get())];
        for entry in view.entries() {
            let group = groups.group_of(slot_of(entry.key()));
            parts[usize::from(group.0)].push(entry.clone());
        }
        let part = |entries: Vec<Entry>| {
            let (keys, digest) = (entries.len() as u64, snapshot::digest(&entries));
            let mut chunks = vec![Head { keys, digest, ..head }.encode()];
            let mut add = |chunk: &[u8]| {
                chunks.push(chunk.to_vec());
                Ok::<(), Infallible>(())
            };
            let Ok(()) = snapshot::write_tables(&tables, &mut add);
            let Ok(()) = snapshot::write_entries(&entries, &mut add);
            let part = Self::new(options)?;
            part.install(chunks.iter().map(Vec::as_slice))?;
            Ok(part)
        };
        parts.into_iter().map(part).collect()
    }
}
