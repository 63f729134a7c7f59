//! `lease_keep_alive`: gives a lease its whole time again.

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Moves the end of `lease` to its time to live after now. Refused with `not-found` when there is
/// no such lease, or its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseKeepAlive {
    /// The lease.
    pub lease: u64,
}

impl Bounded for LeaseKeepAlive {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        Ok(())
    }
}
