//! The promise of watches, held against every place where a connection can break and against
//! thousands of random histories: a consumer that folds what it is told has exactly what the server
//! has, sees every revision once, and sees them in order.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::error::Code;
use tidekeep_client_core::protocol::range::KeyRange;
use tidekeep_client_core::{Input, Millis, Resync, WatchId};

use crate::dice::Dice;
use crate::model::Key;
use crate::pair::{Pair, Seen};

/// A consumer that believes what it is told and checks that it may.
struct Consumer {
    watch: WatchId,
    range: KeyRange,
    resync: Resync,
    /// What the range holds, as far as it was told, with the revision of each entry's last write.
    fold: BTreeMap<Key, (Vec<u8>, u64)>,
    /// The revision that it has got to; none in the middle of content.
    position: Option<u64>,
    resets: usize,
}

impl Consumer {
    fn new(pair: &mut Pair, prefix: &[u8], content: bool, resync: Resync) -> Self {
        let watch = pair.watch_with(prefix, content, resync);
        let range = KeyRange::prefix(prefix);
        Self { watch, range, resync, fold: BTreeMap::new(), position: None, resets: 0 }
    }

    fn take(&mut self, pair: &Pair, seen: &Seen) {
        match seen {
            Seen::Reset(id) if *id == self.watch => {
                assert_eq!(self.resync, Resync::Reset);
                self.fold.clear();
                self.position = None;
                self.resets += 1;
            }
            Seen::Content(id, entries) if *id == self.watch => {
                let anew = self.position.is_none();
                assert!(anew || self.resync == Resync::Difference, "content where all was told");
                self.position = None;
                for (key, value, at) in entries {
                    let before = self.fold.insert(key.clone(), (value.clone(), *at));
                    assert_ne!(before, Some((value.clone(), *at)), "nothing is told twice");
                    assert!(before.is_none() || self.resync == Resync::Difference);
                }
            }
            Seen::CaughtUp(id, revision, _) if *id == self.watch => self.reach(pair, *revision),
            Seen::Bookmark(id, revision) if *id == self.watch => self.reach(pair, *revision),
            Seen::Events(id, (revision, changes)) if *id == self.watch => {
                let next = |position| pair.server.changes(&self.range, position).into_iter().next();
                let gap = self.position.and_then(next) != Some((*revision, changes.clone()));
                assert!(!gap || self.resync == Resync::Difference, "no gap and no repetition");
                for (key, value) in changes {
                    let before = match value {
                        Some(value) => self.fold.insert(key.clone(), (value.clone(), *revision)),
                        None => self.fold.remove(key),
                    };
                    assert!(!gap || (value.is_none() && before.is_some()), "only what is gone");
                }
                self.is_at(pair, *revision);
            }
            Seen::WatchFailed(id, error) if *id == self.watch => {
                panic!("the watch is never given up: {error}")
            }
            _ => {}
        }
    }

    /// It was told that nothing is missing up to `revision`.
    fn reach(&mut self, pair: &Pair, revision: u64) {
        if let (Some(position), Resync::Reset) = (self.position, self.resync) {
            let missed = pair.server.changes(&self.range, position);
            let missed = missed.iter().filter(|(at, _)| *at <= revision).count();
            assert_eq!(missed, 0, "nothing was skipped");
        }
        self.is_at(pair, revision);
    }

    /// It knows what the range held at `revision`.
    fn is_at(&mut self, pair: &Pair, revision: u64) {
        assert!(self.position.is_none_or(|it| revision >= it), "positions never go back");
        assert_eq!(self.fold, pair.server.content_at(&self.range, revision));
        self.position = Some(revision);
    }

    /// It knows what the server has.
    fn is_complete(&self, pair: &Pair) {
        assert_eq!(self.fold, pair.server.content(&self.range));
        assert!(pair.server.changes(&self.range, self.position.expect("caught up")).is_empty());
    }
}

fn feed(pair: &mut Pair, consumers: &mut [Consumer]) {
    for seen in pair.take() {
        for consumer in &mut *consumers {
            consumer.take(pair, &seen);
        }
    }
}

