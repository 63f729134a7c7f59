//! The connection itself: pipelines, versions, lines that people type, what breaks the protocol, and
//! what a browser may be made to send.

use std::io::Write as _;

use super::client::{Redis, Reply, bulk, command, error, ok};
use crate::harness::{TestServer, eventually};
use tidekeep_log::Durability;

#[test]
fn a_pipeline_cut_anywhere_is_answered_in_its_order() {
    let server = TestServer::with(|config| config.durability = Durability::None);
    let pipeline: Vec<u8> = [
        command(&[b"SET", b"k", b"1"]),
        command(&[b"APPEND", b"k", b"2"]),
        command(&[b"GET", b"k"]),
        command(&[b"NOSUCH"]),
        b"ping\r\n".to_vec(),
        command(&[b"MULTI"]),
        command(&[b"INCR", b"k"]),
        command(&[b"EXEC"]),
        command(&[b"MGET", b"k", b"none"]),
        command(&[b"DEL", b"k"]),
    ]
    .concat();
    let mut expected = vec![ok(), Reply::Integer(2), bulk("12")];
    expected.push(error("ERR unknown command 'NOSUCH', with args beginning with: "));
    expected.extend([Reply::Simple("PONG".into()), ok(), Reply::Simple("QUEUED".into())]);
    expected.push(Reply::List(vec![Reply::Integer(13)]));
    expected.push(Reply::List(vec![bulk("13"), Reply::Null]));
    expected.push(Reply::Integer(1));
    let mut redis = Redis::connect(server.address);
    for cut in (1..pipeline.len()).step_by(3) {
        redis.send(&pipeline[..cut]);
        // What came so far is run before the rest comes.
        std::thread::yield_now();
        redis.send(&pipeline[cut..]);
        let replies: Vec<Reply> = expected.iter().map(|_| redis.reply()).collect();
        assert_eq!(replies, expected, "cut at {cut}");
    }
}

#[test]
fn a_write_is_acknowledged_when_it_is_on_disk_and_not_before() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    assert_eq!(redis.run("set a 1"), ok());
    server.disk.hold_syncs(true);
    redis.send(&[command(&[b"GET", b"a"]), command(&[b"APPEND", b"a", b"2"])].concat());
    assert_eq!(redis.reply(), bulk("1"), "what is safe is shown");
    redis.stream.set_nonblocking(true).expect("a socket can be asked without waiting");
    let mut byte = [0];
    let waits = redis.stream.peek(&mut byte).is_err();
    redis.stream.set_nonblocking(false).expect("and be waited for again");
    server.disk.hold_syncs(false);
    assert!(waits, "nothing comes while the disk has it not");
    assert_eq!(redis.reply(), Reply::Integer(2));
}

#[test]
fn both_versions_are_spoken() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    assert_eq!(redis.run("get none"), Reply::Null);
    let Reply::Map(hello) = redis.run("HELLO 3 AUTH default x SETNAME me") else {
        panic!("a map");
    };
    assert_eq!(&hello[..2], [bulk("server"), bulk("redis")]);
    assert!(hello.windows(2).any(|pair| pair == [bulk("proto"), Reply::Integer(3)]));
    redis.send(&command(&[b"GET", b"none"]));
    let mut bytes = [0; 3];
    std::io::Read::read_exact(&mut redis.stream, &mut bytes).expect("a null comes");
    assert_eq!(&bytes, b"_\r\n");
    assert!(matches!(redis.run("config get save"), Reply::Map(_)));
    assert_eq!(redis.run("client getname"), bulk("me"));
    assert_eq!(redis.run("hello 4"), error("NOPROTO unsupported protocol version"));
}

