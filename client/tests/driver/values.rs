//! From typed calls to requests, and from replies to typed values and errors.

use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_client::protocol::entry::{Entry as WireEntry, Meta, Stored};
use tidekeep_client::protocol::op::{
    self, Child, ChildrenReply, DeleteRangeReply, Figure, IncrementReply, Order, Projection,
    Request, ScanReply, StatusReply, TouchReply, TxnOp, TxnReply, WriteReply, WriteStatus,
};
use tidekeep_client::protocol::{condition, frame};
use tidekeep_client::{
    Condition, DeleteOptions, Entry, Expiry, KeyRange, Outcome, PutOptions, ScanOptions, Touched,
    Txn, TxnResult, TxnStep, Written,
};

use crate::script::{Script, Way, code, reply, soon};

const META: Meta = Meta { created: 1, modified: 2, version: 3, expires_at: None, lease: None };
const OLD: Stored<'static> = Stored { meta: META, value: b"old" };

fn entry(key: &'static str, value: &'static str) -> Entry {
    Entry {
        key: key.into(),
        value: value.into(),
        created: 1,
        modified: 2,
        version: 3,
        expires_at: None,
        lease: None,
    }
}

/// What became of a write is in the key that it is about.
fn write(key: &[u8]) -> WriteReply<'static> {
    let (status, entry) = match key {
        b"applied" => (WriteStatus::Applied, None),
        b"replaced" => (WriteStatus::Applied, Some(OLD)),
        b"refused" => (WriteStatus::Refused, Some(OLD)),
        b"refused-absent" => (WriteStatus::Refused, None),
        _ => (WriteStatus::NotFound, None),
    };
    WriteReply { revision: 7, status, entry }
}

