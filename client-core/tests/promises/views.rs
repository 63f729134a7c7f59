//! Views: what shows is the server's entry with this client's mutations on top, as fresh as it says,
//! and never an older value for a moment.

use tidekeep_client_core::protocol::condition::Condition;
use tidekeep_client_core::protocol::error::Code;
use tidekeep_client_core::protocol::op::{Delete, Increment};
use tidekeep_client_core::protocol::range::{KeyRange, Range};
use tidekeep_client_core::{Config, WatchId};

use crate::pair::{Pair, Seen, put};
use crate::patch::{FRESH, LOADING, Patch, STALE, Snapshot};

/// The patches of a view that were not taken, folded, with every value that a key went through.
pub(crate) fn fold(pair: &mut Pair, view: WatchId, shown: &mut Snapshot) -> Vec<Patch> {
    let patches: Vec<Patch> = pair
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Patch(of, patch) if *of == view => Some(patch.clone()),
            _ => None,
        })
        .collect();
    pair.seen.retain(|seen| !matches!(seen, Seen::Patch(of, _) if *of == view));
    patches.iter().for_each(|patch| shown.patch(patch));
    patches
}

/// What the core says that a view holds.
pub(crate) fn read(pair: &Pair, view: WatchId) -> Snapshot {
    let mut out = Vec::new();
    assert!(pair.core.read_view(view, Range::default(), usize::MAX, &mut out));
    let mut snapshot = Snapshot::default();
    snapshot.patch(&Patch::read(&out));
    snapshot
}

fn values<'a>(patches: &'a [Patch], key: &[u8]) -> Vec<Option<&'a str>> {
    let of_key = patches.iter().flat_map(|it| &it.changes).filter(|(of, _)| of == key);
    of_key
        .map(|(_, shown)| shown.as_ref().map(|it| std::str::from_utf8(&it.value).expect("text")))
        .collect()
}

#[test]
fn view_shows_what_its_range_holds_and_says_how_fresh_it_is() {
    let mut pair = Pair::ready();
    pair.server.apply(vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"x".to_vec(), None)]);
    pair.server.apply(vec![(b"ab".to_vec(), Some(b"2".to_vec()))]);
    let view = pair.view(b"a", b"");
    let mut shown = Snapshot::default();
    assert_eq!(read(&pair, view).state, LOADING);
    pair.run();
    fold(&mut pair, view, &mut shown);
    assert_eq!(shown.state, FRESH);
    assert_eq!(shown.value(b"a"), Some(("1", false)));
    assert_eq!(shown, read(&pair, view));
    pair.server.apply(vec![(b"a".to_vec(), None), (b"ac".to_vec(), Some(b"3".to_vec()))]);
    pair.run();
    fold(&mut pair, view, &mut shown);
    assert_eq!(shown.entries.keys().collect::<Vec<_>>(), [b"ab", b"ac"]);
    pair.reachable = false;
    pair.cut();
    fold(&mut pair, view, &mut shown);
    assert_eq!(shown.state, STALE);
    pair.server.apply(vec![(b"ab".to_vec(), Some(b"4".to_vec()))]);
    pair.reachable = true;
    pair.pass(1_000);
    fold(&mut pair, view, &mut shown);
    assert_eq!((shown.state, shown.value(b"ab")), (FRESH, Some(("4", false))));
    assert_eq!(shown, read(&pair, view));
}

#[test]
fn single_keys_and_parts_of_a_range_can_be_read() {
    let mut pair = Pair::ready();
    for n in 0..600_u32 {
        pair.server.apply(vec![(format!("k{n:03}").into_bytes(), Some(b"v".to_vec()))]);
    }
    let view = pair.view(b"k", b"");
    pair.run();
    let part = |range: Range<'_>, limit| {
        let mut out = Vec::new();
        pair.core.read_view(view, range, limit, &mut out);
        Patch::read(&out).changes.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(part(KeyRange::key(b"k300").as_range(), 9), [b"k300"]);
    assert!(part(KeyRange::key(b"k3000").as_range(), 9).is_empty());
    assert_eq!(part(Range { start: b"k2555", end: Some(b"k258") }, 9), [b"k256", b"k257"]);
    assert_eq!(part(Range { start: b"k1", end: None }, 3), [b"k100", b"k101", b"k102"]);
    assert_eq!(part(Range::default(), usize::MAX).len(), 600);
}

