//! Bounds that both ends know: the server states them in its welcome, the client checks them before
//! it sends, the server checks them again on what arrives.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};
use crate::plain::Reader;

/// The latest time and the longest duration of an expiry, in milliseconds: 142,000 years. A time
/// that is this much after now is still below 2^53, so a JavaScript number holds it.
pub const EXPIRY_MS_MAX: u64 = 1 << 52;

/// The shortest time that a lease can live, in milliseconds: less could not be kept alive over a
/// network.
pub const LEASE_TTL_MS_MIN: u64 = 200;

/// The longest time that a lease can live without being kept alive, in milliseconds: 30 days.
pub const LEASE_TTL_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// The most keys that can go with one lease: they are removed as one write.
pub const LEASE_KEYS_MAX: usize = 16_384;

/// The bounds of one connection. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest key.
    pub key_bytes: u32,
    /// Longest value.
    pub value_bytes: u32,
    /// Longest frame that a client may send, its length field left out.
    pub frame_bytes: u32,
    /// Longest body that the server puts into one frame; longer replies come in chunks.
    pub chunk_bytes: u32,
    /// Longest WebSocket message, in either direction, unless it is a single longer frame.
    pub message_bytes: u32,
    /// Longest body that the chunks of one reply add up to.
    pub reply_bytes: u32,
    /// Most requests of one connection that may wait for their replies.
    pub in_flight: u32,
    /// Most watches of one connection.
    pub watches: u32,
    /// Most entries in one page of a scan.
    pub scan_entries: u32,
    /// Most comparisons and operations, both branches counted, in one transaction.
    pub txn_operations: u32,
}

impl Limits {
    /// What a server offers unless it is told otherwise.
    pub const DEFAULT: Self = Self {
        key_bytes: 1024,
        value_bytes: 1 << 20,
        frame_bytes: 4 << 20,
        chunk_bytes: 64 << 10,
        message_bytes: 64 << 10,
        reply_bytes: 8 << 20,
        in_flight: 4096,
        watches: 1024,
        scan_entries: 10_000,
        txn_operations: 512,
    };

    /// The longest frame before the handshake is done, whatever the limits are.
    pub const HANDSHAKE_FRAME_BYTES: u32 = 4096;

    /// Reads the limits within a welcome.
    pub fn read(from: &mut Reader<'_>) -> Self {
        let mut numbers = [0; 10];
        for number in &mut numbers {
            *number = from.small();
        }
        let [key_bytes, value_bytes, frame_bytes, chunk_bytes, message_bytes, rest @ ..] = numbers;
        let [reply_bytes, in_flight, watches, scan_entries, txn_operations] = rest;
        Self {
            key_bytes,
            value_bytes,
            frame_bytes,
            chunk_bytes,
            message_bytes,
            reply_bytes,
            in_flight,
            watches,
            scan_entries,
            txn_operations,
        }
    }

    /// Refuses a key that is empty or too long.
    pub fn check_key(&self, key: &[u8]) -> Result<(), Refusal> {
        if key.is_empty() {
            return Err(Refusal::new(Code::InvalidInput, "a key has at least one byte"));
        }
        if key.len() > self.key_bytes as usize {
            return Err(too_large("the key is longer than the server allows"));
        }
        Ok(())
    }

    /// Refuses a value that is too long.
    pub fn check_value(&self, value: &[u8]) -> Result<(), Refusal> {
        if value.len() > self.value_bytes as usize && !crate::planted::is_awake("limit-not-counted")
        {
            return Err(too_large("the value is longer than the server allows"));
        }
        Ok(())
    }

    /// Refuses a bound of a range that is too long. It may be the longest key's successor, which is
    /// one byte longer than that key.
    pub fn check_bound(&self, bound: &[u8]) -> Result<(), Refusal> {
        if bound.len() > self.key_bytes as usize + 1 {
            return Err(too_large("a bound of the range is longer than the server allows"));
        }
        Ok(())
    }

    /// Refuses a page of more entries than the server gives at once.
    pub fn check_page(&self, limit: u32) -> Result<(), Refusal> {
        if limit > self.scan_entries {
            return Err(too_large("the page has more entries than the server allows"));
        }
        Ok(())
    }

    /// Refuses a transaction of more comparisons and operations than the server takes.
    pub fn check_parts(&self, parts: usize) -> Result<(), Refusal> {
        if parts > self.txn_operations as usize {
            return Err(too_large("the transaction has more parts than the server allows"));
        }
        Ok(())
    }
}

/// What can be held against the limits of a connection before anything is done with it: both ends
/// ask the same code.
pub trait Bounded {
    /// Refuses what is over a limit (`too-large`) or makes no sense whatever the store holds
    /// (`invalid-input`).
    fn check(&self, limits: &Limits) -> Result<(), Refusal>;
}