#[test]
fn what_breaks_the_protocol_is_told_and_ends() {
    let server = TestServer::start();
    for (bytes, said) in [
        (&b"*1\r\n+4\r\n"[..], "ERR Protocol error: expected '$', got '+'"),
        (b"*99999999\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*2\r\n$3\r\nGET\r\n$999999999\r\n", "ERR Protocol error: invalid bulk length"),
        (b"get \"a\r\n", "ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut redis = Redis::connect(server.address);
        redis.send(&command(&[b"PING"]));
        redis.send(bytes);
        assert_eq!(redis.reply(), Reply::Simple("PONG".into()), "what came before is answered");
        assert_eq!(redis.reply(), error(said));
        redis.is_closed();
    }
    server.client().is_well();
}

#[test]
fn the_first_command_may_be_a_line_of_any_kind() {
    let server = TestServer::start();
    let pong = Reply::Simple("PONG".into());
    for line in ["\r\nPING", "\nPING", " PING", "\tPING", "\"PING\"", "'PING'", "PING"] {
        let mut redis = Redis::connect(server.address);
        redis.send(format!("{line}\r\n").as_bytes());
        assert_eq!(redis.reply(), pong, "{line:?}");
    }
    for length in [1015, 1020, 4000, 60_000] {
        let value = "v".repeat(length);
        let mut redis = Redis::connect(server.address);
        redis.send(format!("SET k {value}\r\n").as_bytes());
        assert_eq!(redis.reply(), ok(), "{length}");
        assert_eq!(redis.run("get k"), bulk(&value));
    }
}

#[test]
fn a_page_cannot_have_a_browser_speak_to_the_store() {
    let server = TestServer::start();
    // What a form or a script of a foreign page can send begins with a method of HTTP.
    let mut redis = Redis::connect(server.address);
    redis.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nSET stolen 1\r\n");
    let mut answer = String::new();
    let _ = std::io::Read::read_to_string(&mut redis.stream, &mut answer);
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // Where it is RESP already, the words of HTTP end it.
    for words in ["POST / HTTP/1.1", "Host: localhost", "post"] {
        let mut redis = Redis::connect(server.address);
        assert_eq!(redis.run("ping"), Reply::Simple("PONG".into()));
        redis.send(format!("{words}\r\nSET stolen 1\r\n").as_bytes());
        redis.is_closed();
    }
    assert_eq!(Redis::connect(server.address).run("exists stolen"), Reply::Integer(0));
}

#[test]
fn it_can_be_switched_off() {
    let server = TestServer::with(|config| config.resp = false);
    let mut redis = Redis::connect(server.address);
    assert!(matches!(redis.run("ping"), Reply::Error(_)));
    redis.is_closed();
    server.client().is_well();
}

#[test]
fn limits_and_rates_are_those_of_every_connection() {
    let server = TestServer::with(|config| {
        config.limits.value_bytes = 100;
        config.budgets.requests_per_second = 5;
    });
    let mut redis = Redis::connect(server.address);
    let long = vec![7; 101];
    let Reply::Error(said) = redis.call(&[b"SET", b"k", &long]) else { panic!("an error") };
    assert!(said.starts_with("ERR the value is longer"), "{said}");
    let Reply::Error(said) = redis.call(&[b"SET", &[7; 1025], b""]) else { panic!("an error") };
    assert!(said.starts_with("ERR the key is longer"), "{said}");
    eventually(
        "the rate is over",
        || matches!(redis.run("ping"), Reply::Error(said) if said.contains("in a second")),
    );
}

#[test]
fn a_name_that_is_refused_is_told_what_is_wrong_with_it() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    let longest = "n".repeat(256);
    assert_eq!(redis.run(&format!("client setname {longest}")), ok());
    for command in ["client setname", "hello 2 setname", "client setinfo lib-name"] {
        let said = redis.run(&format!("{command} {longest}n"));
        assert_eq!(said, error("ERR the name is longer than 256 bytes"), "{command}");
    }
    assert_eq!(redis.run("client getname"), bulk(&longest));
}

#[test]
fn commands_and_connections_are_counted_apart() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.run("set a 1");
    redis.run("get a");
    redis.run("get a");
    assert_eq!(server.figure("tidekeep_connections{transport=\"resp\"}"), 1.0);
    assert_eq!(server.figure("tidekeep_resp_commands_total{command=\"get\"}"), 2.0);
    redis.run("set ending 1 ex 100");
    let Reply::Bulk(info) = redis.run("info") else { panic!("a text") };
    let info = String::from_utf8(info).expect("it is text");
    let keyspace = "db0:keys=2,expires=1,avg_ttl=0\r\n";
    for line in ["redis_version:", "tidekeep_version:", "connected_clients:1", keyspace] {
        assert!(info.contains(line), "{line} in {info}");
    }
    drop(redis);
    eventually("it has left", || server.figure("tidekeep_connections{transport=\"resp\"}") == 0.0);
}

#[test]
fn replies_that_are_not_wanted_are_not_sent() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.send(b"CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nNOSUCH\r\nAPPEND a 2\r\nKEYS *\r\n");
    redis.send(b"CLIENT REPLY ON\r\n");
    assert_eq!(redis.reply(), ok());
    redis.send(b"CLIENT REPLY SKIP\r\nSET a 5\r\nGET a\r\n");
    assert_eq!(redis.reply(), bulk("5"));
    redis.send(b"CLIENT REPLY OFF\r\n*1\r\n+4\r\n");
    redis.is_closed();
}

#[test]
fn many_values_of_a_pipeline_leave_as_the_reader_takes_them() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    let value = vec![b'v'; 200_000];
    assert_eq!(redis.call(&[b"SET", b"k", &value]), ok());
    let mut sender = redis.stream.try_clone().expect("a socket can be shared");
    let ask = std::thread::spawn(move || {
        for _ in 0..200 {
            sender.write_all(&command(&[b"GET", b"k"])).expect("the server takes bytes");
        }
    });
    for _ in 0..200 {
        assert_eq!(redis.reply(), Reply::Bulk(value.clone()));
    }
    ask.join().expect("all was sent");
    assert!(server.figure("tidekeep_store_memory_buffers_bytes") < 8e6);
}