#[test]
fn mutation_shows_at_once_and_its_reply_and_event_change_no_value_in_either_order() {
    for events_first in [false, true] {
        let mut pair = Pair::new();
        pair.open();
        pair.server.apply(vec![(b"k".to_vec(), Some(b"old".to_vec()))]);
        pair.server.apply(vec![(b"n".to_vec(), Some(b"5".to_vec()))]);
        let view = pair.view(b"", b"");
        let mut shown = Snapshot::default();
        pair.run();
        fold(&mut pair, view, &mut shown);
        (pair.server.hold_events, pair.server.hold_replies) = (!events_first, events_first);
        let put = pair.enqueue(&put(b"k", b"new"));
        let delete = Delete { key: b"n", condition: Condition::Always, previous: false };
        let add = Increment { key: b"n", by: 2, expiry: Default::default() };
        let increment = pair.enqueue(&add);
        pair.run();
        let mut patches = fold(&mut pair, view, &mut shown);
        (pair.server.hold_events, pair.server.hold_replies) = (false, false);
        if events_first {
            assert_eq!(shown.value(b"k"), Some(("new", true)));
            assert_eq!(shown.value(b"n"), Some(("7", true)));
            // The replies come when they are sent again.
            pair.cut();
        } else {
            assert_eq!(shown.value(b"k"), Some(("new", false)), "answered: it is so");
            pair.server.feed_watches();
        }
        pair.pass(2_000);
        patches.extend(fold(&mut pair, view, &mut shown));
        assert!(pair.end(put).is_ok() && pair.end(increment).is_ok());
        assert!(values(&patches, b"k").iter().all(|value| *value == Some("new")), "{patches:?}");
        assert!(values(&patches, b"n").iter().all(|value| *value == Some("7")), "{patches:?}");
        assert_eq!(
            (shown.value(b"k"), shown.value(b"n")),
            (Some(("new", false)), Some(("7", false)))
        );
        let gone = pair.enqueue(&delete);
        assert!(pair.core.read_view(view, KeyRange::key(b"n").as_range(), 1, &mut Vec::new()));
        assert_eq!(read(&pair, view).value(b"n"), None);
        pair.run();
        fold(&mut pair, view, &mut shown);
        assert!(pair.end(gone).is_ok());
        assert_eq!(shown.value(b"n"), None);
        assert_eq!(shown, read(&pair, view));
        assert_eq!(pair.place.mutations(), 0);
    }
}

#[test]
fn views_that_overlap_show_what_was_answered_until_each_has_got_there() {
    let mut pair = Pair::new();
    pair.open();
    for value in [b"old", b"mid"] {
        pair.server.apply(vec![(b"k".to_vec(), Some(value.to_vec()))]);
    }
    let (wide, narrow) = (pair.view(b"", b""), pair.view(b"k", b""));
    let mut shown = [Snapshot::default(), Snapshot::default()];
    pair.run();
    let made = pair.enqueue(&put(b"k", b"new"));
    // Events of one view come, those of the other are held back; the reply comes before or between.
    pair.server.hold_events = true;
    pair.run();
    assert!(pair.end(made).is_ok());
    pair.server.feed_first_watch();
    pair.run();
    for (view, shown) in [wide, narrow].into_iter().zip(&mut shown) {
        fold(&mut pair, view, shown);
        assert_eq!(shown.value(b"k"), Some(("new", false)));
        assert_eq!(*shown, read(&pair, view), "what is read is what was told");
    }
    pair.server.hold_events = false;
    pair.server.apply(vec![(b"k".to_vec(), Some(b"newer".to_vec()))]);
    pair.pass(1_000);
    for (view, shown) in [wide, narrow].into_iter().zip(&mut shown) {
        fold(&mut pair, view, shown);
        assert_eq!(shown.value(b"k"), Some(("newer", false)));
        assert_eq!(*shown, read(&pair, view));
    }
}

