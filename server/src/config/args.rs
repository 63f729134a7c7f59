//! Flags of `tidekeep-server`, each with an environment variable behind it. Nothing is checked
//! here beyond its syntax; see [`super::Config::resolve`].

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand, ValueEnum};

use tidekeep_protocol::cursor::GROUPS_MAX;
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::slot::GroupCount;

use super::bytes;
use super::resolved::default;

/// When an acknowledged write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityMode {
    /// A reply means that the disk has the write. Readers never see what could still be lost.
    Always,
    /// Replies at once, synced every --interval-ms. A power cut loses that much and the time of a sync.
    Interval,
    /// Replies at once, synced when the system likes. For data that can be made again.
    None,
    /// Nothing is written, --data is not touched, and the server begins empty. For caches.
    Memory,
}

/// What happens to a write that does not fit below --max-memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvictionMode {
    /// It is refused with memory-full. For data that must not go away by itself.
    Refuse,
    /// Keys go that were not used for long. For caches.
    Lru,
    /// Keys go that end soonest; keys without an end stay. For caches beside lasting data.
    Soonest,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

const AFTER_HELP: &str = "\
One port serves browsers (http://HOST:PORT/), WebSocket (/ws), native TCP clients, and
/livez, /readyz, /metrics. Once it serves, one line goes to stdout:
listening on http://HOST:PORT

SIGTERM and SIGINT drain: no new connections, clients are told, what is in flight is finished
and synced. A second signal ends the process at once.

Exit codes: 0 drained, 2 wrong usage, 3 data directory in use or unreadable, 4 damaged data,
5 cannot listen, 6 the cluster does not take the node, 7 storage failed while running, 8 the node was
removed from its cluster.";

/// Something else than to serve the store in a data directory by oneself.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Work on a data directory that no server runs on.
    #[command(flatten)]
    Offline(Offline),

    /// Make this server a node of a cluster, and serve
    ///
    /// From then on the data directory is that node's: started without a command, the server is the
    /// node again. `tidekeep cluster --help` says what an operator can ask of a cluster.
    #[command(subcommand)]
    Cluster(Cluster),
}

/// How a server becomes a node of a cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum Cluster {
    /// Found a cluster, of which this is the first node; what the data directory holds stays
    ///
    /// Exit codes: those of the server.
    Init {
        /// How many groups share the keys, 1 to 256; fixed for good. A store that has data is divided among them
        ///
        /// Groups are ordered each by itself and led by different nodes. A few times as many as there will
        /// ever be nodes; 1 where transactions over any keys must cost as little as they can.
        #[arg(long, value_name = "N", default_value = "1", value_parser = groups)]
        groups: GroupCount,
        /// How many replicas each key has once there are as many nodes
        #[arg(long, value_name = "N", default_value_t = default::REPLICAS)]
        replicas: usize,
    },

    /// Join a cluster by a token of it, which `tidekeep cluster token` prints
    ///
    /// The data directory must be empty. Exit codes: those of the server, and 6 if the cluster does
    /// not take the node.
    Join {
        /// Nodes of the cluster: their --node-listen, or --node-address
        #[arg(value_name = "HOST:PORT", required = true)]
        nodes: Vec<String>,
        /// The token
        #[arg(long, env = "TIDEKEEP_JOIN_TOKEN", hide_env_values = true)]
        token: String,
    },
}

/// Reads a number of groups.
fn groups(text: &str) -> Result<GroupCount, String> {
    let groups = text.parse().ok().and_then(GroupCount::new);
    groups.ok_or_else(|| format!("a cluster has 1 to {GROUPS_MAX} groups"))
}

/// What is done to a data directory instead of serving it.
#[derive(Debug, Clone, Subcommand)]
pub enum Offline {
    /// Check every byte of a data directory or of a backup; nothing is changed
    ///
    /// Exit codes: 0 good (a torn write at the end of the log is), 3 no store there, or a server
    /// uses it, 4 damaged or of a newer format.
    Verify {
        /// The data directory, or the file of a backup
        #[arg(value_name = "DIR|FILE")]
        path: PathBuf,
        /// What the report is for
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },

    /// Make a damaged store open again with the newest state that can be trusted
    ///
    /// Says what it would do, and does it only with --yes. Every original file is kept in the
    /// folder damaged-N of the directory, with a report. Exit codes: 0 repaired, or nothing to
    /// repair, 3 no store there, or a server uses it, or the disk fails, 4 not repaired.
    Repair {
        /// The data directory
        dir: PathBuf,
        /// Do it
        #[arg(long)]
        yes: bool,
        /// What the report is for
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },

    /// Make a store from a backup, with its revisions and a new incarnation
    ///
    /// What was to end at some moment ends at that moment, even if it has passed. Exit codes: 0
    /// restored, 3 the directory is not empty or cannot be written, 4 the backup is damaged.
    Restore {
        /// The backup, as `tidekeep backup` wrote it
        file: PathBuf,
        /// The data directory to make; it must be empty or not there
        dir: PathBuf,
        /// What the report is for
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Tidekeep: live, durable keys and values for browsers, terminals and services on one port.
#[derive(Debug, Clone, Parser)]
#[command(name = "tidekeep-server", version, after_help = AFTER_HELP)]
pub struct Args {
    /// Something else than serving a store alone.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where to listen; port 0 takes a free one [default: KV_HOST:KV_PORT, else 127.0.0.1:8080]
    ///
    /// Anyone who can reach the address can read and write everything.
    #[arg(long, value_name = "HOST:PORT", env = "TIDEKEEP_LISTEN")]
    pub listen: Option<String>,

    /// Host to listen on when --listen is not given.
    #[arg(long, hide = true, env = "KV_HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on when --listen is not given.
    #[arg(long, hide = true, env = "KV_PORT", default_value_t = 8080)]
    pub port: u16,

    /// Data directory, made if it is missing; one server at a time
    #[arg(long, value_name = "DIR", env = "TIDEKEEP_DATA", default_value = "./data")]
    pub data: PathBuf,

    /// When an acknowledged write is safe
    #[arg(long, value_name = "MODE", env = "TIDEKEEP_DURABILITY", default_value = "always")]
    pub durability: DurabilityMode,

    /// Longest time between syncs with --durability interval
    #[arg(long, value_name = "MS", env = "TIDEKEEP_INTERVAL_MS", default_value_t = default::INTERVAL_MS)]
    pub interval_ms: u64,

    /// Threads that serve connections; 0 takes one for each core. Servers that share a machine need no
    /// more of them together than it has cores
    #[arg(long, value_name = "N", env = "TIDEKEEP_THREADS", default_value_t = 0)]
    pub threads: usize,

    /// Most connections at once; one more is told so and closed
    #[arg(long, value_name = "N", env = "TIDEKEEP_MAX_CONNECTIONS", default_value_t = default::MAX_CONNECTIONS)]
    pub max_connections: usize,

    /// Longest request, in bytes; a transaction's values must fit into it together
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_MAX_FRAME_BYTES", default_value_t = Limits::DEFAULT.frame_bytes)]
    pub max_frame_bytes: u32,

    /// Longest key, in bytes
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_MAX_KEY_BYTES", default_value_t = Limits::DEFAULT.key_bytes)]
    pub max_key_bytes: u32,

    /// Longest value, in bytes
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_MAX_VALUE_BYTES", default_value_t = Limits::DEFAULT.value_bytes)]
    pub max_value_bytes: u32,

    /// Time a new connection has to say who it is
    #[arg(long, value_name = "MS", env = "TIDEKEEP_HANDSHAKE_TIMEOUT_MS", default_value_t = default::HANDSHAKE_MS)]
    pub handshake_timeout_ms: u64,

    /// Time that a request has to arrive whole once it began; large ones get a millisecond more
    /// for every 16 bytes
    #[arg(long, value_name = "MS", env = "TIDEKEEP_FRAME_TIMEOUT_MS", default_value_t = default::FRAME_MS)]
    pub frame_timeout_ms: u64,

    /// Replies that may wait for one connection's reader before its requests are left unread
    #[arg(
        long,
        value_name = "BYTES",
        env = "TIDEKEEP_OUTPUT_BUFFER_BYTES",
        default_value_t = default::OUTPUT_BYTES
    )]
    pub output_buffer_bytes: usize,

