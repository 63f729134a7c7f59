//! `kill -9`, two hundred times, under the load of twenty clients: nothing that was acknowledged is
//! lost, nothing is there that nobody wrote, and a watcher that lived through it all has seen
//! exactly what the store holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidekeep_client::{
    ChangeKind, Client, DeleteOptions, KeyRange, Options, PutOptions, Resync, ScanOptions,
    WatchEvent, WatchOptions,
};
use tidekeep_tests::{ServerProcess, port, within};
use tokio::sync::{Semaphore, watch};

const ROUNDS: usize = 200;
const CLIENTS: usize = 20;
const KEYS_PER_CLIENT: u64 = 16;
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_nothing_and_invent_nothing() {
    let data = tempfile::tempdir().unwrap();
    let port = port::free();
    let mut server = ServerProcess::start_on(port, data.path(), ARGUMENTS);
    let address = server.address().to_owned();
    let follower = tokio::spawn(follow(Client::connect(&address, impatient()).await.unwrap()));
    let mut writers: Vec<Writer> = (0..CLIENTS).map(Writer::new).collect();
    let mut acknowledged = 0;

    for round in 0..ROUNDS {
        let (stop, stopped) = watch::channel(false);
        let answers = Arc::new(Semaphore::new(0));
        let mut running = Vec::new();
        for writer in writers {
            let client = Client::connect(&address, Options::default()).await.unwrap();
            let answers = Arc::clone(&answers);
            running.push(tokio::spawn(writer.write_until(client, answers, stopped.clone())));
        }
        // The load's length differs from round to round, so that kills meet every phase of it.
        let some = 200 + (round as u32 * 1313) % 4400;
        within("answers", LIMIT, answers.acquire_many(some)).await.expect("it is open").forget();
        server.kill();
        stop.send(true).expect("the writers are listening");
        writers = Vec::new();
        for writer in running {
            writers.push(within("a writer to notice the kill", LIMIT, writer).await.unwrap());
        }

        server = ServerProcess::start_on(port, data.path(), ARGUMENTS);
        let client = Client::connect(&address, Options::default()).await.unwrap();
        let content = content(&client).await;
        let known: usize = writers.iter_mut().map(|writer| writer.settle(&content, round)).sum();
        assert_eq!(content.len(), known, "round {round}: keys that nobody wrote");
        acknowledged = writers.iter().map(|writer| writer.acknowledged).sum();
        client.close().await;
    }

    assert!(acknowledged > ROUNDS as u64 * CLIENTS as u64, "only {acknowledged} writes: no load");
    let client = Client::connect(&address, Options::default()).await.unwrap();
    client.put("end", "of the story", PutOptions::default()).await.unwrap();
    let mut expected = content(&client).await;
    expected.remove(&b"end"[..]);
    let followed = within("the watcher to see the last write", LIMIT, follower).await.unwrap();
    assert_eq!(followed.content, expected);
    println!(
        "{ROUNDS} kills, {acknowledged} acknowledged writes, {} events followed, {} resets, \
         resumed {} times",
        followed.events, followed.resets, followed.caught_up
    );
    assert!(followed.caught_up > ROUNDS / 4, "resumed only {} times", followed.caught_up);
    assert_eq!(followed.resets, 0, "a cursor was forgotten over a restart");
}

/// The history holds more than a run writes on any machine. With less, a follower that is unlucky
/// with its attempts to reconnect could rightly be told that its cursor is too old.
const ARGUMENTS: &[&str] = &["--durability", "always", "--history-bytes", "1073741824"];

/// The options of a follower that is back in nearly every round, rather than after waits of up to 20
/// seconds, in which many rounds go by.
fn impatient() -> Options {
    let mut options = Options::default();
    options.config.backoff_max_ms = 100;
    options
}

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// What one client knows of its own keys.
struct Writer {
    name: usize,
    next: u64,
    acknowledged: u64,
    keys: BTreeMap<Vec<u8>, Known>,
}

/// What a key may hold: what was acknowledged last, or what was sent after that and never answered.
#[derive(Default)]
struct Known {
    settled: Option<Vec<u8>>,
    unanswered: Option<Option<Vec<u8>>>,
}

