//! The deadlines of a connection as plain numbers: silence, heartbeats, frames that stay unfinished,
//! readers that stand still, and too much that is held.

/// Milliseconds since the server's process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    /// This much later.
    pub(crate) fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Bytes a client must at least send, or take, in a millisecond to be no slow one: 16 kB/s.
pub(crate) const SLOWEST_BYTES_PER_MS: u64 = 16;

/// Who was heard and told something when.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    every_ms: u64,
    heard: Millis,
    sent: Millis,
}

/// Silences of the client after which it counts as gone, in heartbeats.
const SILENT_BEATS: u64 = 3;

impl Heartbeat {
    pub(crate) fn new(every_ms: u64, now: Millis) -> Self {
        Self { every_ms, heard: now, sent: now }
    }

    pub(crate) fn heard(&mut self, now: Millis) {
        self.heard = now;
    }

    pub(crate) fn sent(&mut self, now: Millis) {
        self.sent = now;
    }

    /// Whether a ping is due.
    pub(crate) fn due(&self, now: Millis) -> bool {
        now >= self.sent.after(self.every_ms)
    }

    /// Whether the client has been silent for too long.
    pub(crate) fn silent(&self, now: Millis) -> bool {
        now >= self.gone_at()
    }

    /// When the client has been silent for too long.
    pub(crate) fn gone_at(&self) -> Millis {
        self.heard.after(self.every_ms.saturating_mul(SILENT_BEATS))
    }

    /// When the next of both is due.
    pub(crate) fn wait(&self) -> Millis {
        self.sent.after(self.every_ms).min(self.gone_at())
    }
}

/// Watches a reader: while bytes wait for it, it must take them at [`SLOWEST_BYTES_PER_MS`], or at
/// least something of them within `limit_ms`.
#[derive(Debug)]
pub(crate) struct Stall {
    limit_ms: u64,
    until: Option<Millis>,
}

impl Stall {
    pub(crate) fn new(limit_ms: u64) -> Self {
        Self { limit_ms, until: None }
    }

    /// Notes that `taken` bytes left and that `left` still wait.
    pub(crate) fn update(&mut self, now: Millis, taken: usize, left: usize) {
        let latest = now.after(self.limit_ms);
        self.until = match self.until {
            _ if left == 0 => None,
            None => Some(latest),
            Some(until) => Some(until.after(taken as u64 / SLOWEST_BYTES_PER_MS).min(latest)),
        };
    }

    pub(crate) fn over(&self, now: Millis) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    pub(crate) fn wait(&self) -> Option<Millis> {
        self.until
    }
}

/// Watches what is held for a connection: over its budget for `limit_ms` is too long.
#[derive(Debug)]
pub(crate) struct Excess {
    limit_ms: u64,
    until: Option<Millis>,
}

impl Excess {
    pub(crate) fn new(limit_ms: u64) -> Self {
        Self { limit_ms, until: None }
    }

    /// Notes whether it is over its budget now.
    pub(crate) fn update(&mut self, now: Millis, is_over_budget: bool) {
        self.until = match self.until {
            _ if !is_over_budget => None,
            None => Some(now.after(self.limit_ms)),
            until => until,
        };
    }

    pub(crate) fn over(&self, now: Millis) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    pub(crate) fn wait(&self) -> Option<Millis> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_takes_enough_is_never_over() {
        let mut stall = Stall::new(1000);
        stall.update(Millis(0), 0, 100_000);
        for second in 1..60 {
            let now = Millis(second * 900);
            assert!(!stall.over(now), "at {now:?}");
            stall.update(now, 900 * SLOWEST_BYTES_PER_MS as usize, 100_000);
        }
    }

    #[test]
    fn a_reader_that_only_trickles_is_over_after_all() {
        let mut stall = Stall::new(1000);
        stall.update(Millis(0), 0, 100_000);
        stall.update(Millis(900), 1600, 98_400);
        assert!(!stall.over(Millis(1099)));
        assert!(stall.over(Millis(1100)));
        stall.update(Millis(1100), 98_400, 0);
        assert_eq!(stall.wait(), None);
    }

    #[test]
    fn an_excess_is_too_long_only_in_one_piece() {
        let mut excess = Excess::new(100);
        excess.update(Millis(0), true);
        excess.update(Millis(90), true);
        assert!(!excess.over(Millis(99)) && excess.over(Millis(100)));
        excess.update(Millis(99), false);
        assert_eq!(excess.wait(), None);
        excess.update(Millis(150), true);
        assert!(!excess.over(Millis(249)) && excess.over(Millis(250)));
    }

    #[test]
    fn silence_is_asked_about_and_then_ends() {
        let mut beat = Heartbeat::new(10, Millis(0));
        assert!(!beat.due(Millis(9)));
        assert!(beat.due(Millis(10)));
        beat.sent(Millis(10));
        assert_eq!(beat.wait(), Millis(20));
        beat.sent(Millis(20));
        beat.sent(Millis(29));
        assert!(!beat.silent(Millis(29)));
        assert!(beat.silent(Millis(30)));
        beat.heard(Millis(30));
        assert!(!beat.silent(Millis(59)));
    }
}