#[test]
fn conflict_shows_the_servers_entry_at_once() {
    for held in [false, true] {
        let mut pair = Pair::new();
        pair.open();
        pair.server.apply(vec![(b"k".to_vec(), Some(b"theirs".to_vec()))]);
        let view = pair.view(b"", b"");
        let mut shown = Snapshot::default();
        pair.run();
        pair.server.hold_events = held;
        pair.server.apply(vec![(b"k".to_vec(), Some(b"newer".to_vec()))]);
        let condition = Condition::Revision(1);
        let mutation = pair
            .enqueue(&tidekeep_client_core::protocol::op::Put { condition, ..put(b"k", b"mine") });
        pair.run();
        fold(&mut pair, view, &mut shown);
        assert!(pair.end(mutation).is_ok(), "a condition that does not hold is a reply");
        assert_eq!(shown.value(b"k"), Some(("newer", false)), "held: {held}");
        assert_eq!(shown, read(&pair, view));
        pair.server.hold_events = false;
        pair.server.feed_watches();
        pair.run();
        fold(&mut pair, view, &mut shown);
        assert_eq!(shown.value(b"k"), Some(("newer", false)));
    }
}

#[test]
fn saved_view_shows_at_once_and_only_changes_are_asked_for() {
    for forgotten in [false, true] {
        let mut pair = Pair::ready();
        for n in 0..50_u8 {
            pair.server.apply(vec![(vec![b'k', n], Some(b"v".to_vec()))]);
        }
        let view = pair.view(b"k", b"");
        let mut saved = Vec::new();
        assert!(!pair.core.save_view(view, &mut saved), "it is not complete");
        pair.run();
        assert!(pair.core.save_view(view, &mut saved));
        pair.crash();
        pair.take();
        pair.server.apply(vec![(vec![b'k', 7], None), (vec![b'k', 9], Some(b"w".to_vec()))]);
        if forgotten {
            pair.server.forget();
        }
        let view = pair.view(b"k", &saved);
        let mut shown = Snapshot::default();
        assert_eq!((read(&pair, view).state, read(&pair, view).entries.len()), (STALE, 50));
        pair.reachable = false;
        pair.run();
        fold(&mut pair, view, &mut shown);
        assert_eq!((shown.state, shown.entries.len()), (STALE, 50), "without a connection");
        pair.reachable = true;
        pair.pass(1_000);
        let patches = fold(&mut pair, view, &mut shown);
        let told: usize = patches.iter().map(|patch| patch.changes.len()).sum();
        assert_eq!(told, 2, "only the difference: {patches:?}");
        assert_eq!((shown.state, shown.entries.len()), (FRESH, 49));
        assert_eq!(shown.value(&[b'k', 9]), Some(("w", false)));
        for cut in [0, 1, saved.len() / 2, saved.len() - 1] {
            let view = pair.view(b"k", &saved[..cut]);
            assert_eq!(read(&pair, view).state, LOADING, "a blob that is cut counts as none");
        }
    }
}

#[test]
fn view_that_does_not_fit_says_so() {
    let mut pair = Pair::ready_with(Config { view_bytes: 2_000, ..Config::default() });
    let small = pair.view(b"s", b"");
    let large = pair.view(b"l", b"");
    pair.run();
    for n in 0..30_u8 {
        pair.server.apply(vec![(vec![b'l', n], Some(vec![0; 50]))]);
        pair.run();
    }
    let failed = pair.seen.iter().find_map(|seen| match seen {
        Seen::WatchFailed(watch, error) => Some((*watch, error.code)),
        _ => None,
    });
    assert_eq!(failed, Some((large, Code::TooLarge)));
    assert!(!pair.core.read_view(large, Range::default(), 1, &mut Vec::new()));
    pair.server.apply(vec![(b"s".to_vec(), Some(vec![0; 1_500]))]);
    pair.run();
    assert_eq!(read(&pair, small).entries.len(), 1, "its bytes are free again");
}
