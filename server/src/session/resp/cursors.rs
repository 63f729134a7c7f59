//! Where scans go on. A cursor is a number, as in Redis, while the store is ordered by keys: so the
//! number names a key, the first one that was not given yet, of which the store finds by its fingerprint
//! where it is. Nothing is remembered for that, and no scan forgets another's. Only if that key has gone
//! meanwhile it takes a memory, of the last cursors that were given.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tidekeep_log::Commit;

/// What a cursor is told that leads nowhere: its key and the memory of it have gone, or it is from before
/// a restart. Keys could be missed or given for ever if the scan went on anywhere else.
pub(super) const UNKNOWN: &str = "ERR the cursor is no longer known (its key is gone, or the server was started again): begin the \
     scan with 0 again";

/// Cursors whose keys are remembered, of up to a kibibyte each.
const CURSORS_MAX: usize = 4096;

/// Cursors, below 2^53 + 1: as much as a JavaScript number holds.
#[derive(Debug)]
pub(crate) struct Cursors {
    veil: Veil,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How many were given.
    count: u64,
    /// The key of each, and the count when it was last given.
    keys: HashMap<u64, (u64, Vec<u8>)>,
    /// The last ones that were given with the count of each, oldest first.
    order: VecDeque<(u64, u64)>,
}

impl Cursors {
    /// Cursors under a secret.
    pub(crate) fn new(secret: u128) -> Self {
        Self { veil: Veil(secret), kept: Mutex::default() }
    }

    /// The cursor of a scan that goes on at a key.
    pub(super) fn keep(&self, key: &[u8], commit: &dyn Commit) -> u64 {
        let cursor = self.veil.cover(commit.fingerprint(key)) + 1;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(cursor, key);
        cursor
    }

    /// The key at which a cursor goes on, if that is known.
    pub(super) fn start(&self, cursor: u64, commit: &dyn Commit) -> Option<Vec<u8>> {
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, key)) = kept.keys.get(&cursor) {
                return Some(key.clone());
            }
        }
        let covered = cursor.checked_sub(1).filter(|covered| covered >> BITS == 0)?;
        match &commit.with_fingerprint(self.veil.uncover(covered))[..] {
            [entry] => Some(entry.key().to_vec()),
            _ => None,
        }
    }
}

impl Kept {
    fn keep(&mut self, cursor: u64, key: &[u8]) {
        self.count += 1;
        self.keys.insert(cursor, (self.count, key.to_vec()));
        self.order.push_back((cursor, self.count));
        if self.order.len() > CURSORS_MAX
            && let Some((oldest, count)) = self.order.pop_front()
            && self.keys.get(&oldest).is_some_and(|(last, _)| *last == count)
        {
            self.keys.remove(&oldest);
        }
    }
}

/// Hides fingerprints, since whoever sees hashes can choose keys that meet in one place: a Feistel
/// network of two unlike halves.
#[derive(Debug)]
struct Veil(u128);

const BITS: u32 = LOW_BITS + HIGH_BITS;
const LOW_BITS: u32 = 27;
const HIGH_BITS: u32 = 26;
const ROUNDS: u32 = 3;

impl Veil {
    fn cover(&self, number: u64) -> u64 {
        let (mut high, mut low) = halves(number);
        for round in 0..ROUNDS {
            high ^= self.mixed(2 * round, low) & mask(HIGH_BITS);
            low ^= self.mixed(2 * round + 1, high) & mask(LOW_BITS);
        }
        high << LOW_BITS | low
    }

    fn uncover(&self, number: u64) -> u64 {
        let (mut high, mut low) = halves(number);
        for round in (0..ROUNDS).rev() {
            low ^= self.mixed(2 * round + 1, high) & mask(LOW_BITS);
            high ^= self.mixed(2 * round, low) & mask(HIGH_BITS);
        }
        high << LOW_BITS | low
    }

    /// A number that follows from another and the secret, by a multiplication that is folded.
    fn mixed(&self, round: u32, half: u64) -> u64 {
        let secret = self.0.rotate_left(19 * round);
        let wide = u128::from(half ^ secret as u64) * u128::from((secret >> 64) as u64 | 1);
        (wide >> 64) as u64 ^ wide as u64
    }
}

fn halves(number: u64) -> (u64, u64) {
    (number >> LOW_BITS, number & mask(LOW_BITS))
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered_is_found_again_and_looks_like_nothing_else() {
        let veil = Veil(0x0123_4567_89AB_CDEF_1122_3344_5566_7788);
        for number in [0, 1, 2, 1 << 40, (1 << BITS) - 1] {
            let covered = veil.cover(number);
            assert!(covered < 1 << BITS && covered != number, "{number}");
            assert_eq!(veil.uncover(covered), number);
        }
        assert!((veil.cover(1) ^ veil.cover(2)).count_ones() > 10);
        assert_ne!(Veil(5).cover(7), veil.cover(7));
    }

    #[test]
    fn the_last_cursors_are_remembered_and_no_more() {
        let mut kept = Kept::default();
        kept.keep(1, b"one");
        for cursor in 2..=CURSORS_MAX as u64 {
            kept.keep(cursor, b"other");
        }
        kept.keep(1, b"one");
        for _ in 0..CURSORS_MAX / 2 {
            kept.keep(7, b"seven");
        }
        assert_eq!(kept.keys.get(&1).map(|(_, key)| &key[..]), Some(&b"one"[..]));
        assert!(!kept.keys.contains_key(&2));
        assert!(kept.keys.len() <= CURSORS_MAX && kept.order.len() == CURSORS_MAX);
    }
}
