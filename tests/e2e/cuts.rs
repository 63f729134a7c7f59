//! Every request is cut off: before it gets to the server, in its middle, right after it, before the
//! reply, in the reply, after it; or it gets there when the client has left. The server stays up, so every write is applied exactly once, every
//! call tells so, and none is left in doubt.
//!
//! `TIDEKEEP_CUTS` says how many cuts, 1,000 unless it does.

use std::time::{Duration, Instant};

use tidekeep_client::{
    Client, Condition, DeleteOptions, Expiry, Options, PutOptions, Txn, TxnResult, TxnStep,
};
use tidekeep_tests::proxy::Cut;
use tidekeep_tests::{Proxy, ServerProcess, within};

const CUTS: u64 = 1_000;
const CLIENTS: u64 = 8;
/// What a call may take: many times what reconnecting does.
const DEADLINE: Duration = Duration::from_secs(20);
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_is_applied_once_wherever_its_request_is_cut() {
    let total = std::env::var("TIDEKEEP_CUTS").map_or(CUTS, |text| text.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &["--durability", "always"]);
    let running: Vec<_> = (0..CLIENTS)
        .map(|name| {
            let upstream = server.address().to_owned();
            tokio::spawn(async move { Cutting::start(name, &upstream).await.run(total).await })
        })
        .collect();
    let (mut cuts, mut slowest) = (0, Duration::ZERO);
    for client in running {
        let (its_cuts, its_slowest) = client.await.unwrap();
        cuts += its_cuts;
        slowest = slowest.max(its_slowest);
    }
    println!("suite: cuts: {cuts}, calls in doubt: 0, slowest call: {} ms", slowest.as_millis());
    assert!(cuts >= total, "only {cuts} cuts");
}

/// One client behind a proxy of its own, with keys of its own.
struct Cutting {
    name: u64,
    proxy: Proxy,
    client: Client,
    /// Writes that were told to be done, for each of the keys.
    puts: u64,
    increments: i64,
    transactions: i64,
    slowest: Duration,
}

impl Cutting {
    async fn start(name: u64, upstream: &str) -> Self {
        let proxy = Proxy::start(upstream, name).await;
        let scheme = if name.is_multiple_of(2) { "tcp" } else { "ws" };
        let mut options = Options::default().timeout(DEADLINE);
        options.config.backoff_min_ms = 2;
        options.config.backoff_max_ms = 50;
        let address = format!("{scheme}://{}", proxy.address());
        let client = Client::connect(&address, options).await.unwrap();
        let slowest = Duration::ZERO;
        Self { name, proxy, client, puts: 0, increments: 0, transactions: 0, slowest }
    }

    /// Makes calls until its part of the cuts is made; then looks at what became of them.
    async fn run(mut self, total: u64) -> (u64, Duration) {
        let mut round = self.name;
        while self.proxy.cuts() < total.div_ceil(CLIENTS) {
            let cut = Cut::ALL[round as usize / 4 % Cut::ALL.len()];
            self.proxy.arm(cut);
            // Now and then the retry is cut as well, in its handshake or after it.
            if round.is_multiple_of(5) {
                self.proxy.arm(Cut::ALL[round as usize / 5 % Cut::ALL.len()]);
            }
            let start = Instant::now();
            let what = format!("client {}, round {round}, cut {cut:?}", self.name);
            let call = async {
                match round % 4 {
                    0 => self.put(&what).await,
                    1 => self.increment(&what).await,
                    2 => self.transaction(&what).await,
                    _ => self.delete(&what).await,
                }
            };
            within(&what, DEADLINE + SLACK, call).await;
            self.slowest = self.slowest.max(start.elapsed());
            round += 1;
        }
        self.look().await;
        (self.proxy.cuts(), self.slowest)
    }

    /// A put: what it replaced is what the last one left.
    async fn put(&mut self, what: &str) {
        let options = PutOptions { previous: true, ..PutOptions::default() };
        let value = (self.puts + 1).to_string();
        let written = self.client.put(self.key("put"), &value, options).await;
        let written = written.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let previous = written.previous.map(|entry| entry.text().unwrap().to_owned());
        let expected = (self.puts > 0).then(|| self.puts.to_string());
        assert_eq!(previous, expected, "{what}");
        self.puts += 1;
    }

    /// An increment: the sum is the number of increments.
    async fn increment(&mut self, what: &str) {
        let done = self.client.increment(self.key("sum"), 1, Expiry::Keep).await;
        let done = done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        self.increments += 1;
        assert_eq!(done.value, self.increments, "{what}");
    }

    /// A transaction that compares with what the last one left, so that a second run would not hold.
    async fn transaction(&mut self, what: &str) {
        let last = match self.transactions {
            0 => Condition::Absent,
            count => Condition::Value(count.to_string().into()),
        };
        let txn = Txn::new()
            .when(self.key("left"), last)
            .then(TxnStep::increment(self.key("left"), 1, Expiry::Keep))
            .then(TxnStep::increment(self.key("right"), 1, Expiry::Keep));
        let done = self.client.txn(txn).await;
        let done = done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        self.transactions += 1;
        assert!(done.succeeded, "{what}: it ran a second time");
        for result in done.results {
            let TxnResult::Increment(sum) = result else { panic!("{what}: {result:?}") };
            assert_eq!(sum.value, self.transactions, "{what}");
        }
    }

    /// A delete of what is there: a second run would find nothing. The put before it is cut like
    /// any other call.
    async fn delete(&mut self, what: &str) {
        let options = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
        let written = self.client.put(self.key("gone"), what, options).await;
        written.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        // If the put took the armed cut, this one gets another.
        if self.proxy.is_disarmed() {
            self.proxy.arm(Cut::BeforeReply);
        }
        let deleted = self.client.delete(self.key("gone"), DeleteOptions::default()).await;
        let deleted = deleted.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(deleted.is_some(), "{what}: it ran a second time");
    }

    /// What the store holds in the end, and how many writes each key has had.
    async fn look(&self) {
        let count = |key: &str| {
            let get = self.client.get(self.key(key));
            async move {
                let entry = get.await.unwrap()?;
                assert_eq!(entry.text(), Some(entry.version.to_string().as_str()));
                Some(entry.version)
            }
        };
        assert_eq!(count("put").await, Some(self.puts));
        assert_eq!(count("sum").await, Some(self.increments as u64));
        assert_eq!(count("left").await, Some(self.transactions as u64));
        assert_eq!(count("right").await, Some(self.transactions as u64));
        assert_eq!(count("gone").await, None);
    }

    fn key(&self, what: &str) -> String {
        format!("{}/{what}", self.name)
    }
}
