//! Nodes that die, come back, hang, or are no nodes at all: calls fail soon, and work again soon after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidekeep_cluster::peer::{ListenerOptions, PeerNetwork, PeerOptions};
use tidekeep_cluster::{Lane, Link, NodeId, PeerAddress, Unreachable};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::nodes::{Desk, PATIENCE, Running, call, echo, founded, member, network, quick, run};

/// Calls until it works.
async fn until_it_works(network: &PeerNetwork, at: &PeerAddress) {
    let deadline = Instant::now() + PATIENCE;
    let limit = Duration::from_millis(500);
    loop {
        let call = network.call(NodeId(1), at, Lane::Entries, b"again".to_vec(), limit);
        match call.await {
            Ok(reply) => return assert_eq!(reply, echo(2, "again")),
            Err(why) => assert!(Instant::now() < deadline, "{why}"),
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_node_that_was_killed_and_comes_back_is_called_again() {
    run(async {
        let (first, desk) = (Arc::new(founded()), Desk::new());
        let network = network(&member(&first, 2));
        let options = ListenerOptions::default();
        let running = Running::start_at("127.0.0.1:0", Arc::clone(&first), &desk, options.clone());
        let running = running.await;
        let at = running.at.clone();
        assert_eq!(call(&network, 1, &at, "before").await, Ok(echo(2, "before")));
        let under_way = tokio::spawn({
            let (network, at) = (network.clone(), at.clone());
            async move { call(&network, 1, &at, "wait").await }
        });
        desk.begun(2).await;
        running.kill().await;
        let why = under_way.await.expect("a call").unwrap_err();
        assert!(why.0.contains("lost"), "{why}");
        // Refused at once, however long the call would have waited.
        let began = Instant::now();
        let why = call(&network, 1, &at, "down").await.unwrap_err();
        assert!(why.0.contains("refused") && why.0.contains(&at.address), "{why}");
        assert!(began.elapsed() < PATIENCE / 4, "it took {:?}", began.elapsed());
        let _running = Running::start_at(&at.address, Arc::clone(&first), &desk, options).await;
        until_it_works(&network, &at).await;
    });
}

#[test]
fn a_connection_that_is_closed_for_want_of_use_costs_no_call() {
    run(async {
        let first = founded();
        let options = PeerOptions { idle: Duration::from_millis(1), ..quick() };
        let network = PeerNetwork::new(&member(&first, 2), options, Handle::current());
        let first = Running::start(first, &Desk::new()).await;
        for number in 0_u64..500 {
            let request = number.to_string();
            let reply = call(&network, 1, &first.at, request.clone()).await;
            assert_eq!(reply, Ok(echo(2, request)));
            // Pace: some come before the connection is closed, some behind, and some just then.
            tokio::time::sleep(Duration::from_micros(number % 25 * 100)).await;
        }
    });
}

#[test]
fn what_has_begun_is_brought_to_its_end() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let first = Running::start(first, &desk).await;
        let limit = Duration::from_millis(100);
        let call = network.call(NodeId(1), &first.at, Lane::Entries, b"wait".to_vec(), limit);
        let call = tokio::spawn(call);
        desk.begun(1).await;
        assert!(call.await.expect("a call").is_err());
        drop(network);
        desk.let_through(1);
        desk.done(1).await;
    });
}

/// A way to a node that can be made to swallow everything.
struct Proxy {
    at: PeerAddress,
    swallows: watch::Sender<bool>,
}

async fn proxy(to: PeerAddress) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = PeerAddress { address: listener.local_addr().expect("an address").to_string() };
    let swallows = watch::Sender::new(false);
    let switch = swallows.subscribe();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (to, mut switch) = (to.address.clone(), switch.clone());
            tokio::spawn(async move {
                let is_new = !*switch.borrow();
                if is_new && let Ok(mut far) = TcpStream::connect(to).await {
                    let swallowed = std::pin::pin!(switch.wait_for(|swallows| *swallows));
                    let passed = std::pin::pin!(copy_bidirectional(&mut near, &mut far));
                    futures_util::future::select(passed, swallowed).await;
                }
                // Open, and nothing comes of it.
                std::future::pending::<()>().await;
            });
        }
    });
    Proxy { at, swallows }
}

