//! What a shard promises: order, shared leaves, ends and accounts.

use alloc::vec;

use super::*;

const ALL: Range<'static> = Range { start: b"", end: None };

fn meta(modified: u64, expires_at: Option<u64>) -> Meta {
    Meta { created: 1, modified, version: 1, expires_at, lease: None }
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn filled(numbers: impl IntoIterator<Item = u32>) -> Shard {
    let mut shard = empty();
    for number in numbers {
        shard.put(&key(number), b"v", meta(1, None));
        in_order(&shard);
    }
    all_found(&shard);
    shard
}

/// 0..`count` in an order without neighbours.
fn scattered(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |number| number * 7919 % count)
}

fn empty() -> Shard {
    Shard::new(Spread::new(11, 1))
}

fn in_order(shard: &Shard) {
    let sizes = leaves(shard).map(Leaf::len);
    assert!(sizes.clone().all(|size| (1..=ENTRIES_MAX).contains(&size)));
    assert_eq!(sizes.sum::<usize>(), shard.keys());
    let cost: usize = leaves(shard).map(|leaf| leaf.cost() + size_of::<Fence>()).sum();
    let index_bytes = cost + shard.index.cost() + shard.due.len() * DUE_BYTES;
    assert_eq!(shard.index_bytes(), index_bytes);
    for (at, leaf) in leaves(shard).enumerate() {
        assert_eq!(shard.fences.compare(at, leaf.first_key()), None);
    }
}

/// The index names every entry, and so does the order.
fn all_found(shard: &Shard) {
    for entry in leaves(shard).flat_map(Leaf::iter) {
        assert_eq!(shard.get(entry.key()), Some(entry));
        let key = entry.key();
        assert!(leaves(shard).any(|leaf| leaf.position(key).is_ok()));
    }
}

fn leaves(shard: &Shard) -> impl DoubleEndedIterator<Item = &Leaf> + Clone {
    let row = shard.row();
    (0..row.len()).map(move |at| row.leaf(at))
}

fn leaf(shard: &Shard, at: usize) -> *const Leaf {
    shard.row().leaf(at)
}

fn sorted(shard: &Shard) -> bool {
    shard.ascending(ALL).is_sorted_by(|a, b| a.key() < b.key())
}

fn same_leaves(shard: &Shard, view: &[Arc<Leaf>]) -> usize {
    leaves(shard).zip(view).filter(|(mine, its)| core::ptr::eq(*mine, &***its)).count()
}

#[test]
fn leaves_stay_sorted_bounded_and_never_empty_in_any_order_of_keys() {
    const COUNT: u32 = 3000;
    for shard in [filled(0..COUNT), filled((0..COUNT).rev()), filled(scattered(COUNT))] {
        assert_eq!(shard.keys(), COUNT as usize);
        assert!(sorted(&shard));
        assert!((0..COUNT).all(|number| shard.get(&key(number)).is_some()));
        assert!(shard.get(b"").is_none() && shard.get(&key(COUNT)).is_none());
        let mut back: Vec<_> = shard.descending(ALL).cloned().collect();
        back.reverse();
        assert!(shard.ascending(ALL).eq(&back));
    }
}

#[test]
fn keys_that_come_in_order_fill_their_leaves() {
    let shard = filled(0..6000);
    let least = 6000_usize.div_ceil(ENTRIES_MAX);
    assert!(shard.fences.len() <= least + least / 10, "{} leaves", shard.fences.len());
}

#[test]
fn leaves_that_become_sparse_are_joined() {
    for sparse_first in [true, false] {
        let mut shard = filled(0..6000);
        let mut doomed: Vec<u32> = (0..6000).filter(|number| number % 60 != 0).collect();
        if !sparse_first {
            doomed.reverse();
        }
        for number in doomed {
            assert!(shard.remove(&key(number), 2).is_some());
            in_order(&shard);
        }
        all_found(&shard);
        assert!(sorted(&shard));
        assert!(shard.fences.len() <= 10, "{} leaves of 100 keys", shard.fences.len());
    }
}

#[test]
fn a_leaf_is_copied_only_while_it_is_shared() {
    let mut shard = filled(0..1000);
    let first = leaf(&shard, 0);
    shard.put(&key(0), b"in place", meta(2, None));
    assert!(core::ptr::eq(first, leaf(&shard, 0)));

    let view = shard.freeze(ALL);
    let leaves = shard.fences.len();
    assert_eq!(same_leaves(&shard, &view), leaves);
    shard.put(&key(0), b"copied", meta(3, None));
    assert_eq!(same_leaves(&shard, &view), leaves - 1);
    let copy = leaf(&shard, 0);
    shard.remove(&key(1), 4);
    assert!(core::ptr::eq(copy, leaf(&shard, 0)), "the copy is the shard's own");
    let kept: Vec<_> = view[0].iter().take(2).cloned().collect();
    assert_eq!((kept[0].value(), kept[1].key()), (&b"in place"[..], &key(1)[..]));
    drop(view);
    let last = leaf(&shard, leaves - 1);
    shard.put(&key(999), b"in place", meta(5, None));
    assert!(core::ptr::eq(last, leaf(&shard, leaves - 1)));
}

#[test]
fn a_frozen_range_holds_its_own_leaves_alone() {
    let shard = filled(0..6000);
    let (start, end) = (key(3000), key(3001));
    assert_eq!(shard.freeze(Range { start: &start, end: Some(&end) }).len(), 1);
    assert_eq!(shard.freeze(Range { start: &end, end: Some(&start) }).len(), 0);
    assert_eq!(shard.freeze(ALL).len(), shard.fences.len());
    assert!(empty().freeze(ALL).is_empty());
}

