//! The client's session and the numbers of its writes, by which the server tells a write that is
//! sent again from a new one. A session outlives connections; the rules of sending again are in
//! [`crate::replay`].

use alloc::vec::Vec;

use tidekeep_protocol::session::{Number, SessionId};

/// Most numbers from the oldest write that waits to the youngest: as many answers as a server keeps
/// for a session. Writes beyond it wait, so that no answer is forgotten because there are so many;
/// long ones may be before, since a server keeps 2 MiB of them.
const WINDOW: usize = 16_384;

/// A session, if the server gave one, and which of its numbers are still open.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The session and the incarnation of the store under which it was made.
    known: Option<(SessionId, u64)>,
    /// The last sequence that was given to a write.
    last: u64,
    /// Sequences up to `last`, ascending, and whether each has settled; those before `oldest` have.
    /// A list that is cut now and then does as well as a ring, with less code.
    given: Vec<(u64, bool)>,
    /// The place of the oldest that has not settled.
    oldest: usize,
}

impl Session {
    pub(crate) fn known(&self) -> Option<&(SessionId, u64)> {
        self.known.as_ref()
    }

    /// Begins with what a welcome gave. Numbers start at 1; calls that bear one of the session
    /// before must have lost it.
    pub(crate) fn begin(&mut self, given: Option<(SessionId, u64)>) {
        self.known = given;
        self.last = 0;
        self.given.clear();
        self.oldest = 0;
    }

    /// Goes on with a session of an earlier process, with numbers behind `last`.
    pub(crate) fn resume(&mut self, known: (SessionId, u64), last: u64) {
        self.known = Some(known);
        self.last = last;
    }

    /// Notes a number of an earlier process that waits for its answer.
    pub(crate) fn note(&mut self, sequence: u64) {
        let place = self.place(sequence);
        self.given.insert(place, (sequence, false));
    }

    /// The next write's sequence, 0 when the server knows no sessions; none when it has to wait.
    pub(crate) fn take_sequence(&mut self) -> Option<u64> {
        if self.known.is_none() {
            return Some(0);
        }
        if self.given.len() - self.oldest >= WINDOW {
            return None;
        }
        self.last += 1;
        self.given.push((self.last, false));
        Some(self.last)
    }

    /// What a write with this sequence bears now.
    pub(crate) fn number(&self, sequence: u64) -> Number {
        Number { sequence, oldest: self.oldest() }
    }

    /// The write with this sequence waits for nothing any more.
    pub(crate) fn settle(&mut self, sequence: u64) {
        let place = self.place(sequence);
        if let Some((_, settled)) = self.given.get_mut(place).filter(|(it, _)| *it == sequence) {
            *settled = true;
        }
        while self.given.get(self.oldest).is_some_and(|&(_, settled)| settled) {
            self.oldest += 1;
        }
        if self.oldest > self.given.len() / 2 {
            self.given.copy_within(self.oldest.., 0);
            self.given.truncate(self.given.len() - self.oldest);
            self.oldest = 0;
        }
    }

    /// Where a sequence is, or would be.
    fn place(&self, sequence: u64) -> usize {
        self.given.partition_point(|&(given, _)| given < sequence)
    }

    fn oldest(&self) -> u64 {
        self.given.get(self.oldest).map_or(self.last + 1, |&(sequence, _)| sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let mut session = Session::default();
        session.begin(Some((SessionId([7; 16]), 1)));
        session
    }

    #[test]
    fn oldest_is_the_first_that_has_not_settled_whatever_order_they_settle_in() {
        let mut session = session();
        let taken: Vec<_> = (0..5).filter_map(|_| session.take_sequence()).collect();
        assert_eq!(taken, [1, 2, 3, 4, 5]);
        for (settled, oldest) in [(3, 1), (1, 2), (1, 2), (5, 2), (2, 4), (4, 6), (9, 6)] {
            session.settle(settled);
            assert_eq!(session.oldest(), oldest);
        }
        let next = session.take_sequence();
        assert_eq!(next.map(|it| session.number(it)), Some(Number { sequence: 6, oldest: 6 }));
    }

    #[test]
    fn no_more_numbers_are_open_than_a_server_keeps_answers_for() {
        let mut session = session();
        for _ in 0..WINDOW {
            assert!(session.take_sequence().is_some());
        }
        session.settle(2);
        assert_eq!(session.take_sequence(), None);
        session.settle(1);
        assert_eq!(session.take_sequence(), Some(WINDOW as u64 + 1));
    }

    #[test]
    fn without_a_session_writes_have_no_number() {
        let mut session = session();
        session.begin(None);
        assert_eq!(session.take_sequence(), Some(0));
        assert_eq!(session.known(), None);
    }
}
