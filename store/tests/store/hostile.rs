//! Bytes that mean harm: whatever decodes is done without a panic, and leaves the accounts in order.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidekeep_protocol::codec;
use tidekeep_protocol::op::{
    Children, ChildrenReply, DeleteRangeReply, GetReply, IncrementReply, LeaseReply,
    LeaseRevokeReply, LeasesReply, OPERATIONS, Operation, Order, Projection, Request, Scan,
    ScanReply, TouchReply, TxnReply, WriteReply,
};
use tidekeep_store::apply::Stamp;
use tidekeep_store::entry::Entry;
use tidekeep_store::read::PageLimits;
use tidekeep_store::record::{self, BadRecord, Command, Expired, Record};
use tidekeep_store::reply::Reply;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::snapshot::{self, Head};

use crate::group::Group;
use crate::wire::{self, Write};

/// A change to bytes at some place.
#[derive(Debug, Clone)]
enum Harm {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, u8),
    Remove(Index),
}

fn harm() -> impl Strategy<Value = Vec<Harm>> {
    let harm = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Set(at, byte)),
        1 => any::<Index>().prop_map(Harm::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Insert(at, byte)),
        1 => any::<Index>().prop_map(Harm::Remove),
    ];
    vec(harm, 0..4)
}

fn harmed(mut bytes: Vec<u8>, harm: &[Harm]) -> Vec<u8> {
    for harm in harm {
        match harm {
            Harm::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            _ if bytes.is_empty() => {}
            Harm::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Harm::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Harm::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        }
    }
    bytes
}

/// Kinds and bodies of requests: of a true one with harm done to it, and of any bytes.
fn body() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kinds: Vec<u8> = OPERATIONS.iter().map(|spec| spec.kind).collect();
    let any_bytes = (prop::sample::select(kinds), vec(any::<u8>(), 0..60));
    let small_bytes = (0x10_u8..0x1B, vec(0_u8..6, 0..40));
    let write = (wire::write(), harm()).prop_map(|(write, harm)| {
        let (kind, body) = write.bytes();
        (kind, harmed(body, &harm))
    });
    let read = (read(), harm()).prop_map(|((kind, body), harm)| (kind, harmed(body, &harm)));
    prop_oneof![1 => any_bytes, 2 => small_bytes, 4 => write, 2 => read]
}

fn read() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let bounds = (wire::range(), any::<(u32, u32, bool)>(), 0_u8..3);
    let scan = bounds.prop_map(|(range, (limit, bytes, down), projection)| {
        let order = if down { Order::Descending } else { Order::Ascending };
        let projection = match projection {
            0 => Projection::Full,
            1 => Projection::Keys,
            _ => Projection::Count,
        };
        encoded(&Scan { range: range.as_range(), limit, bytes, order, projection })
    });
    let names = (wire::key(), vec(any::<u8>(), 0..3), any::<Option<[u8; 2]>>(), 0_u32..9);
    let children = names.prop_map(|(prefix, delimiter, after, limit)| {
        let after = after.as_ref().map(|after| &after[..]);
        encoded(&Children { prefix: &prefix, delimiter: &delimiter, after, limit })
    });
    prop_oneof![scan, children]
}

fn encoded<O: Operation>(operation: &O) -> (u8, Vec<u8>) {
    let mut body = Vec::new();
    codec::encode(operation, &mut body);
    (O::SPEC.kind, body)
}

/// Stamps of every size; those that count up are left to the model.
fn stamp() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0_u64..100, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

/// Whoever asked for it on another node's behalf has the same answer.
pub(crate) fn comes_back(request: &Request<'_>, reply: &Reply) {
    let (mut body, mut again) = (Vec::new(), Vec::new());
    reply.encode(&mut body);
    let back = Reply::decode(request, reply.shows(), &body).expect("an answer comes back");
    back.encode(&mut again);
    assert_eq!((body, reply.shows()), (again, back.shows()), "{request:?}: {reply:?}");
}

/// The reply's own type reads what the reply wrote, and writes it again.
fn reads_back(reply: &Reply) {
    let mut body = Vec::new();
    reply.encode(&mut body);
    assert!(body.len() <= reply.body_bytes(), "{} bytes: {reply:?}", body.len());
    let mut again = Vec::new();
    match reply {
        Reply::Get(_) => rewrite::<GetReply<'_>>(&body, &mut again),
        Reply::Put(_) | Reply::Delete(_) => rewrite::<WriteReply<'_>>(&body, &mut again),
        Reply::Touch(_) => rewrite::<TouchReply>(&body, &mut again),
        Reply::Increment(_) => rewrite::<IncrementReply>(&body, &mut again),
        Reply::DeleteRange(_) => rewrite::<DeleteRangeReply>(&body, &mut again),
        Reply::Scan(_) => rewrite::<ScanReply<'_>>(&body, &mut again),
        Reply::Children(_) => rewrite::<ChildrenReply<'_>>(&body, &mut again),
        Reply::Txn(_) => rewrite::<TxnReply<'_>>(&body, &mut again),
        Reply::Lease(_) => rewrite::<LeaseReply>(&body, &mut again),
        Reply::LeaseRevoke(_) => rewrite::<LeaseRevokeReply>(&body, &mut again),
        Reply::Leases(_) => rewrite::<LeasesReply>(&body, &mut again),
        Reply::Encoded(_) | Reply::Locked(_) => {
            unreachable!("only a snapshot holds one, and nobody locks anything")
        }
    }
    assert_eq!(body, again, "{reply:?}");
}