#[test]
fn what_ends_first_is_due_first() {
    let mut shard = empty();
    for (number, at) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
        shard.put(&key(number), b"", meta(1, Some(at)));
    }
    shard.put(&key(5), b"", meta(1, None));
    let due = |shard: &Shard, now| -> Vec<Vec<u8>> {
        shard.due(now).map(|entry| entry.key().to_vec()).collect()
    };
    assert_eq!(due(&shard, 9), Vec::<Vec<u8>>::new());
    assert_eq!(due(&shard, 20), vec![key(2), key(4), key(3)]);
    assert_eq!(shard.next_due(), Some(10));

    shard.put(&key(2), b"", meta(2, Some(40)));
    shard.put(&key(4), b"", meta(2, None));
    shard.remove(&key(3), 3);
    assert_eq!(due(&shard, 100), vec![key(1), key(2)]);
    assert_eq!(shard.next_due(), Some(30));
}

#[test]
fn the_same_entry_once_more_stays_due() {
    let mut shard = empty();
    let (entry, _) = shard.put(b"k", b"v", meta(1, Some(5)));
    let digest = shard.digest();
    assert_eq!(shard.insert(entry.clone()), Some(entry));
    assert_eq!((shard.next_due(), shard.keys(), shard.digest()), (Some(5), 1, digest));
}

#[test]
fn accounts_are_at_nothing_when_nothing_is_left() {
    let mut shard = filled(scattered(1000));
    for number in 0..1000 {
        let at = Some(u64::from(number)).filter(|at| at % 3 == 0);
        shard.put(&key(number), &vec![0; number as usize], meta(2, at));
    }
    let cost: usize = shard.ascending(ALL).map(Entry::cost).sum();
    assert_eq!((shard.keys(), shard.bytes()), (1000, cost));
    for number in scattered(1000) {
        shard.remove(&key(number), 3);
        in_order(&shard);
        if number % 50 == 0 {
            all_found(&shard);
        }
    }
    assert_eq!((shard.keys(), shard.bytes(), shard.digest()), (0, 0, 0));
    assert_eq!(shard.payload(), 0);
    assert_eq!(shard.index_bytes(), 0);
    assert_eq!((shard.next_due(), shard.fences.len(), shard.written()), (None, 0, 3));
    assert!(shard.remove(&key(0), 9).is_none() && shard.written() == 3);
}

#[test]
fn what_is_taken_back_leaves_nothing_behind() {
    let mut shard = filled(0..10);
    let (written, digest) = (shard.written(), shard.digest());
    let (entry, displaced) = shard.put(&key(3), b"new", meta(8, Some(1)));
    assert_eq!(shard.written(), 8);
    assert!(entry.value() == b"new");
    shard.restore(displaced.expect("it was there before"), true, written);
    let (entry, _) = shard.put(&key(99), b"new", meta(9, Some(1)));
    shard.restore(entry, false, written);
    assert_eq!((shard.written(), shard.digest(), shard.keys()), (written, digest, 10));
    assert_eq!(shard.next_due(), None);
}

#[test]
fn looking_ahead_is_safe_for_any_number_of_keys_and_for_those_that_are_not_there() {
    let shard = filled(0..1000);
    for count in [0, 1, 63, 64, 65, 2000] {
        let keys: Vec<_> = (0..count).map(key).collect();
        let wanted = keys.iter().map(|key| (&key[..], shard.spread.hash(key), &shard));
        crate::approach::approach(wanted);
    }
}

#[test]
fn a_shard_that_is_filled_at_once_is_as_one_that_grew() {
    for count in [0, 1, 111, 112, 113, 5000] {
        let grown = filled(scattered(count));
        let mut entries: Vec<_> = scattered(count).map(|at| grown.get(&key(at)).cloned()).collect();
        let mut shard = empty();
        shard.fill(entries.drain(..).flatten().collect());
        in_order(&shard);
        all_found(&shard);
        assert!(shard.ascending(ALL).eq(grown.ascending(ALL)));
        assert_eq!((shard.keys(), shard.bytes()), (grown.keys(), grown.bytes()));
        assert_eq!((shard.digest(), shard.written()), (grown.digest(), grown.written()));
        // It goes on as any other.
        for number in count..count + 300 {
            shard.put(&key(number), b"v", meta(2, Some(9)));
            in_order(&shard);
        }
        all_found(&shard);
    }
}

#[test]
fn what_is_filled_in_beside_others_or_twice_is_kept_once() {
    let mut shard = filled(0..300);
    let again: Vec<_> = filled(200..400).ascending(ALL).cloned().collect();
    shard.fill(again.iter().chain(&again).cloned().collect());
    in_order(&shard);
    all_found(&shard);
    assert_eq!(shard.keys(), 400);
}

#[test]
fn a_key_is_found_by_its_fingerprint_while_it_is_there() {
    for count in [1, 60, 3000] {
        let mut shard = filled(scattered(count));
        for number in (0..count).step_by(37) {
            let key = key(number);
            let fingerprint = shard.spread.hash(&key).into();
            let found = shard.with_fingerprint(fingerprint);
            assert!(matches!(&found[..], [entry] if entry.key() == key), "{number} of {count}");
            shard.remove(&key, 2);
            assert_eq!(shard.with_fingerprint(fingerprint), vec![]);
        }
    }
}
