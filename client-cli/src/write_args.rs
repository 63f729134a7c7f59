//! The options that writes share: what must hold of the key before, and when it ends after.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use tidekeep_client::{Condition, Expiry};

use crate::failure::Failure;
use crate::input::Reading;
use crate::time::{duration, moment_ms, whole_ms};

/// What must hold of a key for the write to happen.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub(crate) struct ConditionArgs {
    /// Only if the key does not exist
    #[arg(long, help_heading = "Conditions (else exit code 3)")]
    if_absent: bool,
    /// Only if the key exists
    #[arg(long, help_heading = "Conditions (else exit code 3)")]
    if_present: bool,
    /// Only if the key was last written at this revision
    #[arg(long, value_name = "N", help_heading = "Conditions (else exit code 3)")]
    if_revision: Option<u64>,
    /// Only if the key's value is exactly this (- and @file work too)
    #[arg(
        long,
        value_name = "VALUE",
        allow_hyphen_values = true,
        help_heading = "Conditions (else exit code 3)"
    )]
    if_value: Option<OsString>,
}

impl ConditionArgs {
    /// Reads what the condition needs.
    pub(crate) fn read(&self, reading: Reading) -> Result<Condition, Failure> {
        Ok(match (self.if_absent, self.if_present, self.if_revision, &self.if_value) {
            (true, ..) => Condition::Absent,
            (_, true, ..) => Condition::Present,
            (_, _, Some(revision), _) => Condition::Revision(revision),
            (_, _, _, Some(value)) => Condition::Value(reading.value(value)?.into()),
            _ => Condition::Always,
        })
    }
}

/// When the key ends.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub(crate) struct ExpiryArgs {
    /// The key ends this long after the write: 500ms, 10s, 5m, 2h, 1d
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Lifetime")]
    ttl: Option<Duration>,
    /// The key ends at this moment: 2030-01-31T12:00:00Z, or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment_ms, help_heading = "Lifetime")]
    expires_at: Option<u64>,
    /// The key goes with this lease, see `tidekeep lease --help`
    #[arg(long, value_name = "LEASE", help_heading = "Lifetime")]
    lease: Option<u64>,
}

impl ExpiryArgs {
    /// The end that was asked for, if any was.
    pub(crate) fn given(&self) -> Option<Expiry> {
        let ends = self.ttl.map(whole_ms).map(Expiry::After).or(self.expires_at.map(Expiry::At));
        ends.or(self.lease.map(Expiry::Lease))
    }
}
