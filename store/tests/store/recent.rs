//! What is remembered of changes is what a plain list of them would be, whatever they are and however
//! they are forgotten and read.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_protocol::entry::Meta;
use tidekeep_store::change::{Change, Event, EventKind};
use tidekeep_store::entry::Entry;
use tidekeep_store::recent::{Recent, Run};

/// An entry: key, length of the value, and what its metadata is made of.
type Form = (u8, usize, u64, u64, u8);

/// An event: what happened, the entry, and the one before.
type Happening = (u8, Form, Option<Form>);

#[derive(Debug, Clone)]
enum Step {
    /// A change comes; whether someone else has its entries.
    Push(Vec<Happening>, bool),
    /// Old ones are forgotten: how many of the newest nobody has seen, and what may be kept.
    Forget { unsafe_last: u64, cost_max: usize, held_max: usize },
    /// A reader begins to read.
    Read { behind: u64, through: u64, cost: usize },
}

fn form() -> impl Strategy<Value = Form> {
    let value = prop_oneof![8 => 0_usize..100, 3 => 480_usize..520, 1 => 2_000_usize..90_000];
    let modified = prop_oneof![1_u64..300, (1_u64 << 40) - 2..(1 << 40) + 2, Just(u64::MAX)];
    let created = prop_oneof![Just(0), 0_u64..300, Just(1 << 33)];
    (any::<u8>(), value, modified, created, 0_u8..4)
}

fn step() -> impl Strategy<Value = Step> {
    let happening = || (0_u8..7, form(), proptest::option::of(form()));
    let events = prop_oneof![6 => vec(happening(), 1), 1 => vec(happening(), 0..5)];
    let limit = || prop_oneof![Just(0_usize), 500_usize..20_000, Just(usize::MAX)];
    prop_oneof![
        8 => (events, any::<bool>()).prop_map(|(events, shared)| Step::Push(events, shared)),
        2 => (0_u64..8, limit(), limit()).prop_map(|(unsafe_last, cost_max, held_max)| {
            Step::Forget { unsafe_last, cost_max, held_max }
        }),
        2 => (0_u64..40, 0_u64..8, limit()).prop_map(|(behind, through, cost)| {
            Step::Read { behind, through, cost }
        }),
    ]
}

fn entry(&(key, value, modified, age, end): &Form) -> Entry {
    let meta = Meta {
        created: modified.saturating_sub(age),
        modified,
        version: modified.wrapping_mul(age + 1) % 700,
        expires_at: (end == 1).then_some(u64::from(key) + 5),
        lease: (end == 2).then_some(modified),
    };
    // A key that is long now and then: its length is a number of its own.
    let key = vec![key; if key == 0 { 2_500 } else { 1 + usize::from(key) % 40 }];
    Entry::new(&key, &vec![7; value], meta, &mut Vec::new())
}

fn event((kind, form, before): &Happening) -> Event {
    let put = |kind| {
        let previous =
            before.as_ref().map(|before| entry(&(form.0, before.1, before.2, before.3, before.4)));
        Event { kind, entry: entry(form), previous }
    };
    let gone = |kind| {
        let entry = entry(form);
        Event { kind, previous: Some(entry.clone()), entry }
    };
    match kind {
        0..=2 => put(EventKind::Put),
        3 => put(EventKind::Touch),
        4 => gone(EventKind::Delete),
        5 => gone(EventKind::Expire),
        _ => gone(EventKind::Evict),
    }
}

fn change(revision: u64, events: &[Happening]) -> Change {
    let events = events.iter().map(event).collect::<Vec<_>>().into();
    Change { revision, at_ms: revision * 3, events }
}

fn holds(run: &Run, expected: &[Change]) {
    let read: Vec<Change> = run.changes().collect();
    assert_eq!(read, expected);
}

proptest! {
    #[test]
    fn it_is_what_a_plain_list_would_be(
        first in prop_oneof![Just(0_u64), 1_u64..1000],
        block_cost in prop_oneof![Just(0_usize), 10_000_usize..200_000, Just(usize::MAX)],
        steps in vec(step(), 1..120),
    ) {
        let mut recent = Recent::new(first);
        let mut list: VecDeque<Change> = VecDeque::new();
        let mut shared = Vec::new();
        let mut runs: Vec<(Run, Vec<Change>)> = Vec::new();
        let mut newest = first;
        for step in &steps {
            match step {
                Step::Push(events, others) => {
                    newest += 1;
                    // The list's entries are its own: who else has them makes a difference.
                    list.push_back(change(newest, events));
                    let change = change(newest, events);
                    if *others {
                        shared.push(change.clone());
                    }
                    recent.push(change, block_cost);
                }
                &Step::Forget { unsafe_last, cost_max, held_max } => {
                    let safe = newest.saturating_sub(unsafe_last);
                    let before = recent.oldest();
                    recent.forget(safe, cost_max, held_max);
                    let oldest = recent.oldest();
                    prop_assert!(before <= oldest && oldest <= safe.max(before));
                    prop_assert!(recent.cost() <= cost_max || unsafe_last > 0, "all may go");
                    if cost_max == usize::MAX && held_max == usize::MAX {
                        prop_assert_eq!(before, oldest);
                    }
                    while list.front().is_some_and(|change| change.revision <= oldest) {
                        list.pop_front();
                    }
                }
                &Step::Read { behind, through, cost } => {
                    let after = newest.saturating_sub(behind).max(recent.oldest());
                    let through = newest.saturating_sub(through);
                    let run = recent.run(after, through, cost);
                    let expected: Vec<_> = list
                        .iter()
                        .filter(|it| it.revision > after && it.revision <= run.through())
                        .cloned()
                        .collect();
                    prop_assert!(run.through() <= through.max(after));
                    prop_assert!(after >= through || !expected.is_empty(), "one at least");
                    prop_assert!(cost < usize::MAX || run.through() == through.max(after));
                    runs.push((run, expected));
                }
            }
            prop_assert_eq!((recent.newest(), recent.count()), (newest, list.len() as u64));
        }
        holds(&recent.all(newest), list.make_contiguous());
        for (run, expected) in &runs {
            holds(run, expected);
        }
        drop(runs);
        // Whatever was remembered, nothing is left of it.
        while recent.count() > 0 || recent.held() > 0 {
            let before = (recent.count(), recent.held());
            recent.forget(newest, 0, 0);
            prop_assert!((recent.count(), recent.held()) < before, "it makes progress");
        }
        prop_assert_eq!(recent.cost(), 0);
    }
}

#[test]
fn of_a_change_of_very_many_keys_few_entries_are_copied() {
    let happened: Vec<Happening> = (0..20_000).map(|_| (4, (9, 60, 7, 3, 0), None)).collect();
    let change = change(1, &happened);
    let mut recent = Recent::new(0);
    recent.push(change.clone(), usize::MAX);
    let read: Vec<Change> = recent.all(1).changes().collect();
    assert!(read.len() == 1 && read[0] == change);
    let lies = |entry: &Entry| entry.value().as_ptr();
    let pairs = read[0].events.iter().zip(&change.events);
    let copied = pairs.filter(|(one, other)| lies(&one.entry) != lies(&other.entry)).count();
    assert!((1..4_000).contains(&copied), "{copied} were copied");
}
