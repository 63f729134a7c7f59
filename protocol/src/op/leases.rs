//! `leases`: the leases there are, in the order in which they were granted.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Asks for a page of leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// The last lease of the page before; 0 for the first page.
    pub after: u64,
    /// Most leases in the page; 0 leaves it to the server.
    pub limit: u32,
}

/// One page of leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasesReply {
    /// The group's revision at which the page was read.
    pub revision: u64,
    /// Whether there are leases behind this page.
    pub more: bool,
    /// The leases, oldest first.
    pub leases: Vec<Lease>,
}

/// A lease as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The lease.
    pub lease: u64,
    /// How long it lives after each keep-alive, in milliseconds.
    pub ttl_ms: u64,
    /// When it ends unless it is kept alive, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// How many keys go with it.
    pub keys: u64,
}

impl Bounded for Leases {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_page(self.limit)
    }
}
