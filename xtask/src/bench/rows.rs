//! Every row of the tables, with its target: those of one server here, those of several in `cluster`,
//! those of the npm package in `web`.

mod cluster;
mod web;

use crate::bench::figures::Unit;
use crate::bench::row::{Bound, Compare, Named, Row};
use crate::bench::scene::{Part, Scene, Workload};
use crate::bench::server::Durability;
use crate::bench::throughput::Arm;

const fn workload(
    id: &'static str,
    operation: &'static str,
    pipeline: u32,
    value_bytes: u32,
    durability: Durability,
) -> Workload {
    Workload { id, operation, pipeline, value_bytes, durability }
}

static GET_1: Workload = workload("get-1", "get", 1, 64, Durability::None);
static GET_16: Workload = workload("get-16", "get", 16, 64, Durability::None);
static GET_128: Workload = workload("get-128", "get", 128, 64, Durability::None);
static SET_1: Workload = workload("set-1", "set", 1, 64, Durability::None);
static SET_16: Workload = workload("set-16", "set", 16, 64, Durability::None);
static SET_128: Workload = workload("set-128", "set", 128, 64, Durability::None);
static GET_16_1K: Workload = workload("get-16-1k", "get", 16, 1_024, Durability::None);
static SET_16_1K: Workload = workload("set-16-1k", "set", 16, 1_024, Durability::None);
static SET_1_ALWAYS: Workload = workload("set-1-always", "set", 1, 64, Durability::Always);
static SET_16_ALWAYS: Workload = workload("set-16-always", "set", 16, 64, Durability::Always);

const fn arms(
    id: &'static str,
    what: &'static str,
    load: &'static Workload,
    (of, to): (Arm, Arm),
    bound: Bound,
) -> Row {
    let (figure, unit) = ("per_core", Unit::PerSecond);
    Row { id, what, compare: Compare::Arms { load, figure, unit, of, to }, bound }
}

/// Where the disk bounds, its pace counts and not the core's.
const fn synced(id: &'static str, what: &'static str, load: &'static Workload, times: f64) -> Row {
    let (of, to) = (Arm::Resp, Arm::Redis);
    let (figure, unit) = ("per_second", Unit::PerSecond);
    Row {
        id,
        what,
        compare: Compare::Arms { load, figure, unit, of, to },
        bound: Bound::AtLeast(times),
    }
}

const fn bare(id: &'static str, what: &'static str, load: &'static Workload) -> Row {
    let (of, to) = (Arm::Native, Arm::Bare);
    let (figure, unit) = ("micros", Unit::Micros);
    Row {
        id,
        what,
        compare: Compare::Arms { load, figure, unit, of, to },
        bound: Bound::AtMost(1.5),
    }
}

const REDIS: (Arm, Arm) = (Arm::Resp, Arm::Redis);
const LOG: (Arm, Arm) = (Arm::Logging, Arm::Redis);
const TCP: (Arm, Arm) = (Arm::Native, Arm::Resp);
const WS: (Arm, Arm) = (Arm::WebSocket, Arm::Native);

const fn keys(id: &'static str, what: &'static str, of: Named, to: Named) -> Row {
    let compare = Compare::Series { scene: || Scene::Curve, unit: Unit::PerSecond, of, to };
    Row { id, what, compare, bound: Bound::Told }
}

/// Every row, in the table's order.
pub(super) fn every_row() -> impl Iterator<Item = &'static Row> {
    SERVER.iter().chain(of_clusters()).chain(of_the_package())
}

/// Those of one server.
pub(super) fn of_one_server() -> &'static [Row] {
    &SERVER
}

/// Those of several nodes that keep one store.
pub(super) fn of_clusters() -> &'static [Row] {
    &cluster::ROWS
}

/// Those of the npm package.
pub(super) fn of_the_package() -> &'static [Row] {
    &web::ROWS
}

