//! What a get, a put and an entry of a scan cost in one thread, and what an entry takes in memory:
//! 16-byte keys, 64-byte values, 16 shards. `cargo bench -p tidekeep-store`

use std::hint::black_box;

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Order, Projection, Put, Request, Scan};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::{Stamp, apply};
use tidekeep_store::moment::Moment;
use tidekeep_store::read::{self, PageLimits};
use tidekeep_store::record::Command;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Spread, Writing};
use tidekeep_store::tables::Tables;

const SHARDS: usize = 16;
const PAGE: PageLimits = PageLimits { entries: 1000, bytes: 1 << 20 };

type Name = fn(u64) -> [u8; 16];

fn main() {
    for (name, key) in [("spread keys", spread as Name), ("keys of one prefix", prefixed)] {
        for keys in [1_000, 1_000_000] {
            measure(name, key, keys);
        }
    }
}

fn measure(name: &str, key: Name, keys: u64) {
    let before = resident_bytes();
    let mut store = Store::new();
    let fill = per(keys, || (0..keys).for_each(|at| store.put(&key(shuffled(at, keys)))));
    let counted: usize = store.shards.iter().map(Shard::bytes).sum();
    let held = resident_bytes().saturating_sub(before);

    let rounds = keys.max(1_000_000);
    let at = |round: u64| shuffled(mixed(round) % keys, keys);
    let get = per(rounds, || (0..rounds).for_each(|round| store.get(&key(at(round)))));
    let put = per(rounds, || (0..rounds).for_each(|round| store.put(&key(at(round)))));
    let passes = rounds / keys;
    let scan = per(passes * keys, || (0..passes).for_each(|_| store.scan()));
    println!(
        "{keys:>8} {name:<20} ns: fill {fill:>5.0}  get {get:>5.0}  put {put:>5.0}  \
         scan {scan:>4.0}/entry   bytes/entry: resident {}, accounted {}",
        held / keys,
        counted as u64 / keys,
    );
}

struct Store {
    shards: Vec<Shard>,
    tables: Tables,
    spread: Spread,
    revision: u64,
}

impl Store {
    fn new() -> Self {
        let spread = Spread::new(7, SHARDS);
        let shards = (0..SHARDS).map(|_| Shard::new(spread)).collect();
        Self { shards, tables: Tables::default(), spread, revision: 0 }
    }

    fn get(&self, key: &[u8]) {
        let hash = self.spread.hash(key);
        let shard = &self.shards[self.spread.shard_of_hash(hash)];
        let got = read::get(shard, hash, key, &Moment::new(1), self.revision);
        assert!(black_box(got).entry.is_some(), "every key that is asked for was put");
    }

    fn put(&mut self, key: &[u8]) {
        let value = &[7; 64];
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let put = Put { key, value, condition, expiry, previous: false };
        let index = self.spread.shard_of(key);
        let guards = &mut [(index, &mut self.shards[index])];
        let stamp = Stamp { now_ms: 1, revision: self.revision };
        let command = Command::Request(Request::Put(put));
        let mut writing = Writing::new(self.spread, guards);
        let applied = apply(&mut writing, &mut self.tables, stamp, &command);
        self.revision += 1;
        assert!(black_box(applied).is_ok(), "a put without a condition applies");
    }

    /// Every entry, a page at a time.
    fn scan(&self) {
        let (order, projection) = (Order::Ascending, Projection::Full);
        let mut range = KeyRange::all();
        loop {
            let scan = Scan { range: range.as_range(), limit: 0, bytes: 0, order, projection };
            let page = read::scan(&self.shards, &scan, PAGE, &Moment::new(1), self.revision);
            let Some(last) = page.entries.last().filter(|_| page.more) else { break };
            range.start.clear();
            range.start.extend_from_slice(last.key());
            range.start.push(0);
            black_box(page);
        }
    }
}

/// Nanoseconds on a core for each of `count`: on a busy machine that is what can be compared.
fn per(count: u64, work: impl FnOnce()) -> f64 {
    let start = on_core_ns();
    work();
    (on_core_ns() - start) as f64 / count as f64
}

/// How long this thread has had a core; 0 where the system does not say.
fn on_core_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Goes through 0..keys in an order without neighbours; 7,919 shares no factor with the counts.
fn shuffled(at: u64, keys: u64) -> u64 {
    at * 7_919 % keys
}

/// Splitmix: numbers without a visible pattern.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

fn spread(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed(number).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn prefixed(number: u64) -> [u8; 16] {
    let mut key = *b"users/0000000000";
    let mut rest = number;
    for digit in key[6..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Memory of this process in use; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}
