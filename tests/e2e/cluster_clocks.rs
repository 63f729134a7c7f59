//! The clocks of nodes are set by hours under load: what is kept alive stays, what is to end does so at its
//! time or a tenth of it before or after, whoever leads, and nothing is applied twice.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidekeep_client::{Client, DeleteOptions, Expiry, Lease, PutOptions};
use tidekeep_protocol::op::LeaseGrant;
use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, WallClock, within};

use crate::cluster_load::{Load, content, impatient, verify};

const CLIENTS: usize = 6;
const HOUR: i64 = 3_600;
const LIMIT: Duration = Duration::from_secs(30);
/// What ends by itself.
const TTL: Duration = Duration::from_secs(1);
/// Longer than a fail-over takes.
const KEPT: Duration = Duration::from_secs(5);
/// Reads and records on their way, on top of what is promised.
const SLACK: Duration = Duration::from_millis(500);
/// By this much the store's time has gone astray before the next clock is set: twice a tenth of what ends by
/// itself, so that an end which is cut by it is too early for what is promised.
const ASTRAY_MS: i64 = 200;
const POLL: Duration = Duration::from_millis(10);

/// Whether the store's time is where it should be, by how many milliseconds it is ahead of the machine's: at
/// least, and at most.
type Judge = fn(i64, i64) -> bool;

/// Clients at two nodes, the first of which keeps a lease alive.
struct Holders {
    clients: [Client; 2],
    kept: Lease,
}

/// A key that is to end, and when that was asked for and answered.
struct Ending {
    key: &'static str,
    asked: Instant,
    answered: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_set_by_hours_cut_no_lease_and_renew_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let clocks = ["0", "1", "2"].map(|name| WallClock::right(folder.path(), name));
    let mut cluster = Cluster::form(Shape { clocks: &clocks, ..Shape::default() });
    let mut load = Load::start(&cluster, CLIENTS).await;
    let leader = cluster.leader();
    // A client at the node that will be killed would have nobody to ask.
    let alive = [(leader + 1) % 3, (leader + 2) % 3];
    let holders = Holders::at(&cluster, alive).await;

    let jumps: [(i64, Judge); 3] = [(HOUR, is_ahead), (-HOUR, is_behind), (0, is_right)];
    for (seconds, is_felt) in jumps {
        let before = holders.endings().await;
        clocks[leader].set(seconds);
        holders.see_end(before).await;
        holders.see_time(is_felt).await;
        load.progress(3).await;
        holders.hold().await;
    }

    // Whichever of them leads next, its clock is off.
    clocks[alive[0]].set(HOUR);
    clocks[alive[1]].set(-HOUR);
    load.progress(3).await;
    let before = holders.endings().await;
    cluster.kill(leader);
    load.lead_away(&cluster, leader);
    holders.see_end(before).await;
    holders.see_end(holders.endings().await).await;
    holders.see_time(|least, most| is_ahead(least, most) || is_behind(least, most)).await;
    holders.hold().await;

    cluster.start(leader);
    cluster.wait_until_whole();
    load.progress(3).await;
    holders.end().await;
    let told = load.end().await;
    let mut contents = Vec::new();
    for node in 0..3 {
        verify(&cluster, node, &told).await;
        let client = Client::connect(cluster.address(node), impatient()).await.unwrap();
        contents.push(content(&client).await);
        client.close().await;
    }
    assert!(contents.iter().all(|each| *each == contents[0]), "nodes differ");
}

impl Holders {
    async fn at(cluster: &Cluster, nodes: [usize; 2]) -> Self {
        let [one, two] = nodes.map(|node| Client::connect(cluster.address(node), impatient()));
        let clients = [one.await.unwrap(), two.await.unwrap()];
        let kept = clients[0].lease(KEPT).await.unwrap();
        clients[0].put("kept", "", expiry(Expiry::Lease(kept.id()))).await.unwrap();
        Self { clients, kept }
    }

    /// A key with a time to live, and one that goes with a lease that nobody keeps alive.
    async fn endings(&self) -> [Ending; 2] {
        let client = &self.clients[1];
        let ttl_ms = TTL.as_millis() as u64;
        let asked = Instant::now();
        client.put("ttl", "", expiry(Expiry::After(ttl_ms))).await.unwrap();
        let ttl = Ending { key: "ttl", asked, answered: Instant::now() };
        let asked = Instant::now();
        let granted = client.call(&LeaseGrant { ttl_ms }).await.unwrap();
        let answered = Instant::now();
        let lease = granted.decode().unwrap().lease;
        client.put("leased", "", expiry(Expiry::Lease(lease))).await.unwrap();
        [ttl, Ending { key: "leased", asked, answered }]
    }

    /// Waits until all of them are gone, and holds that against their time.
    async fn see_end(&self, endings: [Ending; 2]) {
        for ending in endings {
            for client in &self.clients {
                within("an end", LIMIT, ending.see(client)).await;
            }
        }
    }

    /// Waits until this holds of what the store's time is ahead of the machine's, at least and at most: the
    /// clock of who leads was set, and time has gone after it.
    async fn see_time(&self, is_felt: impl Fn(i64, i64) -> bool) {
        let felt = async {
            loop {
                let (least, most) = self.astray_ms().await;
                if is_felt(least, most) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        within("the store's time to go after a clock that was set", LIMIT, felt).await;
    }

    /// By how many milliseconds the store's time is ahead of the machine's, at least and at most.
    async fn astray_ms(&self) -> (i64, i64) {
        let client = &self.clients[0];
        let ttl_ms = LIMIT.as_millis() as u64;
        let asked = unix_ms();
        client.put("astray", "", expiry(Expiry::After(ttl_ms))).await.unwrap();
        let answered = unix_ms();
        let ends = client.get("astray").await.unwrap().unwrap().expires_at.unwrap();
        let stamped = (ends - ttl_ms) as i64;
        (stamped - answered, stamped - asked)
    }

    /// The lease that is kept alive is there.
    async fn hold(&self) {
        tokio::select! {
            biased;
            reason = self.kept.lost() => panic!("a lease that is kept alive was lost: {reason}"),
            () = std::future::ready(()) => {}
        }
        for client in &self.clients {
            assert!(client.get("kept").await.unwrap().is_some(), "its key is gone");
        }
    }

    /// Leaves nothing behind.
    async fn end(self) {
        self.hold().await;
        assert!(self.kept.revoke().await.unwrap(), "there was a lease until now");
        self.clients[0].delete("astray", DeleteOptions::default()).await.unwrap();
        for client in self.clients {
            client.close().await;
        }
    }
}

impl Ending {
    /// Waits until it is gone, neither before its time nor after.
    async fn see(&self, client: &Client) {
        loop {
            let asked = Instant::now();
            let there = client.get(self.key).await.unwrap().is_some();
            if !there {
                let lived = self.asked.elapsed();
                assert!(lived >= TTL * 9 / 10, "{} has ended after {lived:?}", self.key);
                return;
            }
            let lived = asked - self.answered;
            assert!(lived <= TTL * 10 / 9 + SLACK, "{} is there after {lived:?}", self.key);
            tokio::time::sleep(POLL).await;
        }
    }
}

fn is_ahead(least: i64, _most: i64) -> bool {
    least >= ASTRAY_MS
}

fn is_behind(_least: i64, most: i64) -> bool {
    most <= -ASTRAY_MS
}

fn is_right(least: i64, most: i64) -> bool {
    least < ASTRAY_MS && most > -ASTRAY_MS
}

fn expiry(expiry: Expiry) -> PutOptions {
    PutOptions { expiry, ..PutOptions::default() }
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
