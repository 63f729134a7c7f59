//! Each verb once, over both ways in.

use std::collections::HashSet;

use tidekeep_client::{
    Client, Code, Condition, DeleteOptions, Error, Expiry, KeyRange, Order, PutOptions,
    ScanOptions, Txn, TxnResult, TxnStep,
};
use tidekeep_tests::within;

use crate::{LIMIT, Live};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    within("a reply", LIMIT, future).await
}

fn under(condition: Condition) -> PutOptions {
    PutOptions { condition, ..PutOptions::default() }
}

async fn put(client: &Client, key: &str, value: &str) -> u64 {
    let put = client.put(key, value, PutOptions::default());
    soon(put).await.expect("a put applies").revision
}

fn text(result: Result<Option<tidekeep_client::Entry>, Error>) -> Option<String> {
    result.expect("a get").map(|entry| entry.text().expect("text").to_owned())
}

#[tokio::test]
async fn entries_are_put_read_and_removed() {
    let live = Live::start();
    for client in live.clients().await {
        let revision = put(&client, "name", "John Doe").await;
        let entry = soon(client.get("name")).await.expect("a get").expect("an entry");
        assert_eq!((&entry.key[..], entry.text()), (&b"name"[..], Some("John Doe")));
        assert_eq!((entry.created, entry.modified, entry.version), (revision, revision, 1));
        assert_eq!(text(soon(client.get("absent")).await), None);

        let options = DeleteOptions { previous: true, ..DeleteOptions::default() };
        let deleted = soon(client.delete("name", options)).await.expect("a delete");
        assert_eq!(deleted.expect("it was there").previous, Some(entry));
        let again = soon(client.delete("name", DeleteOptions::default())).await;
        assert_eq!(again, Ok(None));
    }
}

#[tokio::test]
async fn conditions_hold_or_name_what_stands_in_the_way() {
    let live = Live::start();
    for client in live.clients().await {
        let revision = put(&client, "k", "one").await;
        let refused = [Condition::Absent, Condition::Revision(revision + 1), value("two")];
        for condition in refused {
            let error = soon(client.put("k", "new", under(condition))).await.expect_err("refused");
            assert_eq!(error.code(), Code::Conflict);
            assert_eq!(error.current().and_then(|entry| entry.text()), Some("one"));
        }
        for condition in [Condition::Present, value("one"), Condition::Always] {
            let put = soon(client.put("k", "one", under(condition))).await;
            assert!(put.expect("it holds").revision > revision);
        }
        let options = DeleteOptions { condition: value("one"), previous: false };
        assert!(soon(client.delete("k", options)).await.expect("it holds").is_some());
    }
}

fn value(text: &'static str) -> Condition {
    Condition::Value(text.into())
}

#[tokio::test]
async fn keys_end_when_they_are_told_to() {
    let live = Live::start();
    for client in live.clients().await {
        let options = PutOptions { expiry: Expiry::After(3_600_000), ..PutOptions::default() };
        soon(client.put("k", "v", options)).await.expect("a put");
        let expires_at = soon(client.get("k")).await.expect("a get").expect("an entry").expires_at;
        assert!(expires_at > Some(1_700_000_000_000));
        let touched = soon(client.touch("k", Expiry::Never, Condition::Always)).await;
        assert_eq!(touched.expect("a touch").expect("it is there").expires_at, None);
        let absent = soon(client.touch("absent", Expiry::Never, Condition::Always)).await;
        assert_eq!(absent, Ok(None));
        soon(client.touch("k", Expiry::After(0), Condition::Always)).await.expect("a touch");
        assert_eq!(text(soon(client.get("k")).await), None);
    }
}

#[tokio::test]
async fn numbers_count() {
    let live = Live::start();
    for client in live.clients().await {
        let by = |by| soon(client.increment("n", by, Expiry::Keep));
        assert_eq!(by(5).await.expect("a number").value, 5);
        assert_eq!(by(-7).await.expect("a number").value, -2);
        assert_eq!(text(soon(client.get("n")).await).as_deref(), Some("-2"));
        put(&client, "n", "text").await;
        assert_eq!(by(1).await.expect_err("no number").code(), Code::InvalidInput);
        soon(client.delete("n", DeleteOptions::default())).await.expect("a delete");
    }
}

