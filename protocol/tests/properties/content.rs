//! Messages with arbitrary content. Keys, values and texts are leaked: messages borrow them, and a
//! test's end is near.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::entry::{Entry, Meta, Stored};
use tidekeep_protocol::error::{ErrorBody, Outcome};
use tidekeep_protocol::hello::{GoingAway, Hello, Welcome};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{
    Child, Children, ChildrenReply, Compare, Connected, Delete, DeleteRange, DeleteRangeReply,
    Delivery, Event, Figure, Get, GetReply, Increment, IncrementReply, Lease, LeaseGrant,
    LeaseKeepAlive, LeaseReply, LeaseRevoke, LeaseRevokeReply, Leases, LeasesReply, Order,
    Projection, Put, Request, Scan, ScanReply, Sessions, SessionsReply, Status, StatusReply, Touch,
    TouchReply, Txn, TxnOp, TxnReply, TxnResult, Watch, WatchFrom, WatchMessage, WriteReply,
    WriteStatus,
};
use tidekeep_protocol::range::Range;

type Bytes = &'static [u8];
type Text = &'static str;

/// Mostly short, sometimes long enough for a length of two bytes, rarely for one of three.
pub(crate) fn bytes() -> impl Strategy<Value = Bytes> {
    let lengths = prop_oneof![20 => 0..20_usize, 4 => 120..140_usize, 1 => 16_380..16_390_usize];
    lengths.prop_flat_map(|length| vec(any::<u8>(), length)).prop_map(|bytes| &*bytes.leak())
}

fn text() -> impl Strategy<Value = Text> {
    any::<String>().prop_map(|text| &*text.leak())
}

/// Around the places where a varint grows, and anywhere.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        (0..64_u32, 0..3_u64)
            .prop_map(|(bit, below)| (1_u64 << bit).wrapping_add(1).wrapping_sub(below)),
        any::<u64>(),
    ]
}

fn signed() -> impl Strategy<Value = i64> {
    number().prop_map(u64::cast_signed)
}

fn meta() -> impl Strategy<Value = Meta> {
    (number(), number(), number(), option::of(number()), option::of(number())).prop_map(
        |(created, modified, version, expires_at, lease)| Meta {
            created,
            modified,
            version,
            expires_at,
            lease,
        },
    )
}

fn stored() -> impl Strategy<Value = Stored<'static>> {
    (meta(), bytes()).prop_map(|(meta, value)| Stored { meta, value })
}

fn entry() -> impl Strategy<Value = Entry<'static>> {
    (bytes(), stored()).prop_map(|(key, stored)| Entry { key, stored })
}

fn condition() -> impl Strategy<Value = Condition<'static>> {
    prop_oneof![
        Just(Condition::Always),
        Just(Condition::Absent),
        Just(Condition::Present),
        number().prop_map(Condition::Revision),
        bytes().prop_map(Condition::Value),
    ]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        Just(Expiry::Keep),
        number().prop_map(Expiry::After),
        number().prop_map(Expiry::At),
        number().prop_map(Expiry::Lease),
    ]
}

fn range() -> impl Strategy<Value = Range<'static>> {
    (bytes(), option::of(bytes())).prop_map(|(start, end)| Range { start, end })
}

pub(crate) fn hello() -> impl Strategy<Value = Hello<'static>> {
    (any::<u16>(), any::<u16>(), number(), text()).prop_map(
        |(version_min, version_max, features, software)| Hello {
            version_min,
            version_max,
            features,
            software,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    any::<[u32; 10]>().prop_map(|n| Limits {
        key_bytes: n[0],
        value_bytes: n[1],
        frame_bytes: n[2],
        chunk_bytes: n[3],
        message_bytes: n[4],
        reply_bytes: n[5],
        in_flight: n[6],
        watches: n[7],
        scan_entries: n[8],
        txn_operations: n[9],
    })
}

pub(crate) fn welcome() -> impl Strategy<Value = Welcome<'static>> {
    let identities = (any::<[u8; 16]>(), any::<[u8; 16]>(), number());
    let times = (any::<u32>(), number());
    (any::<u16>(), number(), limits(), identities, times, text()).prop_map(
        |(version, features, limits, (server_id, store_id, incarnation), times, software)| {
            let (heartbeat_ms, now_ms) = times;
            Welcome {
                version,
                features,
                limits,
                server_id,
                store_id,
                incarnation,
                heartbeat_ms,
                now_ms,
                software,
            }
        },
    )
}

pub(crate) fn going_away() -> impl Strategy<Value = GoingAway> {
    any::<u32>().prop_map(|reconnect_after_ms| GoingAway { reconnect_after_ms })
}

pub(crate) fn error() -> impl Strategy<Value = ErrorBody<'static>> {
    let outcome =
        prop_oneof![Just(Outcome::NotApplied), Just(Outcome::Applied), Just(Outcome::Unknown)];
    (any::<u16>(), any::<bool>(), outcome, any::<u32>(), text()).prop_map(
        |(code, retryable, outcome, retry_after_ms, message)| ErrorBody {
            code,
            retryable,
            outcome,
            retry_after_ms,
            message,
        },
    )
}