impl Writer {
    fn new(name: usize) -> Self {
        Self { name, next: 0, acknowledged: 0, keys: BTreeMap::new() }
    }

    /// Writes, one after another, until told to stop, and counts the answers; a write under way then is given up and stays
    /// unanswered.
    async fn write_until(
        mut self,
        client: Client,
        answers: Arc<Semaphore>,
        mut stop: watch::Receiver<bool>,
    ) -> Self {
        loop {
            self.next += 1;
            let key = format!("{:02}/{:02}", self.name, self.next % KEYS_PER_CLIENT).into_bytes();
            let deletes = self.next.is_multiple_of(7);
            let value = (!deletes).then(|| format!("{}", self.next).into_bytes());
            let known = self.keys.entry(key.clone()).or_default();
            known.unanswered = Some(value.clone());
            let write = async {
                match &value {
                    Some(value) => client.put(&key, value, PutOptions::default()).await.map(drop),
                    None => client.delete(&key, DeleteOptions::default()).await.map(drop),
                }
            };
            let answer = tokio::select! {
                answer = write => answer,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if answer.is_err() {
                break;
            }
            known.settled = value;
            known.unanswered = None;
            self.acknowledged += 1;
            answers.add_permits(1);
        }
        client.close().await;
        self
    }

    /// Compares what the restarted store holds with what this client may expect, takes it as the
    /// new truth, and counts the keys that are there.
    fn settle(&mut self, content: &Content, round: usize) -> usize {
        let mut present = 0;
        for (key, known) in &mut self.keys {
            let found = content.get(key).cloned();
            let allowed = found == known.settled || Some(&found) == known.unanswered.as_ref();
            assert!(
                allowed,
                "round {round}, key {}: found {found:?}, acknowledged {:?}, unanswered {:?}",
                String::from_utf8_lossy(key),
                known.settled,
                known.unanswered
            );
            present += usize::from(found.is_some());
            *known = Known { settled: found, unanswered: None };
        }
        present
    }
}

/// What a watch that was opened once and never again has seen.
struct Followed {
    content: Content,
    events: u64,
    resets: u64,
    caught_up: usize,
}

async fn follow(client: Client) -> Followed {
    // A gap that is told as a difference would go unnoticed here.
    let resync = Resync::Reset;
    let options = WatchOptions { content: true, resync, ..WatchOptions::default() };
    let mut watch = client.watch(&KeyRange::all(), options);
    let mut followed = Followed { content: Content::new(), events: 0, resets: 0, caught_up: 0 };
    let mut last = 0;
    while let Some(event) = watch.next().await {
        match event.expect("a watch survives its server") {
            WatchEvent::Content(entries) => {
                for entry in entries {
                    followed.content.insert(entry.key.to_vec(), entry.value.to_vec());
                }
            }
            WatchEvent::Changes { revision, changes, .. } => {
                assert!(revision > last, "revision {revision} came after {last}");
                last = revision;
                followed.events += 1;
                for change in changes {
                    match change.kind {
                        ChangeKind::Put(entry) => {
                            followed.content.insert(change.key.to_vec(), entry.value.to_vec());
                        }
                        ChangeKind::Delete | ChangeKind::Expire | ChangeKind::Evict => {
                            followed.content.remove(&change.key[..]);
                        }
                    }
                }
            }
            WatchEvent::Reset => {
                followed.content.clear();
                followed.resets += 1;
            }
            WatchEvent::CaughtUp { .. } => followed.caught_up += 1,
            WatchEvent::Bookmark { .. } => {}
        }
        if followed.content.remove(&b"end"[..]).is_some() {
            break;
        }
    }
    followed
}

async fn content(client: &Client) -> Content {
    let mut content = Content::new();
    let mut entries = client.scan(&KeyRange::all(), ScanOptions::default());
    while let Some(entry) = entries.next().await {
        let entry = entry.expect("the store can be read");
        content.insert(entry.key.to_vec(), entry.value.to_vec());
    }
    content
}
