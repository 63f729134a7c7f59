//! What is decided once is decided the same for ever: replayed from a record's bytes, spread over
//! other shards, or begun again from a snapshot.

use std::convert::Infallible;

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Put, Request};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::Stamp;
use tidekeep_store::entry::Entry;
use tidekeep_store::record::{self, Command, Expired};
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::tables::SavedTables;

use crate::group::{Applied, Group};
use crate::wire::{self, Write};

/// One record: how much later it is, its writes, and whether what is due goes first.
type Batch = (u64, Vec<Write>, bool);

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    vec((0_u64..30, vec(wire::write(), 1..4), any::<bool>()), 1..12)
}

/// Does the batches as an owner would: logs each request's own bytes, then applies them.
fn run(group: &mut Group, batches: &[Batch]) -> (Vec<Vec<u8>>, Vec<Applied>) {
    let (mut records, mut applied) = (Vec::new(), Vec::new());
    let mut now_ms = 1;
    for (later, writes, expire) in batches {
        now_ms += later;
        let mut record = Vec::new();
        record::begin(Stamp { now_ms, revision: group.revision }, &mut record);
        if *expire {
            let mut due = group.due(now_ms);
            due.sort();
            let expired: Vec<_> = due
                .iter()
                .map(|due| Expired { key: due.key(), modified: due.modified() })
                .collect();
            record::push_expire(&expired, &mut record);
            applied.push(group.apply(now_ms, &Command::Expire(expired)));
        }
        if *expire {
            for lease in group.tables.leases.due(now_ms).collect::<Vec<_>>() {
                record::push_end_lease(lease, &mut record);
                applied.push(group.apply(now_ms, &Command::EndLease(lease)));
            }
        }
        for write in writes {
            let (kind, body) = write.bytes();
            record::push_request(kind, &body, &mut record);
            let request = Request::decode(kind, &body)
                .expect("a known kind")
                .expect("a body that was just written");
            applied.push(group.apply(now_ms, &Command::Request(request)));
        }
        records.push(record);
    }
    (records, applied)
}

fn snapshot(group: &Group, now_ms: u64) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (keys, digest) = (group.keys() as u64, group.digest());
    let (sessions, forgotten_ms, revision) = (0, 0, group.revision);
    let tables = SavedTables { leases: group.tables.leases.packed(), ..SavedTables::default() };
    let leases = tables.leases.len() as u64;
    let head = Head { revision, now_ms, keys, digest, sessions, forgotten_ms, leases, intents: 0 }
        .encode();
    let mut chunks = Vec::new();
    let taken = snapshot::write_tables(&tables, |chunk| {
        chunks.push(chunk.to_vec());
        Ok::<(), Infallible>(())
    });
    assert_eq!(taken, Ok(()));
    let view = group.view(&KeyRange::all(), now_ms);
    let taken = snapshot::write(&view, |chunk| {
        chunks.push(chunk.to_vec());
        Ok::<(), Infallible>(())
    });
    assert_eq!(taken, Ok(()));
    (head, chunks)
}

/// Begins a group from a snapshot.
fn load(head: &[u8], chunks: &[Vec<u8>], shards: usize, seed: u64) -> Group {
    let head = Head::decode(head).expect("a head that was just written");
    let mut group = Group::new(shards, seed);
    group.revision = head.revision;
    let mut chunks = chunks;
    while group.tables.leases.len() < head.leases as usize {
        let (chunk, rest) = chunks.split_first().expect("the leases come first");
        for lease in snapshot::items(chunk) {
            let lease = lease.expect("a lease that was just written");
            assert_eq!(group.tables.leases.read(lease), Some(()));
        }
        chunks = rest;
    }
    for chunk in chunks {
        for entry in snapshot::entries(chunk) {
            let entry = entry.expect("an entry that was just written");
            assert!(group.tables.leases.tie(&entry));
            let shard = group.spread.shard_of(entry.key());
            assert_eq!(group.shards[shard].insert(entry), None);
        }
    }
    assert_eq!((group.keys() as u64, group.digest()), (head.keys, head.digest));
    group
}

fn same(a: &Group, b: &Group) {
    assert_eq!(a.content(), b.content());
    assert_eq!((a.revision, a.keys(), a.bytes()), (b.revision, b.keys(), b.bytes()));
    assert_eq!(a.digest(), b.digest());
    let leases = |group: &Group| group.tables.leases.page(0, usize::MAX, 0);
    assert_eq!(leases(a), leases(b));
}

fn body_bytes(writes: &[Write]) -> usize {
    writes.iter().map(|write| write.bytes().1.len()).sum()
}

