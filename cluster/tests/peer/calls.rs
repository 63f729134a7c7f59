//! Calls between nodes that are well: each gets its own reply, many are under way at a time, and none waits
//! for another.

use std::sync::Arc;
use std::time::Duration;

use tidekeep_cluster::peer::{ListenerOptions, PeerNetwork, PeerOptions};
use tidekeep_cluster::{Lane, Link, NodeId, PeerAddress};
use tokio::runtime::Handle;

use crate::nodes::{Desk, PATIENCE, Running, call, echo, founded, member, network, quick, run};

#[test]
fn each_side_knows_who_the_other_is() {
    run(async {
        let (first, desks) = (founded(), [Desk::new(), Desk::new()]);
        let second = member(&first, 2);
        let (one, two) = (network(&first), network(&second));
        let first = Running::start(first, &desks[0]).await;
        let second = Running::start(second, &desks[1]).await;
        assert_eq!(call(&one, 2, &second.at, "hello").await, Ok(echo(1, "hello")));
        assert_eq!(call(&two, 1, &first.at, "hello").await, Ok(echo(2, "hello")));
        assert_eq!(call(&one, 1, &first.at, "myself").await, Ok(echo(1, "myself")));
    });
}

#[test]
fn each_call_gets_its_own_reply() {
    run(async {
        let first = founded();
        let network = network(&member(&first, 2));
        let first = Running::start(first, &Desk::new()).await;
        let callers = (0..50).map(|caller| {
            let (network, at) = (network.clone(), first.at.clone());
            tokio::spawn(async move {
                for number in 0..40 {
                    let request = format!("{caller} {number}").repeat(1 + number * caller);
                    assert_eq!(call(&network, 1, &at, request.clone()).await, Ok(echo(2, request)));
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("a caller");
        }
    });
}

#[test]
fn requests_are_begun_in_order_and_none_waits_for_another() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let first = Running::start(first, &desk).await;
        assert_eq!(call(&network, 1, &first.at, "0").await, Ok(echo(2, "0")));
        let mut waiting = Vec::new();
        for number in 0..300 {
            // A task that never yields is not let through by tokio's semaphores.
            tokio::task::yield_now().await;
            let (to, limit) = (NodeId(1), PATIENCE);
            let request = format!("wait {number}").into_bytes();
            let mut call = network.call(to, &first.at, Lane::Entries, request, limit);
            // From its first poll on it is queued.
            assert!(futures_util::poll!(&mut call).is_pending());
            waiting.push(call);
        }
        let begun = desk.begun(301).await;
        let expected: Vec<_> = (0..300).map(|number| format!("wait {number}")).collect();
        assert!(begun[1..].iter().eq(expected.iter().map(|it| it.as_bytes())), "another order");
        assert_eq!(call(&network, 1, &first.at, "after").await, Ok(echo(2, "after")));
        desk.let_through(300);
        for (call, request) in waiting.into_iter().zip(expected) {
            assert_eq!(call.await, Ok(echo(2, request)));
        }
    });
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let options = ListenerOptions { requests: 1, ..ListenerOptions::default() };
        let first = Running::start_at("127.0.0.1:0", Arc::new(first), &desk, options).await;
        let limit = Duration::from_secs(5);
        let call =
            |lane, request: &str| network.call(NodeId(1), &first.at, lane, request.into(), limit);
        let waiting = tokio::spawn(call(Lane::Entries, "wait"));
        desk.begun(1).await;
        assert_eq!(call(Lane::Control, "quick").await, Ok(echo(2, "quick")));
        assert_eq!(call(Lane::Snapshots, "long").await, Ok(echo(2, "long")));
        desk.let_through(1);
        assert_eq!(waiting.await.expect("a call"), Ok(echo(2, "wait")));
    });
}

