//! A store over a faulty disk, and short ways to ask it for things.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{
    Answer, Call, Commit, Durability, Entry, EventKind, Lost, MemoryOptions, OpenError, Pending,
    Reply, Solo, SoloOptions, collect,
};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{
    Delete, Get, Increment, Order, Projection, Put, Request, Scan, Txn, TxnOp, WriteStatus,
};
use tidekeep_protocol::range::Range;

use crate::clock::ManualClock;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a store is opened.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: FaultyDisk,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) history_bytes: usize,
    pub(crate) memory: MemoryOptions,
    /// Differs from run to run of one store.
    pub(crate) seed: u64,
}

impl World {
    /// Always durable, no snapshots, all history.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: FaultyDisk::new(seed),
            clock: ManualClock::new(),
            durability: Durability::Always,
            segment_bytes: 64 << 10,
            snapshot_log_bytes: u64::MAX,
            history_bytes: usize::MAX / 2,
            memory: MemoryOptions::default(),
            seed,
        }
    }

    pub(crate) fn try_open(&self) -> Result<Solo, OpenError> {
        Solo::open(SoloOptions {
            durability: self.durability,
            segment_bytes: self.segment_bytes,
            snapshot_log_bytes: self.snapshot_log_bytes,
            history_bytes: self.history_bytes,
            memory: self.memory.clone(),
            ..SoloOptions::new(
                Arc::new(self.disk.clone()),
                Arc::clone(&self.clock) as _,
                seeded(self.seed),
            )
        })
    }

    pub(crate) fn open(&self) -> Solo {
        self.try_open().expect("the store opens")
    }

    /// The same store after its process died and another one started on `disk`.
    pub(crate) fn on(&self, disk: FaultyDisk) -> Self {
        Self { disk, seed: self.seed.wrapping_mul(31).wrapping_add(1), ..self.clone() }
    }
}

/// Holds the disk's syncs, but not beyond the end of a test that fails.
pub(crate) struct Held<'a>(&'a FaultyDisk);

impl<'a> Held<'a> {
    pub(crate) fn new(disk: &'a FaultyDisk) -> Self {
        disk.hold_syncs(true);
        Self(disk)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.hold_syncs(false);
    }
}

/// Waits for a future, but not for ever.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    wait_until(future, Instant::now() + PATIENCE).expect("it takes too long")
}

/// Whether the future is ready without any waiting.
pub(crate) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn wait_until<T>(future: impl Future<Output = T>, deadline: Instant) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        thread::park_timeout(deadline.checked_duration_since(Instant::now())?);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Asks again until the answer is as wished.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it takes too long until {what}");
        thread::yield_now();
    }
}

/// Hands a batch in.
pub(crate) fn submit(store: &dyn Commit, requests: &[Request<'_>]) -> Pending {
    let bodies: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| {
            let mut body = Vec::new();
            request.encode(&mut body);
            body
        })
        .collect();
    let calls: Vec<Call<'_>> = requests
        .iter()
        .zip(&bodies)
        .map(|(request, body)| Call { body: Some(body), ..Call::new(request.clone()) })
        .collect();
    collect(store, &calls)
}

/// Runs a batch.
pub(crate) fn ask_all(store: &dyn Commit, requests: &[Request<'_>]) -> Result<Vec<Answer>, Lost> {
    let answers = wait(submit(store, requests))?;
    assert_eq!(answers.len(), requests.len(), "one answer for each request");
    Ok(answers)
}

/// Runs one request.
pub(crate) fn ask(store: &dyn Commit, request: Request<'_>) -> Result<Reply, Refusal> {
    ask_all(store, &[request]).expect("storage works").remove(0)
}

pub(crate) fn put_of<'a>(key: &'a [u8], value: &'a [u8]) -> Put<'a> {
    Put { key, value, condition: Condition::Always, expiry: Expiry::Never, previous: false }
}

pub(crate) fn put_request<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    Request::Put(put_of(key, value))
}

pub(crate) fn delete_request(key: &[u8]) -> Request<'_> {
    Request::Delete(Delete { key, condition: Condition::Always, previous: false })
}

pub(crate) fn add_request(key: &[u8], by: i64) -> Request<'_> {
    Request::Increment(Increment { key, by, expiry: Expiry::Keep })
}

