//! The generator's flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::content::VALUE_BYTES_MIN;
use crate::wire::Shape;
use crate::wire::etcd::VALUE_BYTES_MAX;

/// What the connections speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// RESP2, to Redis or Tidekeep
    Resp,
    /// Native frames over TCP
    Native,
    /// The same as clients send them: in a session, by which no write is applied twice
    Numbered,
    /// Native frames in WebSocket messages
    Websocket,
    /// gRPC, to etcd; values up to 16,000 bytes, and no lifetime
    Etcd,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Write every key once, then end
    Fill,
    /// Read every key once, then end; each must hold what the ledger says
    Check,
    /// Random reads
    Get,
    /// Random writes
    Set,
    /// Random reads and writes in equal parts
    Mixed,
    /// Read the first key until the server gives the right answer, for a server that is starting
    First,
    /// Open the connections, ask once on each, and hold them until standard input ends
    Idle,
    /// Write 50 times a second to each server, whatever becomes of it, and tell which writes were
    /// acknowledged, until standard input ends
    Probe,
}

/// Loads a store by one thread and checks every reply; prints one line of JSON.
///
/// Each connection sends as many requests as its pipeline is deep in one write, waits for all their
/// replies, and sends the next. With --rate requests leave at fixed times instead, one at a time on
/// each connection, and a reply's time counts from when its request was due.
#[derive(Debug, Clone, Parser)]
#[command(name = "tidekeep-load", version)]
pub struct Args {
    /// The server, or several (comma-separated), which connections take in turn
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    pub address: Vec<SocketAddr>,
    /// What the connections speak
    #[arg(long, value_enum, default_value = "resp")]
    pub protocol: Protocol,
    /// What is asked
    #[arg(long = "op", value_enum, default_value = "get")]
    pub operation: Operation,
    /// Connections
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=28_000))]
    pub connections: u32,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub pipeline: u32,
    /// Each request in flight is that of a caller of its own, who asks again as soon as it is answered, while the
    /// others on the connection still wait
    #[arg(long, conflicts_with = "rate")]
    pub callers: bool,
    /// Keys that requests are drawn from
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: u32,
    /// Number of the first key
    #[arg(long, default_value_t = 0)]
    pub first: u32,
    /// Length of values
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(VALUE_BYTES_MIN as i64..=1 << 20))]
    pub value_bytes: u32,
    /// Lifetime of written keys; without it they stay
    #[arg(long, value_name = "MS")]
    pub ttl_ms: Option<u64>,
    /// Measured time
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Time before it that is not measured
    #[arg(long, default_value_t = 0.5)]
    pub warmup: f64,
    /// End after so many requests, instead of after some time
    #[arg(long, conflicts_with = "rate")]
    pub requests: Option<u64>,
    /// Never sleep while there is nothing to read, so that the server does not pay for waking this
    #[arg(long)]
    pub spin: bool,
    /// Requests each second, at fixed times, instead of as many as the server answers
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<u32>,
    /// With --rate: give the latencies of each slice of time, too
    #[arg(long, value_name = "MS", requires = "rate")]
    pub slice_ms: Option<u64>,
    /// What written values bear, 1 to 255; later writes of a key need another one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub generation: u8,
    /// Which write of each key was acknowledged last: read at the start, kept at the end
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// The server's process, or those of several, whose CPU time over the measured time is reported
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub server_pid: Vec<u32>,
    /// Where random draws begin
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Args {
    /// Where the connection with this number goes.
    pub(super) fn server(&self, connection: u32) -> SocketAddr {
        self.address[connection as usize % self.address.len()]
    }

    /// Why its protocol cannot do this, if it cannot.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        let etcd = self.protocol == Protocol::Etcd;
        let too_much = self.ttl_ms.is_some() || self.value_bytes > VALUE_BYTES_MAX;
        (etcd && too_much)
            .then_some("etcd's keys have no --ttl-ms, and values 16,000 bytes at most")
    }

    /// What requests look like.
    pub(super) fn shape(&self) -> Shape {
        Shape { value_bytes: self.value_bytes as usize, ttl_ms: self.ttl_ms }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Args::command().debug_assert();
    }
}
