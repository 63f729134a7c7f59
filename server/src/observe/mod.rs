//! What an operator sees of a running server: figures, and whether it is well.

mod commands;
mod histogram;
mod metrics;
mod probes;
mod prometheus;

pub(crate) use metrics::{Gauges, Metrics, Transport, TurnedAway};
pub(crate) use probes::{Probe, live, ready};
pub(crate) use prometheus::{CONTENT_TYPE, page};
