//! Any run of writes, expiries and passing time, step by step against the naive model: replies,
//! changes and what they fold to, revisions, accounts, the due order, pages of every kind, and views
//! frozen on the way. `TIDEKEEP_MODEL_OPERATIONS` sets the length of the one long run.

use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tidekeep_protocol::op::{Children, Get, Order, Projection, Request, Scan};
use tidekeep_protocol::range::{KeyRange, successor};
use tidekeep_store::change::{Change, Event, EventKind};
use tidekeep_store::entry::Entry;
use tidekeep_store::read::PageLimits;
use tidekeep_store::record::{Command, Expired};
use tidekeep_store::reply::Reply;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::view::View;

use crate::group::Group;
use crate::hostile::comes_back;
use crate::naive::{Happened, Kept, Naive};
use crate::wire::{self, Write};

const AMPLE: PageLimits = PageLimits { entries: 1000, bytes: 1 << 20 };

#[derive(Debug, Clone)]
enum Step {
    Write(Write),
    /// Time goes on.
    Pass(u64),
    /// Time goes on to the moment before the next end, to the end itself, or just past it.
    Edge(u64),
    /// What was noticed last time is proposed, out of date as it may be; then looks again.
    Expire,
    /// The ends of all leases there are, over or not, are proposed.
    EndLeases,
    Freeze(KeyRange),
    Scan {
        range: KeyRange,
        limit: u32,
        bytes: u32,
        order: Order,
    },
    Children {
        prefix: Vec<u8>,
        delimiter: Vec<u8>,
        limit: u32,
        bytes: usize,
    },
    Get(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let delimiter = prop_oneof![
        4 => Just(b"/".to_vec()),
        1 => Just(b"::".to_vec()),
        1 => Just(b"//".to_vec()),
        1 => Just(b"\xff".to_vec()),
        1 => Just(b"\xff\xff".to_vec()),
        1 => Just(b"a".to_vec()),
    ];
    let prefix = prop_oneof![1 => Just(Vec::new()), 3 => wire::key()];
    let bytes = prop_oneof![1 => Just(0_u32), 2 => 1_u32..300];
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    prop_oneof![
        12 => wire::write().prop_map(Step::Write),
        3 => (0_u64..25).prop_map(Step::Pass),
        2 => (0_u64..3).prop_map(Step::Edge),
        2 => Just(Step::Expire),
        2 => Just(Step::EndLeases),
        1 => wire::range().prop_map(Step::Freeze),
        2 => (wire::range(), 0_u32..6, bytes, order)
            .prop_map(|(range, limit, bytes, order)| Step::Scan { range, limit, bytes, order }),
        2 => (prefix, delimiter, 0_u32..4, 1_usize..12).prop_map(
            |(prefix, delimiter, limit, bytes)| Step::Children { prefix, delimiter, limit, bytes }
        ),
        1 => wire::key().prop_map(Step::Get),
    ]
}

/// A view with what it has to show for as long as it lives.
struct Frozen {
    view: View,
    revision: u64,
    live: Vec<(Vec<u8>, Kept)>,
    all: Vec<(Vec<u8>, Kept)>,
}

struct Run {
    group: Group,
    naive: Naive,
    now: u64,
    frozen: VecDeque<Frozen>,
    noticed: Vec<(Vec<u8>, u64)>,
    /// What a watcher knows who began with nothing and was told every change.
    folded: BTreeMap<Vec<u8>, Kept>,
}

/// Operations of the long run, unless the variable says otherwise.
const OPERATIONS: usize = 100_000;
/// Views that are kept at a time: a long run would check nothing else.
const FROZEN_MAX: usize = 8;

/// Far longer than the runs that are made up at random: leaves split and join, views come and go.
#[test]
fn a_long_life_is_that_of_a_map() {
    let set = std::env::var("TIDEKEEP_MODEL_OPERATIONS").ok().and_then(|text| text.parse().ok());
    let operations = set.unwrap_or(OPERATIONS);
    // The same life every time: what it finds can be found again.
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let strategy = step();
    let mut run = Run::new(5, 7);
    for number in 0..operations {
        let step = strategy.new_tree(&mut runner).expect("no step is filtered out").current();
        run.step(&step);
        // To look at everything takes far longer than a step.
        if number % 64 == 0 {
            run.check();
        }
    }
    run.check();
    println!("suite: model: {operations} operations, revision {}", run.group.revision);
    run.empty();
}

proptest! {
    #[test]
    fn the_store_does_what_a_map_would(
        shards in prop_oneof![Just(1_usize), 2_usize..9],
        seed in any::<u64>(),
        steps in vec(step(), 1..60),
    ) {
        let mut run = Run::new(shards, seed);
        for step in &steps {
            run.step(step);
            run.check();
        }
        run.empty();
    }
}

impl Run {
    fn new(shards: usize, seed: u64) -> Self {
        Self {
            group: Group::new(shards, seed),
            naive: Naive::default(),
            now: 1,
            frozen: VecDeque::new(),
            noticed: Vec::new(),
            folded: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(write) => self.write(&write.request()),
            Step::Pass(ms) => self.now += ms,
            Step::Edge(past) => self.edge(*past),
            Step::Expire => self.expire(),
            Step::EndLeases => self.end_leases(),
            Step::Freeze(range) => self.freeze(range),
            Step::Scan { range, limit, bytes, order } => self.scan(range, *limit, *bytes, *order),
            Step::Children { prefix, delimiter, limit, bytes } => {
                self.children(prefix, delimiter, *limit, *bytes);
            }
            Step::Get(key) => self.get(key),
        }
    }

