//! Clients that write to a cluster without a pause and remember what they were told. Each comes in by a
//! way of its own, which is led to another node when its node is lost, as a balancer would; the client's
//! session goes with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidekeep_client::{Client, Expiry, KeyRange, Options, Outcome, PutOptions, ScanOptions};
use tidekeep_tests::{Cluster, Proxy, within};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Far longer than any fail-over: a call that is given up is a failure.
const DEADLINE: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(10);

/// Options of a client that comes back at once.
pub(crate) fn impatient() -> Options {
    let mut options = Options::default().timeout(DEADLINE);
    options.config.backoff_min_ms = 5;
    options.config.backoff_max_ms = 100;
    options
}

/// The clients.
pub(crate) struct Load {
    ways: Vec<Way>,
    running: Vec<JoinHandle<Told>>,
    stop: watch::Sender<bool>,
}

struct Way {
    proxy: Proxy,
    /// The node that it leads to.
    node: usize,
    answers: Arc<AtomicU64>,
}

/// What one client was told.
#[derive(Debug)]
pub(crate) struct Told {
    name: usize,
    /// Numbers of the puts that were acknowledged, and of those that ended in doubt.
    pub(crate) acknowledged: Vec<u64>,
    doubtful: Vec<u64>,
    /// Increments of the one counter of this client, each counted by its answer.
    counted: i64,
    counts_in_doubt: i64,
}

impl Load {
    /// So many clients, spread over all nodes.
    pub(crate) async fn start(cluster: &Cluster, clients: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut ways, mut running) = (Vec::new(), Vec::new());
        for name in 0..clients {
            let node = name % cluster.nodes();
            let proxy = Proxy::start(cluster.address(node), name as u64).await;
            let client = Client::lazy(proxy.address(), impatient()).unwrap();
            let answers = Arc::new(AtomicU64::new(0));
            let told = Told::new(name);
            running.push(tokio::spawn(told.work(client, Arc::clone(&answers), stopped.clone())));
            ways.push(Way { proxy, node, answers });
        }
        Self { ways, running, stop }
    }

    /// Leads the clients of a node that is lost to others, in turn.
    pub(crate) fn lead_away(&mut self, cluster: &Cluster, lost: usize) {
        let others: Vec<usize> =
            (0..cluster.nodes()).filter(|&node| node != lost && cluster.runs(node)).collect();
        let lost = self.ways.iter_mut().filter(|way| way.node == lost);
        for (way, node) in lost.zip(others.iter().cycle()) {
            way.node = *node;
            way.proxy.lead_to(cluster.address(*node));
        }
    }

    /// Waits until every client has had so many more answers.
    pub(crate) async fn progress(&self, more: u64) {
        let before: Vec<u64> = self.ways.iter().map(Way::answers).collect();
        let end = Instant::now() + LIMIT;
        loop {
            let mut each = self.ways.iter().zip(&before);
            if each.all(|(way, before)| way.answers() >= before + more) {
                return;
            }
            assert!(Instant::now() < end, "clients get no answers for {LIMIT:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the clients; what each was told.
    pub(crate) async fn end(self) -> Vec<Told> {
        self.stop.send_replace(true);
        let mut told = Vec::new();
        for client in self.running {
            told.push(within("a client to come to its end", LIMIT, client).await.unwrap());
        }
        told
    }
}

impl Way {
    fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }
}

impl Told {
    fn new(name: usize) -> Self {
        let (acknowledged, doubtful) = (Vec::new(), Vec::new());
        Self { name, acknowledged, doubtful, counted: 0, counts_in_doubt: 0 }
    }

    async fn work(
        mut self,
        client: Client,
        answers: Arc<AtomicU64>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        for number in 1.. {
            if *stop.borrow() {
                break;
            }
            self.put(&client, number).await;
            self.count(&client).await;
            answers.fetch_add(1, Ordering::SeqCst);
        }
        client.close().await;
        self
    }

    async fn put(&mut self, client: &Client, number: u64) {
        let value = number.to_string();
        match client.put(self.key(number), &value, PutOptions::default()).await {
            Ok(_) => self.acknowledged.push(number),
            Err(error) if error.outcome() == Outcome::NotApplied => {}
            Err(_) => self.doubtful.push(number),
        }
    }

    /// An answer that skips a number tells of an increment that was applied twice.
    async fn count(&mut self, client: &Client) {
        match client.increment(self.counter(), 1, Expiry::Never).await {
            Ok(answer) => {
                self.counted += 1;
                let (least, most) = (self.counted, self.counted + self.counts_in_doubt);
                let range = least..=most;
                assert!(range.contains(&answer.value), "{}: {range:?}: {answer:?}", self.name);
            }
            Err(error) if error.outcome() == Outcome::NotApplied => {}
            Err(_) => self.counts_in_doubt += 1,
        }
    }

    fn key(&self, number: u64) -> String {
        format!("put/{}/{number}", self.name)
    }

    fn counter(&self) -> String {
        format!("count/{}", self.name)
    }
}

/// Holds what the cluster has, asked at `node`, against what clients were told: what was acknowledged is
/// there, nothing is there that nobody wrote, and every increment was applied once. How many puts
/// were acknowledged.
pub(crate) async fn verify(cluster: &Cluster, node: usize, told: &[Told]) -> usize {
    let client = Client::connect(cluster.address(node), impatient()).await.unwrap();
    let mut content = content(&client).await;
    for client in told {
        for number in &client.acknowledged {
            let value = content.remove(&client.key(*number));
            assert_eq!(value, Some(number.to_string()), "{} is lost", client.key(*number));
        }
        for number in &client.doubtful {
            content.remove(&client.key(*number));
        }
        let value = content.remove(&client.counter());
        let count: i64 = value.map_or(0, |value| value.parse().unwrap());
        let most = client.counted + client.counts_in_doubt;
        assert!((client.counted..=most).contains(&count), "{count} increments: {client:?}");
    }
    assert!(content.is_empty(), "nobody wrote {content:?}");
    client.close().await;
    told.iter().map(|client| client.acknowledged.len()).sum()
}

/// Every key, and its value.
pub(crate) async fn content(client: &Client) -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    let mut entries = client.scan(&KeyRange::all(), ScanOptions::default());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while let Some(entry) = entries.next().await {
        let entry = entry.expect("the store can be read");
        content.insert(text(&entry.key), text(&entry.value));
    }
    content
}
