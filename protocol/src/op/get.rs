//! `get`: one entry by its key.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::entry::Stored;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Asks for the entry of `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
}

/// The entry, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetReply<'a> {
    /// The group's revision at which this was read.
    pub revision: u64,
    /// The entry; none when the key is absent or expired.
    #[serde(borrow)]
    pub entry: Option<Stored<'a>>,
}

impl GetReply<'_> {
    /// Appends the body, as [`codec::encode`] does, which takes several times as long.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let value = self.entry.as_ref().map_or(&[][..], |stored| stored.value);
        codec::append(out, value, |head| {
            head.number(self.revision);
            let Some(Stored { meta, value }) = &self.entry else { return head.option(None) };
            head.number(1);
            head.number(meta.created);
            head.number(meta.modified);
            head.number(meta.version);
            head.option(meta.expires_at);
            head.option(meta.lease);
            head.number(value.len() as u64);
        });
    }
}

impl Bounded for Get<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Meta;

    fn encoded(reply: &GetReply<'_>) -> Vec<u8> {
        let mut out = b"before".to_vec();
        reply.encode(&mut out);
        out
    }

    fn by_serde(reply: &GetReply<'_>) -> Vec<u8> {
        let mut out = b"before".to_vec();
        codec::encode(reply, &mut out);
        out
    }

    fn reply(numbers: [u64; 4], ends: [Option<u64>; 2], value: &[u8]) -> GetReply<'_> {
        let [revision, created, modified, version] = numbers;
        let [expires_at, lease] = ends;
        let meta = Meta { created, modified, version, expires_at, lease };
        GetReply { revision, entry: Some(Stored { meta, value }) }
    }

    #[test]
    fn numbers_of_every_length_are_written_as_serde_writes_them() {
        for bits in 0..=64 {
            for number in [(1_u128 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                let Ok(number) = u64::try_from(number) else { continue };
                let none = GetReply { revision: number, entry: None };
                assert_eq!(encoded(&none), by_serde(&none), "{number:#x}");
                let all = reply([number; 4], [Some(number); 2], b"value");
                assert_eq!(encoded(&all), by_serde(&all), "{number:#x}");
            }
        }
    }

    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(number, by)| number >> by)
    }

    proptest! {
        #[test]
        fn every_reply_is_written_as_serde_writes_it(
            numbers in [number(), number(), number(), number()],
            ends in [proptest::option::of(number()), proptest::option::of(number())],
            value in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let reply = reply(numbers, ends, &value);
            prop_assert_eq!(encoded(&reply), by_serde(&reply));
        }
    }
}
