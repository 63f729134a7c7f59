//! Records of single writes, as a group orders them.

use openraft::Instant;
use openraft_rt_sim::SimInstant;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Put, Request};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

/// The record of a put without a number.
pub(crate) fn put_of(key: &str, value: &[u8]) -> Vec<u8> {
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    let put = Put { key: key.as_bytes(), value, condition, expiry, previous: false };
    record_of(&Request::Put(put))
}

/// The record of a write without a number.
pub(crate) fn record_of(write: &Request<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    // Whoever leads next goes on from it.
    let passed = SimInstant::now().elapsed_since_start();
    let now_ms = 1_700_000_000_000 + passed.as_millis() as u64;
    record::begin(Stamp { now_ms, revision: 0 }, &mut record);
    record::push_decoded(write, &mut record);
    record
}
