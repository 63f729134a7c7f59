//! What one connection did since its driver last looked, counted without atomics; the driver adds
//! it to the server's metrics once per batch.

use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{OPERATIONS, Spec};

/// How many operations there are.
pub(crate) const OPERATION_COUNT: usize = OPERATIONS.len();

const NO_OPERATION: u8 = u8::MAX;

/// Where each frame kind stands in the table of operations.
const PLACES: [u8; 256] = places();

const fn places() -> [u8; 256] {
    let mut places = [NO_OPERATION; 256];
    let mut place = 0;
    while place < OPERATIONS.len() {
        places[OPERATIONS[place].kind as usize] = place as u8;
        place += 1;
    }
    places
}

/// The row of the operation of this frame kind, and its place in the table.
pub(crate) fn row(kind: u8) -> Option<(u8, &'static Spec)> {
    let place = PLACES[kind as usize];
    OPERATIONS.get(place as usize).map(|spec| (place, spec))
}

/// A count for each operation, by its place in the table.
#[derive(Debug, Default)]
pub(crate) struct Counts(pub(crate) [u32; OPERATION_COUNT]);

impl Counts {
    pub(crate) fn add(&mut self, operation: u8) {
        self.0[operation as usize] += 1;
    }

    pub(crate) fn add_all(&mut self, counts: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&counts.0) {
            // Nobody lives to see it overflow, and without the check all are added at once.
            *sum = sum.wrapping_add(*count);
        }
    }
}

/// Counts since the last look.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests answered by a reply.
    pub(crate) answered: Counts,
    /// Requests answered by an error.
    pub(crate) refused: Vec<(u8, Code)>,
    /// Watch messages that carried changes.
    pub(crate) watch_messages: u32,
    /// How old changes were when they were sent to watchers, in milliseconds.
    pub(crate) watch_lags_ms: Vec<u64>,
    /// Whether anything was counted.
    pub(crate) touched: bool,
}

impl Tally {
    pub(crate) fn answered(&mut self, operation: u8) {
        self.answered.add(operation);
        self.touched = true;
    }

    pub(crate) fn answered_all(&mut self, counts: &Counts) {
        self.answered.add_all(counts);
        self.touched = true;
    }

    pub(crate) fn refused(&mut self, operation: u8, code: Code) {
        self.refused.push((operation, code));
        self.touched = true;
    }

    pub(crate) fn watch_message(&mut self) {
        self.watch_messages += 1;
        self.touched = true;
    }

    /// Counts a change that was taken up for live watchers this long after it was ordered.
    pub(crate) fn watch_lag(&mut self, ms: u64) {
        self.watch_lags_ms.push(ms);
        self.touched = true;
    }

    /// Forgets all counts and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.answered = Counts::default();
        self.refused.clear();
        self.watch_messages = 0;
        self.watch_lags_ms.clear();
        self.touched = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_place_and_nothing_else_has_one() {
        for (place, spec) in OPERATIONS.iter().enumerate() {
            assert_eq!(row(spec.kind), Some((place as u8, spec)));
        }
        let known = (0..=u8::MAX).filter(|kind| row(*kind).is_some()).count();
        assert_eq!(known, OPERATION_COUNT);
    }
}
