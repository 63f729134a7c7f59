//! One fast hash for two uses: with a secret seed it spreads keys over shards, with a fixed one it
//! makes the digest that tells whether two states are equal. No proof against malice by itself.

/// Odd, with as many ones as zeros, so that multiplying by it mixes well.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number that depends on every bit of `bytes` and of `seed`, the same on every machine.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = fold(seed ^ MULTIPLIER, bytes.len() as u64 ^ MULTIPLIER);
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), MULTIPLIER);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(hash ^ u64::from_le_bytes(last), seed ^ MULTIPLIER.rotate_left(32))
}

/// The product's halves together: every bit of it depends on the bits of both factors.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide >> 64) as u64 ^ wide as u64
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_digest_of_a_state_is_the_same_for_ever() {
        assert_eq!(hash(0, b""), 0x6E63_4BD7_B7AF_2B36);
        assert_eq!(hash(0, b"a longer run of bytes"), 0);
    }

    #[test]
    fn lengths_seeds_and_single_bits_make_a_difference() {
        let mut seen = BTreeSet::new();
        for seed in 0..4 {
            for len in 0..40 {
                let mut bytes: Vec<u8> = alloc::vec![0; len];
                assert!(seen.insert(hash(seed, &bytes)));
                for at in 0..len {
                    bytes[at] = 1;
                    assert!(seen.insert(hash(seed, &bytes)));
                    bytes[at] = 0;
                }
            }
        }
    }
}