fn rewrite<'a, T: serde::Deserialize<'a> + serde::Serialize>(body: &'a [u8], out: &mut Vec<u8>) {
    codec::encode(&codec::decode::<T>(body).expect("a reply decodes"), out);
}

/// The accounts say what is there.
fn in_order(group: &Group) {
    let content = group.content();
    assert_eq!(group.keys(), content.len());
    assert_eq!(group.bytes(), content.iter().map(Entry::cost).sum::<usize>());
    let mut afresh = Shard::new(Spread::new(0, 1));
    for entry in content {
        assert_eq!(afresh.insert(entry), None, "a key is kept once");
    }
    assert_eq!(group.digest(), afresh.digest());
}

proptest! {
    #[test]
    fn requests_of_any_bytes_are_done_or_refused(
        bodies in vec((body(), stamp()), 1..30),
        revision in prop_oneof![2 => Just(0_u64), 1 => Just(u64::MAX - 1), 1 => any::<u64>()],
        limits in (0_usize..20, prop_oneof![0_usize..200, Just(usize::MAX)]),
    ) {
        let mut group = Group::new(3, 5);
        group.revision = revision;
        let limits = PageLimits { entries: limits.0, bytes: limits.1 };
        for ((kind, body), now) in &bodies {
            let Some(Ok(request)) = Request::decode(*kind, body) else { continue };
            if let Some(reply) = group.read(&request, limits, *now) {
                reads_back(&reply);
                comes_back(&request, &reply);
                continue;
            }
            if let Ok((reply, _)) = group.apply(*now, &Command::Request(request)) {
                reads_back(&reply.expect("a request has a reply"));
            }
        }
        in_order(&group);
    }

    #[test]
    fn records_of_any_bytes_are_read_or_refused(
        (now_ms, revision) in (stamp(), stamp()),
        writes in vec(wire::write(), 0..4),
        expired in vec((wire::key(), any::<u64>()), 0..4),
        harm in harm(),
        noise in vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = Vec::new();
        record::begin(Stamp { now_ms, revision }, &mut bytes);
        for write in &writes {
            let (kind, body) = write.bytes();
            record::push_request(kind, &body, &mut bytes);
        }
        let expired: Vec<_> =
            expired.iter().map(|(key, modified)| Expired { key, modified: *modified }).collect();
        record::push_expire(&expired, &mut bytes);

        let whole = Record::decode(&bytes).unwrap();
        assert_eq!(whole.stamp, Stamp { now_ms, revision });
        let mut expected: Vec<_> =
            writes.iter().map(|write| Ok(Command::Request(write.request()))).collect();
        expected.push(Ok(Command::Expire(expired)));
        assert_eq!(whole.commands().collect::<Vec<_>>(), expected);

        for bytes in [harmed(bytes, &harm), noise] {
            let Ok(record) = Record::decode(&bytes) else { continue };
            let commands: Vec<_> = record.commands().collect();
            let bad = commands.iter().position(Result::is_err);
            assert!(bad.is_none_or(|at| at + 1 == commands.len()), "an error is the last item");
            let mut group = Group::new(3, 5);
            group.revision = record.stamp.revision;
            for command in commands.iter().flatten() {
                let applied = group.apply(record.stamp.now_ms, command);
                if let Ok((Some(reply), _)) = &applied {
                    reads_back(reply);
                }
            }
            in_order(&group);
        }
    }

    #[test]
    fn snapshots_of_any_bytes_are_read_or_refused(
        writes in vec(wire::write(), 0..10),
        harm in harm(),
        noise in vec(any::<u8>(), 0..120),
        more in vec(body(), 0..10),
        now in stamp(),
    ) {
        let mut origin = Group::new(2, 1);
        for write in &writes {
            let _refused = origin.apply(1, &Command::Request(write.request()));
        }
        let mut chunk = Vec::new();
        for entry in origin.content() {
            chunk.extend_from_slice(&(entry.packed_len() as u32).to_le_bytes());
            entry.pack(&mut chunk);
        }
        for bytes in [harmed(chunk, &harm), noise] {
            let entries: Vec<Option<Entry>> = snapshot::entries(&bytes).collect();
            let bad = entries.iter().position(Option::is_none);
            assert!(bad.is_none_or(|at| at + 1 == entries.len()), "none is the last item");
            let mut group = Group::new(3, 5);
            for entry in entries.into_iter().flatten() {
                let shard = group.spread.shard_of(entry.key());
                group.shards[shard].insert(entry);
            }
            for (kind, body) in &more {
                let Some(Ok(request)) = Request::decode(*kind, body) else { continue };
                let limits = PageLimits { entries: 10, bytes: 1000 };
                let read = group.read(&request, limits, now);
                let applied = group.apply(now, &Command::Request(request));
                for reply in read.iter().chain(applied.iter().flat_map(|(reply, _)| reply)) {
                    reads_back(reply);
                }
            }
            in_order(&group);
        }
    }

    #[test]
    fn entries_and_heads_of_any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..90)) {
        let scratch = &mut Vec::new();
        if let Some(entry) = Entry::unpack(&bytes, scratch) {
            let mut again = Vec::new();
            Entry::new(entry.key(), entry.value(), entry.meta(), scratch).pack(&mut again);
            assert_eq!(again, bytes);
            assert!(!format!("{entry:?}").is_empty());
            assert!(entry.cost() > entry.key().len() + entry.value().len());
        }
        for version in 0..4 {
            if let Some(head) = Head::decode(&[&[version], &bytes[..]].concat()) {
                assert_eq!(head.encode()[1..][..bytes.len()], bytes);
            }
        }
    }
}

