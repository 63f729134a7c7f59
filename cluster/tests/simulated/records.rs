//! Records of single writes, as a group orders them.

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
    record::begin(Stamp { now_ms: 1, revision: 0 }, &mut record);
    record::push_decoded(write, &mut record);
    record
}