/// A short life of a store, watched over a stream that breaks once.
fn live_through(cut_in: Option<usize>, cut_out: Option<usize>, forget: bool) -> bool {
    let mut pair = Pair::ready();
    for n in 0..5_u8 {
        pair.server.apply(vec![(vec![b'a', n], Some(vec![n; 30]))]);
    }
    pair.cut_after_in = cut_in;
    pair.cut_after_out = cut_out;
    let mut consumers = vec![
        Consumer::new(&mut pair, b"a", true, Resync::Reset),
        Consumer::new(&mut pair, b"", true, Resync::Difference),
    ];
    for n in 0..6_u8 {
        if n == 3 && forget {
            pair.server.forget();
        }
        pair.run();
        feed(&mut pair, &mut consumers);
        let keys = [b'a' + n % 2, n];
        pair.server.apply(vec![
            (keys.to_vec(), Some(vec![n; 20])),
            (vec![b'a', n], (n % 3 > 0).then(|| vec![n, n])),
        ]);
        pair.server.bookmark();
    }
    pair.run();
    let broke = pair.cuts > 0;
    pair.cut_after_in = None;
    pair.cut_after_out = None;
    pair.pass(1_000);
    feed(&mut pair, &mut consumers);
    for consumer in &consumers {
        consumer.is_complete(&pair);
    }
    broke
}

#[test]
fn break_at_every_byte_from_the_server_is_resumed_exactly() {
    for forget in [false, true] {
        let broken = (0..).take_while(|&at| live_through(Some(at), None, forget)).count();
        assert!(broken > 1_000, "the sweep covered the whole stream: {broken}");
    }
}

#[test]
fn break_at_every_byte_to_the_server_is_resumed_exactly() {
    let broken = (0..).take_while(|&at| live_through(None, Some(at), false)).count();
    assert!(broken > 30, "the sweep covered both requests: {broken}");
}

fn change(pair: &mut Pair, dice: &mut Dice) {
    let mut changes: Vec<(Key, Option<Vec<u8>>)> = Vec::new();
    for _ in 0..=dice.throw(3) {
        let key = vec![b'a' + dice.throw(2) as u8, dice.throw(6) as u8];
        let value =
            (dice.throw(4) > 0).then(|| vec![dice.throw(256) as u8; dice.throw(90) as usize]);
        if changes.iter().all(|(known, _)| *known != key) {
            changes.push((key, value));
        }
    }
    pair.server.apply(changes);
}

fn round(seed: u64) {
    let mut dice = Dice(seed);
    let mut pair = Pair::new();
    pair.server.limits.chunk_bytes = 8 + dice.throw(200) as u32;
    for _ in 0..dice.throw(12) {
        change(&mut pair, &mut dice);
    }
    // A watch without content has nothing to begin its fold with, unless the range is empty.
    let all = [(&b"a"[..], Resync::Reset), (b"b", Resync::Difference), (b"", Resync::Difference)];
    let mut consumers: Vec<Consumer> = all
        .into_iter()
        .map(|(prefix, resync)| Consumer::new(&mut pair, prefix, true, resync))
        .collect();
    let mut changed_nothing = Consumer::new(&mut pair, b"c", false, Resync::Reset);
    for _ in 0..30 {
        match dice.throw(14) {
            0..=4 => change(&mut pair, &mut dice),
            5 => pair.server.bookmark(),
            6 => pair.cut_after_in = Some(dice.throw(600) as usize),
            7 => pair.cut_after_out = Some(dice.throw(80) as usize),
            8 => pair.cut(),
            9 if dice.throw(3) == 0 => pair.server.forget(),
            9 => pair.server.cut_watches(Code::SlowReader),
            10 => {
                let watch = consumers[dice.throw(3) as usize].watch;
                pair.core.pause(Millis(pair.now), watch);
            }
            11 => {
                let watch = consumers[dice.throw(3) as usize].watch;
                pair.core.resume(Millis(pair.now), watch);
            }
            12 => pair.reachable = dice.throw(3) > 0,
            _ => pair.handle(Input::Woke),
        }
        pair.slice = 1 + dice.throw(300) as usize;
        pair.piece = 1 + dice.throw(200) as usize;
        pair.pass(dice.throw(400));
        feed(&mut pair, &mut consumers);
    }
    pair.reachable = true;
    pair.cut_after_in = None;
    pair.cut_after_out = None;
    for consumer in &consumers {
        pair.core.resume(Millis(pair.now), consumer.watch);
    }
    pair.pass(60_000);
    let last = pair.take();
    for seen in &last {
        for consumer in &mut consumers {
            consumer.take(&pair, seen);
        }
        changed_nothing.take(&pair, seen);
    }
    for consumer in &consumers {
        consumer.is_complete(&pair);
    }
    assert!(changed_nothing.fold.is_empty());
}

#[test]
fn thousands_of_random_histories_fold_to_what_the_server_has() {
    for seed in 0..4_000 {
        let outcome = std::panic::catch_unwind(|| round(seed));
        if let Err(panic) = outcome {
            println!("the round of seed {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
