//! Watches as streams: typed events, slow readers, ends.

use std::sync::Arc;
use std::sync::Mutex;

use futures_util::StreamExt;
use tidekeep_client::protocol::codec;
use tidekeep_client::protocol::cursor::Cursor;
use tidekeep_client::protocol::entry::{Entry as WireEntry, Meta, Stored};
use tidekeep_client::protocol::error::{Code, ErrorBody, Outcome as WireOutcome};
use tidekeep_client::protocol::frame;
use tidekeep_client::protocol::op::{Event, Request, WatchFrom, WatchMessage};
use tidekeep_client::{
    Change, ChangeKind, Client, Entry, KeyRange, Options, Resync, Watch, WatchEvent, WatchOptions,
};

use crate::script::{Heard, Script, Way, code, reply, soon};

const META: Meta = Meta { created: 1, modified: 2, version: 3, expires_at: Some(9), lease: None };

fn wire<'a>(key: &'a [u8], value: &'a [u8]) -> WireEntry<'a> {
    WireEntry { key, stored: Stored { meta: META, value } }
}

fn entry(key: &'static str, value: &'static str) -> Entry {
    let (key, value) = (key.into(), value.into());
    Entry { key, value, created: 1, modified: 2, version: 3, expires_at: Some(9), lease: None }
}

fn message(id: u32, message: &WatchMessage<'_>) -> Vec<u8> {
    reply(0x19, id, message)
}

/// Where subscriptions began, in order.
type Begun = Arc<Mutex<Vec<Option<Vec<u8>>>>>;

async fn watching(options: Options) -> (Script, Client, Watch, u32, Begun) {
    let begun = Begun::default();
    let note = Arc::clone(&begun);
    let script = Script::start(Way::Tcp, move |_, request| {
        let Request::Watch(watch) = request else { panic!("{request:?}") };
        note.lock().expect("no panic").push(match watch.from {
            WatchFrom::Cursor(cursor) => Some(cursor.to_vec()),
            WatchFrom::Now | WatchFrom::Content => None,
        });
        Vec::new()
    });
    let mut script = script.await;
    let client = Client::connect(&script.url, options).await.expect("the script greets");
    script.expect(Heard::Connected).await;
    let resync = Resync::Reset;
    let options = WatchOptions { content: true, resync, ..WatchOptions::default() };
    let watch = client.watch(&KeyRange::prefix(b"k"), options);
    let id = script.request(0x19).await;
    (script, client, watch, id, begun)
}

#[tokio::test]
async fn messages_become_typed_events() {
    let (script, _client, mut watch, id, _) = watching(Options::default()).await;
    let content = vec![wire(b"k1", b"one"), wire(b"k2", b"")];
    script.say(message(id, &WatchMessage::Content(content)));
    let event = soon(watch.next()).await.expect("an event").expect("no error");
    assert_eq!(event, WatchEvent::Content(vec![entry("k1", "one"), entry("k2", "")]));
    assert_eq!(watch.cursor(), None);

    script.say(message(id, &WatchMessage::CaughtUp { revision: 4, cursor: b"c4" }));
    let event = soon(watch.next()).await.expect("an event").expect("no error");
    assert_eq!(event, WatchEvent::CaughtUp { revision: 4, cursor: "c4".into() });
    assert_eq!(watch.cursor(), Some(&b"c4"[..]));

    let previous = Some(Stored { meta: META, value: b"was" });
    let events = vec![
        Event::Put { entry: wire(b"k1", b"new"), previous },
        Event::Delete { key: b"k2", previous: None },
        Event::Expire { key: b"k3", previous },
    ];
    script.say(message(id, &WatchMessage::Events { revision: 5, cursor: b"c5", events }));
    let event = soon(watch.next()).await.expect("an event").expect("no error");
    let change = |key: &'static str, kind, previous| Change { key: key.into(), kind, previous };
    let changes = vec![
        change("k1", ChangeKind::Put(entry("k1", "new")), Some(entry("k1", "was"))),
        change("k2", ChangeKind::Delete, None),
        change("k3", ChangeKind::Expire, Some(entry("k3", "was"))),
    ];
    assert_eq!(event, WatchEvent::Changes { revision: 5, cursor: "c5".into(), changes });

    script.say(message(id, &WatchMessage::Bookmark { revision: 6, cursor: b"c6" }));
    let event = soon(StreamExt::next(&mut watch)).await.expect("an event").expect("no error");
    assert_eq!(event, WatchEvent::Bookmark { revision: 6, cursor: "c6".into() });
    assert_eq!(watch.cursor(), Some(&b"c6"[..]));
}

