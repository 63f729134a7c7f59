//! Ranges against what they mean, on short keys of few letters so that neighbours are common.

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_protocol::range::{KeyRange, prefix_end, successor};

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), Just(1), Just(0x61), Just(0xFE), Just(0xFF)], 0..5)
}

proptest! {
    #[test]
    fn a_prefix_range_holds_exactly_the_keys_with_the_prefix(prefix in key(), key in key()) {
        let range = KeyRange::prefix(&prefix);
        prop_assert_eq!(range.as_range().contains(&key), key.starts_with(&prefix));
    }

    #[test]
    fn a_prefix_end_is_the_first_key_behind_the_prefix(prefix in key(), key in key()) {
        let has_prefix = key.starts_with(&prefix);
        match prefix_end(&prefix) {
            Some(end) => {
                prop_assert!(!end.starts_with(&prefix) && end > prefix);
                prop_assert!(has_prefix || key < prefix || key >= end);
            }
            None => prop_assert!(has_prefix || key < prefix),
        }
    }

    #[test]
    fn nothing_lies_between_a_key_and_its_successor(key in key(), other in key()) {
        prop_assert!(successor(&key) > key);
        prop_assert!(other <= key || other >= successor(&key));
        prop_assert_eq!(KeyRange::key(&key).as_range().contains(&other), key == other);
    }

    #[test]
    fn everything_lies_in_the_whole_range(key in key()) {
        prop_assert!(KeyRange::all().as_range().contains(&key));
    }
}
