//! Slots and groups against what they promise: every slot has one owner, tags bind keys together, and
//! keys that look alike are spread evenly.

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_protocol::slot::{GroupCount, GroupId, SLOTS, Slot, slot_of, tag};

fn groups() -> impl Strategy<Value = GroupCount> {
    (1_u16..=256).prop_map(|count| GroupCount::new(count).expect("1 to 256 are allowed"))
}

/// Bytes among which braces are common.
fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'{'), Just(b'}'), any::<u8>()], 0..12)
}

/// The same without an opening brace.
fn unopened() -> impl Strategy<Value = Vec<u8>> {
    text().prop_map(|mut text| {
        text.retain(|&byte| byte != b'{');
        text
    })
}

proptest! {
    #[test]
    fn the_groups_share_all_slots_without_a_gap_and_evenly(groups in groups()) {
        let mut next = 0;
        for group in groups.groups() {
            let slots = groups.slots_of(group).expect("the group is there");
            prop_assert_eq!(slots.start().number(), next);
            next = slots.end().number() + 1;
            let count = next - slots.start().number();
            prop_assert!(count == SLOTS / groups.get() || count == SLOTS.div_ceil(groups.get()));
        }
        prop_assert_eq!(next, SLOTS);
        prop_assert_eq!(groups.slots_of(GroupId(groups.get())), None);
    }

    #[test]
    fn a_slot_lies_in_the_range_of_its_group_alone(groups in groups(), number in 0..SLOTS) {
        let slot = Slot::new(number).expect("below 16,384");
        let owner = groups.group_of(slot);
        for group in groups.groups() {
            let holds = groups.slots_of(group).is_some_and(|slots| slots.contains(&slot));
            prop_assert_eq!(holds, group == owner);
        }
    }

    #[test]
    fn keys_with_one_tag_share_a_slot(
        before in unopened(), tagged in "[^{}]{1,8}", after in text(), other in unopened(),
    ) {
        let key = |before: &[u8], after: &[u8]| {
            [before, b"{", tagged.as_bytes(), b"}", after].concat()
        };
        let (one, another) = (key(&before, &after), key(&other, b""));
        prop_assert_eq!(tag(&one), tagged.as_bytes());
        prop_assert_eq!(slot_of(&one), slot_of(&another));
        prop_assert_eq!(slot_of(&one), slot_of(tagged.as_bytes()));
    }

    #[test]
    fn a_key_without_a_whole_tag_is_its_own_tag(key in text()) {
        let open = key.iter().position(|&byte| byte == b'{');
        let close = open.and_then(|open| {
            key[open..].iter().position(|&byte| byte == b'}').map(|close| open + close)
        });
        let expected = match (open, close) {
            (Some(open), Some(close)) if close > open + 1 => &key[open + 1..close],
            _ => &key[..],
        };
        prop_assert_eq!(tag(&key), expected);
    }
}

/// The greatest share of keys in one of `bins` runs of slots, over the even share, of 100,000 keys.
fn fullest(bins: u16, key: impl Fn(u32) -> Vec<u8>) -> f64 {
    let bins = GroupCount::new(bins).expect("1 to 256 are allowed");
    let mut counts = vec![0_u32; usize::from(bins.get())];
    for index in 0..100_000 {
        counts[usize::from(bins.group_of(slot_of(&key(index))).0)] += 1;
    }
    f64::from(counts.into_iter().max().unwrap_or(0)) / (100_000.0 / f64::from(bins.get()))
}

#[test]
fn keys_that_look_alike_are_spread_evenly() {
    // Drawn at random, the fullest of 64 groups has about 6 % over its share (2.5 deviations).
    for bins in [4, 16, 64] {
        assert!(fullest(bins, |index| format!("users/{index}").into_bytes()) < 1.11);
        assert!(fullest(bins, |index| format!("users/{index:08}/mail").into_bytes()) < 1.11);
        assert!(fullest(bins, |index| u64::from(index).to_be_bytes().to_vec()) < 1.11);
        assert!(fullest(bins, |index| (u64::from(index) << 12).to_le_bytes().to_vec()) < 1.11);
    }
}
