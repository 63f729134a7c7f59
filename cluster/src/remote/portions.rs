//! Cuts for backups, on the node that made them: each is summed up and given piece by piece to whoever puts a
//! backup together, and kept for as long as that goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_bytes::ByteBuf;
use tidekeep_log::{NotStill, Portion, PortionRows};
use tidekeep_store::step::TxnId;

use crate::raft::{Instant, Runtime};
use crate::remote::holding::IDLE;
use crate::remote::message::{Piece, Told};
use crate::replicated::Replicated;

/// Cuts that are kept at once, at most: those of a few backups of as many groups as there may be. The one that was
/// read longest ago makes room.
const PORTIONS_MAX: usize = 1_024;

/// Parts that are summed up for one request: about a millisecond of work.
const SUM_PARTS: usize = 64;

/// Bytes of entries in one piece, about.
const PIECE_BYTES: usize = 256 << 10;

/// Time for the group to say what its newest state is.
const LOOK: Duration = Duration::from_secs(1);

/// The cuts that are kept.
pub(super) struct Portions<R: Runtime> {
    state: Mutex<State<R>>,
}

struct State<R: Runtime> {
    last: u64,
    kept: BTreeMap<u64, Kept<R>>,
}

struct Kept<R: Runtime> {
    given: Arc<Mutex<Given>>,
    read: R::Instant,
}

/// A cut, and how much of it was given.
struct Given {
    portion: Portion,
    stage: Stage,
    /// The piece that is to be asked for next.
    next: u32,
    /// The one before: its reply may have been lost.
    before: Option<Piece>,
}

enum Stage {
    Sum,
    Tables,
    Entries,
}

impl<R: Runtime> Portions<R> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { last: 0, kept: BTreeMap::new() }) }
    }

    /// Lets go what nobody has read for long.
    pub(super) fn tidy(&self, now: R::Instant) {
        self.state.lock().kept.retain(|_, kept| now - kept.read < IDLE);
    }

    /// Makes a cut of a replica.
    pub(super) async fn cut(&self, here: &Replicated<R>, hold: Option<TxnId>) -> Told {
        let portion = match R::timeout(LOOK, here.portion(hold)).await {
            Ok(Ok(Ok(portion))) => portion,
            Ok(Ok(Err(NotStill::NotHeld))) => return Told::NotHeld,
            Ok(Ok(Err(NotStill::Busy))) => return Told::Busy,
            Ok(Err(_)) | Err(_) => return Told::NotHere,
        };
        let (now, estimate) = (R::Instant::now(), portion.estimate_bytes());
        let given = Given { portion, stage: Stage::Sum, next: 0, before: None };
        let mut state = self.state.lock();
        while state.kept.len() >= PORTIONS_MAX {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.read);
            let Some((&oldest, _)) = oldest else { break };
            state.kept.remove(&oldest);
        }
        state.last += 1;
        let portion = state.last;
        state.kept.insert(portion, Kept { given: Arc::new(Mutex::new(given)), read: now });
        Told::Portion { portion, estimate }
    }

    /// The next piece of a cut, or the one before.
    pub(super) fn piece(&self, portion: u64, number: u32) -> Told {
        let Some(given) = self.read(portion) else { return Told::Gone };
        let piece = given.lock().piece(number);
        piece.map_or(Told::Gone, Told::Piece)
    }

    /// Notes that a cut is wanted.
    pub(super) fn keep(&self, portion: u64) -> Told {
        self.read(portion).map_or(Told::Gone, |_| Told::Noted)
    }

    /// Lets a cut go.
    pub(super) fn let_go(&self, portion: u64) -> Told {
        self.state.lock().kept.remove(&portion);
        Told::Noted
    }

    fn read(&self, portion: u64) -> Option<Arc<Mutex<Given>>> {
        let mut state = self.state.lock();
        let kept = state.kept.get_mut(&portion)?;
        kept.read = R::Instant::now();
        Some(Arc::clone(&kept.given))
    }
}

impl Given {
    fn piece(&mut self, number: u32) -> Option<Piece> {
        if number == self.next {
            self.before = Some(self.advance());
            self.next += 1;
        }
        self.before.clone().filter(|_| number + 1 == self.next)
    }

    fn advance(&mut self) -> Piece {
        match self.stage {
            Stage::Sum => match self.portion.sum_up(SUM_PARTS) {
                None => Piece::Summing,
                Some(head) => {
                    self.stage = Stage::Tables;
                    Piece::Head(ByteBuf::from(head.encode()))
                }
            },
            Stage::Tables => match self.portion.next_rows() {
                Some(PortionRows::Sessions(chunk)) => Piece::Sessions(ByteBuf::from(chunk)),
                Some(PortionRows::Leases(chunk)) => Piece::Leases(ByteBuf::from(chunk)),
                None => {
                    self.stage = Stage::Entries;
                    Piece::Tables
                }
            },
            Stage::Entries => {
                let (mut chunks, mut bytes) = (Vec::new(), 0);
                while bytes < PIECE_BYTES {
                    let chunk = self.portion.next_entries();
                    if chunk.is_empty() {
                        break;
                    }
                    bytes += chunk.len();
                    chunks.push(ByteBuf::from(chunk));
                }
                Piece::Entries(chunks)
            }
        }
    }
}
