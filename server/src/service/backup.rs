//! The backup that a connection takes: at most one, cut when its first piece is asked for, and let go
//! with its last piece or with the connection. Until then it holds on to what it froze.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tidekeep_log::{Backup, Commit, Fed, PendingBackup};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::BackupReply;

/// The longest piece, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// What a connection has under way.
#[derive(Default)]
pub(crate) enum Underway {
    /// Nothing.
    #[default]
    Nothing,
    /// A cut that is not yet safe to show.
    Cut(Box<PendingBackup>),
    /// A file of which so many bytes have been given.
    Given(Box<Backup>, u64),
}

/// A piece, without its bytes.
pub(crate) struct Piece {
    revision: u64,
    keys: u64,
    size: u64,
    offset: u64,
    done: bool,
}

impl Piece {
    /// The reply with the piece's bytes.
    pub(crate) fn reply<'a>(&self, bytes: &'a [u8]) -> BackupReply<'a> {
        let &Self { revision, keys, size, offset, done } = self;
        BackupReply { revision, keys, size, offset, done, bytes }
    }
}

impl Underway {
    /// Appends the next piece, which begins at `offset`, to `bytes`.
    ///
    /// # Errors
    /// No backup stands at this offset, or storage has failed.
    pub(crate) fn next(
        &mut self,
        commit: &dyn Commit,
        offset: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Piece, Refusal> {
        if let Self::Given(_, given) = self
            && offset == 0
            && *given > 0
        {
            *self = Self::Nothing;
        }
        if matches!(self, Self::Nothing) && offset == 0 {
            *self = Self::Cut(Box::new(commit.backup()));
        }
        if let Self::Cut(pending) = self {
            match Pin::new(&mut **pending).poll(&mut Context::from_waker(Waker::noop())) {
                // Nobody is woken: the client asks again.
                Poll::Pending => {
                    return Ok(Piece { revision: 0, keys: 0, size: 0, offset: 0, done: false });
                }
                Poll::Ready(Ok(backup)) => *self = Self::Given(Box::new(backup), 0),
                Poll::Ready(Err(lost)) => {
                    *self = Self::Nothing;
                    return Err(Refusal::new(Code::Storage, lost.to_string()));
                }
            }
        }
        match self {
            Self::Given(backup, given) if *given == offset => {
                let fed = match backup.read(PIECE_BYTES, bytes) {
                    Ok(fed) => fed,
                    Err(lost) => {
                        *self = Self::Nothing;
                        return Err(Refusal::new(Code::Unavailable, lost.to_string()));
                    }
                };
                *given += bytes.len() as u64;
                let piece = Piece {
                    revision: backup.revision(),
                    keys: backup.keys(),
                    size: backup.estimate_bytes(),
                    offset,
                    done: fed == Fed::End,
                };
                if piece.done {
                    *self = Self::Nothing;
                }
                Ok(piece)
            }
            _ => {
                let message = format!("no backup of this connection stands at byte {offset}");
                Err(Refusal::new(Code::NotFound, message))
            }
        }
    }
}
