//! Every reason the core may want to be woken, in one table.

use crate::time::Millis;

/// A reason to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The rest after a lost connection is over.
    Reconnect,
    /// The transport or the handshake takes too long.
    Attempt,
    /// Nothing was heard for a heartbeat: ask; or nothing came of asking: the link is dead.
    Heartbeat,
    /// The connection has held long enough to forget earlier failures.
    Stable,
    /// A call's deadline may have passed, or it has rested. Set to the earliest or to an earlier time.
    Calls,
    /// A watch may be due for another try. Set to the earliest or to an earlier time.
    Watches,
    /// A lease is to be kept alive, or its time is over. Set to the earliest or to an earlier time.
    Leases,
    /// What could not be stored is tried again.
    Rows,
    /// Closing has waited long enough for the calls in flight.
    Close,
}

const ALL: [Timer; 9] = [
    Timer::Reconnect,
    Timer::Attempt,
    Timer::Heartbeat,
    Timer::Stable,
    Timer::Calls,
    Timer::Watches,
    Timer::Leases,
    Timer::Rows,
    Timer::Close,
];

/// When each reason is due, or never.
#[derive(Debug)]
pub(crate) struct Timers([Millis; ALL.len()]);

impl Default for Timers {
    fn default() -> Self {
        Self([Millis::NEVER; ALL.len()])
    }
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Millis) {
        self.0[timer as usize] = at;
    }

    /// Brings a timer forward to `at`; never moves it back.
    pub(crate) fn bring_forward(&mut self, timer: Timer, at: Millis) {
        let slot = &mut self.0[timer as usize];
        *slot = at.min(*slot);
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = Millis::NEVER;
    }

    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
    }

    /// The earliest of all.
    pub(crate) fn earliest(&self) -> Option<Millis> {
        let mut earliest = Millis::NEVER;
        for &at in &self.0 {
            earliest = earliest.min(at);
        }
        (earliest != Millis::NEVER).then_some(earliest)
    }

    /// Takes a timer that is due, if there is one.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<Timer> {
        let place = self.0.iter().position(|&at| at <= now)?;
        self.0[place] = Millis::NEVER;
        Some(ALL[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_once_and_the_earliest_is_known() {
        let mut timers = Timers::default();
        timers.set(Timer::Close, Millis(30));
        timers.bring_forward(Timer::Calls, Millis(20));
        timers.bring_forward(Timer::Calls, Millis(25));
        assert_eq!(timers.earliest(), Some(Millis(20)));
        assert_eq!(timers.take_due(Millis(19)), None);
        assert_eq!(timers.take_due(Millis(20)), Some(Timer::Calls));
        assert_eq!(timers.take_due(Millis(20)), None);
        timers.clear_all();
        assert_eq!(timers.earliest(), None);
    }

    #[test]
    fn the_table_has_a_place_for_every_reason() {
        for (place, timer) in ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
        }
    }
}