#[test]
fn more_requests_than_are_served_at_once_wait_their_turn() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        // One side holds a few of them, the other queues a few; all others wait to be queued.
        let limits = PeerOptions { frame_bytes: 2_000, queue_bytes: 0, ..PeerOptions::default() };
        let network = PeerNetwork::new(&member(&first, 2), limits, Handle::current());
        let options = ListenerOptions { requests: 3, held_bytes: 1_000, ..Default::default() };
        let first = Running::start_at("127.0.0.1:0", Arc::new(first), &desk, options).await;
        let request = |number: usize| format!("wait {number} {}", "x".repeat(number * 10));
        let calls = (0..100).map(|number| {
            let (network, at) = (network.clone(), first.at.clone());
            tokio::spawn(async move { call(&network, 1, &at, request(number)).await })
        });
        let calls: Vec<_> = calls.collect();
        // Three of them, or fewer long ones.
        assert!(desk.begun(1).await.len() <= 3);
        desk.let_through(100);
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.expect("a call"), Ok(echo(2, request(number))));
        }
    });
}

#[test]
fn long_requests_and_replies_come_whole_and_longer_ones_are_refused() {
    run(async {
        let first = founded();
        let options = PeerOptions { frame_bytes: 8 << 20, queue_bytes: 0, ..quick() };
        let network = PeerNetwork::new(&member(&first, 2), options, Handle::current());
        let options = ListenerOptions { frame_bytes: (8 << 20) + 8, ..Default::default() };
        let desk = Desk::new();
        let first = Running::start_at("127.0.0.1:0", Arc::new(first), &desk, options).await;
        // The reply is longer than the request by the number of who asked.
        for bytes in [0, 1, 16_384, 1 << 20, (8 << 20) - 8] {
            let request: Vec<u8> = (0..bytes).map(|place: usize| (place / 7) as u8).collect();
            let reply = call(&network, 1, &first.at, request.clone()).await.expect("a reply");
            assert!(reply == echo(2, request), "{bytes} bytes came back otherwise");
        }
        let why = call(&network, 1, &first.at, vec![0; (8 << 20) + 1]).await.unwrap_err();
        assert!(why.0.contains("too long"), "{why}");
        assert_eq!(call(&network, 1, &first.at, "well").await, Ok(echo(2, "well")));
    });
}

#[test]
fn a_call_does_not_wait_longer_than_its_limit() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let network = network(&member(&first, 2));
        let first = Running::start(first, &desk).await;
        let limit = Duration::from_millis(50);
        let call = network.call(NodeId(1), &first.at, Lane::Entries, b"wait".to_vec(), limit);
        let why = call.await.unwrap_err();
        assert!(why.0.contains("within 50ms"), "{why}");
        // Its reply comes late, and is nobody else's.
        desk.let_through(1);
        let reply = crate::nodes::call(&network, 1, &first.at, "next").await;
        assert_eq!(reply, Ok(echo(2, "next")));
    });
}

#[test]
fn a_node_is_found_at_its_new_address() {
    run(async {
        let first = Arc::new(founded());
        let network = network(&member(&first, 2));
        let (desk, options) = (Desk::new(), ListenerOptions::default());
        let start = || Running::start_at("127.0.0.1:0", Arc::clone(&first), &desk, options.clone());
        let (old, new) = (start().await, start().await);
        assert_eq!(call(&network, 1, &old.at, "old").await, Ok(echo(2, "old")));
        assert_eq!(call(&network, 1, &new.at, "new").await, Ok(echo(2, "new")));
        assert_eq!(call(&network, 1, &old.at, "both").await, Ok(echo(2, "both")));
        let (at, name) = (old.at.clone(), old.at.address.replace("127.0.0.1", "localhost"));
        old.kill().await;
        assert!(call(&network, 1, &at, "gone").await.is_err());
        assert!(call(&network, 1, &PeerAddress { address: name }, "gone").await.is_err());
        assert_eq!(call(&network, 1, &new.at, "here").await, Ok(echo(2, "here")));
    });
}
