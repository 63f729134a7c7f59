//! As many connections, bytes and requests as there may be, and what is told to one more.

use std::time::{Duration, Instant};

use tidekeep_log::Eviction;
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Delete, Event, Get, Operation, Watch, WatchFrom, WatchMessage};
use tidekeep_protocol::range::Range;

use crate::harness::{Client, TestServer, eventually, greeting, put, request_frame};
use crate::http;

#[test]
fn one_connection_too_many_is_told_so_in_its_own_language() {
    let server = TestServer::with(|config| config.max_connections = 2);
    let (mut first, mut second) = (server.client(), server.client());

    let mut third = Client::raw(server.address);
    third.send(&greeting());
    let frame = third.answer();
    assert_eq!((frame.id, frame.code()), (0, Code::TooManyConnections));
    assert!(frame.error().retryable && frame.error().retry_after_ms > 0);
    third.is_closed();

    let page = http::get(server.address, "/livez");
    assert_eq!(page.status, 503);
    assert!(page.header("retry-after").is_some());
    let mut redis = Client::raw(server.address);
    redis.send(b"*1\r\n$4\r\nPING\r\n");
    assert!(redis.rest().starts_with(b"-ERR "));

    first.is_well();
    second.is_well();
    drop(first);
    eventually("the place is free again", || {
        let mut client = Client::raw(server.address);
        client.send(&greeting());
        client.try_frame().is_some_and(|frame| frame.kind == 0x02)
    });
    drop(second);
    eventually("there is room", || http::get(server.address, "/livez").status == 200);
    assert!(server.figure("tidekeep_connections_refused_total{reason=\"limit\"}") >= 3.0);
}

#[test]
fn visitors_that_say_nothing_take_no_place_for_long() {
    let server = TestServer::with(|config| {
        config.max_connections = 3;
        config.handshake_ms = 150;
    });
    let _silent: Vec<Client> = (0..3).map(|_| Client::raw(server.address)).collect();
    eventually("a place is free", || {
        let mut client = Client::raw(server.address);
        client.send(&greeting());
        client.try_frame().is_some_and(|frame| frame.kind == 0x02)
    });
}

#[test]
fn at_the_memory_limit_writes_are_refused_by_name_until_there_is_room() {
    let server = TestServer::with(|config| config.memory.limit_bytes = 2 << 20);
    let mut client = server.client();
    let mut count = 0_u32;
    let refused = loop {
        let frame = client.call(1, &put(&count.to_be_bytes(), &[7; 4000]));
        if frame.kind == kind::ERROR {
            break frame;
        }
        count += 1;
    };
    assert!(count > 200, "only {count} values of 4 kB fit into 2 MiB");
    assert_eq!(refused.code(), Code::MemoryFull);
    let error = refused.error();
    assert!(error.retryable && error.outcome == Outcome::NotApplied, "{error:?}");
    assert!(client.get(&0_u32.to_be_bytes()).is_some());
    client.put(&0_u32.to_be_bytes(), &[8; 4000]);
    // More than this connection's own buffers may have grown by.
    for number in 1..20_u32 {
        let key = &number.to_be_bytes()[..];
        let delete = Delete { key, condition: Condition::Always, previous: false };
        let frame = client.call(1, &delete);
        assert!(frame.kind == Delete::SPEC.kind | kind::REPLY, "{frame:?}");
    }
    client.put(b"in its place", &[9; 3900]);
    assert!(server.figure("tidekeep_store_memory_bytes") <= f64::from(2 << 20));
    assert!(server.figure("tidekeep_store_memory_buffers_bytes") > 0.0);
    assert!(server.figure("tidekeep_store_memory_refused") >= 1.0);
}

#[test]
fn a_cache_makes_room_and_its_watchers_are_told() {
    let server = TestServer::with(|config| {
        config.memory.limit_bytes = 2 << 20;
        config.memory.eviction = Eviction::Lru;
    });
    let (mut client, mut watcher) = (server.client(), server.client());
    let range = Range { start: b"", end: None };
    watcher.ask(
        9,
        &Watch { range, from: WatchFrom::Now, previous: false, delivery: Default::default() },
    );
    let told = std::thread::spawn(move || {
        loop {
            let frame = watcher.joined();
            let WatchMessage::Events { events, .. } = frame.reply::<Watch<'_>>() else { continue };
            if events.iter().any(|event| matches!(event, Event::Evict { .. })) {
                return;
            }
        }
    });
    let mut number = 0_u32;
    while !told.is_finished() {
        client.put(&number.to_be_bytes(), &[7; 4000]);
        number += 1;
    }
    told.join().expect("the watcher is told of an eviction");
    assert!(server.figure("tidekeep_store_evicted") >= 1.0);
    assert_eq!(server.figure("tidekeep_store_memory_refused"), 0.0);
}

#[test]
fn a_connection_that_asks_for_too_much_in_a_second_is_told_when_to_come_again() {
    let server = TestServer::with(|config| config.budgets.requests_per_second = 20);
    let mut client = server.client();
    let bytes: Vec<u8> = (1..=100).flat_map(|id| request_frame(id, &Get { key: b"k" })).collect();
    client.send(&bytes);
    let frames: Vec<_> = (1..=100).map(|_| client.answer()).collect();
    let refused: Vec<_> = frames.iter().filter(|frame| frame.kind == kind::ERROR).collect();
    assert!((50..=80).contains(&refused.len()), "{} of 100 were refused", refused.len());
    for frame in &refused {
        let error = frame.error();
        assert_eq!(frame.code(), Code::RateLimited);
        assert!(error.retryable && (1..=1000).contains(&error.retry_after_ms), "{error:?}");
    }
    let end = Instant::now() + Duration::from_secs(20);
    while client.call(1, &Get { key: b"k" }).kind == kind::ERROR {
        assert!(Instant::now() < end, "it is never served again");
    }
    server.client().is_well();
}
