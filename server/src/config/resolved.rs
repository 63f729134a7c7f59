//! The checked configuration: what [`Args`] say, with every bound held against the others once, so
//! that the rest of the server need not ask again.

use std::path::PathBuf;
use std::time::Duration;

use tidekeep_log::{Durability, Eviction, MemoryOptions};
use tidekeep_protocol::limits::Limits;

use super::Origin;
use super::args::{Args, Command, DurabilityMode, EvictionMode, Switch};
use super::node::NodeConfig;

/// Values of the flags that are not given.
pub(crate) mod default {
    pub(crate) const INTERVAL_MS: u64 = 100;
    pub(crate) const MAX_CONNECTIONS: usize = 10_000;
    pub(crate) const HANDSHAKE_MS: u64 = 5_000;
    pub(crate) const FRAME_MS: u64 = 10_000;
    pub(crate) const OUTPUT_BYTES: usize = 1 << 20;
    pub(crate) const SLOW_READER_MS: u64 = 30_000;
    pub(crate) const HEARTBEAT_MS: u32 = 10_000;
    pub(crate) const DRAIN_MS: u64 = 10_000;
    pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
    pub(crate) const SNAPSHOT_LOG_BYTES: u64 = 256 << 20;
    pub(crate) const HISTORY_BYTES: usize = 32 << 20;
    pub(crate) const REPLICAS: usize = 3;
    pub(crate) const REPLACE_AFTER_S: u64 = 600;
}

/// What a put takes in a frame beside its key and value, its condition's value left out.
const PUT_OVERHEAD_BYTES: u64 = 64;
/// What an entry takes in a reply beside its key and value.
const ENTRY_OVERHEAD_BYTES: u64 = 128;
/// The shortest segment that holds a record of the longest frame.
const SEGMENT_OVERHEAD_BYTES: u64 = 64 << 10;

/// What a connection takes beside its longest request and what waits for its reader.
const CONNECTION_OVERHEAD_BYTES: usize = 256 << 10;
/// The least memory limit.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;

/// How a server runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT` to listen on; port 0 takes a free one.
    pub listen: String,
    /// The data directory.
    pub data: PathBuf,
    /// When a reply may be given.
    pub durability: Durability,
    /// What each connection is held to, as told in the welcome.
    pub limits: Limits,
    /// Threads that serve connections, where the program starts them; 0 is one for each core.
    pub threads: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Time from the first byte of a connection's life to the end of its handshake, in milliseconds.
    pub handshake_ms: u64,
    /// Time that a frame has to arrive whole, in milliseconds; its size adds to it.
    pub frame_ms: u64,
    /// Bytes of replies that may wait for a connection's reader.
    pub output_bytes: usize,
    /// Time that a reader may stand still, in milliseconds.
    pub slow_reader_ms: u64,
    /// Silence after which a ping is sent, in milliseconds.
    pub heartbeat_ms: u32,
    /// Sites beside the server's own whose pages may connect.
    pub allow_origins: Vec<Origin>,
    /// A folder whose files are served in place of the built-in page.
    pub www: Option<PathBuf>,
    /// Longest drain, in milliseconds.
    pub drain_ms: u64,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of log between snapshots.
    pub snapshot_log_bytes: u64,
    /// Memory for recent changes, in bytes.
    pub history_bytes: usize,
    /// What the store and connections may take together, in bytes; `outside` is shared with the
    /// store that this configuration opens.
    pub memory: MemoryOptions,
    /// What one connection may take.
    pub budgets: Budgets,
    /// Whether Redis clients are served.
    pub resp: bool,
    /// Whether connections and refusals are logged.
    pub verbose: bool,
    /// What it is as a node of a cluster, if its data directory says that it is one, or it becomes one.
    pub node: NodeConfig,
}

/// What one connection may have the server hold, and ask of it in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes in, out and between.
    pub connection_bytes: usize,
    /// Bytes of a watch's message.
    pub watch_bytes: usize,
    /// Requests in a second; 0 sets no limit.
    pub requests_per_second: u64,
    /// Bytes of requests in a second; 0 sets no limit.
    pub bytes_per_second: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            connection_bytes: 32 << 20,
            watch_bytes: 8 << 20,
            requests_per_second: 0,
            bytes_per_second: 0,
        }
    }
}

