//! A watcher is away while more changes than the server remembers.

use bytes::Bytes;
use tidekeep_client::{
    ChangeKind, Client, DeleteOptions, KeyRange, Options, PutOptions, Resync, Watch, WatchEvent,
    WatchOptions,
};
use tidekeep_tests::{ServerProcess, port, within};

use crate::LIMIT;

/// A server that remembers next to nothing.
const FORGETFUL: [&str; 2] = ["--history-bytes", "1"];

async fn next(watch: &mut Watch) -> WatchEvent {
    let event = within("an event", LIMIT, watch.next()).await.expect("it goes on");
    event.expect("the watch outlives the server")
}

/// What was told up to the caught-up marker: keys with their values, or without if they are gone.
async fn told(watch: &mut Watch) -> (Vec<(Bytes, Option<Bytes>)>, bool) {
    let (mut told, mut reset) = (Vec::new(), false);
    loop {
        match next(watch).await {
            WatchEvent::Reset => reset = true,
            WatchEvent::Content(page) => {
                told.extend(page.into_iter().map(|entry| (entry.key, Some(entry.value))));
            }
            WatchEvent::Changes { changes, .. } => {
                for change in changes {
                    assert_eq!(change.kind, ChangeKind::Delete, "only what is gone comes as such");
                    told.push((change.key, None));
                }
            }
            WatchEvent::CaughtUp { .. } => return (told, reset),
            WatchEvent::Bookmark { .. } => {}
        }
    }
}

fn pairs(from: &[(&str, Option<&str>)]) -> Vec<(Bytes, Option<Bytes>)> {
    let own = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    from.iter().map(|(key, value)| (own(key), value.map(own))).collect()
}

#[tokio::test]
async fn gap_is_told_as_a_difference_and_to_who_wants_it_as_a_reset() {
    let data = tempfile::tempdir().expect("a directory");
    let home = port::free();
    let mut server = ServerProcess::start_on(home, data.path(), &FORGETFUL);
    let client = Client::connect(server.address(), Options::default()).await.expect("greeted");
    for key in ["a", "b", "c", "d", "e"] {
        let put = client.put(key, "x", PutOptions::default());
        within("a put", LIMIT, put).await.expect("it is stored");
    }
    let with = |resync| WatchOptions { content: true, resync, ..WatchOptions::default() };
    let mut difference = client.watch(&KeyRange::all(), with(Resync::Difference));
    let mut reset = client.watch(&KeyRange::all(), with(Resync::Reset));
    assert_eq!(told(&mut difference).await.0.len(), 5);
    assert_eq!(told(&mut reset).await.0.len(), 5);

    // Elsewhere, where the watcher does not come.
    server.kill();
    server = ServerProcess::start_on(port::free(), data.path(), &FORGETFUL);
    let other = Client::connect(server.address(), Options::default()).await.expect("greeted");
    for (key, value) in [("b", "y"), ("f", "x"), ("g", "x")] {
        other.put(key, value, PutOptions::default()).await.expect("it is stored");
    }
    for key in ["g", "c", "a"] {
        other.delete(key, DeleteOptions::default()).await.expect("it is removed");
    }
    server.kill();
    let _server = ServerProcess::start_on(home, data.path(), &FORGETFUL);

    let changed = pairs(&[("b", Some("y")), ("f", Some("x")), ("a", None), ("c", None)]);
    assert_eq!(told(&mut difference).await, (changed, false));
    let whole = [("b", Some("y")), ("d", Some("x")), ("e", Some("x")), ("f", Some("x"))];
    assert_eq!(told(&mut reset).await, (pairs(&whole), true));

    let revision = client.put("z", "z", PutOptions::default()).await.expect("stored").revision;
    for watch in [&mut difference, &mut reset] {
        match next(watch).await {
            WatchEvent::Changes { revision: at, .. } => assert_eq!(at, revision),
            other => panic!("the change is next: {other:?}"),
        }
    }
}