    /// Time that a connection may leave what it was sent unread before it is closed
    #[arg(
        long,
        value_name = "MS",
        env = "TIDEKEEP_SLOW_READER_TIMEOUT_MS",
        default_value_t = default::SLOW_READER_MS
    )]
    pub slow_reader_timeout_ms: u64,

    /// Silence after which the server asks whether the other end is there; after three times this
    /// without an answer the connection is closed
    #[arg(long, value_name = "MS", env = "TIDEKEEP_HEARTBEAT_MS", default_value_t = default::HEARTBEAT_MS)]
    pub heartbeat_ms: u32,

    /// Site whose pages may open a WebSocket beside the server's own page (scheme://host:port);
    /// may be given several times
    #[arg(
        long = "allow-origin",
        value_name = "ORIGIN",
        env = "TIDEKEEP_ALLOW_ORIGIN",
        value_delimiter = ','
    )]
    pub allow_origins: Vec<String>,

    /// Folder whose files are served in place of the built-in page; read when they are asked for. The
    /// npm package is beside them at /tidekeep/index.js
    #[arg(long, value_name = "DIR", env = "TIDEKEEP_WWW")]
    pub www: Option<PathBuf>,

    /// Longest time that a drain may take before connections are cut
    #[arg(long, value_name = "MS", env = "TIDEKEEP_DRAIN_TIMEOUT_MS", default_value_t = default::DRAIN_MS)]
    pub drain_timeout_ms: u64,

    /// Size of a log segment, in bytes; this much is reserved on disk ahead
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_SEGMENT_BYTES", default_value_t = default::SEGMENT_BYTES)]
    pub segment_bytes: u64,

    /// Bytes of log after which a snapshot is written, so that a start has no more than this to
    /// replay
    #[arg(
        long,
        value_name = "BYTES",
        env = "TIDEKEEP_SNAPSHOT_LOG_BYTES",
        default_value_t = default::SNAPSHOT_LOG_BYTES
    )]
    pub snapshot_log_bytes: u64,

    /// Memory for recent changes, from which watches resume
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_HISTORY_BYTES", default_value_t = default::HISTORY_BYTES)]
    pub history_bytes: usize,

    /// Most memory for keys, values, their index, leases, answers kept for retries, recent
    /// changes, and connections' buffers and watches, such as 2GiB; 0 sets no limit. The process
    /// takes about a fifth more
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_MAX_MEMORY", default_value = "0", value_parser = bytes::parse)]
    pub max_memory: u64,

    /// What happens to a write that does not fit below --max-memory
    #[arg(long, value_name = "POLICY", env = "TIDEKEEP_EVICTION", default_value = "refuse")]
    pub eviction: EvictionMode,

    /// Bytes that one connection may have the server hold: requests that have arrived, answers,
    /// watches (half of it at most), what is to be sent. Above, it is not read; if that lasts, it is
    /// ended
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_CONNECTION_BUDGET_BYTES", default_value = "32MiB", value_parser = bytes::parse)]
    pub connection_budget_bytes: u64,

    /// Longest message of changes that one watch may have waiting for its reader
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_WATCH_BUDGET_BYTES", default_value = "8MiB", value_parser = bytes::parse)]
    pub watch_budget_bytes: u64,

    /// Most watches of one connection
    #[arg(long, value_name = "N", env = "TIDEKEEP_MAX_WATCHES", default_value_t = Limits::DEFAULT.watches)]
    pub max_watches: u32,

    /// Requests that one connection may send in a second; 0 sets no limit
    #[arg(long, value_name = "N", env = "TIDEKEEP_MAX_REQUESTS_PER_SECOND", default_value_t = 0)]
    pub max_requests_per_second: u64,

    /// Bytes of requests that one connection may send in a second; 0 sets no limit
    #[arg(long, value_name = "BYTES", env = "TIDEKEEP_MAX_BYTES_PER_SECOND", default_value = "0", value_parser = bytes::parse)]
    pub max_bytes_per_second: u64,

    /// Whether Redis clients (RESP) are served on the port, too
    #[arg(long, value_name = "ON|OFF", env = "TIDEKEEP_RESP", default_value = "on")]
    pub resp: Switch,

    /// Where a node of a cluster listens for the other nodes [default: where it did before]
    #[arg(long, value_name = "HOST:PORT", env = "TIDEKEEP_NODE_LISTEN")]
    pub node_listen: Option<String>,

    /// Where the other nodes find this one, if that is not --node-listen
    #[arg(long, value_name = "HOST:PORT", env = "TIDEKEEP_NODE_ADDRESS")]
    pub node_address: Option<String>,

    /// Where clients find this node of a cluster, if that is not --listen
    #[arg(long, value_name = "HOST:PORT", env = "TIDEKEEP_CLIENT_ADDRESS")]
    pub client_address: Option<String>,

    /// What fails together with a node of a cluster, such as a rack or a data centre: replicas are
    /// spread over zones. Counts when the node joins
    #[arg(long, value_name = "NAME", env = "TIDEKEEP_ZONE", default_value = "default")]
    pub zone: String,

    /// How much a node of a cluster should hold beside the others. Counts when the node joins
    #[arg(long, value_name = "N", env = "TIDEKEEP_WEIGHT", default_value = "100")]
    pub weight: NonZeroU16,

    /// Time after which a node of a cluster that does not answer is replaced by others, where there
    /// are enough
    #[arg(long, value_name = "SECONDS", env = "TIDEKEEP_REPLACE_AFTER_S", default_value_t = default::REPLACE_AFTER_S)]
    pub replace_after_s: u64,

    /// Log connections and requests that were refused, to stderr
    #[arg(long, env = "KV_VERBOSE", value_parser = FalseyValueParser::new())]
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_has_a_variable_and_a_sentence() {
        let command = Args::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            assert!(argument.get_env().is_some(), "{name} has no variable");
            assert!(argument.get_help().is_some(), "{name} has no help");
        }
    }
}