/// Flags that contradict each other or make no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl Config {
    /// The defaults, for data in `data` and a free port of the loopback interface.
    pub fn local(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            data: data.into(),
            durability: Durability::Always,
            limits: Limits::DEFAULT,
            threads: 0,
            max_connections: default::MAX_CONNECTIONS,
            handshake_ms: default::HANDSHAKE_MS,
            frame_ms: default::FRAME_MS,
            output_bytes: default::OUTPUT_BYTES,
            slow_reader_ms: default::SLOW_READER_MS,
            heartbeat_ms: default::HEARTBEAT_MS,
            allow_origins: Vec::new(),
            www: None,
            drain_ms: default::DRAIN_MS,
            segment_bytes: default::SEGMENT_BYTES,
            snapshot_log_bytes: default::SNAPSHOT_LOG_BYTES,
            history_bytes: default::HISTORY_BYTES,
            memory: MemoryOptions::default(),
            budgets: Budgets::default(),
            resp: true,
            verbose: false,
            node: NodeConfig::default(),
        }
    }

    /// Checks flags and turns them into a configuration.
    ///
    /// # Errors
    /// The first thing that cannot be, in words for who typed it.
    pub fn resolve(args: Args) -> Result<Self, ConfigError> {
        let allow_origins = args.allow_origins.iter().map(|text| {
            text.trim().parse::<Origin>().map_err(|e| ConfigError(format!("--allow-origin: {e}")))
        });
        let config = Self {
            listen: args.listen.unwrap_or_else(|| listen(&args.host, args.port)),
            durability: match args.durability {
                DurabilityMode::Always => Durability::Always,
                DurabilityMode::Interval => {
                    Durability::Interval(Duration::from_millis(args.interval_ms))
                }
                DurabilityMode::None => Durability::None,
                DurabilityMode::Memory => Durability::Memory,
            },
            limits: Limits {
                key_bytes: args.max_key_bytes,
                value_bytes: args.max_value_bytes,
                frame_bytes: args.max_frame_bytes,
                watches: args.max_watches,
                reply_bytes: reply_bytes(args.max_key_bytes, args.max_value_bytes),
                ..Limits::DEFAULT
            },
            threads: args.threads,
            max_connections: args.max_connections,
            handshake_ms: args.handshake_timeout_ms,
            frame_ms: args.frame_timeout_ms,
            output_bytes: args.output_buffer_bytes,
            slow_reader_ms: args.slow_reader_timeout_ms,
            heartbeat_ms: args.heartbeat_ms,
            allow_origins: allow_origins.collect::<Result<_, _>>()?,
            www: args.www,
            drain_ms: args.drain_timeout_ms,
            segment_bytes: args.segment_bytes,
            snapshot_log_bytes: args.snapshot_log_bytes,
            history_bytes: args.history_bytes,
            memory: MemoryOptions {
                limit_bytes: args.max_memory,
                eviction: match args.eviction {
                    EvictionMode::Refuse => Eviction::Refuse,
                    EvictionMode::Lru => Eviction::Lru,
                    EvictionMode::Soonest => Eviction::Soonest,
                },
                ..MemoryOptions::default()
            },
            budgets: Budgets {
                connection_bytes: usize::try_from(args.connection_budget_bytes)
                    .unwrap_or(usize::MAX),
                watch_bytes: usize::try_from(args.watch_budget_bytes).unwrap_or(usize::MAX),
                requests_per_second: args.max_requests_per_second,
                bytes_per_second: args.max_bytes_per_second,
            },
            resp: args.resp == Switch::On,
            verbose: args.verbose,
            data: args.data,
            node: NodeConfig {
                listen: args.node_listen,
                address: args.node_address,
                client_address: args.client_address,
                zone: args.zone,
                weight: args.weight,
                replace_after: Duration::from_secs(args.replace_after_s),
                becomes: match args.command {
                    Some(Command::Cluster(becomes)) => Some(becomes),
                    Some(Command::Offline(_)) | None => None,
                },
            },
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let put = u64::from(limits.key_bytes) + u64::from(limits.value_bytes) + PUT_OVERHEAD_BYTES;
        let frame = u64::from(limits.frame_bytes);
        let zero = [
            ("--interval-ms", self.durability == Durability::Interval(Duration::ZERO)),
            ("--max-connections", self.max_connections == 0),
            ("--max-key-bytes", limits.key_bytes == 0),
            ("--handshake-timeout-ms", self.handshake_ms == 0),
            ("--frame-timeout-ms", self.frame_ms == 0),
            ("--slow-reader-timeout-ms", self.slow_reader_ms == 0),
            ("--heartbeat-ms", self.heartbeat_ms == 0),
        ];
        if let Some((flag, _)) = zero.iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError(format!("{flag} cannot be 0")));
        }
        if frame < put {
            return Err(ConfigError(format!(
                "--max-frame-bytes {frame} does not hold the longest key and value: \
                 give at least {put}, or lower --max-value-bytes"
            )));
        }
        let record_limit = tidekeep_log::MAX_PAYLOAD as u64;
        if frame > record_limit {
            return Err(ConfigError(format!(
                "--max-frame-bytes {frame} is more than a log record holds ({record_limit})"
            )));
        }
        let segment = frame + SEGMENT_OVERHEAD_BYTES;
        if self.segment_bytes < segment {
            return Err(ConfigError(format!(
                "--segment-bytes {} does not hold the longest request: give at least {segment}",
                self.segment_bytes
            )));
        }
        self.check_budgets()?;
        self.check_node()?;
        if let Some(www) = self.www.as_ref().filter(|www| !www.is_dir()) {
            return Err(ConfigError(format!("--www {}: there is no such folder", www.display())));
        }
        if self.output_bytes < limits.chunk_bytes as usize {
            return Err(ConfigError(format!(
                "--output-buffer-bytes {} is less than one piece of a reply ({})",
                self.output_bytes, limits.chunk_bytes
            )));
        }
        Ok(())
    }
}

