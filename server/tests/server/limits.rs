//! As many connections, bytes and requests as there may be, and what is told to one more.

use std::time::{Duration, Instant};

use tidekeep_log::Eviction;
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Delete, Event, Get, Operation, Put, Watch, WatchFrom, WatchMessage};
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

/// Asks one client after the other for watches with bounds of 1,000 bytes, each as many as it may have;
/// how many there are in all, and with which code the last one's last was refused.
fn watch_all(clients: &mut [Client], most: u32) -> (u32, Option<Code>) {
    let (start, end) = ([b'a'; 1_000], [b'b'; 1_000]);
    let range = Range { start: &start, end: Some(&end) };
    let watch =
        Watch { range, from: WatchFrom::Now, previous: false, delivery: Default::default() };
    let (mut taken, mut refused) = (0, None);
    for client in clients {
        for id in 1..=most {
            let frame = client.call(id, &watch);
            if frame.kind == kind::ERROR {
                refused = Some(frame.code());
                break;
            }
            taken += 1;
        }
    }
    (taken, refused)
}

#[test]
fn watches_count_in_the_connections_budget_and_one_too_many_is_refused() {
    let least = (4 << 20) + (1 << 20) + (64 << 10);
    let server = TestServer::with(|config| {
        config.limits.watches = 4_096;
        config.budgets.connection_bytes = least;
    });
    let mut clients = [server.client()];
    let (taken, refused) = watch_all(&mut clients, 4_096);
    assert_eq!(refused, Some(Code::TooManyWatches));
    assert!((taken as usize) < least / 2 / 2_000, "{taken} watches of 2 kB are taken");
    let frame = clients[0].call(5_000, &put(b"key", b"value"));
    assert_eq!(frame.kind, Put::SPEC.kind | kind::REPLY, "{frame:?}");
}

#[test]
fn watches_count_in_the_servers_memory_until_their_connections_end() {
    let server = TestServer::with(|config| config.memory.limit_bytes = 4 << 20);
    let held = |server: &TestServer| server.figure("tidekeep_store_memory_buffers_bytes");
    let mut clients = [server.client(), server.client(), server.client()];
    let (taken, refused) = watch_all(&mut clients, 1_024);
    assert_eq!((taken, refused), (3 * 1_024, None));
    eventually("all are counted", || held(&server) > f64::from(taken) * 2_000.0);
    let mut writer = server.client();
    let frame = writer.call(1, &put(b"key", b"value"));
    assert_eq!(frame.code(), Code::MemoryFull);
    drop(clients);
    eventually("their memory is given back", || {
        writer.call(1, &put(b"key", b"value")).kind != kind::ERROR
    });
    eventually("all of it is", || held(&server) < 1e6);
}
