//! `lease_revoke`: ends a lease now, and removes its keys as one write.

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Ends `lease`. Refused with `not-found` when there is no such lease, or its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRevoke {
    /// The lease.
    pub lease: u64,
}

/// How many keys went with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRevokeReply {
    /// The write's own revision.
    pub revision: u64,
    /// Keys removed.
    pub deleted: u64,
}

impl Bounded for LeaseRevoke {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        Ok(())
    }
}