impl Config {
    fn check_budgets(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        // Below this, a single request that has arrived would keep itself from being read.
        let least = limits.frame_bytes as usize + self.output_bytes + CONNECTION_OVERHEAD_BYTES;
        if self.budgets.connection_bytes < least {
            return Err(ConfigError(format!(
                "--connection-budget-bytes {} does not hold the longest request beside \
                 --output-buffer-bytes: give at least {least}",
                self.budgets.connection_bytes
            )));
        }
        let least = limits.chunk_bytes as usize;
        if self.budgets.watch_bytes < least {
            return Err(ConfigError(format!(
                "--watch-budget-bytes {} is less than one piece of a reply ({least})",
                self.budgets.watch_bytes
            )));
        }
        let limit = self.memory.limit_bytes;
        if limit > 0 && limit < LEAST_MEMORY_BYTES {
            return Err(ConfigError(format!(
                "--max-memory {limit} is too little to work with: give at least \
                 {LEAST_MEMORY_BYTES}, or 0 for no limit"
            )));
        }
        Ok(())
    }
}

fn listen(host: &str, port: u16) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

/// The longest reply: the default, or room for one entry of the largest size with the entry it
/// replaced.
fn reply_bytes(key_bytes: u32, value_bytes: u32) -> u32 {
    let entry = u64::from(key_bytes) + u64::from(value_bytes) + ENTRY_OVERHEAD_BYTES;
    u32::try_from(2 * entry).unwrap_or(u32::MAX).max(Limits::DEFAULT.reply_bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn resolve(flags: &[&str]) -> Result<Config, String> {
        let args = ["tidekeep-server", "--listen", "127.0.0.1:0"].iter().chain(flags);
        let args = Args::try_parse_from(args).map_err(|e| e.to_string())?;
        Config::resolve(args).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_make_a_server() {
        let config = resolve(&[]).unwrap();
        assert_eq!(config.limits, Limits::DEFAULT);
        assert_eq!(config.durability, Durability::Always);
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused_by_name() {
        for (flags, named) in [
            (&["--max-frame-bytes", "1000"][..], "--max-frame-bytes"),
            (&["--max-value-bytes", "8000000"], "--max-value-bytes"),
            (&["--segment-bytes", "4096"], "--segment-bytes"),
            (&["--output-buffer-bytes", "10"], "--output-buffer-bytes"),
            (&["--durability", "interval", "--interval-ms", "0"], "--interval-ms"),
            (&["--max-connections", "0"], "--max-connections"),
            (&["--max-memory", "1000"], "--max-memory"),
            (&["--max-memory", "lots"], "--max-memory"),
            (&["--eviction", "random"], "--eviction"),
            (&["--connection-budget-bytes", "1MiB"], "--connection-budget-bytes"),
            (&["--watch-budget-bytes", "10"], "--watch-budget-bytes"),
            (&["--allow-origin", "http://a.example/path"], "--allow-origin"),
            (&["--durability", "often"], "--durability"),
            (&["--www", "/no/such/folder"], "--www"),
            (&["cluster", "init"], "--node-listen"),
            (&["--node-listen", "h:1", "--durability", "none", "cluster", "init"], "--durability"),
            (&["--node-listen", "h:1", "--max-memory", "1GiB", "cluster", "init"], "--max-memory"),
            (&["--node-listen", "h:1", "cluster", "join", "h:2"], "--token"),
        ] {
            let refused = resolve(flags).unwrap_err();
            assert!(refused.contains(named), "{flags:?}: {refused}");
        }
    }

    #[test]
    fn several_origins_can_be_given_at_once() {
        let flags = ["--allow-origin", "https://a.example,https://b.example:8443"];
        assert_eq!(resolve(&flags).unwrap().allow_origins.len(), 2);
    }

    #[test]
    fn a_bare_ipv6_host_gets_its_brackets() {
        assert_eq!(listen("::1", 80), "[::1]:80");
        assert_eq!(listen("localhost", 80), "localhost:80");
    }
}
