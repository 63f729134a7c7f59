//! The sum over entries that tells whether two states are the same. It is reckoned for a whole store
//! when a snapshot is made or loaded, so some entries are summed beside each other: each step of one
//! sum waits for the step before.

use alloc::vec::Vec;

use crate::entry::Entry;

/// Sums that go on beside each other.
const LANES: usize = 8;

const BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// A sum over packed bytes that does not depend on the order in which they come.
pub(crate) fn digest<'a>(mut entries: impl Iterator<Item = &'a Entry>) -> u64 {
    let mut packed: [Vec<u8>; LANES] = [const { Vec::new() }; LANES];
    let mut sum: u64 = 0;
    loop {
        let mut taken = [const { None }; LANES];
        let mut count = 0;
        for (place, entry) in taken.iter_mut().zip(entries.by_ref()) {
            *place = Some(entry);
            count += 1;
        }
        // Memory that is far away is looked at side by side, too.
        let near = taken.iter().flatten().fold(0, |sum, entry| sum ^ entry.look());
        core::hint::black_box(near);
        for (bytes, entry) in packed.iter_mut().zip(taken.iter().flatten()) {
            bytes.clear();
            entry.pack(bytes);
        }
        if count < LANES {
            return packed[..count].iter().fold(sum, |sum, bytes| sum.wrapping_add(fnv(bytes)));
        }
        let all = fnv_all(&packed);
        sum = all.into_iter().fold(sum, u64::wrapping_add);
    }
}

/// FNV-1a: equal states have equal sums, and a sum is no proof against malice.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    go_on(BASIS, bytes)
}

fn go_on(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| step(hash, byte))
}

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(PRIME)
}

/// [`fnv`] of each, side by side for as long as all of them have bytes.
fn fnv_all(all: &[Vec<u8>; LANES]) -> [u64; LANES] {
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let fronts: [&[u8]; LANES] = core::array::from_fn(|lane| &all[lane][..shortest]);
    let mut hashes = [BASIS; LANES];
    for at in 0..shortest {
        for (hash, front) in hashes.iter_mut().zip(fronts) {
            *hash = step(*hash, front[at]);
        }
    }
    core::array::from_fn(|lane| go_on(hashes[lane], &all[lane][shortest..]))
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::entry::Meta;

    use super::*;

    #[test]
    fn side_by_side_the_sum_is_that_of_each_alone() {
        let entry = |number: u64| {
            let (key, value) = (number.to_be_bytes(), [7; 40]);
            let meta = Meta {
                created: number,
                modified: number + 1,
                version: 2,
                expires_at: None,
                lease: None,
            };
            let length = (number * 13 % 40) as usize;
            Entry::new(&key, &value[..length], meta, &mut Vec::new())
        };
        let entries: Vec<Entry> = (0..3 * LANES as u64 + 5).map(entry).collect();
        for count in 0..entries.len() {
            let alone = entries[..count].iter().fold(0_u64, |sum, entry| {
                let mut packed = Vec::new();
                entry.pack(&mut packed);
                sum.wrapping_add(fnv(&packed))
            });
            assert_eq!(digest(entries[..count].iter()), alone);
        }
        // As every snapshot so far has it.
        assert_eq!(fnv(b"foobar"), 0x8594_4171_F739_67E8);
    }
}