proptest! {
    #[test]
    fn replayed_records_decide_the_same(batches in batches(), seed in any::<u64>()) {
        let mut first = Group::new(4, seed);
        let (records, applied) = run(&mut first, &batches);
        let mut second = Group::new(4, seed);
        let mut replayed = Vec::new();
        for record in &records {
            replayed.extend(second.replay(record).unwrap());
        }
        assert_eq!(applied, replayed);
        same(&first, &second);
        for (a, b) in first.shards.iter().zip(&second.shards) {
            assert_eq!((a.digest(), a.written()), (b.digest(), b.written()));
        }
        assert_eq!(snapshot(&first, 0), snapshot(&second, 0));
        for ((_, writes, expire), record) in batches.iter().zip(&records) {
            assert!(*expire || record.len() <= record::bytes_for(writes.len(), body_bytes(writes)));
        }
    }

    #[test]
    fn the_spread_decides_nothing(
        batches in batches(),
        seeds in any::<(u64, u64)>(),
        shards in (1_usize..6, 6_usize..40),
    ) {
        let mut few = Group::new(shards.0, seeds.0);
        let mut many = Group::new(shards.1, seeds.1);
        let (records, applied) = run(&mut few, &batches);
        assert_eq!((records, applied), run(&mut many, &batches));
        same(&few, &many);
    }

    #[test]
    fn a_snapshot_goes_on_as_its_origin(
        before in batches(),
        after in batches(),
        seeds in any::<(u64, u64)>(),
    ) {
        let mut origin = Group::new(5, seeds.0);
        run(&mut origin, &before);
        let (head, chunks) = snapshot(&origin, 77);
        let mut copy = load(&head, &chunks, 3, seeds.1);
        same(&origin, &copy);
        assert_eq!(run(&mut origin, &after), run(&mut copy, &after));
        same(&origin, &copy);
    }
}

#[test]
fn a_plain_put_comes_to_the_same_by_its_short_way() {
    let (condition, previous) = (Condition::Always, false);
    let put = |value, expiry| Request::Put(Put { key: b"k", value, condition, expiry, previous });
    let plain = |value| put(value, Expiry::Never);
    let ending = |value| put(value, Expiry::After(10));
    // Over nothing, over an entry without an end, over one with an end, and over one whose time is over.
    let life = [
        (1, plain(b"first")),
        (2, plain(b"second")),
        (3, ending(b"third")),
        (4, plain(b"fourth")),
        (5, ending(b"fifth")),
        (15, plain(b"sixth")),
        (15, plain(b"seventh")),
    ];
    let (mut short, mut whole) = (Group::new(2, 9), Group::new(2, 9));
    for (now_ms, request) in life {
        let mut record = Vec::new();
        record::begin(Stamp { now_ms, revision: short.revision }, &mut record);
        record::push_decoded(&request, &mut record);
        let applied = short.apply(now_ms, &Command::Request(request));
        assert_eq!(Ok(vec![applied]), whole.replay(&record));
        same(&short, &whole);
    }
}

#[test]
fn a_snapshot_of_many_chunks_comes_back_whole() {
    let mut group = Group::new(3, 9);
    let mut scratch = Vec::new();
    let meta = tidekeep_protocol::entry::Meta {
        created: 1,
        modified: 2,
        version: 3,
        expires_at: Some(4),
        lease: None,
    };
    for number in 0..300_u32 {
        let value = vec![number as u8; 4000 + number as usize];
        let entry = Entry::new(&number.to_be_bytes(), &value, meta, &mut scratch);
        let shard = group.spread.shard_of(entry.key());
        group.shards[shard].insert(entry);
    }
    group.revision = 2;
    let (head, chunks) = snapshot(&group, 0);
    assert!(chunks.len() > 3, "{} chunks", chunks.len());
    same(&group, &load(&head, &chunks, 8, 1));
}

#[test]
fn writing_a_snapshot_stops_at_the_first_error() {
    let mut group = Group::new(1, 0);
    let put = Write::Op(wire::Op::Put(
        b"k".to_vec(),
        b"v".to_vec(),
        wire::Must::Always,
        tidekeep_protocol::condition::Expiry::Never,
        false,
    ));
    group.apply(1, &Command::Request(put.request())).unwrap();
    let view = group.view(&KeyRange::all(), 1);
    let mut calls = 0;
    let stopped = snapshot::write(&view, |_| {
        calls += 1;
        Err("full")
    });
    assert_eq!((stopped, calls), (Err("full"), 1));
}
