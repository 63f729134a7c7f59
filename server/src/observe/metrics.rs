//! Counters and gauges of a running server: relaxed atomics, added to once per batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidekeep_protocol::error::Code;

use super::commands::Commands;
use super::histogram::Histogram;
use crate::session::{OPERATION_COUNT, Tally};

const CODES: usize = Code::ALL.len();

/// How a visitor is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Native frames over TCP.
    Tcp,
    /// Native frames in WebSocket messages.
    WebSocket,
    /// HTTP requests.
    Http,
    /// Redis clients over TCP.
    Resp,
}

impl Transport {
    /// Every transport, in the order of its counters.
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::Http, Self::Resp];

    /// The name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::Http => "http",
            Self::Resp => "resp",
        }
    }
}

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// There were as many as there may be.
    Limit,
    /// Its first bytes were of no language spoken here, or did not come in time.
    FirstBytes,
    /// A page of a foreign origin, or a foreign host name.
    Origin,
}

impl TurnedAway {
    /// Every reason, in the order of its counters.
    pub(crate) const ALL: [Self; 3] = [Self::Limit, Self::FirstBytes, Self::Origin];

    /// The name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::FirstBytes => "first_bytes",
            Self::Origin => "origin",
        }
    }
}

/// What one transport carried.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) open: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
}

/// Every figure that the server keeps of itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    traffic: [Traffic; Transport::ALL.len()],
    turned_away: [AtomicU64; TurnedAway::ALL.len()],
    answered: [AtomicU64; OPERATION_COUNT],
    refused: [[AtomicU64; CODES]; OPERATION_COUNT],
    /// Connections ended by an error, by its code.
    ended: [AtomicU64; CODES],
    /// From the arrival of a batch's last byte to its answers.
    pub(crate) batch_time: Histogram,
    requests_waiting: AtomicU64,
    watches: AtomicU64,
    /// Bytes that connections hold; shared with the store, whose memory limit counts them.
    buffers: Arc<AtomicU64>,
    watch_messages: AtomicU64,
    /// Commands of Redis clients.
    pub(crate) resp: Commands,
    /// From the time at which a change was ordered to the time a watcher's session took it up.
    pub(crate) watch_lag: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            traffic: Default::default(),
            turned_away: Default::default(),
            answered: Default::default(),
            refused: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            batch_time: Histogram::default(),
            requests_waiting: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            buffers: Arc::default(),
            watch_messages: AtomicU64::new(0),
            resp: Commands::default(),
            watch_lag: Histogram::default(),
        }
    }
}

impl Metrics {
    /// Figures that count what connections hold in `buffers`.
    pub(crate) fn counting(buffers: Arc<AtomicU64>) -> Self {
        Self { buffers, ..Self::default() }
    }

    /// The counters of a transport.
    pub(crate) fn traffic(&self, transport: Transport) -> &Traffic {
        &self.traffic[transport as usize]
    }

    /// Counts a connection that was not taken.
    pub(crate) fn turned_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections were not taken for this reason.
    pub(crate) fn count_turned_away(&self, why: TurnedAway) -> u64 {
        self.turned_away[why as usize].load(Ordering::Relaxed)
    }