    fn write(&mut self, request: &Request<'_>) {
        let (expected, happened) = self.naive.write(self.now, request);
        let before = self.group.revision;
        let written: Vec<u64> = self.group.shards.iter().map(Shard::written).collect();
        match self.group.apply(self.now, &Command::Request(request.clone())) {
            Ok((reply, change)) => {
                let reply = reply.expect("a request has a reply");
                let mut body = Vec::new();
                reply.encode(&mut body);
                assert_eq!(Ok(&body), expected.as_ref(), "{request:?}: {reply:?}");
                assert!(body.len() <= reply.body_bytes(), "{reply:?}");
                comes_back(request, &reply);
                assert!(reply.shows() <= self.group.revision, "{reply:?}");
                self.changed(before, change.as_ref(), &happened);
            }
            Err(refusal) => {
                assert_eq!(Err(refusal.code), expected, "{request:?}");
                let after: Vec<u64> = self.group.shards.iter().map(Shard::written).collect();
                assert_eq!(written, after, "what is undone leaves no revision behind");
            }
        }
    }

    fn expire(&mut self) {
        let expired: Vec<Expired<'_>> = self
            .noticed
            .iter()
            .map(|(key, modified)| Expired { key, modified: *modified })
            .collect();
        let before = self.group.revision;
        let (reply, change) =
            self.group.apply(self.now, &Command::Expire(expired)).expect("expiry cannot fail");
        assert_eq!(reply, None);
        let happened = self.naive.expire(self.now, &self.noticed);
        self.changed(before, change.as_ref(), &happened);
        self.notice();
    }

    fn end_leases(&mut self) {
        for lease in self.naive.leases.keys().copied().chain([0]).collect::<Vec<_>>() {
            let before = self.group.revision;
            let ended = self.group.apply(self.now, &Command::EndLease(lease));
            let (reply, change) = ended.expect("an end cannot fail");
            assert_eq!(reply, None);
            let happened = self.naive.end_lease(self.now, lease);
            self.changed(before, change.as_ref(), &happened);
        }
    }

