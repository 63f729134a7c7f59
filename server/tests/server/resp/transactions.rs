//! Commands that run as one: `MULTI`, `WATCH`, and those that read before they write, beside others
//! who write to the same keys.

use super::client::{Redis, Reply, bulk, error, ok};
use crate::harness::TestServer;
use tidekeep_log::Durability;

#[test]
fn exec_runs_nothing_if_a_watched_key_has_changed() {
    let server = TestServer::start();
    let mut one = Redis::connect(server.address);
    let mut other = Redis::connect(server.address);
    for (change, runs) in [
        ("set k 2", false),
        ("del k", false),
        ("expire k 100", false),
        ("append k x", false),
        ("get k", true),
        ("set unwatched 2", true),
    ] {
        one.run("set k 1");
        assert_eq!(one.run("watch k absent"), ok());
        other.run(change);
        one.run("multi");
        one.run("set k mine");
        let exec = one.run("exec");
        let expected = if runs { Reply::List(vec![ok()]) } else { Reply::Null };
        assert_eq!(exec, expected, "{change}");
        assert_eq!(one.run("get k") == bulk("mine"), runs, "{change}");
    }
    one.run("watch absent");
    other.run("set absent 1");
    one.run("multi");
    assert_eq!(one.run("exec"), Reply::Null, "a key that came is a change, too");
    one.run("watch k");
    other.run("set k 5");
    one.run("unwatch");
    one.run("multi");
    assert_eq!(one.run("exec"), Reply::List(Vec::new()), "what is not watched any more is free");
}

#[test]
fn an_error_while_queueing_discards_and_one_while_running_does_not() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.run("set text abc");
    for line in ["multi", "set a 1", "incr text", "set b 2"] {
        redis.run(line);
    }
    let not_a_number = error("ERR value is not an integer or out of range");
    assert_eq!(redis.run("exec"), Reply::List(vec![ok(), not_a_number, ok()]));
    assert_eq!(redis.run("mget a b"), Reply::List(vec![bulk("1"), bulk("2")]));
    redis.run("multi");
    assert!(matches!(redis.run("set a"), Reply::Error(_)));
    redis.run("set a 3");
    let aborted = error("EXECABORT Transaction discarded because of previous errors.");
    assert_eq!(redis.run("exec"), aborted);
    assert_eq!(redis.run("get a"), bulk("1"));
}

#[test]
fn the_list_of_replies_has_all_its_parts_whatever_is_queued() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.run("multi");
    for how in ["off", "skip", "on"] {
        let refused = error("ERR Command not allowed inside a transaction");
        assert_eq!(redis.run(&format!("client reply {how}")), refused);
    }
    assert!(matches!(redis.run("exec"), Reply::Error(said) if said.starts_with("EXECABORT")));
    assert_eq!(redis.run("ping"), Reply::Simple("PONG".into()));
}

#[test]
fn a_client_is_listed_with_its_transaction_until_that_is_over() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    let mut other = Redis::connect(server.address);
    let mut queued = |count: i32| {
        let Reply::Bulk(lines) = other.run("client list") else { panic!("a text") };
        String::from_utf8_lossy(&lines).contains(&format!(" multi={count} "))
    };
    for end in ["discard", "exec", "exec x", "reset"] {
        redis.run("multi");
        assert!(queued(0), "{end}");
        redis.run("get a");
        assert!(queued(1), "{end}");
        redis.run(end);
        assert!(!queued(0) && !queued(1), "{end}");
    }
}

#[test]
fn everything_can_be_removed_inside_a_transaction() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.run("mset a 1 b 2");
    for line in ["multi", "set c 3", "flushall", "get a", "set d 4", "exists a b c d"] {
        redis.run(line);
    }
    let replies = vec![ok(), ok(), Reply::Null, ok(), Reply::Integer(1)];
    assert_eq!(redis.run("exec"), Reply::List(replies));
    assert_eq!(redis.run("keys *"), Reply::List(vec![bulk("d")]));
}

#[test]
fn no_append_is_lost_however_many_append() {
    let server = TestServer::with(|config| config.durability = Durability::None);
    let (clients, each) = (4, 200);
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let mut redis = Redis::connect(server.address);
            std::thread::spawn(move || {
                for _ in 0..each {
                    assert!(matches!(redis.run("append log x"), Reply::Integer(_)));
                    assert_eq!(redis.run("multi"), ok());
                    redis.run("incr n");
                    redis.run("incrbyfloat f 0.5");
                    assert!(matches!(redis.run("exec"), Reply::List(_)));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it ran to its end"));
    let mut redis = Redis::connect(server.address);
    let all = clients * each;
    assert_eq!(redis.run("strlen log"), Reply::Integer(all));
    assert_eq!(redis.run("get n"), bulk(&all.to_string()));
    assert_eq!(redis.run("get f"), bulk(&(all / 2).to_string()));
}

#[test]
fn keepttl_keeps_the_end_and_nothing_else_does() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.run("set k 1 exat 9999999999");
    redis.run("set k 2 keepttl");
    assert_eq!(redis.run("expiretime k"), Reply::Integer(9_999_999_999));
    for line in ["append k 3", "incrby k 1", "setrange k 0 9", "incrbyfloat k 1"] {
        redis.run(line);
        assert_eq!(redis.run("expiretime k"), Reply::Integer(9_999_999_999), "{line}");
    }
    redis.run("set k 2");
    assert_eq!(redis.run("ttl k"), Reply::Integer(-1));
}

#[test]
fn a_value_is_compared_before_it_is_set_or_removed() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    redis.run("set lock mine");
    assert_eq!(redis.run("set lock other ifeq theirs"), Reply::Null);
    assert_eq!(redis.run("set lock other ifeq theirs get"), bulk("mine"));
    assert_eq!(redis.run("set none other ifeq theirs"), Reply::Null);
    assert_eq!(redis.run("set lock next ifeq mine"), ok());
    assert_eq!(redis.run("delifeq lock mine"), Reply::Integer(0));
    assert_eq!(redis.run("delifeq lock next"), Reply::Integer(1));
    assert_eq!(redis.run("delifeq lock next"), Reply::Integer(0));
    assert_eq!(redis.run("set k v ifeq"), error("ERR syntax error"));
    assert_eq!(redis.run("set k v ifeq a nx"), error("ERR syntax error"));
}

#[test]
fn taking_an_end_away_that_is_not_there_changes_nothing() {
    let server = TestServer::start();
    let mut redis = Redis::connect(server.address);
    for look in ["getex a", "getex a persist"] {
        redis.run("set a 1");
        redis.run("watch a");
        assert_eq!(redis.run(look), bulk("1"));
        redis.run("multi");
        redis.run("ping");
        assert_eq!(redis.run("exec"), Reply::List(vec![Reply::Simple("PONG".into())]), "{look}");
    }
    redis.run("expire a 100");
    redis.run("watch a");
    redis.run("getex a persist");
    redis.run("multi");
    assert_eq!(redis.run("exec"), Reply::Null);
    assert_eq!(redis.run("ttl a"), Reply::Integer(-1));
}
