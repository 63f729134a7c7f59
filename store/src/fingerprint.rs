//! A key as a number, from which the key is found again while it is there.

use crate::shards::KeyHash;

/// What of a key's hash fits into a JavaScript number: all of it that a shard, a table and a place in a
/// table of up to 2^28 places are chosen by. Two keys of a store of *n* share one by a chance of
/// *n* / 2^53. Like the hash, it is another one in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

const LOW_BITS: u32 = 28;
const HIGH_FROM: u32 = 32;
const HIGH_BITS: u32 = Fingerprint::BITS - LOW_BITS;
const TOP_FROM: u32 = HIGH_FROM + HIGH_BITS;

impl Fingerprint {
    /// How long it is.
    pub const BITS: u32 = 53;

    /// The fingerprint with this number, of which the lowest [`Self::BITS`] count.
    pub fn new(number: u64) -> Self {
        Self(number & mask(Self::BITS))
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The least hash with this fingerprint.
    pub(crate) fn hash(self) -> KeyHash {
        KeyHash((self.0 >> LOW_BITS) << HIGH_FROM | self.0 & mask(LOW_BITS))
    }

    /// All hashes with this fingerprint.
    pub(crate) fn hashes(self) -> impl Iterator<Item = KeyHash> {
        let left_out = u64::BITS - Self::BITS;
        let top_bits = u64::BITS - TOP_FROM;
        (0..1_u64 << left_out).map(move |rest| {
            let (top, middle) = (rest & mask(top_bits), rest >> top_bits);
            KeyHash(self.hash().0 | top << TOP_FROM | middle << LOW_BITS)
        })
    }
}

impl From<KeyHash> for Fingerprint {
    fn from(hash: KeyHash) -> Self {
        let high = hash.0 >> HIGH_FROM & mask(HIGH_BITS);
        Self(high << LOW_BITS | hash.0 & mask(LOW_BITS))
    }
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_fingerprint_has_every_hash_that_it_was_made_of() {
        for hash in [0, u64::MAX, 0x9E37_79B9_7F4A_7C15] {
            let fingerprint = Fingerprint::from(KeyHash(hash));
            assert_eq!(Fingerprint::new(fingerprint.number()), fingerprint);
            let all: BTreeSet<u64> = fingerprint.hashes().map(|hash| hash.0).collect();
            assert_eq!(all.len(), 1 << (u64::BITS - Fingerprint::BITS));
            assert!(all.contains(&hash));
            assert!(all.iter().all(|&it| Fingerprint::from(KeyHash(it)) == fingerprint));
        }
    }
}