    /// Counts a connection that ended because of an error.
    pub(crate) fn ended(&self, code: Code) {
        if let Some(counter) = self.ended.get(place(code)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many connections ended with this code.
    pub(crate) fn count_ended(&self, code: Code) -> u64 {
        self.ended.get(place(code)).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Adds what a session did, and clears it.
    pub(crate) fn add(&self, tally: &mut Tally) {
        for (counter, count) in self.answered.iter().zip(&tally.answered.0) {
            if *count > 0 {
                counter.fetch_add(u64::from(*count), Ordering::Relaxed);
            }
        }
        for (operation, code) in &tally.refused {
            let row = self.refused.get(usize::from(*operation));
            if let Some(counter) = row.and_then(|row| row.get(place(*code))) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        if tally.watch_messages > 0 {
            self.watch_messages.fetch_add(u64::from(tally.watch_messages), Ordering::Relaxed);
        }
        for lag_ms in &tally.watch_lags_ms {
            self.watch_lag.record(Duration::from_millis(*lag_ms));
        }
        tally.clear();
    }

    /// Answered requests of the operation at this place in the table.
    pub(crate) fn count_answered(&self, operation: usize) -> u64 {
        self.answered.get(operation).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Requests of the operation at this place in the table that were refused with this code.
    pub(crate) fn count_refused(&self, operation: usize, code: Code) -> u64 {
        let row = self.refused.get(operation);
        row.and_then(|row| row.get(place(code))).map_or(0, |c| c.load(Ordering::Relaxed))
    }

    /// Moves a session's share of the gauges from one state to another.
    pub(crate) fn move_gauges(&self, from: Gauges, to: Gauges) {
        shift(&self.requests_waiting, from.requests_waiting, to.requests_waiting);
        shift(&self.watches, from.watches, to.watches);
        shift(&self.buffers, from.buffer_bytes, to.buffer_bytes);
    }

    /// The sum of all sessions' gauges.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            requests_waiting: self.requests_waiting.load(Ordering::Relaxed) as usize,
            watches: self.watches.load(Ordering::Relaxed) as usize,
            buffer_bytes: self.buffers.load(Ordering::Relaxed) as usize,
        }
    }

    /// Messages with changes that watchers were sent.
    pub(crate) fn watch_messages(&self) -> u64 {
        self.watch_messages.load(Ordering::Relaxed)
    }

    /// The figures of a status reply.
    pub(crate) fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let open = |transport| self.traffic(transport).open.load(Ordering::Relaxed);
        let sum = |part: fn(&Traffic) -> &AtomicU64| -> u64 {
            self.traffic.iter().map(|traffic| part(traffic).load(Ordering::Relaxed)).sum()
        };
        let gauges = self.gauges();
        each("connections", sum(|traffic| &traffic.open));
        each("connections_tcp", open(Transport::Tcp));
        each("connections_websocket", open(Transport::WebSocket));
        each("connections_http", open(Transport::Http));
        each("connections_resp", open(Transport::Resp));
        each("requests", (0..OPERATION_COUNT).map(|place| self.count_answered(place)).sum());
        each("requests_waiting", gauges.requests_waiting as u64);
        each("watches", gauges.watches as u64);
        each("received_bytes", sum(|traffic| &traffic.received_bytes));
        each("sent_bytes", sum(|traffic| &traffic.sent_bytes));
    }
}

/// One session's part of what is open at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gauges {
    /// Requests that the commit has not answered.
    pub(crate) requests_waiting: usize,
    /// Open watches.
    pub(crate) watches: usize,
    /// Bytes held for the client.
    pub(crate) buffer_bytes: usize,
}

fn shift(gauge: &AtomicU64, from: usize, to: usize) {
    if from != to {
        // Wraps around to a subtraction when it went down.
        gauge.fetch_add((to as u64).wrapping_sub(from as u64), Ordering::Relaxed);
    }
}

/// Where a code's counter is.
fn place(code: Code) -> usize {
    Code::ALL.iter().position(|known| *known == code).unwrap_or(CODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_counter() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(place(*code), at);
        }
    }

    #[test]
    fn gauges_rise_and_fall_with_sessions() {
        let metrics = Metrics::default();
        let busy = Gauges { requests_waiting: 5, watches: 2, buffer_bytes: 7 };
        metrics.move_gauges(Gauges::default(), busy);
        metrics.move_gauges(Gauges::default(), busy);
        metrics.move_gauges(busy, Gauges { requests_waiting: 1, watches: 3, buffer_bytes: 0 });
        assert_eq!(metrics.gauges(), Gauges { requests_waiting: 6, watches: 5, buffer_bytes: 7 });
    }

    #[test]
    fn a_tally_counts_once() {
        let (metrics, mut tally) = (Metrics::default(), Tally::default());
        tally.answered(1);
        tally.refused(0, Code::TooLarge);
        metrics.add(&mut tally);
        metrics.add(&mut tally);
        assert_eq!(metrics.count_answered(1), 1);
        assert_eq!(metrics.count_refused(0, Code::TooLarge), 1);
    }
}
