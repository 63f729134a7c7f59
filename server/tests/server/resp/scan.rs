//! Scans: each ends, and gives every key that was there all the time, whatever others do meanwhile.

use std::collections::BTreeSet;

use tidekeep_log::Durability;

use super::client::{Redis, Reply, command, ok};
use crate::harness::TestServer;

/// A server with as many keys `user:…`.
fn filled(keys: u32) -> (TestServer, Redis) {
    let server = TestServer::with(|config| config.durability = Durability::None);
    let mut redis = Redis::connect(server.address);
    for number in 0..keys {
        assert_eq!(redis.run(&format!("set {} {number}", key(number))), ok());
    }
    (server, redis)
}

fn key(number: u32) -> String {
    format!("user:{number:05}")
}

/// One step of a scan: where it goes on, and the keys.
fn step(redis: &mut Redis, cursor: &str, with: &str) -> (String, Vec<String>) {
    let page = redis.run(&format!("scan {cursor} {with}"));
    let Reply::List(page) = page else { panic!("a list: {page}") };
    let [Reply::Bulk(next), Reply::List(keys)] = &page[..] else { panic!("two parts") };
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("it is text");
    let keys = keys.iter().map(|key| match key {
        Reply::Bulk(key) => text(key),
        other => panic!("a key: {other}"),
    });
    (text(next), keys.collect())
}

#[test]
fn a_scan_gives_every_key_that_stays_whatever_comes_and_goes() {
    let (_server, mut redis) = filled(1000);
    let (mut cursor, mut seen) = ("0".to_owned(), BTreeSet::new());
    let mut steps = 0;
    loop {
        let (next, keys) = step(&mut redis, &cursor, "match user:* count 17");
        seen.extend(keys);
        if next == "0" {
            break;
        }
        cursor = next;
        // Odd ones go, others come; even ones stay.
        redis.run(&format!("del {}", key(2 * steps + 1)));
        redis.run(&format!("set new:{steps} 1"));
        steps += 1;
    }
    assert!((0..1000).step_by(2).all(|number| seen.contains(&key(number))));
}

/// Steps of other scans, of as many keys each time, more than a server remembers.
fn others_scan(redis: &mut Redis) {
    let mut cursor = "0".to_owned();
    let first = command(&[b"SCAN", b"0", b"COUNT", b"1"]).repeat(100);
    for _ in 0..41 {
        redis.send(&first);
        (0..100).for_each(|_| drop(redis.reply()));
        cursor = step(redis, &cursor, "count 1").0;
    }
}

#[test]
fn a_scan_ends_however_many_others_there_are() {
    let (server, mut redis) = filled(200);
    assert_eq!(step(&mut redis, "+00", "count 1"), step(&mut redis, "0", "count 1"));
    let mut other = Redis::connect(server.address);
    let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
    for _ in 0..20 {
        let (next, keys) = step(&mut redis, &cursor, "count 10");
        assert_eq!(keys.len(), 10);
        seen.extend(keys);
        cursor = next;
        others_scan(&mut other);
    }
    assert_eq!(cursor, "0");
    assert_eq!(seen, (0..200).map(key).collect::<Vec<_>>(), "each once");
}

#[test]
fn a_scan_whose_next_key_goes_is_led_past_it_or_refused() {
    let (server, mut redis) = filled(5000);
    let mut other = Redis::connect(server.address);
    let (cursor, _) = step(&mut redis, "0", "count 10");
    redis.run(&format!("del {}", key(10)));
    assert_eq!(step(&mut redis, &cursor, "count 1").1, [key(11)]);
    // So many others that this one is forgotten.
    let mut at = "0".to_owned();
    for _ in 0..4500 {
        at = step(&mut other, &at, "count 1").0;
    }
    let refused = redis.run(&format!("scan {cursor}"));
    assert!(matches!(&refused, Reply::Error(text) if text.contains("begin the scan")), "{refused}");
}

#[test]
fn a_scan_from_before_a_restart_is_refused_rather_than_led_astray() {
    let (_before, mut redis) = filled(100);
    let (cursor, _) = step(&mut redis, "0", "count 10");
    let (_after, mut redis) = filled(100);
    let refused = redis.run(&format!("scan {cursor}"));
    assert!(matches!(&refused, Reply::Error(text) if text.contains("begin the scan")), "{refused}");
    for cursor in ["18446744073709551615", "9007199254740993", "5"] {
        assert!(matches!(redis.run(&format!("scan {cursor}")), Reply::Error(_)), "{cursor}");
    }
}