#[tokio::test]
async fn forgotten_cursor_resets_the_reader() {
    let (mut script, _client, mut watch, id, begun) = watching(Options::default()).await;
    script.say(message(id, &WatchMessage::CaughtUp { revision: 4, cursor: b"c4" }));
    soon(watch.next()).await.expect("an event").expect("no error");
    script.hang_up();
    script.expect(Heard::Connected).await;
    let id = script.request(0x19).await;
    let too_old = ErrorBody {
        code: Code::CursorTooOld.number(),
        retryable: false,
        outcome: WireOutcome::NotApplied,
        retry_after_ms: 0,
        message: "forgotten",
    };
    let mut out = Vec::new();
    frame::write_value(&mut out, 0x07, id, &too_old);
    script.say(out);
    assert_eq!(soon(watch.next()).await, Some(Ok(WatchEvent::Reset)));
    assert_eq!(watch.cursor(), None);
    script.request(0x19).await;
    assert_eq!(*begun.lock().expect("no panic"), [None, Some(b"c4".to_vec()), None]);
}

#[tokio::test]
async fn slow_reader_pauses_its_watch_and_loses_nothing() {
    let options = Options { watch_bytes: 2_000, ..Options::default() };
    let (mut script, client, mut watch, mut id, begun) = watching(options).await;
    let value = [7; 100];
    let cursor = |revision: u64| Cursor::single(1, revision).to_bytes();
    let event = |id, revision| {
        let events = vec![Event::Put { entry: wire(b"k", &value), previous: None }];
        let cursor = cursor(revision);
        message(id, &WatchMessage::Events { revision, cursor: &cursor, events })
    };
    script.say(message(id, &WatchMessage::CaughtUp { revision: 0, cursor: &cursor(0) }));
    let mut next = 1;
    let mut paused = false;
    while !paused {
        assert!(next < 100, "the reader's queue is bounded");
        script.say(event(id, next));
        next += 1;
        // A ping that comes back has passed every event before it.
        soon(client.ping()).await.expect("an answer");
        if let Ok(heard) = tokio::time::timeout(std::time::Duration::ZERO, script.next()).await {
            assert_eq!(heard, Heard::Cancel(id));
            paused = true;
        }
    }
    let mut expected = 0;
    let mut resumed = false;
    while expected < 30 || !resumed {
        let read = tokio::select! {
            read = soon(watch.next()) => read.expect("an event").expect("no error"),
            heard = script.next() => {
                let Heard::Request { kind: 0x19, id: again } = heard else { panic!("{heard:?}") };
                resumed = true;
                id = again;
                let from = begun.lock().expect("no panic").last().cloned().flatten();
                let from: Cursor = codec::decode(&from.expect("a cursor")).expect("ours");
                for revision in from.revisions[0] + 1..=30 {
                    script.say(event(id, revision));
                }
                continue;
            }
        };
        match read {
            WatchEvent::CaughtUp { .. } => {}
            WatchEvent::Changes { revision, .. } => {
                expected += 1;
                assert_eq!(revision, expected, "no gap and no repetition");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn dropped_watch_is_cancelled() {
    let (mut script, _client, watch, id, _) = watching(Options::default()).await;
    drop(watch);
    script.expect(Heard::Cancel(id)).await;
}

#[tokio::test]
async fn message_that_does_not_decode_ends_the_watch() {
    let (script, _client, mut watch, id, _) = watching(Options::default()).await;
    let mut body = Vec::new();
    let caught_up = WatchMessage::CaughtUp { revision: 4, cursor: b"c4" };
    codec::encode(&caught_up, &mut body);
    body.push(0);
    let mut out = Vec::new();
    frame::write(&mut out, 0x99, 0, id, &[], |out| out.extend_from_slice(&body));
    script.say(out);
    assert_eq!(code(soon(watch.next()).await.expect("an error")), "protocol");
    assert_eq!(soon(watch.next()).await, None);
}
