//! Sorts the entries of a snapshot for the layout of a shard. Their memory is scattered, so what keys
//! begin with is laid beside the pointers: the comparisons of a merge then stay in few lines of memory.

use alloc::vec::Vec;

use crate::entry::Entry;

/// Sorts by key. What comes in a few sorted runs, as from a snapshot, is merged.
pub(crate) fn sort(entries: Vec<Entry>) -> Vec<Entry> {
    let skip = common(&entries);
    let beginning = |entry: Entry| (beginning(entry.key(), skip), entry);
    let mut sorted: Vec<(u64, Entry)> = entries.into_iter().map(beginning).collect();
    sorted.sort_by(|(one, entry), (other, than)| {
        one.cmp(other).then_with(|| entry.key().cmp(than.key()))
    });
    sorted.into_iter().map(|(_, entry)| entry).collect()
}

/// How many bytes all keys begin with alike.
fn common(entries: &[Entry]) -> usize {
    let first = entries.first().map_or(&[][..], Entry::key);
    entries.iter().fold(first.len(), |alike, entry| {
        let known = &first[..alike];
        if entry.key().starts_with(known) {
            return alike;
        }
        known.iter().zip(entry.key()).take_while(|(one, other)| one == other).count()
    })
}

/// Eight bytes of a key as a number that orders alike; zeros behind its end.
fn beginning(key: &[u8], skip: usize) -> u64 {
    let rest = &key[skip..];
    let mut bytes = [0; size_of::<u64>()];
    let known = rest.len().min(bytes.len());
    bytes[..known].copy_from_slice(&rest[..known]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::entry::Meta;

    use super::*;

    #[test]
    fn whatever_keys_begin_with_they_are_sorted() {
        let meta = Meta { created: 1, modified: 1, version: 1, expires_at: None, lease: None };
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for stem in [&b""[..], b"\0", b"key", b"key-long-stem-", b"key-long-stem-\0", b"\xff"] {
            for end in [&b"\0"[..], b"\0\0", b"a", b"aaaaaaaa", b"aaaaaaaab", b"aaaaaaaaa"] {
                keys.push([stem, end].concat());
            }
        }
        // Those of one stem, too, so that there is something to skip.
        for from in [0, 18] {
            let scattered = (0..keys.len() - from).map(|at| at * 7 % (keys.len() - from) + from);
            let entry = |at: usize| Entry::new(&keys[at], b"", meta, &mut Vec::new());
            let sorted = sort(scattered.map(entry).collect());
            assert_eq!(sorted.len(), keys.len() - from);
            assert!(sorted.is_sorted_by(|one, other| one.key() <= other.key()));
        }
        assert!(sort(Vec::new()).is_empty());
    }
}
