//! Random numbers for jitter, from the driver's one seed. They spread clients out; nothing secret
//! depends on them.

/// SplitMix64: every seed is good, and 64 bits of state are all there is.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `ceiling`, both included.
    pub(crate) fn up_to(&mut self, ceiling: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let range = u64::from(ceiling) + 1;
        (((mixed >> 32) * range) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_the_range_and_stay_in_it() {
        let mut rng = Rng::new(1);
        let mut seen = [0_u32; 11];
        for _ in 0..11_000 {
            seen[rng.up_to(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 800), "{seen:?}");
        assert_eq!(rng.up_to(0), 0);
        rng.up_to(u32::MAX);
    }
}
