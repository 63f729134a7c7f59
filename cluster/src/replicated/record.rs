//! A stage of order as a record: what the group orders, and what is done with it when it is applied here.

use parking_lot::Mutex;
use tidekeep_log::{Answer, Applying, Call};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

use crate::raft::Beside;
use crate::replicated::calls::{Asked, Calls};
use crate::replicated::piece::{Done, Piece};

/// The pieces of a record that is under way, until they are answered.
pub(crate) struct UnderWay(Mutex<Vec<Piece>>);

impl UnderWay {
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        Self(Mutex::new(pieces))
    }

    /// The pieces, if they were not answered.
    pub(crate) fn take(&self) -> Vec<Piece> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Beside for UnderWay {
    fn apply(&self, index: u64, mut applying: Applying<'_>) {
        let pieces = self.take();
        let answered: Vec<_> = pieces
            .into_iter()
            .map(|piece| {
                let answers = answer(&piece.calls, &mut applying);
                (piece, Done { index, answers })
            })
            .collect();
        // All of it is applied before anybody is told of a part.
        drop(applying);
        for (piece, done) in answered {
            piece.answer(done);
        }
    }
}

/// The record of the pieces' writes.
pub(crate) fn build(pieces: &[Piece], now_ms: u64) -> Vec<u8> {
    let writes = pieces.iter().map(|piece| piece.calls.writes()).sum();
    let bytes = pieces.iter().map(|piece| piece.calls.bytes()).sum();
    let mut out = Vec::with_capacity(record::bytes_for(writes, bytes));
    record::begin(Stamp { now_ms, revision: 0 }, &mut out);
    let mut session = None;
    pieces.iter().for_each(|piece| piece.calls.write(&mut session, &mut out));
    out
}

/// Applies the writes, and runs the reads between them.
fn answer(calls: &Calls, applying: &mut Applying<'_>) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::with_capacity(calls.count());
    if calls.writes() == calls.count() {
        answers.extend(std::iter::from_fn(|| applying.next_write()).take(calls.count()));
        return answers;
    }
    let mut reads: Vec<Call<'_>> = Vec::new();
    for (asked, sort) in calls.iter().zip(calls.sorts()) {
        match asked {
            Asked::Call(call) if !sort.is_ordered() => {
                reads.push(call);
                continue;
            }
            Asked::Call(_) | Asked::Step(_) => {}
        }
        applying.read(&std::mem::take(&mut reads), &mut answers);
        answers.extend(applying.next_write());
    }
    applying.read(&reads, &mut answers);
    answers
}
