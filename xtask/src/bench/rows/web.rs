//! The rows of the npm package: what it weighs, and how many gets and puts it gives from Node and
//! from a page, beside NATS KV. NATS answers a put before it is synced, as `--durability interval`
//! does.

use crate::bench::figures::Unit;
use crate::bench::row::{Bound, Compare, Row};
use crate::bench::scene::Scene;

/// What a page downloads at most for the package, script and module together.
const GZIP_BYTES: f64 = 32_000.0;

macro_rules! rate {
    ($runtime:literal $operation:literal $depth:literal $arm:literal $end:literal $bound:expr) => {
        Row {
            id: concat!("rates-", $runtime, "-", $depth, "-", $operation, $end),
            what: concat!(
                $operation,
                " from ",
                $runtime,
                ", ",
                $depth,
                " under way, `",
                $arm,
                "`, against NATS KV"
            ),
            compare: Compare::Series {
                scene: || Scene::Rates,
                unit: Unit::PerSecond,
                of: (
                    "Tidekeep",
                    concat!("rates/", $runtime, "-", $operation, "-", $depth, "/", $arm),
                ),
                to: ("NATS KV", concat!("rates/", $runtime, "-", $operation, "-", $depth, "/nats")),
            },
            bound: $bound,
        }
    };
}

const EQUAL: Bound = Bound::AtLeast(1.0);

pub(super) static ROWS: [Row; 19] = [
    Row {
        id: "sizes",
        what: "the package with its module inlined, gzip; the table below has others",
        compare: Compare::Value { scene: || Scene::Sizes, unit: Unit::Bytes, of: "sizes/tidekeep" },
        bound: Bound::AtMost(GZIP_BYTES),
    },
    rate!("node" "get" "1" "always" "" EQUAL),
    rate!("node" "get" "64" "always" "" EQUAL),
    rate!("node" "get" "1000" "always" "" EQUAL),
    rate!("node" "put" "1" "interval" "" EQUAL),
    rate!("node" "put" "64" "interval" "" EQUAL),
    rate!("node" "put" "1000" "interval" "" EQUAL),
    rate!("node" "put" "1" "always" "-always" Bound::Told),
    rate!("node" "put" "64" "always" "-always" Bound::Told),
    rate!("node" "put" "1000" "always" "-always" Bound::Told),
    rate!("page" "get" "1" "always" "" EQUAL),
    rate!("page" "get" "64" "always" "" EQUAL),
    rate!("page" "get" "1000" "always" "" EQUAL),
    rate!("page" "put" "1" "interval" "" EQUAL),
    rate!("page" "put" "64" "interval" "" EQUAL),
    rate!("page" "put" "1000" "interval" "" EQUAL),
    rate!("page" "put" "1" "always" "-always" Bound::Told),
    rate!("page" "put" "64" "always" "-always" Bound::Told),
    rate!("page" "put" "1000" "always" "-always" Bound::Told),
];
