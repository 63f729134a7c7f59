//! Who is connected: what `sessions` and `GET /sessions` tell of connections of every transport.

use serde_json::Value;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{Delivery, Sessions, SessionsReply, Watch, WatchFrom};
use tidekeep_protocol::range::Range;

use crate::harness::{Client, PATIENCE, TestServer, eventually, put};
use crate::http::{Http, get};
use crate::resp::client::Redis;
use crate::retries;
use crate::web_socket::WsClient;

/// `GET /sessions`; the connection that asks is in it, too.
fn told(server: &TestServer, query: &str) -> Value {
    let page = get(server.address, &format!("/sessions{query}"));
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/json")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    serde_json::from_str(&page.body).expect("JSON")
}

/// The connections of this transport.
fn of<'v>(told: &'v Value, transport: &str) -> Vec<&'v Value> {
    let all = told["sessions"].as_array().expect("a list");
    all.iter().filter(|session| session["transport"] == transport).collect()
}

#[test]
fn every_connection_is_told_with_where_it_comes_from_and_what_it_does() {
    let server = TestServer::start();
    let (mut client, session, _) = retries::connect(&server, b"");
    let watch = Watch {
        range: Range::default(),
        from: WatchFrom::Now,
        previous: false,
        delivery: Delivery::Every,
    };
    client.ask(7, &watch);
    client.answer();
    let _browser = WsClient::connect(server.address);
    let mut redis = Redis::connect(server.address);
    redis.run("CLIENT SETNAME worker");

    let told = told(&server, "");
    assert_eq!(told["connections"], 4);
    assert_eq!(told["node"], Value::Null);
    assert_eq!(told["more"], false);
    let tcp = of(&told, "tcp")[0];
    let address = client.stream.local_addr().expect("it is connected").to_string();
    assert_eq!(tcp["address"], address.as_str());
    assert_eq!(tcp["client"], "retries");
    assert_eq!(tcp["watches"], 1);
    let made = session.expect("it was asked for").created_ms();
    assert_eq!(tcp["session_since_ms"], made);
    let since = tcp["since_ms"].as_u64().expect("a time");
    assert!(made.abs_diff(since) < PATIENCE.as_millis() as u64, "{since} is not near {made}");
    assert!(tcp["received_bytes"].as_u64() > Some(20), "{tcp}");
    assert!(tcp["sent_bytes"].as_u64() > Some(20), "{tcp}");
    assert_eq!(of(&told, "websocket").len(), 1);
    assert_eq!(of(&told, "resp")[0]["client"], "worker");
    assert_eq!(of(&told, "http").len(), 1, "who asks");

    // Nothing of what would let others go on with the session.
    let secret = session.expect("it was asked for").to_string();
    assert!(!told.to_string().contains(&secret));
    drop(client);
    eventually("who left is told no more", || of(&self::told(&server, ""), "tcp").is_empty());
}

#[test]
fn remembered_sessions_outlive_their_connections() {
    let server = TestServer::start();
    let (mut client, ..) = retries::connect(&server, b"");
    client.send(&retries::add(1, 1, 1, 0));
    client.answer();
    drop(client);
    eventually("it has left", || of(&told(&server, ""), "tcp").is_empty());
    assert_eq!(told(&server, "")["remembered"], 1);
}

#[test]
fn calls_under_way_are_counted() {
    let server = TestServer::start();
    let mut client = server.client();
    server.disk.hold_syncs(true);
    client.ask(3, &put(b"k", b"v"));
    eventually("the call waits", || of(&told(&server, ""), "tcp")[0]["calls"] == 1);
    server.disk.hold_syncs(false);
    client.answer();
    eventually("it was answered", || of(&told(&server, ""), "tcp")[0]["calls"] == 0);
}

#[test]
fn pages_are_bounded_and_go_on_behind_each_other() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..5).map(|_| server.client()).collect();
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let frame = clients[0].call(1, &Sessions { after, limit: 2 });
        let page: SessionsReply<'_> = frame.reply::<Sessions>();
        assert_eq!(page.connections, 5);
        assert!(page.sessions.len() <= 2);
        seen.extend(page.sessions.iter().map(|session| session.id));
        after = *seen.last().expect("no page is empty");
        if !page.more {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a < b), "oldest first, each once: {seen:?}");
    assert_eq!(told(&server, &format!("?limit=3&after={}", seen[2]))["sessions"][0]["id"], seen[3]);
    let refused = clients[0].call(2, &Sessions { after: 0, limit: u32::MAX });
    assert_eq!(refused.code(), Code::TooLarge);
}

#[test]
fn pages_of_other_sites_and_foreign_names_are_told_nothing() {
    let server = TestServer::start();
    let answer = |head: &str| {
        let mut http = Http::connect(server.address);
        http.send(&format!("GET /sessions HTTP/1.1\r\n{head}\r\n\r\n"));
        http.page(true).status
    };
    let own = format!("Host: {}", server.address);
    assert_eq!(answer(&own), 200);
    assert_eq!(answer("Host: evil.example"), 403);
    assert_eq!(answer(&format!("{own}\r\nOrigin: https://evil.example")), 403);
    assert_eq!(get(server.address, "/sessions?after=x").status, 400);
}
