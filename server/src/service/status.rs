//! What the server says of itself to `status`: its own figures and those of the commit.

use std::sync::Arc;

use tidekeep_log::{Commit, Durability};
use tidekeep_protocol::codec;
use tidekeep_protocol::op::{Figure, StatusReply};

use super::roster::Told;
use crate::clock::{Clock, unix_ms};
use crate::observe::Metrics;

/// What a status reply is made of, beside the commit's figures.
pub(crate) struct Status {
    pub(crate) software: String,
    pub(crate) durability: Durability,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

impl Status {
    /// The time at which something is told of the server.
    pub(crate) fn told(&self) -> Told {
        Told { now: self.clock.now(), unix_ms: unix_ms() }
    }

    /// Appends the body of a status reply.
    pub(crate) fn encode(&self, commit: &dyn Commit, body: &mut Vec<u8>) {
        let mut figures = vec![Figure { name: "uptime_ms", value: self.clock.now().0 }];
        self.metrics.figures(&mut |name, value| figures.push(Figure { name, value }));
        commit.figures(&mut |name, value| figures.push(Figure { name, value }));
        let durability = durability_name(self.durability);
        codec::encode(&StatusReply { software: &self.software, durability, figures }, body);
    }
}

/// The durability's name on the wire and in flags.
pub(crate) fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Always => "always",
        Durability::Interval(_) => "interval",
        Durability::None => "none",
        Durability::Memory => "memory",
    }
}
