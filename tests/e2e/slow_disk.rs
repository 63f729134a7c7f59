//! A disk whose every sync takes long: writes wait for it together, reads do not, and nothing that was
//! acknowledged is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidekeep_client::{Client, Options, PutOptions};
use tidekeep_tests::{ServerProcess, within};
use tokio::task::JoinSet;

/// What each sync takes longer.
const SYNC: Duration = Duration::from_millis(100);
const CLIENTS: u64 = 16;
const PUTS: u64 = 20;
/// Puts wait for two syncs at most: the one under way when they came, and their own. The rest is for a
/// machine with other work.
const SYNCS_MAX: u32 = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// Small, as each MiB of zeros that is prepared is synced too.
const SEGMENT_BYTES: &str = "5242880";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_share_slow_syncs_reads_do_not_wait_and_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with_slow_syncs(
        data.path(),
        &["--segment-bytes", SEGMENT_BYTES],
        SYNC,
    );
    let client = Client::connect(server.address(), Options::default()).await.unwrap();
    client.put("settled", "before", PutOptions::default()).await.unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(read(client.clone(), Arc::clone(&over)));
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let began = Instant::now();
    let mut writing = JoinSet::new();
    for number in 0..CLIENTS {
        let address = server.address().to_owned();
        writing.spawn(write(address, number, PUTS, Arc::clone(&acknowledged)));
    }
    within("all puts", LIMIT, writing.join_all()).await;
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let (reads, mut times) = reading.await.unwrap();
    times.sort_unstable();
    let median = times[times.len() / 2];
    println!(
        "suite: slow syncs of {SYNC:?}: {} puts in {took:?}, {reads} gets meanwhile, half of them \
         within {median:?}",
        CLIENTS * PUTS
    );
    assert!(took >= SYNC * PUTS as u32, "each put waits for a sync: {took:?}");
    assert!(took < SYNC * SYNCS_MAX * PUTS as u32, "puts share syncs: {took:?}");
    assert!(median < SYNC / 4, "half of the gets took {median:?}");

    // Killed while puts wait for the disk.
    let mut writing = JoinSet::new();
    for number in 0..CLIENTS {
        let address = server.address().to_owned();
        writing.spawn(write(address, CLIENTS + number, u64::MAX, Arc::clone(&acknowledged)));
    }
    let known = acknowledged.lock().unwrap().len();
    within("more puts", LIMIT, async {
        while acknowledged.lock().unwrap().len() < known + CLIENTS as usize {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.kill();
    writing.abort_all();
    while writing.join_next().await.is_some() {}

    let server = ServerProcess::start(data.path(), &["--segment-bytes", SEGMENT_BYTES]);
    let client = Client::connect(server.address(), Options::default()).await.unwrap();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    for (key, value) in acknowledged {
        let found = client.get(key.clone()).await.unwrap().expect("what was acknowledged is there");
        let found: u64 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
        assert!(found >= value, "{key} is {found}, and {value} was acknowledged");
    }
}

/// Puts rising numbers under one key until there are enough or the server is gone.
async fn write(
    address: String,
    number: u64,
    puts: u64,
    acknowledged: Arc<Mutex<BTreeMap<String, u64>>>,
) {
    let client = Client::connect(&address, Options::default()).await.unwrap();
    let key = format!("key-{number}");
    for value in 1..=puts {
        let put = client.put(key.clone(), value.to_string(), PutOptions::default());
        if put.await.is_err() {
            return;
        }
        acknowledged.lock().unwrap().insert(key.clone(), value);
    }
}

/// Gets a key that nobody writes, again and again; how often, and how long each took.
async fn read(client: Client, over: Arc<AtomicBool>) -> (usize, Vec<Duration>) {
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let found = client.get("settled").await.unwrap().expect("it is there");
        assert_eq!(&found.value[..], b"before");
        times.push(began.elapsed());
    }
    (times.len(), times)
}
