//! What a get, a put and a batch of puts cost in memory: durability `none`, so that the disk is
//! not what is measured. `cargo bench -p tidekeep-log --bench solo`.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{
    BoxError, Call, Commit, Durability, Eviction, MemoryOptions, Solo, SoloOptions, collect,
};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, Put, Request};

const KEYS: u64 = 100_000;
const VALUE: [u8; 100] = [0x5a; 100];
const TIME: Duration = Duration::from_secs(2);

fn main() -> Result<(), BoxError> {
    println!("{KEYS} keys, {} byte values, {} s each", VALUE.len(), TIME.as_secs());
    println!("without a memory limit");
    bench(MemoryOptions::default())?;
    println!("with a memory limit that is not reached, and eviction by use");
    let limit_bytes = 1 << 30;
    bench(MemoryOptions { limit_bytes, eviction: Eviction::Lru, ..MemoryOptions::default() })
}

fn bench(memory: MemoryOptions) -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let disk = Arc::new(RealDisk::open(dir.path())?);
    let options = SoloOptions::new(disk, Arc::new(SystemClock), seeded(1));
    let store = Solo::open(SoloOptions {
        durability: Durability::None,
        history_bytes: 8 << 20,
        snapshot_log_bytes: u64::MAX,
        memory,
        ..options
    })?;
    println!(
        "{:>8} {:>8} {:>6} {:>12} {:>8} {:>8}",
        "op", "threads", "batch", "ops/s", "ns/op", "cpu ns"
    );
    for key in 0..KEYS {
        run_one(&store, &key_of(key), true, 1);
    }
    for (name, write) in [("get", false), ("put", true)] {
        for (threads, batch) in [(1, 1), (2, 1), (1, 64)] {
            let (done, cpu) = measure(&store, threads, batch, write);
            let rate = done as f64 / TIME.as_secs_f64();
            let cost = 1e9 * threads as f64 / rate;
            let cpu = cpu as f64 / done as f64;
            println!("{name:>8} {threads:>8} {batch:>6} {rate:>12.0} {cost:>8.0} {cpu:>8.0}");
        }
    }
    store.close()?;
    Ok(())
}

/// Requests done by the threads, and the time they had a core for, in nanoseconds: on a busy machine
/// that is what can be compared.
fn measure(store: &Solo, threads: u64, batch: usize, write: bool) -> (u64, u64) {
    thread::scope(|scope| {
        let run = |seed| {
            let mut random = seeded(seed);
            let (start, on_core, mut done) = (Instant::now(), on_core_ns(), 0);
            while start.elapsed() < TIME {
                for _ in 0..64 {
                    run_one(store, &key_of(random() % KEYS), write, batch);
                    done += batch as u64;
                }
            }
            (done, on_core_ns() - on_core)
        };
        let threads: Vec<_> = (0..threads).map(|seed| scope.spawn(move || run(seed))).collect();
        let each = threads.into_iter().map(|thread| thread.join().expect("the thread ends well"));
        each.fold((0, 0), |(done, cpu), (d, c)| (done + d, cpu + c))
    })
}

/// How long this thread has had a core; 0 where the system does not say.
fn on_core_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn key_of(number: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    for (at, digit) in key.iter_mut().rev().take(12).zip(0..12) {
        *at = b'0' + (number / 10_u64.pow(digit) % 10) as u8;
    }
    key
}

/// One batch of the same request, its answers awaited.
fn run_one(store: &Solo, key: &[u8], write: bool, batch: usize) {
    let put = Put {
        key,
        value: &VALUE,
        condition: Condition::Always,
        expiry: Expiry::Never,
        previous: false,
    };
    let request = if write { Request::Put(put) } else { Request::Get(Get { key }) };
    let mut body = Vec::with_capacity(160);
    request.encode(&mut body);
    let calls = vec![Call { body: Some(&body), ..Call::new(request) }; batch];
    let answers = match collect(store, &calls).into_ready() {
        Ok(answers) => answers.expect("storage works"),
        Err(later) => wait(later).expect("storage works"),
    };
    assert!(answers.iter().all(Result::is_ok));
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        thread::park();
    }
}
