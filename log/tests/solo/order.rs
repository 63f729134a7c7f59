//! Many threads at once: every write has its own place in the order, and what each thread sees
//! agrees with it.

use std::collections::BTreeSet;
use std::thread;

use tidekeep_log::{Reply, Solo};
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::op::{Get, Request, TxnOp, TxnReply, WriteStatus};
use tidekeep_protocol::{codec, op};

use crate::world::{
    World, add, add_request, ask, ask_all, content, figure, get, put, put_of, put_request, text,
    txn_request,
};

const THREADS: usize = 6;

fn in_threads<T: Send>(store: &Solo, run: impl Fn(usize, &Solo) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> =
            (0..THREADS).map(|number| scope.spawn(move || run(number, store))).collect();
        threads.into_iter().map(|thread| thread.join().expect("the thread ends well")).collect()
    })
}

#[test]
fn counters_lose_nothing_and_every_write_has_a_revision_of_its_own() {
    let store = World::new(1).open();
    let rounds = 300;
    let seen = in_threads(&store, |_, store| {
        let mut seen = Vec::new();
        for round in 0..rounds {
            let key = format!("counter-{}", round % 4);
            let before = seen.last().map_or(0, |&(_, revision)| revision);
            let (value, revision) = add(store, key.as_bytes(), 1);
            assert!(revision > before, "a thread's own writes are in order");
            assert!(get(store, key.as_bytes()).expect("it is there").modified() >= revision);
            seen.push((value, revision));
        }
        seen
    });
    let revisions: BTreeSet<u64> = seen.iter().flatten().map(|&(_, revision)| revision).collect();
    let writes = (THREADS * rounds) as u64;
    assert_eq!(revisions, (1..=writes).collect(), "no revision is shared or left out");
    let sum: u64 = (0..4)
        .map(|i| text(&store, format!("counter-{i}").as_bytes()).expect("it is there"))
        .map(|value| value.parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(sum, writes);
    assert_eq!(store.feed().revision(), writes);
}

#[test]
fn conditional_puts_apply_one_after_the_other() {
    let store = World::new(2).open();
    put(&store, b"register", b"");
    let applied = in_threads(&store, |_, store| {
        let mut applied = 0;
        while applied < 50 {
            let seen = get(store, b"register").expect("it is there");
            let condition = Condition::Revision(seen.modified());
            let request = Request::Put(op::Put { condition, ..put_of(b"register", b"x") });
            match ask(store, request) {
                Ok(Reply::Put(reply)) if reply.status == WriteStatus::Applied => applied += 1,
                Ok(Reply::Put(reply)) => {
                    let current = reply.entry.expect("what stood in the way is shown");
                    assert!(current.modified() > seen.modified(), "somebody else was faster");
                }
                other => panic!("{other:?}"),
            }
        }
        applied
    });
    let version = get(&store, b"register").expect("it is there").version();
    assert_eq!(version, 1 + applied.iter().sum::<u64>());
}

#[test]
fn transactions_keep_sums_and_readers_never_see_half_of_one() {
    let store = World::new(3).open();
    let accounts: Vec<Vec<u8>> = (0..8).map(|i| format!("account-{i}").into_bytes()).collect();
    for account in &accounts {
        add(&store, account, 100);
    }
    in_threads(&store, |number, store| {
        for round in 0..100 {
            if number == 0 {
                let sum: i64 = content(store).1.values().map(number_of).sum();
                assert_eq!(sum, 800, "a page is read at one revision");
                continue;
            }
            let from = &accounts[(number * 31 + round * 7) % 8];
            let to = &accounts[(number * 17 + round * 5 + 1) % 8];
            let step = |key, by| {
                TxnOp::Increment(op::Increment {
                    key,
                    by,
                    expiry: tidekeep_protocol::condition::Expiry::Never,
                })
            };
            let get = |key| TxnOp::Get(Get { key });
            let ops = vec![step(from, -1), step(to, 1), get(from), get(to)];
            let reply = ask(store, txn_request(ops)).expect("the transaction runs");
            let mut body = Vec::new();
            reply.encode(&mut body);
            let reply: TxnReply<'_> = codec::decode(&body).expect("the body is a reply");
            assert_eq!(reply.results.len(), 4);
        }
    });
    let (_, entries) = content(&store);
    assert_eq!(entries.values().map(number_of).sum::<i64>(), 800);
}

fn number_of(entry: &tidekeep_log::Entry) -> i64 {
    std::str::from_utf8(entry.value()).expect("text").parse().expect("a number")
}

#[test]
fn a_batch_runs_in_order_and_takes_one_record() {
    let store = World::new(4).open();
    let records = figure(&store, "log_records");
    let batch = [
        put_request(b"a", b"1"),
        Request::Get(Get { key: b"a" }),
        add_request(b"a", 41),
        put_request(b"b", b"2"),
        Request::Get(Get { key: b"a" }),
    ];
    let answers = ask_all(&store, &batch).expect("storage works");
    let value = |at: usize| match &answers[at] {
        Ok(Reply::Get(got)) => got.entry.as_ref().map(|entry| entry.value().to_vec()),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(1).as_deref(), Some(&b"1"[..]));
    assert_eq!(value(4).as_deref(), Some(&b"42"[..]));
    assert_eq!(figure(&store, "log_records") - records, 1);
    assert_eq!(store.feed().revision(), 3);
}

#[test]
fn what_changes_nothing_takes_no_revision_and_no_record() {
    let store = World::new(5).open();
    put(&store, b"a", b"text");
    let records = figure(&store, "log_records");
    let absent = op::Put { condition: Condition::Absent, ..put_of(b"a", b"no") };
    let batch = [
        Request::Put(absent),
        add_request(b"a", 1),
        txn_request(vec![TxnOp::Put(put_of(b"c", b"undone")), TxnOp::Put(absent)]),
        txn_request(vec![TxnOp::Get(Get { key: b"a" })]),
        crate::world::delete_request(b"nothing"),
    ];
    let answers = ask_all(&store, &batch).expect("storage works");
    assert!(matches!(&answers[0], Ok(Reply::Put(r)) if r.status == WriteStatus::Refused));
    assert!(answers[1].is_err() && answers[2].is_err() && answers[3].is_ok());
    assert!(matches!(&answers[4], Ok(Reply::Delete(r)) if r.status == WriteStatus::NotFound));
    assert_eq!(get(&store, b"c"), None);
    assert_eq!((store.feed().revision(), figure(&store, "log_records")), (1, records));
}