fn get() -> impl Strategy<Value = Get<'static>> {
    bytes().prop_map(|key| Get { key })
}

fn put() -> impl Strategy<Value = Put<'static>> {
    (bytes(), bytes(), condition(), expiry(), any::<bool>()).prop_map(
        |(key, value, condition, expiry, previous)| Put { key, value, condition, expiry, previous },
    )
}

fn delete() -> impl Strategy<Value = Delete<'static>> {
    (bytes(), condition(), any::<bool>()).prop_map(|(key, condition, previous)| Delete {
        key,
        condition,
        previous,
    })
}

fn touch() -> impl Strategy<Value = Touch<'static>> {
    (bytes(), expiry(), condition()).prop_map(|(key, expiry, condition)| Touch {
        key,
        expiry,
        condition,
    })
}

fn increment() -> impl Strategy<Value = Increment<'static>> {
    (bytes(), signed(), expiry()).prop_map(|(key, by, expiry)| Increment { key, by, expiry })
}

fn delete_range() -> impl Strategy<Value = DeleteRange<'static>> {
    (range(), any::<u32>()).prop_map(|(range, limit)| DeleteRange { range, limit })
}

fn scan() -> impl Strategy<Value = Scan<'static>> {
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    let projection =
        prop_oneof![Just(Projection::Full), Just(Projection::Keys), Just(Projection::Count)];
    (range(), any::<u32>(), any::<u32>(), order, projection).prop_map(
        |(range, limit, bytes, order, projection)| Scan { range, limit, bytes, order, projection },
    )
}

fn children() -> impl Strategy<Value = Children<'static>> {
    (bytes(), bytes(), option::of(bytes()), any::<u32>())
        .prop_map(|(prefix, delimiter, after, limit)| Children { prefix, delimiter, after, limit })
}

fn txn() -> impl Strategy<Value = Txn<'static>> {
    let compare = (bytes(), condition()).prop_map(|(key, condition)| Compare { key, condition });
    (vec(compare, 0..4), vec(txn_op(), 0..8), vec(txn_op(), 0..4))
        .prop_map(|(compares, then, otherwise)| Txn { compares, then, otherwise })
}

fn txn_op() -> impl Strategy<Value = TxnOp<'static>> {
    prop_oneof![
        get().prop_map(TxnOp::Get),
        put().prop_map(TxnOp::Put),
        delete().prop_map(TxnOp::Delete),
        touch().prop_map(TxnOp::Touch),
        increment().prop_map(TxnOp::Increment),
        delete_range().prop_map(TxnOp::DeleteRange),
    ]
}

fn watch() -> impl Strategy<Value = Watch<'static>> {
    let from = prop_oneof![
        Just(WatchFrom::Now),
        Just(WatchFrom::Content),
        bytes().prop_map(WatchFrom::Cursor),
    ];
    let delivery = prop_oneof![Just(Delivery::Every), Just(Delivery::Latest)];
    (range(), from, any::<bool>(), delivery).prop_map(|(range, from, previous, delivery)| Watch {
        range,
        from,
        previous,
        delivery,
    })
}

/// A request of any kind.
pub(crate) fn request() -> impl Strategy<Value = Request<'static>> {
    prop_oneof![
        get().prop_map(Request::Get),
        put().prop_map(Request::Put),
        delete().prop_map(Request::Delete),
        scan().prop_map(Request::Scan),
        children().prop_map(Request::Children),
        touch().prop_map(Request::Touch),
        increment().prop_map(Request::Increment),
        txn().prop_map(Request::Txn),
        delete_range().prop_map(Request::DeleteRange),
        watch().prop_map(Request::Watch),
        Just(Request::Status(Status)),
        number().prop_map(|ttl_ms| Request::LeaseGrant(LeaseGrant { ttl_ms })),
        number().prop_map(|lease| Request::LeaseKeepAlive(LeaseKeepAlive { lease })),
        number().prop_map(|lease| Request::LeaseRevoke(LeaseRevoke { lease })),
        (number(), any::<u32>())
            .prop_map(|(after, limit)| Request::Leases(Leases { after, limit })),
        (number(), any::<u32>())
            .prop_map(|(after, limit)| Request::Sessions(Sessions { after, limit })),
    ]
}

pub(crate) fn get_reply() -> impl Strategy<Value = GetReply<'static>> {
    (number(), option::of(stored())).prop_map(|(revision, entry)| GetReply { revision, entry })
}

fn status() -> impl Strategy<Value = WriteStatus> {
    prop_oneof![Just(WriteStatus::Applied), Just(WriteStatus::NotFound), Just(WriteStatus::Refused),]
}

pub(crate) fn write_reply() -> impl Strategy<Value = WriteReply<'static>> {
    (number(), status(), option::of(stored())).prop_map(|(revision, status, entry)| WriteReply {
        revision,
        status,
        entry,
    })
}

pub(crate) fn touch_reply() -> impl Strategy<Value = TouchReply> {
    (number(), status(), option::of(meta())).prop_map(|(revision, status, meta)| TouchReply {
        revision,
        status,
        meta,
    })
}

