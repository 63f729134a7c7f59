//! The keys of a run and the values that belong to them: both are functions of a key's number, so
//! every reply can be checked, and a ledger remembers which write of a key was acknowledged last.
//!
//! ```text
//! value: | key 16 | generation, 2 hexadecimal digits | filler, chosen by key and generation |
//! ```

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

/// The shortest value: its key and its generation.
pub const VALUE_BYTES_MIN: usize = KEY_BYTES + 2;

/// Where fillers begin in the pool.
const OFFSETS: usize = 4_096;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The key with this number: sixteen hexadecimal digits, in no order that the numbers have.
pub fn key(number: u32) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for (pair, byte) in key.chunks_exact_mut(2).zip(scattered(number).to_be_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    key
}

/// SplitMix64's last steps: no two numbers have the same result.
fn scattered(number: u32) -> u64 {
    let mut bits = u64::from(number).wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Makes and knows values of one length.
pub struct Values {
    value_bytes: usize,
    pool: Vec<u8>,
}

impl Values {
    /// Values of `value_bytes`, which is at least [`VALUE_BYTES_MIN`].
    pub fn new(value_bytes: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(0x71DE);
        let pool = (0..OFFSETS + value_bytes).map(|_| random.u8(b' '..=b'~')).collect();
        Self { value_bytes: value_bytes.max(VALUE_BYTES_MIN), pool }
    }

    /// The length of each.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Appends the value that write `generation` gives to key `number`.
    pub fn write(&self, out: &mut Vec<u8>, key: &[u8; KEY_BYTES], number: u32, generation: u8) {
        out.extend_from_slice(key);
        let (high, low) = (usize::from(generation >> 4), usize::from(generation & 15));
        out.extend_from_slice(&[DIGITS[high], DIGITS[low]]);
        out.extend_from_slice(self.filler(number, generation));
    }

    /// The generation of the write that gave `value` to key `number`; none when no write did.
    pub fn generation(&self, value: &[u8], number: u32) -> Option<u8> {
        let (head, filler) = value.split_at_checked(VALUE_BYTES_MIN)?;
        let (of_key, digits) = head.split_at(KEY_BYTES);
        let digit = |at: usize| DIGITS.iter().position(|digit| *digit == digits[at]);
        let generation = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        let fits = of_key == key(number) && filler == self.filler(number, generation);
        fits.then_some(generation)
    }

    fn filler(&self, number: u32, generation: u8) -> &[u8] {
        let offset = (number as usize * 31 + usize::from(generation) * 577) % OFFSETS;
        &self.pool[offset..offset + self.value_bytes - VALUE_BYTES_MIN]
    }
}

/// For each key the generation of its last acknowledged write; 0 for a key that has none.
pub struct Ledger {
    first: u32,
    generations: Vec<u8>,
}

impl Ledger {
    /// Of `keys` keys from number `first` on, none of which was written.
    pub fn new(first: u32, keys: u32) -> Self {
        Self { first, generations: vec![0; keys as usize] }
    }

    /// As an earlier run left it; new when there is no file.
    pub fn load(path: &Path, first: u32, keys: u32) -> io::Result<Self> {
        let generations = match fs::read(path) {
            Ok(generations) => generations,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::new(first, keys));
            }
            Err(error) => return Err(error),
        };
        if generations.len() != keys as usize {
            let kept = generations.len();
            let text = format!("the ledger is of {kept} keys, this run of {keys}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { first, generations })
    }

    /// For the next run over the same keys.
    pub fn keep(&self, path: &Path) -> io::Result<()> {
        fs::write(path, &self.generations)
    }

    /// The last acknowledged generation of a key.
    pub fn generation(&self, number: u32) -> u8 {
        self.generations[(number - self.first) as usize]
    }

    /// Notes that a write of a key was acknowledged.
    pub fn acknowledge(&mut self, number: u32, generation: u8) {
        self.generations[(number - self.first) as usize] = generation;
    }

    /// How many keys have a value.
    pub fn written(&self) -> usize {
        self.generations.iter().filter(|generation| **generation != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_are_distinct_and_printable() {
        let keys: HashSet<_> = (0..100_000).map(key).collect();
        assert_eq!(keys.len(), 100_000);
        assert!(keys.iter().flatten().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn a_value_belongs_to_one_key_and_one_write() {
        let values = Values::new(64);
        let mut value = Vec::new();
        values.write(&mut value, &key(7), 7, 0xA3);
        assert_eq!(value.len(), 64);
        assert_eq!(values.generation(&value, 7), Some(0xA3));
        assert_eq!(values.generation(&value, 8), None);
        assert_eq!(values.generation(&value[..63], 7), None);
        for at in [0, 17, 18, 63] {
            let mut other = value.clone();
            other[at] ^= 1;
            assert_eq!(values.generation(&other, 7), None, "byte {at} is not looked at");
        }
    }

    #[test]
    fn a_ledger_lives_through_a_file() {
        let path = std::env::temp_dir().join(format!("tidekeep-ledger-{}", std::process::id()));
        let mut ledger = Ledger::load(&path, 100, 10).unwrap();
        ledger.acknowledge(103, 2);
        ledger.keep(&path).unwrap();
        let again = Ledger::load(&path, 100, 10).unwrap();
        assert_eq!((again.generation(103), again.generation(104), again.written()), (2, 0, 1));
        assert!(Ledger::load(&path, 100, 11).is_err());
        fs::remove_file(&path).unwrap();
    }
}
