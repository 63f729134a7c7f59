//! What does not change while a server runs and is told to RESP clients: settings by the names that
//! Redis has for them.

use tidekeep_log::{Durability, Eviction};
use tidekeep_protocol::limits::Limits;

use super::status::durability_name;
use crate::config::Config;
use crate::session::Cursors;

/// The version of Redis that clients may take the server for: they choose by it what they send.
const REDIS_VERSION: &str = "7.2.4";

/// The facts, and where scans go on.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) redis_version: &'static str,
    pub(crate) run_id: String,
    pub(crate) port: u16,
    pub(crate) limits: Limits,
    pub(crate) max_connections: usize,
    pub(crate) memory_limit_bytes: u64,
    pub(crate) eviction: &'static str,
    pub(crate) durability: &'static str,
    pub(crate) cursors: Cursors,
    interval: bool,
    output_bytes: usize,
    address: String,
}

impl Facts {
    /// The facts of a server with this configuration; `run_id` tells this run from
    /// others, `secret` is told nobody.
    pub(crate) fn of(config: &Config, port: u16, [run_id, secret]: [u128; 2]) -> Self {
        Self {
            redis_version: REDIS_VERSION,
            run_id: format!("{run_id:032x}{:08x}", run_id as u32),
            port,
            limits: config.limits,
            max_connections: config.max_connections,
            memory_limit_bytes: config.memory.limit_bytes,
            eviction: match config.memory.eviction {
                Eviction::Refuse => "noeviction",
                Eviction::Lru => "allkeys-lru",
                Eviction::Soonest => "volatile-ttl",
            },
            durability: durability_name(config.durability),
            cursors: Cursors::new(secret),
            interval: matches!(config.durability, Durability::Interval(_)),
            output_bytes: config.budgets.connection_bytes,
            address: host(&config.listen),
        }
    }

    /// The settings that tools ask for, with the values that are true of this server.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let fsync = match (self.durability, self.interval) {
            ("always", _) => "always",
            (_, true) => "everysec",
            _ => "no",
        };
        let output = self.output_bytes;
        let said = |text: &str| text.to_owned();
        vec![
            ("appendfsync", said(fsync)),
            ("appendonly", said(if self.durability == "memory" { "no" } else { "yes" })),
            ("bind", self.address.clone()),
            ("client-output-buffer-limit", format!("normal {output} 0 0 pubsub {output} 0 0")),
            ("client-query-buffer-limit", self.limits.frame_bytes.to_string()),
            ("databases", said("1")),
            ("maxclients", self.max_connections.to_string()),
            ("maxmemory", self.memory_limit_bytes.to_string()),
            ("maxmemory-policy", said(self.eviction)),
            ("notify-keyspace-events", said("g$xeKE")),
            ("port", self.port.to_string()),
            ("proto-max-bulk-len", self.limits.value_bytes.to_string()),
            ("protected-mode", said("no")),
            ("requirepass", String::new()),
            ("save", String::new()),
            ("timeout", said("0")),
        ]
    }
}

/// The host of an address to listen on.
fn host(listen: &str) -> String {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}