fn too_large(message: &'static str) -> Refusal {
    Refusal::new(Code::TooLarge, message)
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::condition::{Condition, Expiry};
    use crate::op::{
        Children, Delete, DeleteRange, Get, Increment, Order, Projection, Put, Request, Scan,
        Status, Touch, Txn, TxnOp,
    };
    use crate::range::Range;

    const SMALL: Limits =
        Limits { key_bytes: 4, value_bytes: 8, scan_entries: 10, txn_operations: 3, ..DEFAULT };
    const DEFAULT: Limits = Limits::DEFAULT;

    fn refused(request: &Request<'_>) -> Option<Code> {
        request.check(&SMALL).err().map(|refusal| refusal.code)
    }

    fn put<'a>(
        key: &'a [u8],
        value: &'a [u8],
        condition: Condition<'a>,
        expiry: Expiry,
    ) -> Put<'a> {
        Put { key, value, condition, expiry, previous: false }
    }

    #[test]
    fn what_is_at_a_limit_passes_and_what_is_over_it_does_not() {
        let get = |key| refused(&Request::Get(Get { key }));
        assert_eq!(get(b"abcd"), None);
        assert_eq!(get(b"abcde"), Some(Code::TooLarge));
        assert_eq!(get(b""), Some(Code::InvalidInput));

        let with =
            |value, condition, expiry| refused(&Request::Put(put(b"k", value, condition, expiry)));
        assert_eq!(with(b"12345678", Condition::Value(b"12345678"), Expiry::Never), None);
        assert_eq!(with(b"123456789", Condition::Always, Expiry::Never), Some(Code::TooLarge));
        assert_eq!(with(b"", Condition::Value(b"123456789"), Expiry::Keep), Some(Code::TooLarge));
        assert_eq!(with(b"", Condition::Absent, Expiry::After(EXPIRY_MS_MAX)), None);
        assert_eq!(
            with(b"", Condition::Present, Expiry::At(EXPIRY_MS_MAX + 1)),
            Some(Code::InvalidInput)
        );
    }

    #[test]
    fn every_write_looks_at_its_key_condition_and_expiry() {
        let never = Expiry::After(u64::MAX);
        let long = Condition::Value(b"123456789");
        let always = Condition::Always;
        let requests = [
            Request::Delete(Delete { key: b"", condition: always, previous: false }),
            Request::Delete(Delete { key: b"k", condition: long, previous: false }),
            Request::Touch(Touch { key: b"", expiry: Expiry::Keep, condition: always }),
            Request::Touch(Touch { key: b"k", expiry: never, condition: always }),
            Request::Touch(Touch { key: b"k", expiry: Expiry::Keep, condition: long }),
            Request::Increment(Increment { key: b"", by: 1, expiry: Expiry::Keep }),
            Request::Increment(Increment { key: b"k", by: 1, expiry: never }),
        ];
        for request in requests {
            assert!(refused(&request).is_some(), "{request:?}");
        }
        assert_eq!(refused(&Request::Status(Status)), None);
    }

    #[test]
    fn bounds_may_be_the_successor_of_the_longest_key() {
        let delete = |end| {
            let range = Range { start: b"", end: Some(end) };
            refused(&Request::DeleteRange(DeleteRange { range, limit: 0 }))
        };
        assert_eq!(delete(b"abcd\0"), None);
        assert_eq!(delete(b"abcd\0\0"), Some(Code::TooLarge));
    }

    #[test]
    fn a_page_has_a_limit_and_a_count_has_none() {
        let scan = |limit, projection| {
            let (range, order) = (Range::default(), Order::Ascending);
            refused(&Request::Scan(Scan { range, limit, bytes: 0, order, projection }))
        };
        assert_eq!(scan(10, Projection::Full), None);
        assert_eq!(scan(11, Projection::Keys), Some(Code::TooLarge));
        assert_eq!(scan(11, Projection::Count), None);
        let children = |delimiter, limit| {
            let children = Children { prefix: b"", delimiter, after: None, limit };
            refused(&Request::Children(children))
        };
        assert_eq!(children(b"/", 10), None);
        assert_eq!(children(b"/", 11), Some(Code::TooLarge));
        assert_eq!(children(b"", 10), Some(Code::InvalidInput));
    }

    #[test]
    fn a_transaction_counts_both_branches_and_looks_into_them() {
        let txn = |then: Vec<TxnOp<'static>>, otherwise: Vec<TxnOp<'static>>| {
            let compares = vec![crate::op::Compare { key: b"k", condition: Condition::Absent }];
            refused(&Request::Txn(Txn { compares, then, otherwise }))
        };
        let get = TxnOp::Get(Get { key: b"k" });
        assert_eq!(txn(vec![get], vec![get]), None);
        assert_eq!(txn(vec![get, get], vec![get]), Some(Code::TooLarge));
        assert_eq!(txn(vec![], vec![TxnOp::Get(Get { key: b"" })]), Some(Code::InvalidInput));
    }
}
