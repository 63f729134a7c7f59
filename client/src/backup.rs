//! The whole store as the bytes of a backup file, piece by piece.

use bytes::Bytes;
use tidekeep_protocol::codec;
use tidekeep_protocol::op;

use crate::call::Pending;
use crate::client::Client;

/// A piece of a backup's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPiece {
    /// The revision that the backup is of.
    pub revision: u64,
    /// Keys in it.
    pub keys: u64,
    /// About how many bytes the file will have.
    pub size: u64,
    /// Where the piece stands in the file.
    pub offset: u64,
    /// Whether the file ends behind it.
    pub done: bool,
    /// Its bytes. Empty without being the end: what the backup holds is not safe on the server's
    /// disk yet; ask again in a moment.
    pub bytes: Bytes,
}

impl Client {
    /// The piece of this connection's backup that begins at `offset`: at 0 a new backup is cut, else
    /// it is where the piece before ended. Writes go on meanwhile.
    ///
    /// # Errors
    /// `not-found` when no backup stands there, as after the connection broke: begin again at 0.
    pub fn backup_piece(&self, offset: u64) -> Pending<BackupPiece> {
        let answer = self.answer(&op::Backup { offset });
        Pending::new(answer, Bytes::new(), |_, body| {
            let reply: op::BackupReply<'_> = codec::decode(&body)?;
            let op::BackupReply { revision, keys, size, offset, done, bytes } = reply;
            Ok(BackupPiece { revision, keys, size, offset, done, bytes: body.slice_ref(bytes) })
        })
    }
}
