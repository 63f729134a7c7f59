//! What a write may ask of the entry before it applies, and what it asks of the entry's lifetime.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};
use crate::limits::{Bounded, EXPIRY_MS_MAX, Limits};

/// What must hold of a key for a write to apply. An expired key counts as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition<'a> {
    /// No condition.
    #[default]
    Always,
    /// The key must not exist.
    Absent,
    /// The key must exist.
    Present,
    /// The key's last write must be this revision.
    Revision(u64),
    /// The key's value must be exactly these bytes.
    #[serde(borrow)]
    Value(#[serde(with = "serde_bytes")] &'a [u8]),
}

/// What a write does to the time at which the key ends. A key has an end of its own or goes with a
/// lease, never both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// The key does not end by itself.
    #[default]
    Never,
    /// The key keeps the end or the lease it had; a new key gets none.
    Keep,
    /// The key ends this many milliseconds after the write is ordered; 0 ends it at once.
    After(u64),
    /// The key ends at this time, in milliseconds since the Unix epoch.
    At(u64),
    /// The key goes with this lease, when it ends or is revoked. A write that names a lease which is
    /// not there is refused.
    Lease(u64),
}

impl Bounded for Condition<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        match self {
            Self::Always | Self::Absent | Self::Present | Self::Revision(_) => Ok(()),
            Self::Value(value) => limits.check_value(value),
        }
    }
}

impl Bounded for Expiry {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        match self {
            Self::Never | Self::Keep | Self::Lease(_) => Ok(()),
            Self::After(ms) | Self::At(ms) if *ms <= EXPIRY_MS_MAX => Ok(()),
            Self::After(_) | Self::At(_) => {
                Err(Refusal::new(Code::InvalidInput, "an expiry is at most 2^52 milliseconds"))
            }
        }
    }
}