    /// Proposes whatever has an end, whether or not it is near, and now and then of another write.
    fn notice(&mut self) {
        let content = self.group.content();
        let ending = content.iter().filter(|entry| entry.expires_at().is_some());
        let seen = |entry: &Entry| match entry.modified() {
            modified if modified % 4 == 0 => modified - 1,
            modified => modified,
        };
        self.noticed = ending.map(|entry| (entry.key().to_vec(), seen(entry))).collect();
    }

    fn changed(&mut self, before: u64, change: Option<&Change>, happened: &[Happened]) {
        let events: Vec<Happened> =
            change.iter().flat_map(|change| &change.events).map(as_happened).collect();
        assert_eq!(events, happened);
        for event in events {
            let known = match event.kind {
                EventKind::Put | EventKind::Touch => self.folded.insert(event.key, event.entry),
                _ => self.folded.remove(&event.key),
            };
            assert_eq!(known, event.previous, "a watcher knew what there was before");
        }
        assert_eq!(self.group.revision, before + u64::from(change.is_some()));
        if let Some(change) = change {
            assert_eq!((change.revision, change.at_ms), (self.group.revision, self.now));
        }
    }

    /// At its end an entry is gone, a millisecond before it is there; what is over waits for its
    /// expire command without being seen.
    fn edge(&mut self, past: u64) {
        let ends = self.naive.map.values().filter_map(|kept| kept.meta.expires_at);
        let Some(next) = ends.filter(|at| *at > self.now).min() else { return };
        // Ends that no clock reaches are left alone.
        if next < self.now + 1_000_000 {
            self.now = next - 1 + past;
            self.scan(&KeyRange::all(), 0, 0, Order::Ascending);
        }
    }

    fn freeze(&mut self, range: &KeyRange) {
        let inside = |(key, _): &(&Vec<u8>, &Kept)| range.as_range().contains(key);
        let all = self.naive.map.iter().filter(inside);
        if self.frozen.len() == FROZEN_MAX {
            self.frozen.pop_front();
        }
        self.frozen.push_back(Frozen {
            view: self.group.view(range, self.now),
            revision: self.group.revision,
            live: self.naive.live(range, self.now),
            all: all.map(|(key, kept)| (key.clone(), kept.clone())).collect(),
        });
    }

    fn get(&self, key: &[u8]) {
        let reply = self.group.read(&Request::Get(Get { key }), AMPLE, self.now);
        let Some(Reply::Get(got)) = reply else { panic!("{reply:?} is no reply to a get") };
        let kept = self.naive.map.get(key);
        assert_eq!(
            got.entry.as_ref().map(|entry| as_pair(entry).1),
            kept.filter(|kept| self.naive.is_live(kept, self.now)).cloned()
        );
        match kept {
            // That its lease is not over may be the work of any keep-alive so far.
            Some(kept) if kept.meta.lease.is_some() => {
                assert_eq!(got.shows, self.group.revision);
            }
            Some(kept) => assert_eq!(got.shows, kept.meta.modified),
            None => assert!(got.shows <= self.group.revision),
        }
    }

    /// Goes through a range page by page, and counts it.
    fn scan(&self, range: &KeyRange, limit: u32, bytes: u32, order: Order) {
        let mut expected = self.naive.live(range, self.now);
        self.count(range, limit, expected.len() as u64);
        if order == Order::Descending {
            expected.reverse();
        }
        for projection in [Projection::Full, Projection::Keys] {
            let mut rest = &expected[..];
            let mut range = range.clone();
            loop {
                let scan = Scan { range: range.as_range(), limit, bytes, order, projection };
                let page = match self.read(Request::Scan(scan)) {
                    Reply::Scan(page) => page,
                    other => panic!("{other:?} is no page"),
                };
                let (shown, behind) = rest.split_at(page.entries.len());
                assert_eq!(page.entries.iter().map(as_pair).collect::<Vec<_>>(), shown);
                assert_eq!(page.count, shown.len() as u64);
                assert_eq!(page.more, !behind.is_empty());
                let sizes = |entry: &Entry| match projection {
                    Projection::Keys => entry.key().len(),
                    _ => entry.packed_len(),
                };
                let most = if limit == 0 { usize::MAX } else { limit as usize };
                let room = if bytes == 0 { usize::MAX } else { bytes as usize };
                let size: usize = page.entries.iter().map(sizes).sum();
                assert!(shown.len() <= most && (size <= room || shown.len() == 1));
                let Some((last, _)) = shown.last().filter(|_| page.more) else { break };
                let scratch = &mut Vec::new();
                let next = Entry::new(&behind[0].0, &behind[0].1.value, behind[0].1.meta, scratch);
                assert!(shown.len() == most || size + sizes(&next) > room, "a page is filled");
                match order {
                    Order::Ascending => range.start = successor(last),
                    Order::Descending => range.end = Some(last.clone()),
                }
                rest = behind;
            }
        }
    }

