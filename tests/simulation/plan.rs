//! What a seed's world is like: its size, its bounds, its troubles.

use tidekeep_client_core::Config as ClientConfig;
use tidekeep_log::Eviction;
use tidekeep_protocol::limits::Limits;
use tidekeep_server::config::Config as ServerConfig;

use crate::random::Random;

/// The choices that hold for a whole world.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Things that each client does.
    pub(crate) acts: u64,
    /// The longest pause between two of them.
    pub(crate) act_gap_ms: u64,
    /// Plain keys, and as many counters as a third of them.
    pub(crate) keys: u64,
    /// The mean time between two troubles.
    pub(crate) trouble_gap_ms: u64,
    /// When troubles and new calls end.
    pub(crate) calm_at_ms: u64,
    pub(crate) latency_ms: u64,
    pub(crate) sync_ms: u64,
    /// Bytes that the network takes without anybody reading them.
    pub(crate) window: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) history_bytes: usize,
    pub(crate) limits: Limits,
    pub(crate) heartbeat_ms: u32,
    pub(crate) output_bytes: usize,
    /// The server's memory limit; 0 is none.
    pub(crate) memory_bytes: u64,
    /// What happens at that limit.
    pub(crate) eviction: Eviction,
    /// Memory of a client for the keys of its watches.
    pub(crate) tracked_bytes: usize,
    /// … and for its views.
    pub(crate) view_bytes: usize,
    /// Edits that may wait in a client's queue.
    pub(crate) mutations: usize,
    /// How long a client's storage takes, at most.
    pub(crate) store_ms: u64,
}

/// Every how many seeds there is a crowd.
const CROWD_EVERY: u64 = 12;

impl Plan {
    pub(crate) fn new(seed: u64, random: &mut Random) -> Self {
        let crowd = seed % CROWD_EVERY == CROWD_EVERY - 1;
        let clients = if crowd { random.between(100, 250) } else { random.between(2, 16) };
        let calm_at_ms = random.between(8_000, 40_000);
        let acts = if crowd { random.between(2, 4) } else { random.between(10, 40) };
        Self {
            clients: clients as usize,
            acts,
            act_gap_ms: 2 * calm_at_ms / (acts + 1),
            keys: random.between(3, 30),
            trouble_gap_ms: *random.pick(&[300, 1_000, 3_000, 10_000]),
            calm_at_ms,
            latency_ms: *random.pick(&[1, 10, 50, 250]),
            sync_ms: *random.pick(&[1, 5, 20, 150]),
            window: *random.pick(&[700, 4 << 10, 64 << 10]),
            segment_bytes: *random.pick(&[8 << 10, 16 << 10, 64 << 10]),
            history_bytes: *random.pick(&[48 << 10, 96 << 10, 1 << 30]),
            limits: Limits {
                chunk_bytes: *random.pick(&[64, 1_000, 64 << 10]),
                in_flight: *random.pick(&[2, 16, 4096]),
                scan_entries: *random.pick(&[5, 100, 10_000]),
                ..Limits::DEFAULT
            },
            heartbeat_ms: *random.pick(&[1_000, 3_000, 10_000]),
            output_bytes: *random.pick(&[2 << 10, 64 << 10, 1 << 20]),
            memory_bytes: *random.pick(&[0, 1 << 20]),
            eviction: *random.pick(&[Eviction::Refuse, Eviction::Lru, Eviction::Soonest]),
            tracked_bytes: *random.pick(&[500, 3 << 10, 1 << 20]),
            view_bytes: *random.pick(&[4 << 10, 1 << 20, 1 << 20]),
            mutations: *random.pick(&[6, 4096]),
            store_ms: *random.pick(&[1, 30, 400]),
        }
    }

    pub(crate) fn server(&self) -> ServerConfig {
        ServerConfig {
            limits: self.limits,
            heartbeat_ms: self.heartbeat_ms,
            output_bytes: self.output_bytes,
            handshake_ms: 3_000,
            frame_ms: 3_000,
            slow_reader_ms: 5_000,
            ..ServerConfig::local("")
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig {
            backoff_min_ms: 50,
            backoff_max_ms: 3_000,
            open_ms: 2_000,
            greeting_ms: 2_000,
            stable_ms: 3_000,
            tracked_bytes: self.tracked_bytes,
            view_bytes: self.view_bytes,
            mutations: self.mutations,
            ..ClientConfig::default()
        }
    }
}
