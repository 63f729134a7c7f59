//! The pace of long work beside the server's own. A thread that gives way is still let finish what it is
//! at for some milliseconds before the system takes its core; one that rests after each short piece is
//! waited for no longer than for a piece.

use std::thread;
use std::time::{Duration, Instant};

/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(5);

/// When to rest between the pieces of long work.
pub(crate) struct Pace {
    /// Since when the work goes on without a rest; none if it needs none.
    since: Option<Instant>,
}

impl Pace {
    /// Rests after each piece for as long as it took.
    pub(crate) fn giving_way() -> Self {
        Self { since: Some(Instant::now()) }
    }

    /// Never rests: nobody else is there.
    pub(crate) fn alone() -> Self {
        Self { since: None }
    }

    /// A piece is done. Whoever wakes the thread ends the rest.
    pub(crate) fn pause(&mut self) {
        if let Some(since) = &mut self.since {
            thread::park_timeout(since.elapsed().min(REST_MAX));
            *since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_followed_by_a_rest_as_long() {
        let began = Instant::now();
        let mut pace = Pace::giving_way();
        let worked = REST_MAX / 2;
        while began.elapsed() < worked {
            std::hint::spin_loop();
        }
        pace.pause();
        assert!(began.elapsed() >= 2 * worked);
    }
}