    fn count(&self, range: &KeyRange, limit: u32, there: u64) {
        let (order, projection) = (Order::Ascending, Projection::Count);
        let scan = Scan { range: range.as_range(), limit, bytes: 0, order, projection };
        let Reply::Scan(page) = self.read(Request::Scan(scan)) else { panic!("no page") };
        let limit = if limit == 0 { u64::MAX } else { u64::from(limit) };
        assert_eq!((page.count, page.more), (there.min(limit), there > limit));
        assert!(page.entries.is_empty());
    }

    /// Lists the names below a prefix page by page.
    fn children(&self, prefix: &[u8], delimiter: &[u8], limit: u32, bytes: usize) {
        let expected = self.naive.children(prefix, delimiter, self.now);
        let mut rest = &expected[..];
        let mut after: Option<Vec<u8>> = None;
        loop {
            let request = Children { prefix, delimiter, after: after.as_deref(), limit };
            let limits = PageLimits { entries: 1000, bytes };
            let reply = self.group.read(&Request::Children(request), limits, self.now);
            let Some(Reply::Children(names)) = reply else { panic!("{reply:?} are no names") };
            let mut body = Vec::new();
            Reply::Children(names.clone()).encode(&mut body);
            assert!(body.len() <= Reply::Children(names.clone()).body_bytes());
            let (shown, behind) = rest.split_at(names.names.len());
            assert_eq!(names.names, shown);
            assert_eq!(names.more, !behind.is_empty());
            let size: usize = shown.iter().map(|(name, _)| name.len()).sum();
            assert!(size <= bytes || shown.len() == 1);
            assert!(limit == 0 || shown.len() <= limit as usize);
            let Some((last, _)) = shown.last() else { break };
            after = Some(last.clone());
            rest = behind;
        }
        assert!(rest.is_empty(), "the last page is empty only behind all names");
    }

    fn read(&self, request: Request<'_>) -> Reply {
        let reply = self.group.read(&request, AMPLE, self.now).expect("a read has a reply");
        let mut body = Vec::new();
        reply.encode(&mut body);
        assert!(body.len() <= reply.body_bytes());
        assert_eq!(reply.shows(), self.group.revision);
        reply
    }

    /// What must hold at any time.
    fn check(&self) {
        assert_eq!(self.group.revision, self.naive.revision);
        assert_eq!(self.folded, self.naive.map, "all changes fold to what there is");
        let content = self.group.content();
        assert_eq!(content.iter().map(as_pair).collect::<Vec<_>>(), pairs(&self.naive));
        assert_eq!(self.group.keys(), content.len());
        assert_eq!(self.group.bytes(), content.iter().map(Entry::cost).sum::<usize>());
        let mut afresh = Shard::new(Spread::new(0, 1));
        for entry in &content {
            afresh.insert(entry.clone());
        }
        assert_eq!(self.group.digest(), afresh.digest());
        self.check_due();
        self.check_leases();
        for frozen in &self.frozen {
            frozen.check();
        }
    }