pub(crate) fn txn_request(ops: Vec<TxnOp<'_>>) -> Request<'_> {
    Request::Txn(Txn { compares: Vec::new(), then: ops, otherwise: Vec::new() })
}

/// Sets a key; the write's revision.
pub(crate) fn put(store: &dyn Commit, key: &[u8], value: &[u8]) -> u64 {
    put_with(store, put_of(key, value))
}

/// Sets a key as asked; the write's revision.
pub(crate) fn put_with(store: &dyn Commit, put: Put<'_>) -> u64 {
    match ask(store, Request::Put(put)) {
        Ok(Reply::Put(written)) if written.status == WriteStatus::Applied => written.revision,
        other => panic!("the put did not apply: {other:?}"),
    }
}

/// Removes a key; the write's revision, if there was such a key.
pub(crate) fn delete(store: &dyn Commit, key: &[u8]) -> Option<u64> {
    match ask(store, delete_request(key)) {
        Ok(Reply::Delete(written)) => {
            (written.status == WriteStatus::Applied).then_some(written.revision)
        }
        other => panic!("the delete was refused: {other:?}"),
    }
}

/// The entry of a key.
pub(crate) fn get(store: &dyn Commit, key: &[u8]) -> Option<Entry> {
    match ask(store, Request::Get(Get { key })) {
        Ok(Reply::Get(got)) => got.entry,
        other => panic!("the get failed: {other:?}"),
    }
}

/// The value of a key as text.
pub(crate) fn text(store: &dyn Commit, key: &[u8]) -> Option<String> {
    get(store, key).map(|entry| String::from_utf8_lossy(entry.value()).into_owned())
}

/// Adds to a counter; its value after that, and the revision.
pub(crate) fn add(store: &dyn Commit, key: &[u8], by: i64) -> (i64, u64) {
    match ask(store, add_request(key, by)) {
        Ok(Reply::Increment(reply)) => (reply.value, reply.revision),
        other => panic!("the increment failed: {other:?}"),
    }
}

/// Entries by key.
pub(crate) type Content = BTreeMap<Vec<u8>, Entry>;

/// Everything that can be read, and the revision of it.
pub(crate) fn content(store: &dyn Commit) -> (u64, Content) {
    let scan = Scan {
        range: Range::default(),
        limit: 0,
        bytes: 0,
        order: Order::Ascending,
        projection: Projection::Full,
    };
    match ask(store, Request::Scan(scan)) {
        Ok(Reply::Scan(page)) => {
            assert!(!page.more, "the tests' stores fit into a page");
            let entries = page.entries.into_iter().map(|entry| (entry.key().to_vec(), entry));
            (page.revision, entries.collect())
        }
        other => panic!("the scan failed: {other:?}"),
    }
}

/// Follows the changes of a store from a revision on, and checks that none is left out, repeated
/// or at odds with those before.
pub(crate) struct Follower {
    pub(crate) at: u64,
    pub(crate) content: Content,
}

impl Follower {
    /// Takes in what is safe to show now.
    pub(crate) fn follow(&mut self, store: &Solo) {
        loop {
            let found = store.feed().changes(self.at, 4096).expect("nothing is forgotten");
            if found.changes.is_empty() {
                assert!(found.through >= self.at);
                return;
            }
            for change in found.changes {
                assert_eq!(change.revision, self.at + 1, "revisions follow each other");
                assert!(change.revision <= store.feed().revision(), "only what is safe is shown");
                assert!(!change.events.is_empty(), "a revision changes something");
                self.at = change.revision;
                for event in &change.events {
                    let key = event.key().to_vec();
                    let before = match event.kind {
                        EventKind::Put | EventKind::Touch => {
                            assert_eq!(event.entry.modified(), change.revision);
                            self.content.insert(key, event.entry.clone())
                        }
                        EventKind::Delete | EventKind::Expire | EventKind::Evict => {
                            self.content.remove(&key)
                        }
                    };
                    let before = match event.kind {
                        EventKind::Put
                        | EventKind::Touch
                        | EventKind::Delete
                        | EventKind::Evict => before,
                        // What has ended is in no view, which this may have begun with.
                        EventKind::Expire => before.or_else(|| event.previous.clone()),
                    };
                    assert_eq!(event.previous, before, "an event shows what it replaced");
                }
            }
            assert!(found.through >= self.at);
        }
    }

    /// Takes in everything up to and with a revision, as it comes.
    pub(crate) fn follow_through(&mut self, store: &Solo, revision: u64) {
        while self.at < revision {
            wait(store.feed().changed(self.at)).expect("storage works");
            self.follow(store);
        }
    }
}

/// One figure of the store.
pub(crate) fn figure(store: &dyn Commit, name: &str) -> u64 {
    let mut found = None;
    store.figures(&mut |each, value| {
        if each == name {
            found = Some(value);
        }
    });
    found.unwrap_or_else(|| panic!("there is no figure {name}"))
}
