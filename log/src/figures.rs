//! What a group and a log say of themselves, by name.

use std::sync::atomic::Ordering;

use crate::group::Group;
use crate::log::Log;

impl Group {
    /// Gives each figure of the state.
    pub(crate) fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let (keys, entries) = self.size();
        each("keys", keys);
        each("keys_ending", self.ending());
        let (index, history) = (self.index_bytes(), self.tail.held());
        let buffers = self.memory.outside();
        let (sessions, leases, table_bytes) = self.tables();
        each("memory_bytes", entries + index + table_bytes as u64 + history + buffers);
        each("memory_entries_bytes", entries);
        each("memory_index_bytes", index);
        each("memory_history_bytes", history);
        each("memory_buffers_bytes", buffers);
        each("memory_limit_bytes", self.memory.limit().unwrap_or(0));
        each("memory_refused", self.memory.refused.load(Ordering::Relaxed));
        each("evicted", self.memory.evicted.load(Ordering::Relaxed));
        each("leases", leases as u64);
        each("revision", self.revision.load(Ordering::Relaxed));
        each("durable_revision", self.positions.safe());
        let (changes, bytes) = self.tail.size();
        each("history_changes", changes);
        each("history_bytes", bytes as u64);
        each("sessions", sessions as u64);
        each("sessions_bytes", table_bytes as u64);
    }

    /// Gives how late what had an end was removed.
    pub(crate) fn lag_figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let mut lags = self.lags.lock();
        let told = lags.tell(self.clock.now_ms());
        each("expiry_lag_p50_ms", told.p50_ms);
        each("expiry_lag_p99_ms", told.p99_ms);
        each("expiry_lag_max_ms", told.max_ms);
        each("expiry_lag_sum_ms", lags.total().1);
    }
}

impl Log {
    /// Gives each figure of the log.
    pub fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let stats = self.stats();
        each("log_records", stats.records);
        each("log_bytes", stats.bytes);
        each("log_writes", stats.writes);
        each("log_syncs", stats.syncs);
        each("log_sync_us", stats.sync_micros);
        each("log_segments", stats.segments);
        each("log_full", u64::from(stats.full));
        each("log_stalled_ms", self.stalled().map_or(0, |stalled| stalled.as_millis() as u64));
        each("log_bytes_since_snapshot", self.bytes_since_snapshot());
    }
}
