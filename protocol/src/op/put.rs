//! `put`: sets a key's value, if its condition holds.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};
use crate::condition::{Condition, Expiry};
use crate::entry::Stored;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Sets `key` to `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// The new value.
    #[serde(borrow, with = "serde_bytes")]
    pub value: &'a [u8],
    /// What must hold of the key before.
    #[serde(borrow)]
    pub condition: Condition<'a>,
    /// When the key ends.
    pub expiry: Expiry,
    /// Whether the reply shall bear the entry that was replaced.
    pub previous: bool,
}

impl<'a> Put<'a> {
    /// Whether it has no condition, makes an entry without an end, and asks for nothing back: what
    /// nearly every put is.
    pub fn is_plain(&self) -> bool {
        matches!((&self.condition, self.expiry), (Condition::Always, Expiry::Never))
            && !self.previous
    }

    /// Appends the body, as [`codec::encode`] does, which takes several times as long for a plain put.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if !self.is_plain() {
            return codec::encode(self, out);
        }
        for bytes in [self.key, self.value] {
            codec::append(out, bytes, |head| head.number(bytes.len() as u64));
        }
        out.extend_from_slice(PLAIN);
    }

    /// Reads a body, as [`codec::decode`] does, which takes several times as long for a plain put.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        if let Some((key, rest)) = codec::short_bytes(body)
            && let Some((value, PLAIN)) = codec::short_bytes(rest)
        {
            let (condition, expiry) = (Condition::Always, Expiry::Never);
            return Ok(Self { key, value, condition, expiry, previous: false });
        }
        codec::decode(body)
    }
}

/// What follows key and value of a plain put: no condition, no end, nothing back.
const PLAIN: &[u8] = &[0; 3];

/// What a put or a delete did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReply<'a> {
    /// Applied: the write's own revision. Otherwise: the group's revision at which it was decided.
    pub revision: u64,
    /// Whether it applied.
    pub status: WriteStatus,
    /// Applied: the entry before, if it was asked for. Refused: the entry that stood in the way.
    #[serde(borrow)]
    pub entry: Option<Stored<'a>>,
}

impl WriteReply<'_> {
    /// Appends the body, as [`codec::encode`] does, which takes several times as long where no entry is
    /// given back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.entry.is_some() {
            return codec::encode(self, out);
        }
        codec::append(out, &[], |head| {
            head.number(self.revision);
            head.number(self.status as u64);
            head.option(None);
        });
    }
}

/// Whether a write applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteStatus {
    /// It did; the entry is as the request says.
    Applied,
    /// There was nothing to change: the key is absent.
    NotFound,
    /// Its condition did not hold; nothing changed.
    Refused,
}

impl Bounded for Put<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)?;
        limits.check_value(self.value)?;
        self.condition.check(limits)?;
        self.expiry.check(limits)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Meta;

    /// Bytes of which the lengths take every number of bytes that they can, and one more or less.
    fn lengths() -> impl Iterator<Item = usize> {
        [0, 7, 14, 21].into_iter().flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])
    }

    #[test]
    fn puts_are_written_as_serde_writes_them() {
        let conditions = [Condition::Always, Condition::Absent, Condition::Value(b"was")];
        let expiries = [Expiry::Never, Expiry::Keep, Expiry::After(300), Expiry::Lease(1 << 40)];
        for length in lengths() {
            let (key, value) = (&vec![7; length][..], &vec![9; length + 1][..]);
            for (condition, expiry) in
                conditions.into_iter().flat_map(|it| expiries.map(|expiry| (it, expiry)))
            {
                for previous in [false, true] {
                    let put = Put { key, value, condition, expiry, previous };
                    let (mut ours, mut serdes) = (b"before".to_vec(), b"before".to_vec());
                    put.encode(&mut ours);
                    codec::encode(&put, &mut serdes);
                    assert!(ours == serdes, "{length}: {condition:?} {expiry:?} {previous}");
                    assert_eq!(Put::decode(&ours[6..]), Ok(put));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_as_serde_reads_it(
            // Lengths in one byte and in more, the shortest of them and not; a zero is taken for a key.
            lengths in vec(prop_oneof![0_u8..3, 0x7F_u8..0x82, any::<u8>()], 1..4),
            zeros in 0_usize..400,
            end in vec(0_u8..2, 0..4),
        ) {
            let body = [lengths, vec![0; zeros], end].concat();
            prop_assert_eq!(Put::decode(&body), codec::decode(&body));
        }
    }

    #[test]
    fn replies_are_written_as_serde_writes_them() {
        let meta = Meta { created: 1, modified: 2, version: 3, expires_at: None, lease: None };
        for revision in (0..64).map(|bits| (1_u64 << bits) - 1).chain([u64::MAX]) {
            for status in [WriteStatus::Applied, WriteStatus::NotFound, WriteStatus::Refused] {
                for entry in [None, Some(Stored { meta, value: b"value" })] {
                    let reply = WriteReply { revision, status, entry };
                    let (mut ours, mut serdes) = (b"before".to_vec(), b"before".to_vec());
                    reply.encode(&mut ours);
                    codec::encode(&reply, &mut serdes);
                    assert_eq!(ours, serdes, "{reply:?}");
                }
            }
        }
    }
}
