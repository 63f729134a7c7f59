//! What a group keeps beside its entries. Commands read and change it as they do entries, and it is
//! saved with them.

use alloc::vec::Vec;

use crate::intents::Intents;
use crate::leases::{Leases, PackedLease};
use crate::sessions::Sessions;

/// The state that is no entry.
#[derive(Debug, Default)]
pub struct Tables {
    /// What clients wrote under numbers, and the answers.
    pub sessions: Sessions,
    /// What clients keep alive, and the keys that go with it.
    pub leases: Leases,
    /// Parts of transactions over several groups.
    pub intents: Intents,
}

/// The tables as a snapshot keeps them, apart from what goes on with them.
#[derive(Debug, Clone, Default)]
pub struct SavedTables {
    /// What clients wrote under numbers, and the answers.
    pub sessions: Sessions,
    /// The leases; their keys are found from the entries.
    pub leases: Vec<PackedLease>,
    /// The rows of [`Intents`].
    pub intents: Vec<Vec<u8>>,
}

impl Tables {
    /// What they cost in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.sessions.bytes() + self.leases.bytes() + self.intents.bytes()
    }

    /// What a snapshot keeps of them.
    pub fn save(&self) -> SavedTables {
        let (sessions, leases) = (self.sessions.clone(), self.leases.packed());
        SavedTables { sessions, leases, intents: self.intents.packed() }
    }
}