#[test]
fn a_connection_that_swallows_everything_is_given_up_and_made_anew() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let first = Running::start(first, &desk).await;
        let proxy = proxy(first.at.clone()).await;
        assert_eq!(call(&network, 1, &proxy.at, "before").await, Ok(echo(2, "before")));
        proxy.swallows.send_replace(true);
        // It has far more time than a silent connection is kept for.
        let began = Instant::now();
        let why = call(&network, 1, &proxy.at, "lost").await.unwrap_err();
        assert!(why.0.contains("nothing was heard"), "{why}");
        assert!(began.elapsed() < PATIENCE / 4, "it took {:?}", began.elapsed());
        proxy.swallows.send_replace(false);
        until_it_works(&network, &proxy.at).await;
    });
}

#[test]
fn a_node_that_thinks_for_long_keeps_its_connection() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let first = Running::start(first, &desk).await;
        let proxy = proxy(first.at.clone()).await;
        let thinking = tokio::spawn({
            let (network, at) = (network.clone(), proxy.at.clone());
            async move { call(&network, 1, &at, "wait").await }
        });
        desk.begun(1).await;
        // Three times as long as nothing may be heard: pings are answered meanwhile.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        desk.let_through(1);
        assert_eq!(thinking.await.expect("a call"), Ok(echo(2, "wait")));
    });
}

/// A way to a node on which replies come a few bytes at a time.
async fn slow(to: PeerAddress) -> PeerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = PeerAddress { address: listener.local_addr().expect("an address").to_string() };
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("a connection");
        let far = TcpStream::connect(to.address).await.expect("a connection");
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let requests = tokio::io::copy(&mut from_near, &mut to_far);
        let replies = async {
            let mut piece = vec![0; 16 << 10];
            while let Ok(bytes @ 1..) = from_far.read(&mut piece).await
                && to_near.write_all(&piece[..bytes]).await.is_ok()
            {
                // The line is slow.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        futures_util::future::join(requests, replies).await
    });
    at
}

#[test]
fn a_reply_that_takes_longer_than_silence_may_last_arrives() {
    run(async {
        let first = founded();
        let network = network(&member(&first, 2));
        let first = Running::start(first, &Desk::new()).await;
        let at = slow(first.at.clone()).await;
        // 64 pieces: more than twice as long as nothing may be heard.
        let request = vec![5; 1 << 20];
        assert!(call(&network, 1, &at, request.clone()).await == Ok(echo(2, request)));
    });
}

/// Calls what answers every connection with these bytes and then keeps it open.
async fn call_what_says(bytes: &'static [u8]) -> Unreachable {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = PeerAddress { address: listener.local_addr().expect("an address").to_string() };
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                if socket.write_all(bytes).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    let network = network(&member(&founded(), 2));
    call(&network, 1, &at, "hello").await.expect_err("no node is there")
}

#[test]
fn what_is_no_node_is_told_as_such() {
    run(async {
        let why = call_what_says(b"").await;
        assert!(why.0.contains("no connection within 2s"), "{why}");
        let why = call_what_says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(why.0.contains("does not speak TLS"), "{why}");
        let network = network(&founded());
        let nowhere = PeerAddress { address: "no address".into() };
        let why = call(&network, 1, &nowhere, "hello").await.unwrap_err();
        assert!(why.0.contains("no address"), "{why}");
    });
}

/// Sends bytes to a node, and resolves when it closes the connection.
async fn is_closed(at: &PeerAddress, bytes: &[u8]) {
    let mut socket = TcpStream::connect(&at.address).await.expect("a connection");
    // It may be closed before all is sent.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("it should be closed in time");
}

#[test]
fn garbage_and_silence_cost_a_node_nothing_but_their_own_connection() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let handshake = Duration::from_millis(100);
        let options = ListenerOptions { handshake, strangers: 8, ..ListenerOptions::default() };
        let first = Running::start_at("127.0.0.1:0", Arc::new(first), &desk, options).await;
        assert_eq!(call(&network, 1, &first.at, "before").await, Ok(echo(2, "before")));
        is_closed(&first.at, b"GET / HTTP/1.1\r\n\r\n").await;
        is_closed(&first.at, &[0xff; 100_000]).await;
        is_closed(&first.at, &[22, 3, 1, 0xff, 0xff]).await;
        // Nothing at all, by more of them than may stand at the door.
        let silent = (0..20).map(|_| is_closed(&first.at, b""));
        futures_util::future::join_all(silent).await;
        assert_eq!(call(&network, 1, &first.at, "after").await, Ok(echo(2, "after")));
    });
}
