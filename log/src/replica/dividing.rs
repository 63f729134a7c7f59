//! A replica's state in parts, each of which is the beginning of a group: what a store of one group becomes that is
//! to have several. The same state gives the same parts, wherever and however often it is divided. A group that is
//! divided while it serves is sealed behind that: its state stays as it is for good.

use std::convert::Infallible;

use tidekeep_protocol::slot::{GroupCount, slot_of};
use tidekeep_store::change::Change;
use tidekeep_store::entry::Entry;
use tidekeep_store::few::Few;
use tidekeep_store::history;
use tidekeep_store::holds::Seal;
use tidekeep_store::recent::Run;
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::tables::SavedTables;

use crate::error::BoxError;
use crate::group::Cut;
use crate::replica::{Replica, ReplicaOptions};
use crate::sync::atomic::Ordering;

/// Bytes that all parts together may remember of clients' numbered writes, about.
const SESSIONS_BYTES: usize = 64 << 20;

/// Changes that all parts together go on to remember: each has a place for every one of them, since revisions have
/// no holes.
const CHANGES: u64 = 400_000;

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
        self.dividing(groups).map(|part| part.replica(options)).collect()
    }

    /// The same parts, one after the other, each with what is remembered of the newest changes of its keys.
    pub fn dividing(&self, groups: GroupCount) -> Dividing {
        let cut = self.group.cut();
        let changes = self.group.tail.all(cut.head.revision);
        Dividing::new(cut, changes, groups)
    }

    /// Seals the state: whoever applies records passes over all that come. It is part of the state, so that whoever
    /// is sent it is sealed too.
    pub fn seal(&self, seal: Seal) {
        self.group.order.lock().tables.intents.seal(seal);
        self.sealed.store(true, Ordering::Release);
    }

    /// Whether the state is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// How it was sealed, if it was.
    pub fn seal_of(&self) -> Option<Seal> {
        self.group.order.lock().tables.intents.sealed()
    }
}

/// The parts of a state, each made when it is asked for.
pub struct Dividing {
    groups: GroupCount,
    /// Which part is next.
    next: u16,
    head: Head,
    tables: SavedTables,
    entries: Vec<Vec<Entry>>,
    changes: Run,
    /// The revision behind which changes are kept.
    from: u64,
}

impl Dividing {
    fn new(cut: Cut, changes: Run, groups: GroupCount) -> Self {
        let Cut { head, tables, view, .. } = cut;
        let SavedTables { mut sessions, leases, .. } = tables;
        sessions.shrink(SESSIONS_BYTES / usize::from(groups.get()));
        let head = Head {
            sessions: sessions.len() as u64,
            forgotten_ms: sessions.forgotten_ms(),
            intents: 0,
            ..head
        };
        let tables = SavedTables { sessions, leases, intents: Vec::new() };
        let mut entries = vec![Vec::new(); usize::from(groups.get())];
        for entry in view.entries() {
            let group = groups.group_of(slot_of(entry.key()));
            entries[usize::from(group.0)].push(entry.clone());
        }
        let from = head.revision.saturating_sub(CHANGES / u64::from(groups.get()));
        Self { groups, next: 0, head, tables, entries, changes, from }
    }
}

impl Iterator for Dividing {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let part = self.next;
        let entries = std::mem::take(self.entries.get_mut(usize::from(part))?);
        self.next += 1;
        let (keys, digest) = (entries.len() as u64, snapshot::digest(&entries));
        let mut before = vec![Head { keys, digest, ..self.head }.encode()];
        let Ok(()) = snapshot::write_tables(&self.tables, |chunk| keep(&mut before, chunk));
        let (groups, from) = (self.groups, self.from);
        let is_of_part = |key: &[u8]| groups.group_of(slot_of(key)).0 == part;
        let kept = self.changes.changes().filter(|change| change.revision > from);
        let of_part = kept.map(|change| {
            let mut events = Few::default();
            for event in change.events.iter().filter(|event| is_of_part(event.key())) {
                events.push(event.clone());
            }
            Change { events, ..change }
        });
        let mut behind = Vec::new();
        let Ok(()) = history::write(of_part, |chunk| keep(&mut behind, chunk));
        Some(Part { before, entries, behind })
    }
}

fn keep(chunks: &mut Vec<Vec<u8>>, chunk: &[u8]) -> Result<(), Infallible> {
    chunks.push(chunk.to_vec());
    Ok(())
}

/// A part of a state. It has the entries of the whole, not copies of them.
pub struct Part {
    /// The chunks before the entries.
    before: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// Those behind them, of recent changes.
    behind: Vec<Vec<u8>>,
}

impl Part {
    /// A replica that begins with it.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn replica(&self, options: &ReplicaOptions) -> Result<Replica, BoxError> {
        let replica = Replica::new(options)?;
        replica.replace_state(|state| {
            self.before.iter().try_for_each(|chunk| state.take(chunk))?;
            state.take_entries(self.entries.iter().cloned())?;
            self.behind.iter().try_for_each(|chunk| state.take(chunk))
        })?;
        Ok(replica)
    }

    /// Its chunks, as a frozen state has them.
    pub fn into_chunks(self) -> Vec<Vec<u8>> {
        let Self { before: mut chunks, entries, mut behind } = self;
        let Ok(()) = snapshot::write_entries(&entries, |chunk| keep(&mut chunks, chunk));
        chunks.append(&mut behind);
        chunks
    }
}
