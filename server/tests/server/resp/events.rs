//! Channels, events of keys, and the other front: what one language writes, the other sees at once.

use tidekeep_protocol::op::{
    Delivery, Event, Get, Increment, IncrementReply, Watch, WatchFrom, WatchMessage,
};
use tidekeep_protocol::range::Range;

use super::client::{Redis, Reply, bulk, command, error, ok};
use crate::harness::{TestServer, eventually};

fn message(words: &[&str]) -> Reply {
    Reply::List(words.iter().map(|word| bulk(word)).collect())
}

fn subscribed(word: &str, name: &str, count: i64) -> Reply {
    Reply::List(vec![bulk(word), bulk(name), Reply::Integer(count)])
}

#[test]
fn what_is_published_comes_to_all_who_listen() {
    let server = TestServer::start();
    let mut listener = Redis::connect(server.address);
    let mut sender = Redis::connect(server.address);
    listener.send(&command(&[b"SUBSCRIBE", b"news", b"other"]));
    assert_eq!(listener.reply(), subscribed("subscribe", "news", 1));
    assert_eq!(listener.reply(), subscribed("subscribe", "other", 2));
    assert_eq!(listener.run("psubscribe n*"), subscribed("psubscribe", "n*", 3));
    assert_eq!(sender.run("publish news hi"), Reply::Integer(2));
    assert_eq!(listener.reply(), message(&["message", "news", "hi"]));
    assert_eq!(listener.reply(), message(&["pmessage", "n*", "news", "hi"]));
    assert_eq!(
        sender.run("pubsub numsub news"),
        Reply::List(vec![bulk("news"), Reply::Integer(1)])
    );
    assert_eq!(listener.run("ping"), message(&["pong", ""]));
    let refused = "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT \
                   / RESET are allowed in this context";
    assert_eq!(listener.run("get a"), error(refused));
    assert_eq!(listener.run("unsubscribe other"), subscribed("unsubscribe", "other", 2));
    assert_eq!(listener.run("reset"), Reply::Simple("RESET".into()));
    assert_eq!(sender.run("publish news gone"), Reply::Integer(0));
    assert_eq!(listener.run("get a"), Reply::Null);
}

#[test]
fn in_the_third_version_messages_stand_between_replies() {
    let server = TestServer::start();
    let mut both = Redis::connect(server.address);
    both.run("hello 3");
    let Reply::Push(said) = both.run("subscribe c") else { panic!("a push") };
    assert_eq!(said[2], Reply::Integer(1));
    assert_eq!(both.run("set a 1"), ok());
    both.send(&command(&[b"PUBLISH", b"c", b"me"]));
    let (first, second) = (both.reply(), both.reply());
    let pushed = Reply::Push(vec![bulk("message"), bulk("c"), bulk("me")]);
    assert_eq!((first, second), (Reply::Integer(1), pushed));
}

/// Whoever sends many commands at once is told the same as who sends one and waits.
#[test]
fn messages_come_before_a_later_command_changes_what_is_listened_to() {
    let server = TestServer::start();
    let event = "__keyevent@0__:set";
    let set = |key: &str| Reply::Push(vec![bulk("message"), bulk(event), bulk(key)]);
    let mut both = Redis::connect(server.address);
    both.run("hello 3");
    both.send(
        format!(
            "set early 1\r\nsubscribe {event}\r\nset a 1\r\npsubscribe no\r\nset b 1\r\n\
             unsubscribe\r\nset late 1\r\nunsubscribe none\r\npublish no 1\r\nhello 2\r\n"
        )
        .as_bytes(),
    );
    let told = |word: &str, name: &str, count| {
        Reply::Push(vec![bulk(word), bulk(name), Reply::Integer(count)])
    };
    let expected = [
        ok(),
        told("subscribe", event, 1),
        ok(),
        set("a"),
        told("psubscribe", "no", 2),
        ok(),
        set("b"),
        told("unsubscribe", event, 1),
        ok(),
        told("unsubscribe", "none", 1),
        Reply::Integer(1),
        Reply::Push(vec![bulk("pmessage"), bulk("no"), bulk("no"), bulk("1")]),
    ];
    expected.into_iter().for_each(|reply| assert_eq!(both.reply(), reply));
}

#[test]
fn messages_come_before_the_connection_ends() {
    for last in ["quit", "reset", "*x"] {
        let server = TestServer::start();
        let mut both = Redis::connect(server.address);
        both.run("hello 3");
        both.run("subscribe c __keyspace@0__:k");
        both.reply();
        both.send(format!("set k 1\r\npublish c me\r\n{last}\r\n").as_bytes());
        assert_eq!(both.reply(), ok());
        assert_eq!(both.reply(), Reply::Integer(1));
        let message =
            |channel, payload| Reply::Push(vec![bulk("message"), bulk(channel), bulk(payload)]);
        assert_eq!(both.reply(), message("c", "me"), "before {last}");
        assert_eq!(both.reply(), message("__keyspace@0__:k", "set"), "before {last}");
    }
}

