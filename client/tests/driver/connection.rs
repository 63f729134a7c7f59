//! The connection as a program sees it: made, shared, lost, made again, given up, closed.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tidekeep_client::protocol::codec;
use tidekeep_client::protocol::entry::{Meta, Stored};
use tidekeep_client::protocol::frame;
use tidekeep_client::protocol::op::{GetReply, Request};
use tidekeep_client::{
    Client, Config, Error, KeyRange, Options, Outcome, PutOptions, Queue, State, WatchOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::script::{Heard, Script, Way, code, reply, soon};

const META: Meta = Meta { created: 1, modified: 2, version: 3, expires_at: Some(4), lease: None };

/// Answers gets with the key as the value, in chunks if it is long, and nothing else.
fn echo(id: u32, request: &Request<'_>) -> Vec<u8> {
    let Request::Get(get) = request else { return Vec::new() };
    let stored = Stored { meta: META, value: get.key };
    let mut body = Vec::new();
    codec::encode(&GetReply { revision: 9, entry: Some(stored) }, &mut body);
    let mut out = Vec::new();
    frame::write_chunked(&mut out, 0x90, 0, id, &body, 100);
    out
}

fn nothing(_: u32, _: &Request<'_>) -> Vec<u8> {
    Vec::new()
}

type Connecting = Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>>;

/// A connect that is polled the moment it is woken, as a thread of its own may.
struct Eager {
    connecting: Mutex<Connecting>,
    connected: mpsc::UnboundedSender<(Client, State)>,
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        let mut connecting = self.connecting.lock().expect("nobody panics");
        if let Poll::Ready(client) =
            connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            let client = client.expect("the script greets");
            let state = client.state();
            self.connected.send((client, state)).expect("the test listens");
        }
    }
}

#[tokio::test]
async fn who_is_connected_is_told_of_no_further_change() {
    let script = Script::start(Way::Tcp, nothing).await;
    let url = script.url.clone();
    let connecting: Connecting =
        Box::pin(async move { Client::connect(&url, Options::default()).await });
    let (connected, mut connections) = mpsc::unbounded_channel();
    let eager = Arc::new(Eager { connecting: Mutex::new(connecting), connected });
    let waker = Waker::from(Arc::clone(&eager));
    let polled = {
        let mut connecting = eager.connecting.lock().expect("nobody panics");
        connecting.as_mut().poll(&mut Context::from_waker(&waker))
    };
    assert!(polled.is_pending());
    let (_client, state) = soon(connections.recv()).await.expect("it connects");
    assert_eq!(state, State::Ready);
}

#[tokio::test]
async fn calls_of_many_tasks_share_one_connection() {
    for way in [Way::Tcp, Way::WebSocket] {
        let mut script = Script::start(way, echo).await;
        let client = script.connect().await;
        let tasks: Vec<_> = (0..64_u32)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move {
                    let gets: Vec<_> = (0..50_u32)
                        .map(|n| client.get(format!("{task}:{n}:{}", "x".repeat(n as usize * 5))))
                        .collect();
                    for get in gets {
                        let entry = get.await.expect("a reply").expect("an entry");
                        assert_eq!(entry.key, entry.value);
                        assert_eq!((entry.created, entry.modified, entry.version), (1, 2, 3));
                        assert_eq!(entry.expires_at, Some(4));
                    }
                })
            })
            .collect();
        for task in tasks {
            soon(task).await.expect("no assertion failed");
        }
        for _ in 0..64 * 50 {
            script.request(0x10).await;
        }
    }
}

#[tokio::test]
async fn what_is_larger_than_a_message_travels_whole() {
    for way in [Way::Tcp, Way::WebSocket] {
        let mut script = Script::start(way, nothing).await;
        let client = script.connect().await;
        let value = vec![7; 1 << 20];
        let put = client.put("large", &value, PutOptions::default());
        let _small = client.get("small");
        let id = script.request(0x11).await;
        script.request(0x10).await;
        drop(put);
        script.expect(Heard::Cancel(id)).await;
    }
}

#[tokio::test]
async fn first_attempt_that_fails_is_the_error_of_connecting() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = nobody.local_addr().expect("bound").to_string();
    drop(nobody);
    let error = soon(Client::connect(&address, Options::default())).await.expect_err("nobody");
    assert_eq!((error.code().name(), error.retryable()), ("network", true));
    assert!(error.message().contains("refused"), "{error}");

    let stranger = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = stranger.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = stranger.accept().await {
            let _hello = stream.read(&mut [0; 1000]).await;
            let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let connected = soon(Client::connect(&format!("tcp://{address}"), Options::default())).await;
    assert_eq!(code(connected), "protocol");
    let connected = soon(Client::connect(&format!("ws://{address}/ws"), Options::default())).await;
    assert_eq!(code(connected), "network");

    let connected = soon(Client::connect("no such scheme://x", Options::default())).await;
    assert_eq!(code(connected), "invalid-input");
}

