//! Who keeps all keys of a group as they are for a moment: a backup, which cuts every group while it holds them
//! all. A hold ends by the group's own time, so one that was left behind is in nobody's way for long.
//!
//! ```text
//! Hold ─▶ no write, no end of a time, no new part of a transaction ─┬─▶ Release
//!                                                                   └─▶ its time is over
//! ```
//! Parts that were prepared before it are done or given up as ever: when none is left, the state stands still.
//! Reads go on.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::step::{Lock, TxnId};

/// A hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The group's revision when it began. A copy of it that comes late, after its end, has another one, or
    /// nothing was changed in between.
    pub since: u64,
    /// When it ends at the latest, in milliseconds since 1970.
    pub until_ms: u64,
}

/// Whose hold seals a group that has been split: no session has this name.
const SEAL: [u8; 16] = [0xFF; 16];

/// What a group was split into, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// How many groups have its keys.
    pub groups: u16,
    /// The entry of the group's order that split it.
    pub index: u64,
}

/// All holds.
#[derive(Debug, Default)]
pub(crate) struct Holds(BTreeMap<TxnId, Held>);

impl Holds {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TxnId, Held)> {
        self.0.iter().map(|(id, held)| (*id, *held))
    }

    /// The hold of this name, if its time is not over.
    pub(crate) fn get(&self, id: &TxnId, now_ms: u64) -> Option<Held> {
        self.0.get(id).copied().filter(|held| held.until_ms > now_ms)
    }

    /// Begins a hold that never ends; its name says what it is.
    pub(crate) fn seal(&mut self, seal: Seal) {
        let (sequence, attempt) = (seal.groups.into(), seal.index);
        let id = TxnId { session: SEAL, sequence, attempt };
        self.0.insert(id, Held { since: 0, until_ms: u64::MAX });
    }

    /// What the group was split into, if it was.
    pub(crate) fn sealed(&self) -> Option<Seal> {
        let id = self.0.keys().next_back().filter(|id| id.session == SEAL)?;
        Some(Seal { groups: u16::try_from(id.sequence).ok()?, index: id.attempt })
    }

    /// Whether anybody holds the keys.
    pub(crate) fn is_held(&self, now_ms: u64) -> bool {
        self.0.values().any(|held| held.until_ms > now_ms)
    }

    /// What those meet who would write. It is of no age: it ends by itself, and nobody need see to it.
    pub(crate) fn lock(&self, now_ms: u64) -> Option<Lock> {
        let (id, held) = self.iter().find(|(_, held)| held.until_ms > now_ms)?;
        Some(Lock { txn: id, home: 0, deadline_ms: held.until_ms, age_ms: 0 })
    }

    /// Begins a hold, unless it has begun; whether it is new.
    pub(crate) fn begin(&mut self, id: TxnId, held: Held) -> bool {
        let is_new = !self.0.contains_key(&id);
        self.0.entry(id).or_insert(held);
        is_new
    }

    pub(crate) fn end(&mut self, id: &TxnId) {
        self.0.remove(id);
    }

    /// Forgets those whose time is over.
    pub(crate) fn forget(&mut self, now_ms: u64) {
        self.0.retain(|_, held| held.until_ms > now_ms);
    }
}