#[test]
fn events_of_keys_come_from_whatever_wrote_them() {
    let server = TestServer::start();
    let mut listener = Redis::connect(server.address);
    listener.run("psubscribe __key*@0__:*");
    server.client().put(b"k", b"native");
    let pattern = "__key*@0__:*";
    let mut expect = |kind: &str, key: &str| {
        let of_key = format!("__keyspace@0__:{key}");
        let of_kind = format!("__keyevent@0__:{kind}");
        assert_eq!(listener.reply(), message(&["pmessage", pattern, &of_key, kind]));
        assert_eq!(listener.reply(), message(&["pmessage", pattern, &of_kind, key]));
    };
    expect("set", "k");
    let mut redis = Redis::connect(server.address);
    redis.run("expire k 100");
    expect("expire", "k");
    redis.run("persist k");
    expect("persist", "k");
    redis.run("del k");
    expect("del", "k");
    redis.run("set k v");
    expect("set", "k");
    assert_eq!(redis.run("getex k persist"), bulk("v"));
    assert_eq!(redis.run("getex k pxat 1"), bulk("v"));
    expect("del", "k");
    for (command, kinds) in [
        ("set k v", &["set"][..]),
        ("set k v ex 100", &["set", "expire"]),
        ("set k v keepttl", &["set"]),
        ("append k w", &["set"]),
        ("expireat k 5000000000", &["expire"]),
        ("expireat k 5000000000", &["expire"]),
        ("set k vw", &["set"]),
        ("set k 1 ex 100", &["set", "expire"]),
        ("incr k", &["set"]),
        ("persist k", &["persist"]),
        ("persist k", &[]),
    ] {
        redis.run(command);
        kinds.iter().for_each(|kind| expect(kind, "k"));
    }
    redis.run("set k v px 20");
    expect("set", "k");
    expect("expire", "k");
    expect("expired", "k");
}

#[test]
fn a_listener_that_does_not_read_is_cut_and_nobody_waits() {
    let server = TestServer::with(|config| {
        config.budgets.connection_bytes = 8 << 20;
        config.slow_reader_ms = 500;
    });
    let mut listener = Redis::connect(server.address);
    listener.run("subscribe c");
    let mut sender = Redis::connect(server.address);
    let payload = vec![7; 500_000];
    eventually("it is cut", || sender.call(&[b"PUBLISH", b"c", &payload]) == Reply::Integer(0));
    assert_eq!(sender.run("ping"), Reply::Simple("PONG".into()));
}

#[test]
fn both_fronts_are_of_one_store() {
    let server = TestServer::start();
    let (mut native, mut redis) = (server.client(), Redis::connect(server.address));
    native.ask(
        7,
        &Watch {
            range: Range { start: b"", end: None },
            from: WatchFrom::Now,
            previous: false,
            delivery: Delivery::Every,
        },
    );
    let caught_up = native.answer();
    assert!(matches!(caught_up.reply::<Watch<'_>>(), WatchMessage::CaughtUp { .. }));
    assert_eq!(redis.run("set n 41"), ok());
    let frame = native.answer();
    let WatchMessage::Events { events, .. } = frame.reply::<Watch<'_>>() else {
        panic!("{frame:?}")
    };
    assert!(matches!(events[..], [Event::Put { entry, .. }] if entry.stored.value == b"41"));

    let mut native = server.client();
    let increment = Increment { key: b"n", by: 1, expiry: Default::default() };
    let frame = native.call(1, &increment);
    let reply: IncrementReply = frame.reply::<Increment<'_>>();
    assert_eq!(reply.value, 42);
    assert_eq!(redis.run("incr n"), Reply::Integer(43));
    let frame = native.call(2, &Get { key: b"n" });
    assert_eq!(frame.reply::<Get<'_>>().entry.map(|stored| stored.value), Some(&b"43"[..]));
}

#[test]
fn a_subscription_that_is_refused_changes_nothing() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    let names: Vec<String> = (0..16_385).map(|number| number.to_string()).collect();
    let subscribe = |count: usize| -> Vec<&[u8]> {
        let names = names[..count].iter().map(String::as_bytes);
        std::iter::once(&b"SUBSCRIBE"[..]).chain(names).collect()
    };
    let refused = error("ERR more subscriptions than one connection may have");
    assert_eq!(redis.call(&subscribe(16_385)), refused);
    assert_eq!(redis.run("get a"), Reply::Null, "it is no subscriber");
    redis.send(&command(&subscribe(16_384)));
    for count in 1..=16_384 {
        assert!(matches!(redis.reply(), Reply::List(told) if told[2] == Reply::Integer(count)));
    }
    assert_eq!(redis.run("subscribe another"), refused);
}
