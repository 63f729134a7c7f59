//! The server is killed under a client that writes and one that watches, again and again.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidekeep_client::{
    ChangeKind, Client, KeyRange, Options, Outcome, PutOptions, Resync, ScanOptions, Watch,
    WatchEvent, WatchOptions,
};
use tidekeep_tests::{ServerProcess, port, within};

use crate::LIMIT;

/// What a watcher makes of what it is told.
#[derive(Default)]
struct Fold {
    entries: BTreeMap<Bytes, Bytes>,
    revision: u64,
}

impl Fold {
    fn take(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Reset => panic!("everything can be resumed"),
            WatchEvent::Content(page) => {
                self.entries.extend(page.into_iter().map(|entry| (entry.key, entry.value)));
            }
            WatchEvent::CaughtUp { revision, .. } | WatchEvent::Bookmark { revision, .. } => {
                assert!(revision >= self.revision);
                self.revision = revision;
            }
            WatchEvent::Changes { revision, changes, .. } => {
                assert!(revision > self.revision, "{revision} comes twice or too late");
                self.revision = revision;
                for change in changes {
                    match change.kind {
                        ChangeKind::Put(entry) => self.entries.insert(entry.key, entry.value),
                        ChangeKind::Delete | ChangeKind::Expire | ChangeKind::Evict => {
                            self.entries.remove(&change.key)
                        }
                    };
                }
            }
        }
    }

    /// Reads on until the key has this value.
    async fn until(&mut self, watch: &mut Watch, key: &str, value: &str) {
        while self.entries.get(key.as_bytes()).is_none_or(|known| known != value) {
            let event = within("an event", LIMIT, watch.next()).await.expect("it goes on");
            self.take(event.expect("the watch outlives the server"));
        }
    }
}

/// A put may still meet the old connection, whose end the client has not seen yet; then it is of
/// unknown outcome and, being the same each time, can be made again.
async fn put_until_done(client: &Client, key: &str, value: &str) {
    loop {
        let put = client.put(key, value, PutOptions::default());
        match within("a put after the kill", LIMIT, put).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.outcome(), Outcome::Unknown, "{error}"),
        }
    }
}

#[tokio::test]
async fn watch_and_calls_live_through_kills_of_the_server() {
    let data = tempfile::tempdir().expect("a directory");
    let port = port::free();
    let mut server = ServerProcess::start_on(port, data.path(), &[]);
    for scheme in ["tcp", "http"] {
        let url = format!("{scheme}://{}", server.address());
        let client = Client::connect(&url, Options::default()).await.expect("the server greets");
        // A gap that is told as a difference would go unnoticed here.
        let resync = Resync::Reset;
        let options = WatchOptions { content: true, resync, ..WatchOptions::default() };
        let mut watch = client.watch(&KeyRange::all(), options);
        let mut fold = Fold::default();
        let mut unknown = 0;
        for round in 0..5 {
            let puts: Vec<_> = (0..200)
                .map(|n| client.put(format!("k{n}"), format!("{round}"), PutOptions::default()))
                .collect();
            within("the first put", LIMIT, client.ping()).await.expect("an answer");
            server.kill();
            server = ServerProcess::start_on(port, data.path(), &[]);
            for put in puts {
                match within("the end of a put", LIMIT, put).await {
                    Ok(_) => {}
                    Err(error) => {
                        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                        unknown += 1;
                    }
                }
            }
            put_until_done(&client, "last", &format!("{scheme}{round}")).await;
            fold.until(&mut watch, "last", &format!("{scheme}{round}")).await;
        }
        let mut scan = client.scan(&KeyRange::all(), ScanOptions::default());
        let mut entries = BTreeMap::new();
        while let Some(entry) = within("an entry", LIMIT, scan.next()).await {
            let entry = entry.expect("an entry");
            entries.insert(entry.key, entry.value);
        }
        assert_eq!(fold.entries, entries);
        println!("{scheme}: {unknown} puts of unknown outcome");
    }
}

#[tokio::test]
async fn calls_wait_for_the_next_server_when_theirs_is_drained() {
    let data = tempfile::tempdir().expect("a directory");
    let port = port::free();
    let server = ServerProcess::start_on(port, data.path(), &[]);
    let client = Client::connect(server.address(), Options::default()).await.expect("greeted");
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            for n in 0..2_000 {
                put_until_done(&client, &n.to_string(), "v").await;
            }
        }
    });
    within("some puts", LIMIT, async { while client.get("50").await.expect("a get").is_none() {} })
        .await;
    let ended = tokio::task::spawn_blocking(move || server.terminate()).await.expect("it ends");
    assert!(ended.success());
    let _next = ServerProcess::start_on(port, data.path(), &[]);
    within("every put", LIMIT, writer).await.expect("no put fails for good");
    assert_eq!(within("a count", LIMIT, client.count(&KeyRange::all())).await, Ok(2_000));
}