#[tokio::test]
async fn transactions_apply_whole_or_not_at_all() {
    let live = Live::start();
    for client in live.clients().await {
        put(&client, "from", "10").await;
        let transfer = Txn::new()
            .when("from", value("10"))
            .then(TxnStep::put("from", "0", PutOptions::default()))
            .then(TxnStep::put("to", "10", PutOptions::default()))
            .then(TxnStep::increment("transfers", 1, Expiry::Keep))
            .then(TxnStep::get("from"))
            .otherwise(TxnStep::get("from"));
        let done = soon(client.txn(transfer.clone())).await.expect("a transaction");
        assert!(done.succeeded);
        assert_eq!(done.results.len(), 4);
        let TxnResult::Get(Some(entry)) = &done.results[3] else { panic!("{:?}", done.results) };
        assert_eq!((entry.text(), entry.modified), (Some("0"), done.revision));

        let done = soon(client.txn(transfer)).await.expect("a transaction");
        assert!(!done.succeeded);
        let TxnResult::Get(Some(entry)) = &done.results[0] else { panic!("{:?}", done.results) };
        assert_eq!(entry.text(), Some("0"));

        let conflict = Txn::new()
            .then(TxnStep::put("to", "lost", PutOptions::default()))
            .then(TxnStep::put("from", "x", under(Condition::Absent)));
        let error = soon(client.txn(conflict)).await.expect_err("refused");
        assert_eq!(error.code(), Code::Conflict);
        assert_eq!(text(soon(client.get("to")).await).as_deref(), Some("10"));
    }
}

#[tokio::test]
async fn ranges_are_scanned_counted_listed_and_removed() {
    let live = Live::start();
    let [client, other] = live.clients().await;
    let puts: Vec<_> = (0..2_500)
        .map(|n| client.put(format!("list/{n:05}"), "v".repeat(100), PutOptions::default()))
        .collect();
    for put in puts {
        soon(put).await.expect("a put");
    }
    put(&client, "list/sub/deep", "v").await;
    put(&client, "other", "v").await;
    let range = KeyRange::prefix(b"list/0");
    for client in [client, other] {
        assert_eq!(soon(client.count(&range)).await, Ok(2_500));
        let mut scan = client.scan(&range, ScanOptions::default());
        let mut keys = Vec::new();
        while let Some(page) = soon(scan.page()).await.expect("a page") {
            keys.extend(page.into_iter().map(|entry| entry.key));
        }
        let expected: Vec<_> = (0..2_500).map(|n| format!("list/{n:05}")).collect();
        assert_eq!(keys, expected);
        let options = ScanOptions {
            limit: Some(1_001),
            order: Order::Descending,
            keys_only: true,
            page: 100,
        };
        let mut scan = client.scan(&range, options);
        let mut seen = HashSet::new();
        let mut last = None;
        while let Some(entry) = soon(scan.next()).await {
            let entry = entry.expect("an entry");
            assert!(last.is_none_or(|last| entry.key < last) && entry.value.is_empty());
            seen.insert(entry.key.clone());
            last = Some(entry.key);
        }
        assert_eq!(seen.len(), 1_001);

        let children = soon(client.children("", "/")).await.expect("names");
        let names: Vec<_> = children.iter().map(|child| (&child.name[..], child.branch)).collect();
        assert_eq!(names, [(&b"list/"[..], true), (b"other", false)]);
        let below = soon(client.children("list/", "/")).await.expect("names");
        assert_eq!(below.len(), 2_501);
        assert!(below.last().is_some_and(|child| &child.name[..] == b"sub/" && child.branch));
        assert_eq!(soon(client.delete_range(&KeyRange::prefix(b"none"))).await, Ok(0));
    }
    let [client, _] = live.clients().await;
    assert_eq!(soon(client.delete_range(&KeyRange::prefix(b"list/"))).await, Ok(2_501));
    assert_eq!(soon(client.count(&KeyRange::all())).await, Ok(1));
}

#[tokio::test]
async fn server_tells_of_itself() {
    let live = Live::start();
    for client in live.clients().await {
        soon(client.ping()).await.expect("an answer");
        let status = soon(client.status()).await.expect("a status");
        assert!(status.software.starts_with("tidekeep-server"), "{status:?}");
        assert_eq!(status.durability, "always");
        assert!(status.figures.iter().any(|(name, _)| name == "keys"), "{status:?}");
        let greeted = client.server().expect("it greeted");
        assert!(greeted.now_ms > 1_700_000_000_000);
    }
}

#[tokio::test]
async fn values_of_a_megabyte_travel_both_ways() {
    let live = Live::start();
    for client in live.clients().await {
        let value: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
        soon(client.put("large", &value, PutOptions::default())).await.expect("a put");
        let entry = soon(client.get("large")).await.expect("a get").expect("an entry");
        assert!(entry.value == value);
    }
}
