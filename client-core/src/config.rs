//! Every bound of the core, with how to choose it. Times are in milliseconds, sizes in bytes.

use alloc::borrow::Cow;

use tidekeep_protocol::freshness::Freshness;

/// Whether the core takes what only programs ask of it: reads of less than the newest, failing fast, resets in
/// place of differences. Without the feature `programs` these options are not looked at: a page has no such
/// options, and their code would be a hundredth of what it downloads.
pub(crate) const FOR_PROGRAMS: bool = cfg!(feature = "programs");

/// The core's bounds. The defaults suit a page or a service on an ordinary network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name and version of the program, for the server's logs; cut after 256 bytes.
    pub software: Cow<'static, str>,
    /// How long a call may take, from being made to being settled, unless it says otherwise.
    /// Choose what a caller would still wait for; it includes the time of a reconnect.
    pub timeout_ms: u32,
    /// What happens to calls while there is no connection.
    pub queue: Queue,
    /// Most calls that may be unsettled at once, waiting or in flight; at most 65,535. More fail
    /// with `resource-exhausted`. Choose the deepest pipeline you mean to have.
    pub queue_calls: u32,
    /// Most bytes of requests held until their calls settle. Larger than the largest value by far,
    /// smaller than the memory you would give to an outage.
    pub queue_bytes: usize,
    /// Ceiling of the first wait before a reconnect. Small enough not to be noticed.
    pub backoff_min_ms: u32,
    /// Ceiling of the longest wait. Large enough to spare a server that is down, small enough for
    /// who waits for it to come back.
    pub backoff_max_ms: u32,
    /// How long a connection must hold before the waits begin at the shortest again. Longer than
    /// the time in which a struggling server accepts and drops connections.
    pub stable_ms: u32,
    /// How long opening the transport may take. Longer than the slowest network's TLS handshake.
    pub open_ms: u32,
    /// How long the server's welcome may take once the transport is open.
    pub greeting_ms: u32,
    /// How long closing waits for calls in flight.
    pub close_ms: u32,
    /// Longest rest that a server which goes away can ask for.
    pub going_away_ms_max: u32,
    /// Shortest heartbeat that is taken from a server; shorter ones count as this.
    pub heartbeat_min_ms: u32,
    /// Longest heartbeat that is taken from a server: twice this bounds how long a dead connection
    /// goes unnoticed.
    pub heartbeat_max_ms: u32,
    /// How long the server may take to answer when the machine has just woken up. A round trip on
    /// the slowest network you care for.
    pub woke_probe_ms: u32,
    /// Longest reply or watch message, and longest frame, that is taken from a server. At least the
    /// `reply_bytes` of the servers you use (8 MiB unless they changed it).
    pub reply_bytes: usize,
    /// Most bytes of unfinished replies, over all calls and watches: several times `reply_bytes`.
    pub joining_bytes: usize,
    /// Most watches; at most 65,535.
    pub watches: u32,
    /// Most bytes in which watches remember the keys that they have given out, over all of them, so
    /// that a gap can be told as a difference ([`crate::Resync`]). A key counts its length and 96
    /// bytes: choose what the ranges that you watch with content hold, with room to grow. A watch
    /// that would go over it tells of a gap with [`crate::Output::WatchReset`].
    pub tracked_bytes: usize,
    /// Most bytes of all views together: keys, values, and 96 bytes for each key. A view that would go
    /// over it ends with `too-large`. Choose what you would give to a cache.
    pub view_bytes: usize,
    /// Most mutations that wait in the queue; more are refused. Below 8,192, so that all can be under way.
    pub mutations: usize,
    /// Most bytes of their keys and requests. What the place where they are stored surely takes.
    pub mutation_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            software: Cow::Borrowed(concat!("tidekeep-client-core/", env!("CARGO_PKG_VERSION"))),
            timeout_ms: 10_000,
            queue: Queue::Wait,
            queue_calls: 16_384,
            queue_bytes: 64 << 20,
            backoff_min_ms: 100,
            backoff_max_ms: 20_000,
            stable_ms: 10_000,
            open_ms: 10_000,
            greeting_ms: 5_000,
            close_ms: 5_000,
            going_away_ms_max: 60_000,
            heartbeat_min_ms: 50,
            heartbeat_max_ms: 60_000,
            woke_probe_ms: 3_000,
            reply_bytes: 16 << 20,
            joining_bytes: 64 << 20,
            watches: 1024,
            tracked_bytes: 16 << 20,
            view_bytes: 16 << 20,
            mutations: 4_096,
            mutation_bytes: 16 << 20,
        }
    }
}

impl Config {
    pub(crate) fn fails_fast(&self) -> bool {
        FOR_PROGRAMS && self.queue == Queue::FailFast
    }
}

/// What happens to calls that are made or broken off while there is no connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Queue {
    /// They wait for the next connection, until their deadlines.
    #[default]
    Wait,
    /// They fail at once with `network`, nothing having been applied. With the feature `programs`.
    FailFast,
}

/// What one call may say about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// How long the call may take, in milliseconds; none takes [`Config::timeout_ms`].
    pub timeout_ms: Option<u32>,
    /// What it must have seen, if it only reads. With the feature `programs`.
    pub freshness: Freshness,
}