#[tokio::test]
async fn lazy_client_connects_at_the_first_call() {
    let mut script = Script::start(Way::Tcp, echo).await;
    let client = Client::lazy(&script.url, Options::default()).expect("an address");
    assert_eq!((client.state(), client.server()), (State::Idle, None));
    let entry = soon(client.get("k")).await.expect("a reply");
    assert_eq!(entry.expect("an entry").text(), Some("k"));
    script.expect(Heard::Connected).await;
    assert_eq!(client.state(), State::Ready);
    assert_eq!(&*client.server().expect("it greeted").software, "script");
    assert!(soon(client.ping()).await.expect("an answer") < Duration::from_secs(20));
}

#[tokio::test]
async fn lost_connection_is_made_again_and_seen() {
    for way in [Way::Tcp, Way::WebSocket] {
        let mut script = Script::start(way, echo).await;
        let client = script.connect().await;
        let mut states = client.states();
        script.hang_up();
        soon(states.wait_for(|&state| state == State::Reconnecting)).await.expect("a state");
        let entry = soon(client.get("k")).await.expect("a reply");
        assert!(entry.is_some(), "a call waits for the next connection");
        assert_eq!(client.state(), State::Ready);
        script.expect(Heard::Connected).await;
    }
}

#[tokio::test]
async fn fail_fast_client_does_not_wait_for_a_connection() {
    let config = Config { queue: Queue::FailFast, ..Config::default() };
    let options = Options { config, ..Options::default() };
    let client = Client::lazy("tcp://127.0.0.1:1", options).expect("an address");
    assert_eq!(code(soon(client.get("k")).await), "network");
}

#[tokio::test]
async fn write_whose_reply_is_lost_is_of_unknown_outcome() {
    let mut script = Script::start(Way::Tcp, nothing).await;
    let client = script.connect().await;
    let put = client.put("k", "v", PutOptions::default());
    script.request(0x11).await;
    script.hang_up();
    let error = soon(put).await.expect_err("the reply is lost");
    assert_eq!((error.code().name(), error.outcome()), ("network", Outcome::Unknown));
}

#[tokio::test]
async fn deadline_ends_a_call_and_the_server_is_told() {
    let mut script = Script::start(Way::Tcp, nothing).await;
    let client = script.connect().await.with_timeout(Duration::from_millis(30));
    let get = client.get("k");
    let id = script.request(0x10).await;
    let error = soon(get).await.expect_err("nobody answers");
    assert_eq!((error.code().name(), error.outcome()), ("timeout", Outcome::NotApplied));
    script.expect(Heard::Cancel(id)).await;
}

#[tokio::test]
async fn dropped_future_gives_its_call_up() {
    let mut script = Script::start(Way::Tcp, nothing).await;
    let client = script.connect().await;
    let get = client.get("k");
    let id = script.request(0x10).await;
    drop(get);
    script.expect(Heard::Cancel(id)).await;
}

#[tokio::test]
async fn connection_ends_with_the_last_that_uses_it() {
    for way in [Way::Tcp, Way::WebSocket] {
        let mut script = Script::start(way, nothing).await;
        let client = script.connect().await;
        let clone = client.clone();
        let watch = client.watch(&KeyRange::all(), WatchOptions::default());
        script.request(0x19).await;
        drop(client);
        let get = clone.get("k");
        script.request(0x10).await;
        drop((clone, watch));
        assert!(matches!(script.next().await, Heard::Cancel(_)), "the watch ended");
        drop(get);
        loop {
            match script.next().await {
                Heard::Cancel(_) => {}
                heard => break assert_eq!(heard, Heard::Gone),
            }
        }
    }
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight() {
    let mut script = Script::start(Way::Tcp, nothing).await;
    let client = script.connect().await;
    let get = client.get("k");
    let id = script.request(0x10).await;
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close().await }
    });
    script.say(reply(0x10, id, &GetReply { revision: 1, entry: None }));
    assert_eq!(soon(get).await, Ok(None));
    soon(closing).await.expect("closed");
    script.expect(Heard::Gone).await;
    assert_eq!(client.state(), State::Closed);
    assert_eq!(code(soon(client.get("k")).await), "closed");
    assert_eq!(code(soon(client.ping()).await), "closed");
    let mut watch = client.watch(&KeyRange::all(), WatchOptions::default());
    assert_eq!(code(soon(watch.next()).await.expect("an error")), "closed");
    assert_eq!(soon(watch.next()).await, None);
    soon(client.close()).await;
}

#[test]
fn client_whose_runtime_is_gone_says_so() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let first = runtime().expect("a runtime");
    let client = first.block_on(async {
        let mut script = Script::start(Way::Tcp, nothing).await;
        script.connect().await
    });
    drop(first);
    runtime().expect("a runtime").block_on(async {
        assert_eq!(client.state(), State::Closed);
        assert_eq!(code(soon(client.get("k")).await), "closed");
        soon(client.close()).await;
    });
}

#[test]
fn handles_and_futures_may_cross_threads() {
    fn crosses<T: Send + Sync>(_: &T) {}
    fn sends<T: Send + 'static>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = Client::lazy("127.0.0.1:1", Options::default()).expect("an address");
        crosses(&client);
        sends(&client.get(String::from("k")));
        sends(&client.put("k", "v", PutOptions::default()));
        sends(&client.scan(&KeyRange::all(), Default::default()));
        sends(&client.watch(&KeyRange::all(), WatchOptions::default()));
        sends(&client.txn(Default::default()));
    });
}