static SERVER: [Row; 39] = [
    arms(
        "resp-get-16",
        "RESP GET, pipeline 16, against Redis",
        &GET_16,
        REDIS,
        Bound::AtLeast(2.0),
    ),
    arms(
        "resp-set-16",
        "RESP SET, pipeline 16, against Redis",
        &SET_16,
        REDIS,
        Bound::AtLeast(2.0),
    ),
    arms(
        "resp-get-128",
        "RESP GET, pipeline 128, against Redis",
        &GET_128,
        REDIS,
        Bound::AtLeast(3.0),
    ),
    arms(
        "resp-set-128",
        "RESP SET, pipeline 128, against Redis",
        &SET_128,
        REDIS,
        Bound::AtLeast(3.0),
    ),
    arms("resp-get-1", "RESP GET, pipeline 1, against Redis", &GET_1, REDIS, Bound::AtLeast(1.1)),
    arms("resp-set-1", "RESP SET, pipeline 1, against Redis", &SET_1, REDIS, Bound::AtLeast(1.1)),
    arms(
        "resp-get-16-1k",
        "RESP GET of 1 KiB, pipeline 16, against Redis",
        &GET_16_1K,
        REDIS,
        Bound::AtLeast(1.5),
    ),
    arms(
        "resp-set-16-1k",
        "RESP SET of 1 KiB, pipeline 16, against Redis",
        &SET_16_1K,
        REDIS,
        Bound::AtLeast(1.5),
    ),
    arms(
        "log-set-1",
        "RESP SET with a log nobody waits for, pipeline 1, against Redis without",
        &SET_1,
        LOG,
        Bound::Told,
    ),
    arms(
        "log-set-16",
        "RESP SET with a log nobody waits for, pipeline 16, against Redis without",
        &SET_16,
        LOG,
        Bound::Told,
    ),
    arms(
        "log-set-128",
        "RESP SET with a log nobody waits for, pipeline 128, against Redis without",
        &SET_128,
        LOG,
        Bound::Told,
    ),
    synced(
        "resp-set-16-always",
        "RESP SET, synced, pipeline 16, against Redis",
        &SET_16_ALWAYS,
        2.0,
    ),
    synced("resp-set-1-always", "RESP SET, synced, pipeline 1, against Redis", &SET_1_ALWAYS, 1.2),
    arms(
        "native-get-1",
        "native GET over TCP, pipeline 1, against RESP",
        &GET_1,
        TCP,
        Bound::AtLeast(1.0),
    ),
    arms(
        "native-set-1",
        "native SET over TCP, pipeline 1, against RESP",
        &SET_1,
        TCP,
        Bound::AtLeast(1.0),
    ),
    arms(
        "native-get-16",
        "native GET over TCP, pipeline 16, against RESP",
        &GET_16,
        TCP,
        Bound::AtLeast(1.0),
    ),
    arms(
        "native-set-16",
        "native SET over TCP, pipeline 16, against RESP",
        &SET_16,
        TCP,
        Bound::AtLeast(1.0),
    ),
    arms(
        "native-get-128",
        "native GET over TCP, pipeline 128, against RESP",
        &GET_128,
        TCP,
        Bound::AtLeast(1.0),
    ),
    arms(
        "native-set-128",
        "native SET over TCP, pipeline 128, against RESP",
        &SET_128,
        TCP,
        Bound::AtLeast(1.0),
    ),
    bare("bare-get-16", "CPU of a native GET, pipeline 16, against a bare store", &GET_16),
    bare("bare-set-16", "CPU of a native SET, pipeline 16, against a bare store", &SET_16),
    bare("bare-get-128", "CPU of a native GET, pipeline 128, against a bare store", &GET_128),
    bare("bare-set-128", "CPU of a native SET, pipeline 128, against a bare store", &SET_128),
    arms(
        "ws-get-16",
        "native GET over WebSocket, pipeline 16, against TCP",
        &GET_16,
        WS,
        Bound::AtLeast(0.8),
    ),
    arms(
        "ws-set-16",
        "native SET over WebSocket, pipeline 16, against TCP",
        &SET_16,
        WS,
        Bound::AtLeast(0.8),
    ),
    arms(
        "ws-get-128",
        "native GET over WebSocket, pipeline 128, against TCP",
        &GET_128,
        WS,
        Bound::AtLeast(0.8),
    ),
    arms(
        "ws-set-128",
        "native SET over WebSocket, pipeline 128, against TCP",
        &SET_128,
        WS,
        Bound::AtLeast(0.8),
    ),
    Row {
        id: "memory",
        what: "resident memory with 1 M entries, against Redis",
        compare: Compare::Series {
            scene: || Scene::Memory,
            unit: Unit::Bytes,
            of: ("Tidekeep", "memory/tidekeep"),
            to: ("Redis", "memory/redis"),
        },
        bound: Bound::AtMost(1.0),
    },
    Row {
        id: "memory-log",
        what: "the same by Tidekeep's default settings, with its log",
        compare: Compare::Series {
            scene: || Scene::Memory,
            unit: Unit::Bytes,
            of: ("Tidekeep", "memory/logging"),
            to: ("Redis", "memory/redis"),
        },
        bound: Bound::Told,
    },
    Row {
        id: "start",
        what: "from start to the first GET with 10 M entries, against Redis and its RDB",
        compare: Compare::Series {
            scene: || Scene::Many(vec![Part::Start]),
            unit: Unit::Seconds,
            of: ("Tidekeep", "start/tidekeep"),
            to: ("Redis", "start/redis"),
        },
        bound: Bound::AtMost(1.0),
    },
    Row {
        id: "idle-tcp",
        what: "resident memory of an idle TCP connection, of 10,000",
        compare: Compare::Value {
            scene: || Scene::Connections,
            unit: Unit::Bytes,
            of: "idle/native",
        },
        bound: Bound::AtMost(12.0 * 1_024.0),
    },
    Row {
        id: "idle-ws",
        what: "resident memory of an idle WebSocket connection, of 10,000",
        compare: Compare::Value {
            scene: || Scene::Connections,
            unit: Unit::Bytes,
            of: "idle/websocket",
        },
        bound: Bound::Told,
    },
    Row {
        id: "idle-resp",
        what: "resident memory of an idle RESP connection, of 10,000",
        compare: Compare::Value {
            scene: || Scene::Connections,
            unit: Unit::Bytes,
            of: "idle/resp",
        },
        bound: Bound::Told,
    },
    Row {
        id: "snapshot",
        what: "p99 while a snapshot of 10 M entries is written, against without",
        compare: Compare::Series {
            scene: || Scene::Many(vec![Part::Snapshot]),
            unit: Unit::Micros,
            of: ("during", "snapshot/during"),
            to: ("before", "snapshot/before"),
        },
        bound: Bound::AtMost(3.0),
    },
    Row {
        id: "expiry",
        what: "p99 while 1 M keys expire, against without",
        compare: Compare::Series {
            scene: || Scene::Many(vec![Part::Expiry]),
            unit: Unit::Micros,
            of: ("during", "expiry/during"),
            to: ("before", "expiry/before"),
        },
        bound: Bound::AtMost(3.0),
    },
    keys(
        "keys-get-1k",
        "native GET, pipeline 16, 1 k keys, against 1 M",
        ("1 k", "keys-get-small/native/per_core"),
        ("1 M", "keys-get-usual/native/per_core"),
    ),
    keys(
        "keys-get-20m",
        "native GET, pipeline 16, 20 M keys, against 1 M",
        ("20 M", "keys-get-large/native/per_core"),
        ("1 M", "keys-get-usual/native/per_core"),
    ),
    keys(
        "keys-set-1k",
        "native SET, pipeline 16, 1 k keys, against 1 M",
        ("1 k", "keys-set-small/native/per_core"),
        ("1 M", "keys-set-usual/native/per_core"),
    ),
    keys(
        "keys-set-20m",
        "native SET, pipeline 16, 20 M keys, against 1 M",
        ("20 M", "keys-set-large/native/per_core"),
        ("1 M", "keys-set-usual/native/per_core"),
    ),
];