pub(crate) fn increment_reply() -> impl Strategy<Value = IncrementReply> {
    (number(), signed()).prop_map(|(revision, value)| IncrementReply { revision, value })
}

pub(crate) fn delete_range_reply() -> impl Strategy<Value = DeleteRangeReply> {
    (number(), number(), any::<bool>()).prop_map(|(revision, deleted, more)| DeleteRangeReply {
        revision,
        deleted,
        more,
    })
}

pub(crate) fn scan_reply() -> impl Strategy<Value = ScanReply<'static>> {
    (number(), number(), any::<bool>(), vec(entry(), 0..8))
        .prop_map(|(revision, count, more, entries)| ScanReply { revision, count, more, entries })
}

pub(crate) fn children_reply() -> impl Strategy<Value = ChildrenReply<'static>> {
    let child = (bytes(), any::<bool>()).prop_map(|(name, branch)| Child { name, branch });
    (number(), any::<bool>(), vec(child, 0..8))
        .prop_map(|(revision, more, children)| ChildrenReply { revision, more, children })
}

pub(crate) fn txn_reply() -> impl Strategy<Value = TxnReply<'static>> {
    let result = prop_oneof![
        get_reply().prop_map(TxnResult::Get),
        write_reply().prop_map(TxnResult::Put),
        write_reply().prop_map(TxnResult::Delete),
        touch_reply().prop_map(TxnResult::Touch),
        increment_reply().prop_map(TxnResult::Increment),
        delete_range_reply().prop_map(TxnResult::DeleteRange),
    ];
    (number(), any::<bool>(), vec(result, 0..8))
        .prop_map(|(revision, succeeded, results)| TxnReply { revision, succeeded, results })
}

fn event() -> impl Strategy<Value = Event<'static>> {
    prop_oneof![
        (entry(), option::of(stored()))
            .prop_map(|(entry, previous)| Event::Put { entry, previous }),
        (bytes(), option::of(stored())).prop_map(|(key, previous)| Event::Delete { key, previous }),
        (bytes(), option::of(stored())).prop_map(|(key, previous)| Event::Expire { key, previous }),
        (bytes(), option::of(stored())).prop_map(|(key, previous)| Event::Evict { key, previous }),
    ]
}

pub(crate) fn watch_message() -> impl Strategy<Value = WatchMessage<'static>> {
    prop_oneof![
        vec(entry(), 0..8).prop_map(WatchMessage::Content),
        (number(), bytes())
            .prop_map(|(revision, cursor)| WatchMessage::CaughtUp { revision, cursor }),
        (number(), bytes(), vec(event(), 0..8)).prop_map(|(revision, cursor, events)| {
            WatchMessage::Events { revision, cursor, events }
        }),
        (number(), bytes())
            .prop_map(|(revision, cursor)| WatchMessage::Bookmark { revision, cursor }),
    ]
}

pub(crate) fn status_reply() -> impl Strategy<Value = StatusReply<'static>> {
    let figure = (text(), number()).prop_map(|(name, value)| Figure { name, value });
    (text(), text(), vec(figure, 0..8)).prop_map(|(software, durability, figures)| StatusReply {
        software,
        durability,
        figures,
    })
}

pub(crate) fn lease_reply() -> impl Strategy<Value = LeaseReply> {
    (number(), number(), number(), number()).prop_map(|(revision, lease, ttl_ms, expires_at)| {
        LeaseReply { revision, lease, ttl_ms, expires_at }
    })
}

pub(crate) fn lease_revoke_reply() -> impl Strategy<Value = LeaseRevokeReply> {
    (number(), number()).prop_map(|(revision, deleted)| LeaseRevokeReply { revision, deleted })
}

pub(crate) fn sessions_reply() -> impl Strategy<Value = SessionsReply<'static>> {
    let says = (text(), text(), text(), number(), number(), option::of(number()));
    let does = (number(), number(), number(), number(), number(), number());
    let session = (says, does).prop_map(|(says, does)| Connected {
        id: does.0,
        transport: says.0,
        address: says.1,
        client: says.2,
        since_ms: says.3,
        idle_ms: says.4,
        session_since_ms: says.5,
        watches: does.1,
        calls: does.2,
        buffer_bytes: does.3,
        received_bytes: does.4,
        sent_bytes: does.5,
    });
    (option::of(number()), number(), number(), any::<bool>(), vec(session, 0..8)).prop_map(
        |(node, connections, remembered, more, sessions)| SessionsReply {
            node,
            connections,
            remembered,
            more,
            sessions,
        },
    )
}

pub(crate) fn leases_reply() -> impl Strategy<Value = LeasesReply> {
    let lease = (number(), number(), number(), number())
        .prop_map(|(lease, ttl_ms, expires_at, keys)| Lease { lease, ttl_ms, expires_at, keys });
    (number(), any::<bool>(), vec(lease, 0..8)).prop_map(|(revision, more, leases)| LeasesReply {
        revision,
        more,
        leases,
    })
}