fn answer(id: u32, request: &Request<'_>) -> Vec<u8> {
    match request {
        Request::Put(put) => reply(0x11, id, &write(put.key)),
        Request::Delete(delete) => reply(0x12, id, &write(delete.key)),
        Request::Touch(touch) => {
            let WriteReply { revision, status, entry } = write(touch.key);
            let meta = entry.map(|stored| stored.meta);
            reply(0x15, id, &TouchReply { revision, status, meta })
        }
        Request::Increment(it) => reply(0x16, id, &IncrementReply { revision: 7, value: -it.by }),
        Request::Status(_) => {
            let figures = vec![Figure { name: "keys", value: 5 }];
            reply(0x1A, id, &StatusReply { software: "s", durability: "always", figures })
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn writes_tell_what_they_did() {
    let mut script = Script::start(Way::Tcp, answer).await;
    let client = script.connect().await;
    let put = |key: &'static str| soon(client.put(key, "new", PutOptions::default()));
    let done = |previous| Written { revision: 7, previous };
    assert_eq!(put("applied").await, Ok(done(None)));
    assert_eq!(put("replaced").await, Ok(done(Some(entry("replaced", "old")))));
    let error = put("refused").await.expect_err("refused");
    assert_eq!((error.code().name(), error.outcome()), ("conflict", Outcome::NotApplied));
    assert_eq!(error.current(), Some(&entry("refused", "old")));
    let error = put("refused-absent").await.expect_err("refused");
    assert_eq!((error.code().name(), error.current()), ("conflict", None));
    assert_eq!(code(put("absent").await), "protocol");

    let delete = |key: &'static str| soon(client.delete(key, DeleteOptions::default()));
    assert_eq!(delete("replaced").await, Ok(Some(done(Some(entry("replaced", "old"))))));
    assert_eq!(delete("absent").await, Ok(None));
    assert_eq!(code(delete("refused").await), "conflict");

    let touch = |key: &'static str| soon(client.touch(key, Expiry::Keep, Condition::Present));
    let touched = Touched { revision: 7, expires_at: None, version: 3 };
    assert_eq!(touch("replaced").await, Ok(Some(touched)));
    assert_eq!(touch("absent").await, Ok(None));
    assert_eq!(code(touch("refused").await), "conflict");
    assert_eq!(code(touch("applied").await), "protocol");

    let incremented = soon(client.increment("n", 5, Expiry::Never)).await.expect("a number");
    assert_eq!((incremented.revision, incremented.value), (7, -5));
    let status = soon(client.status()).await.expect("a status");
    assert_eq!((status.software.as_str(), status.durability.as_str()), ("s", "always"));
    assert_eq!(status.figures, [("keys".to_owned(), 5)]);
}

#[tokio::test]
async fn options_reach_the_server_as_they_are_given() {
    let mut script = Script::start(Way::Tcp, |id, request| {
        let Request::Put(put) = request else { panic!("{request:?}") };
        let expected = match put.key {
            b"value" => condition::Condition::Value(b"\0\xff"),
            b"revision" => condition::Condition::Revision(u64::MAX),
            b"absent" => condition::Condition::Absent,
            b"present" => condition::Condition::Present,
            _ => condition::Condition::Always,
        };
        assert_eq!(put.condition, expected);
        assert_eq!((put.expiry, put.previous, put.value), (Expiry::After(1500), true, &b"v"[..]));
        reply(0x11, id, &write(b"applied"))
    })
    .await;
    let client = script.connect().await;
    for (key, condition) in [
        ("value", Condition::Value((&b"\0\xff"[..]).into())),
        ("revision", Condition::Revision(u64::MAX)),
        ("absent", Condition::Absent),
        ("present", Condition::Present),
        ("always", Condition::Always),
    ] {
        let options = PutOptions { condition, expiry: Expiry::After(1500), previous: true };
        soon(client.put(key, "v", options)).await.expect("the request is as it was given");
    }
}

#[tokio::test]
async fn too_large_or_senseless_requests_are_refused_before_they_are_sent() {
    let mut script = Script::start(Way::Tcp, answer).await;
    let client = script.connect().await;
    assert_eq!(code(soon(client.get("")).await), "invalid-input");
    assert_eq!(code(soon(client.get("k".repeat(1025))).await), "too-large");
    let value = vec![0; (1 << 20) + 1];
    assert_eq!(code(soon(client.put("k", value, PutOptions::default())).await), "too-large");
    soon(client.status()).await.expect("the connection goes on");
    script.request(0x1A).await;
}

#[tokio::test]
async fn transaction_results_follow_their_steps() {
    let mut script = Script::start(Way::Tcp, |id, request| {
        let Request::Txn(txn) = request else { panic!("{request:?}") };
        assert_eq!(txn.compares[0].key, b"c");
        let succeeded = txn.compares[0].condition == condition::Condition::Absent;
        let steps = if succeeded { &txn.then } else { &txn.otherwise };
        let result = |step: &TxnOp<'_>| match step {
            TxnOp::Get(_) => op::TxnResult::Get(op::GetReply { revision: 7, entry: Some(OLD) }),
            TxnOp::Put(put) => op::TxnResult::Put(write(put.key)),
            TxnOp::Delete(delete) => op::TxnResult::Delete(write(delete.key)),
            TxnOp::Touch(_) => op::TxnResult::Touch(TouchReply {
                revision: 7,
                status: WriteStatus::Applied,
                meta: Some(META),
            }),
            TxnOp::Increment(it) => {
                op::TxnResult::Increment(IncrementReply { revision: 7, value: it.by })
            }
            TxnOp::DeleteRange(it) => op::TxnResult::DeleteRange(DeleteRangeReply {
                revision: 7,
                deleted: it.limit.into(),
                more: true,
            }),
        };
        let results = steps.iter().map(result).collect();
        reply(0x17, id, &TxnReply { revision: 7, succeeded, results })
    })
    .await;
    let client = script.connect().await;
    let txn = |condition| {
        Txn::new()
            .when("c", condition)
            .then(TxnStep::get("g"))
            .then(TxnStep::put("replaced", "v", PutOptions::default()))
            .then(TxnStep::delete("absent", DeleteOptions::default()))
            .then(TxnStep::touch("t", Expiry::Keep, Condition::Always))
            .then(TxnStep::increment("i", 4, Expiry::Never))
            .then(TxnStep::delete_range(&KeyRange::prefix(b"p"), 9))
            .otherwise(TxnStep::get("else"))
    };
    let done = soon(client.txn(txn(Condition::Absent))).await.expect("done");
    assert_eq!((done.revision, done.succeeded), (7, true));
    let previous = Some(entry("replaced", "old"));
    let incremented = tidekeep_client::Incremented { revision: 7, value: 4 };
    let expected = [
        TxnResult::Get(Some(entry("g", "old"))),
        TxnResult::Put(Written { revision: 7, previous }),
        TxnResult::Delete(None),
        TxnResult::Touch(Some(Touched { revision: 7, expires_at: None, version: 3 })),
        TxnResult::Increment(incremented),
        TxnResult::DeleteRange { deleted: 9, more: true },
    ];
    assert_eq!(done.results, expected);
    let done = soon(client.txn(txn(Condition::Present))).await.expect("done");
    assert!(!done.succeeded);
    assert_eq!(done.results, [TxnResult::Get(Some(entry("else", "old")))]);
}

#[tokio::test]
async fn results_that_do_not_fit_the_request_are_the_servers_fault() {
    let mut script = Script::start(Way::Tcp, |id, request| match request {
        Request::Txn(txn) if txn.then.len() == 1 => {
            let results = vec![op::TxnResult::Delete(write(b"applied"))];
            reply(0x17, id, &TxnReply { revision: 1, succeeded: true, results })
        }
        Request::Txn(_) => {
            reply(0x17, id, &TxnReply { revision: 1, succeeded: true, results: Vec::new() })
        }
        Request::Get(_) => {
            let mut out = Vec::new();
            frame::write(&mut out, 0x90, 0, id, &[], |out| out.extend([9; 9]));
            out
        }
        other => panic!("{other:?}"),
    })
    .await;
    let client = script.connect().await;
    let get = || TxnStep::get("k");
    assert_eq!(code(soon(client.txn(Txn::new().then(get()))).await), "protocol");
    assert_eq!(code(soon(client.txn(Txn::new().then(get()).then(get()))).await), "protocol");
    assert_eq!(code(soon(client.get("k")).await), "protocol");
}

/// A range of `count` two-digit keys, paged by at most four.
fn pages(count: u8) -> impl Fn(u32, &Request<'_>) -> Vec<u8> + Send + Sync + 'static {
    move |id, request| {
        let Request::Scan(scan) = request else { panic!("{request:?}") };
        let mut keys: Vec<String> = (0..count).map(|n| format!("{n:02}")).collect();
        keys.retain(|key| scan.range.contains(key.as_bytes()));
        if scan.order == Order::Descending {
            keys.reverse();
        }
        let total = keys.len();
        let limit = if scan.limit == 0 { 4 } else { scan.limit.min(4) as usize };
        if scan.projection == Projection::Count {
            keys.clear();
        }
        keys.truncate(limit);
        let value: &[u8] = if scan.projection == Projection::Keys { b"" } else { b"v" };
        let stored = Stored { meta: META, value };
        let entries: Vec<_> =
            keys.iter().map(|key| WireEntry { key: key.as_bytes(), stored }).collect();
        let more = scan.projection != Projection::Count && entries.len() < total;
        let count = if more || !entries.is_empty() { entries.len() } else { total };
        reply(0x13, id, &ScanReply { revision: 1, count: count as u64, more, entries })
    }
}

async fn scanned(count: u8, options: ScanOptions) -> (Vec<String>, usize) {
    let mut script = Script::start(Way::Tcp, pages(count)).await;
    let client = script.connect().await;
    let mut scan = client.scan(&KeyRange::all(), options);
    let mut keys = Vec::new();
    while let Some(entry) = soon(scan.next()).await {
        let entry = entry.expect("an entry");
        keys.push(String::from_utf8(entry.key.to_vec()).expect("text"));
    }
    assert_eq!(soon(scan.next()).await, None);
    soon(client.count(&KeyRange::all())).await.expect("a count");
    let mut requests = 0;
    while let Ok(heard) = tokio::time::timeout(std::time::Duration::ZERO, script.next()).await {
        requests += usize::from(matches!(heard, crate::script::Heard::Request { .. }));
    }
    (keys, requests - 1)
}

#[tokio::test]
async fn scan_brings_every_key_once_page_by_page() {
    let all: Vec<String> = (0..11).map(|n| format!("{n:02}")).collect();
    assert_eq!(scanned(11, ScanOptions::default()).await, (all.clone(), 3));
    let descending = ScanOptions { order: Order::Descending, ..ScanOptions::default() };
    let reversed: Vec<String> = all.iter().rev().cloned().collect();
    assert_eq!(scanned(11, descending).await, (reversed, 3));
    let small_pages = ScanOptions { page: 2, ..ScanOptions::default() };
    assert_eq!(scanned(11, small_pages).await, (all.clone(), 6));
    let limited = ScanOptions { limit: Some(6), ..ScanOptions::default() };
    assert_eq!(scanned(11, limited).await, (all[..6].to_vec(), 2));
    let none = ScanOptions { limit: Some(0), ..ScanOptions::default() };
    assert_eq!(scanned(11, none).await, (Vec::new(), 0));
    assert_eq!(scanned(0, ScanOptions::default()).await, (Vec::new(), 1));
    assert_eq!(scanned(4, ScanOptions::default()).await, (all[..4].to_vec(), 1));
}

#[tokio::test]
async fn pages_of_a_scan_can_be_taken_whole() {
    let mut script = Script::start(Way::Tcp, pages(6)).await;
    let client = script.connect().await;
    let options = ScanOptions { keys_only: true, ..ScanOptions::default() };
    let mut scan = client.scan(&KeyRange::all(), options);
    let first = soon(scan.page()).await.expect("a page").expect("entries");
    assert_eq!((first.len(), first[0].text()), (4, Some("")));
    let single = soon(scan.next()).await.expect("an entry").expect("an entry");
    assert_eq!(&single.key[..], b"04");
    assert_eq!(soon(scan.page()).await.expect("a page").expect("the rest").len(), 1);
    assert_eq!(soon(scan.page()).await, Ok(None));
    assert_eq!(soon(client.count(&KeyRange::prefix(b"0"))).await, Ok(6));
}

#[tokio::test]
async fn names_and_range_deletes_are_followed_to_their_end() {
    let deletes = AtomicU64::new(0);
    let mut script = Script::start(Way::Tcp, move |id, request| match request {
        Request::Children(children) => {
            assert_eq!((children.prefix, children.delimiter), (&b"dir/"[..], &b"/"[..]));
            let (name, branch, more): (&[u8], _, _) = match children.after {
                None => (b"a/", true, true),
                Some(b"a/") => (b"b", false, true),
                Some(b"b") => (b"c", false, false),
                Some(other) => panic!("{other:?}"),
            };
            let children = vec![Child { name, branch }];
            reply(0x14, id, &ChildrenReply { revision: 1, more, children })
        }
        Request::DeleteRange(_) => {
            let before = deletes.fetch_add(1, Ordering::Relaxed);
            let (deleted, more) = (10 + before, before < 2);
            reply(0x18, id, &DeleteRangeReply { revision: 1, deleted, more })
        }
        other => panic!("{other:?}"),
    })
    .await;
    let client = script.connect().await;
    let children = soon(client.children("dir/", "/")).await.expect("names");
    let names: Vec<_> = children.iter().map(|it| (&it.name[..], it.branch)).collect();
    assert_eq!(names, [(&b"a/"[..], true), (b"b", false), (b"c", false)]);
    assert_eq!(soon(client.delete_range(&KeyRange::all())).await, Ok(10 + 11 + 12));
}

#[tokio::test]
async fn any_operation_of_the_table_can_be_called() {
    let mut script = Script::start(Way::Tcp, answer).await;
    let client = script.connect().await;
    let request = op::Delete { key: b"refused", condition: Default::default(), previous: false };
    let reply = soon(client.call(&request)).await.expect("a refusal is a reply here");
    assert_eq!(reply.decode().expect("it decodes").status, WriteStatus::Refused);
    assert!(!reply.body().is_empty());
    let watch = op::Watch {
        range: Default::default(),
        from: op::WatchFrom::Now,
        previous: false,
        delivery: Default::default(),
    };
    assert_eq!(code(soon(client.call(&watch)).await), "invalid-input");
}
