//! `lease_grant`: makes a lease, which keys can go with: when it ends, they go together.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};
use crate::limits::{Bounded, LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, Limits};

/// Makes a lease that ends `ttl_ms` after it was granted or last kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// How long it lives, in milliseconds.
    pub ttl_ms: u64,
}

/// A lease as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReply {
    /// The write's own revision.
    pub revision: u64,
    /// The lease: the revision that granted it, so later ones are greater.
    pub lease: u64,
    /// How long it lives after each keep-alive, in milliseconds.
    pub ttl_ms: u64,
    /// When it ends unless it is kept alive, in milliseconds since the Unix epoch.
    pub expires_at: u64,
}

impl Bounded for LeaseGrant {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        if (LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX).contains(&self.ttl_ms) {
            return Ok(());
        }
        Err(Refusal::new(Code::InvalidInput, "a lease lives from 200 milliseconds to 30 days"))
    }
}