    fn check_leases(&self) {
        let (leases, naive) = (&self.group.tables.leases, &self.naive.leases);
        for &lease in naive.keys() {
            let keys: Vec<_> = leases.entries(lease).map(|entry| entry.key().to_vec()).collect();
            assert_eq!(keys, self.naive.keys_of(lease));
        }
        let tied = self.naive.map.values().filter(|kept| kept.meta.lease.is_some());
        assert_eq!((leases.len(), leases.keys()), (naive.len(), tied.count()));
        assert_eq!(leases.next_due(), naive.values().map(|lease| lease.end).min());
        let live = naive.iter().filter(|(_, lease)| lease.end > self.now);
        let live: Vec<_> = live.map(|(&lease, at)| (lease, at.ttl_ms, at.end)).collect();
        let (page, more) = leases.page(0, usize::MAX, self.now);
        let page: Vec<_> = page.iter().map(|at| (at.lease, at.ttl_ms, at.expires_at)).collect();
        assert_eq!((page, more), (live, false));
    }

    fn check_due(&self) {
        let ends = |entry: &Entry| entry.expires_at().expect("what is due has an end");
        for shard in &self.group.shards {
            let due: Vec<u64> = shard.due(self.now).map(ends).collect();
            assert!(due.is_sorted());
            assert_eq!(shard.next_due().is_some_and(|at| at <= self.now), !due.is_empty());
        }
        let next = self.group.shards.iter().filter_map(Shard::next_due).min();
        let naive = self.naive.map.values().filter_map(|kept| kept.meta.expires_at);
        assert_eq!(next, naive.min());
        let mut due: Vec<_> = self.group.due(self.now).iter().map(as_pair).collect();
        due.sort_by(|a, b| a.0.cmp(&b.0));
        let over: Vec<_> = pairs(&self.naive)
            .into_iter()
            .filter(|(_, kept)| kept.meta.expires_at.is_some_and(|at| at <= self.now))
            .collect();
        assert_eq!(due, over);
    }

    /// Takes out everything and looks whether the accounts are at nothing again.
    fn empty(mut self) {
        for entry in self.group.content() {
            let shard = self.group.spread.shard_of(entry.key());
            assert_eq!(self.group.shards[shard].remove(entry.key(), 0), Some(entry));
        }
        assert_eq!((self.group.keys(), self.group.bytes(), self.group.digest()), (0, 0, 0));
        assert!(self.group.shards.iter().all(|shard| shard.next_due().is_none()));
        for frozen in &self.frozen {
            frozen.check();
        }
    }
}

impl Frozen {
    fn check(&self) {
        assert_eq!(self.view.revision(), self.revision);
        let mut all: Vec<_> = self.view.entries().map(as_pair).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(all, self.all);
        for limits in [AMPLE, PageLimits { entries: 2, bytes: 90 }] {
            let mut shown: Vec<(Vec<u8>, Kept)> = Vec::new();
            loop {
                let after = shown.last().map(|(key, _)| &key[..]);
                let page = self.view.page(after, limits.entries, limits.bytes);
                let size: usize = page.iter().map(|entry| entry.packed_len()).sum();
                assert!(page.len() <= limits.entries && (size <= limits.bytes || page.len() == 1));
                if page.is_empty() {
                    break;
                }
                shown.extend(page.iter().map(as_pair));
            }
            assert_eq!(shown, self.live);
        }
    }
}

fn pairs(naive: &Naive) -> Vec<(Vec<u8>, Kept)> {
    naive.map.iter().map(|(key, kept)| (key.clone(), kept.clone())).collect()
}

fn as_pair(entry: &Entry) -> (Vec<u8>, Kept) {
    (entry.key().to_vec(), Kept { value: entry.value().to_vec(), meta: entry.meta() })
}

fn as_happened(event: &Event) -> Happened {
    let (key, entry) = as_pair(&event.entry);
    let previous = event.previous.as_ref().map(|entry| as_pair(entry).1);
    Happened { kind: event.kind, key, entry, previous }
}
