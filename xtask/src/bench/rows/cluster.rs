//! The rows of several nodes that keep one store. What a cluster takes under load is the better of two
//! ways: clients spread over its nodes, and all clients at its leader.

use crate::bench::cluster::Part;
use crate::bench::figures::Unit;
use crate::bench::row::{Bound, Compare, Named, Row};
use crate::bench::scene::Scene;

const LOAD: fn() -> Scene = || Scene::Cluster(vec![Part::Load]);
const GROUPS: fn() -> Scene = || Scene::Cluster(vec![Part::Groups]);
const OUTAGE: fn() -> Scene = || Scene::Cluster(vec![Part::Outage]);
const GROWTH: fn() -> Scene = || Scene::Cluster(vec![Part::Growth]);
const IDLE: fn() -> Scene = || Scene::Cluster(vec![Part::Idle]);

const fn row(
    id: &'static str,
    what: &'static str,
    (scene, unit): (fn() -> Scene, Unit),
    of: Named,
    to: Named,
) -> Row {
    Row { id, what, compare: Compare::Series { scene, unit, of, to }, bound: Bound::Told }
}

/// A row that has to reach something.
const fn bound(row: Row, bound: Bound) -> Row {
    Row { bound, ..row }
}

pub(super) static ROWS: [Row; 23] = [
    bound(
        row(
            "cluster-put",
            "puts of 256 bytes by 100 clients, three nodes, against etcd",
            (LOAD, Unit::PerSecond),
            ("Tidekeep", "cluster-put/tidekeep/per_second"),
            ("etcd", "cluster-put/etcd/per_second"),
        ),
        Bound::AtLeast(10.0),
    ),
    row(
        "cluster-put-p50",
        "the median of these puts, against etcd",
        (LOAD, Unit::Micros),
        ("Tidekeep", "cluster-put/tidekeep/p50"),
        ("etcd", "cluster-put/etcd/p50"),
    ),
    bound(
        row(
            "cluster-put-p99",
            "the p99 of these puts, against etcd",
            (LOAD, Unit::Micros),
            ("Tidekeep", "cluster-put/tidekeep/p99"),
            ("etcd", "cluster-put/etcd/p99"),
        ),
        Bound::AtMost(1.0),
    ),
    row(
        "cluster-put-cpu",
        "CPU time of all nodes for such a put, against etcd",
        (LOAD, Unit::Micros),
        ("Tidekeep", "cluster-put/tidekeep/micros"),
        ("etcd", "cluster-put/etcd/micros"),
    ),
    row(
        "cluster-put-alone",
        "these puts, against one Tidekeep by itself",
        (LOAD, Unit::PerSecond),
        ("Tidekeep", "cluster-put/tidekeep/per_second"),
        ("alone", "cluster-put/alone/per_second"),
    ),
    bound(
        row(
            "cluster-get",
            "linearizable gets of 256 bytes by 100 clients, three nodes, against etcd",
            (LOAD, Unit::PerSecond),
            ("Tidekeep", "cluster-get/tidekeep/per_second"),
            ("etcd", "cluster-get/etcd/per_second"),
        ),
        Bound::AtLeast(10.0),
    ),
    row(
        "cluster-get-p99",
        "the p99 of these gets, against etcd",
        (LOAD, Unit::Micros),
        ("Tidekeep", "cluster-get/tidekeep/p99"),
        ("etcd", "cluster-get/etcd/p99"),
    ),
    row(
        "cluster-get-cpu",
        "CPU time of all nodes for such a get, against etcd",
        (LOAD, Unit::Micros),
        ("Tidekeep", "cluster-get/tidekeep/micros"),
        ("etcd", "cluster-get/etcd/micros"),
    ),
    row(
        "cluster-get-bare",
        "these gets of a bare store that is one process and asks nobody, against etcd",
        (LOAD, Unit::PerSecond),
        ("bare store", "cluster-get/bare/per_second"),
        ("etcd", "cluster-get/etcd/per_second"),
    ),
    bound(
        row(
            "cluster-put-shared",
            "puts of 256 bytes by 100 clients that share 10 connections, three nodes, against etcd",
            (LOAD, Unit::PerSecond),
            ("Tidekeep", "cluster-put-shared/tidekeep/per_second"),
            ("etcd", "cluster-put-shared/etcd/per_second"),
        ),
        Bound::AtLeast(10.0),
    ),
    bound(
        row(
            "cluster-put-shared-p99",
            "the p99 of these puts, against etcd",
            (LOAD, Unit::Micros),
            ("Tidekeep", "cluster-put-shared/tidekeep/p99"),
            ("etcd", "cluster-put-shared/etcd/p99"),
        ),
        Bound::AtMost(1.0),
    ),
    bound(
        row(
            "cluster-get-shared",
            "linearizable gets of 256 bytes by 100 clients that share 10 connections, three nodes, against etcd",
            (LOAD, Unit::PerSecond),
            ("Tidekeep", "cluster-get-shared/tidekeep/per_second"),
            ("etcd", "cluster-get-shared/etcd/per_second"),
        ),
        Bound::AtLeast(10.0),
    ),
    row(
        "cluster-get-shared-p99",
        "the p99 of these gets, against etcd",
        (LOAD, Unit::Micros),
        ("Tidekeep", "cluster-get-shared/tidekeep/p99"),
        ("etcd", "cluster-get-shared/etcd/p99"),
    ),
    row(
        "cluster-groups-put",
        "puts of 256 bytes by 100 clients, three nodes, 16 groups against one",
        (GROUPS, Unit::PerSecond),
        ("16 groups", "cluster-groups-put/sixteen/per_second"),
        ("1 group", "cluster-groups-put/tidekeep/per_second"),
    ),
    row(
        "cluster-groups-put-p99",
        "the p99 of these puts",
        (GROUPS, Unit::Micros),
        ("16 groups", "cluster-groups-put/sixteen/p99"),
        ("1 group", "cluster-groups-put/tidekeep/p99"),
    ),
    row(
        "cluster-groups-put-shared",
        "these puts by 100 clients that share 10 connections",
        (GROUPS, Unit::PerSecond),
        ("16 groups", "cluster-groups-put-shared/sixteen/per_second"),
        ("1 group", "cluster-groups-put-shared/tidekeep/per_second"),
    ),
    row(
        "cluster-groups-get",
        "linearizable gets of 256 bytes by 100 clients, three nodes, 16 groups against one",
        (GROUPS, Unit::PerSecond),
        ("16 groups", "cluster-groups-get/sixteen/per_second"),
        ("1 group", "cluster-groups-get/tidekeep/per_second"),
    ),
    row(
        "cluster-failover",
        "from `kill -9` of the leader to the next acknowledged write, against etcd",
        (OUTAGE, Unit::Seconds),
        ("Tidekeep", "cluster-failover/tidekeep"),
        ("etcd", "cluster-failover/etcd"),
    ),
    row(
        "cluster-transfer",
        "longest time without an acknowledged write while the leader hands over, against etcd",
        (OUTAGE, Unit::Micros),
        ("Tidekeep", "cluster-transfer/tidekeep"),
        ("etcd", "cluster-transfer/etcd"),
    ),
    row(
        "cluster-join",
        "until an empty node, in the place of a lost one, has 1 GiB and votes, against etcd",
        (GROWTH, Unit::Seconds),
        ("Tidekeep", "cluster-join/tidekeep"),
        ("etcd", "cluster-join/etcd"),
    ),
    row(
        "cluster-join-p99",
        "p99 of 1,000 requests a second meanwhile, against before",
        (GROWTH, Unit::Micros),
        ("during", "cluster-join-during/tidekeep"),
        ("before", "cluster-join-before/tidekeep"),
    ),
    row(
        "cluster-idle",
        "CPU time each second of three idle nodes, against etcd",
        (IDLE, Unit::Micros),
        ("Tidekeep", "cluster-idle/tidekeep"),
        ("etcd", "cluster-idle/etcd"),
    ),
    row(
        "cluster-groups-idle",
        "the same of 16 groups, against one",
        (IDLE, Unit::Micros),
        ("16 groups", "cluster-idle/sixteen"),
        ("1 group", "cluster-idle/tidekeep"),
    ),
];