#[test]
fn records_say_what_is_wrong_with_them() {
    let mut bytes = Vec::new();
    record::begin(Stamp { now_ms: 1, revision: 2 }, &mut bytes);
    let first = |bytes: &[u8]| Record::decode(bytes).unwrap().commands().next().unwrap().err();
    assert_eq!(Record::decode(&bytes[..16]).err(), Some(BadRecord::Cut));
    assert!(Record::decode(&bytes).unwrap().commands().next().is_none());

    let mut other = bytes.clone();
    other[0] = 9;
    assert_eq!(Record::decode(&other).err(), Some(BadRecord::Version(9)));

    let with = |kind, body: &[u8]| {
        let mut bytes = bytes.clone();
        record::push_request(kind, body, &mut bytes);
        bytes
    };
    assert_eq!(first(&with(0x7F, b"")), Some(BadRecord::Kind(0x7F)));
    assert_eq!(first(&with(0x11, b"")), Some(BadRecord::Body));
    assert_eq!(first(&with(0xE0, b"\x01")), Some(BadRecord::Body));
    let cut = with(0x10, b"\x01k");
    assert_eq!(first(&cut), None);
    assert_eq!(first(&cut[..cut.len() - 1]), Some(BadRecord::Cut));
}

#[test]
fn a_head_has_its_versions_length() {
    let head = Head {
        revision: 1,
        now_ms: 2,
        keys: 3,
        digest: 4,
        sessions: 5,
        forgotten_ms: 6,
        leases: 7,
        intents: 0,
    }
    .encode();
    assert!(Head::decode(&head).is_some());
    assert_eq!(Head::decode(&head[..head.len() - 1]), None);
    assert_eq!(Head::decode(&[&head[..], &[0]].concat()), None);
    let mut other = head;
    other[0] = 3;
    assert_eq!(Head::decode(&other), None);
    other[0] = 1;
    other.truncate(33);
    let first = Head {
        revision: 1,
        now_ms: 2,
        keys: 3,
        digest: 4,
        sessions: 0,
        forgotten_ms: 0,
        leases: 0,
        intents: 0,
    };
    assert_eq!(Head::decode(&other), Some(first), "the first version had no sessions");
    assert_eq!(Head::decode(&[]), None);
}

#[test]
fn a_transaction_over_every_shard_finds_its_keys() {
    let keys: Vec<Vec<u8>> = (0..512_u32).map(|number| number.to_le_bytes().to_vec()).collect();
    let then = keys
        .iter()
        .map(|key| wire::Op::Increment(key.clone(), 1, tidekeep_protocol::condition::Expiry::Keep));
    let write = Write::Txn { compares: Vec::new(), then: then.collect(), otherwise: Vec::new() };
    for shards in [0, 1, 7, 64] {
        let mut group = Group::new(shards, u64::MAX);
        group.apply(1, &Command::Request(write.request())).unwrap();
        assert_eq!((group.keys(), group.revision), (512, 1));
        let most = group.shards.iter().map(Shard::keys).max().unwrap_or(0);
        assert!(most <= 512 / group.shards.len() * 3 + 8, "{most} of 512 keys share a shard");
    }
}
