//! Bounds that both ends know: the server states them in its welcome, the client checks them before
//! it sends, the server checks them again on what arrives.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};

/// The bounds of one connection. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest key.
    pub key_bytes: u32,
    /// Longest value.
    pub value_bytes: u32,
    /// Longest frame that a client may send, its length field left out.
    pub frame_bytes: u32,
    /// Longest body that the server puts into one frame; longer replies come in chunks.
    pub chunk_bytes: u32,
    /// Longest WebSocket message, in either direction, unless it is a single longer frame.
    pub message_bytes: u32,
    /// Longest body that the chunks of one reply add up to.
    pub reply_bytes: u32,
    /// Most requests of one connection that may wait for their replies.
    pub in_flight: u32,
    /// Most watches of one connection.
    pub watches: u32,
    /// Most entries in one page of a scan.
    pub scan_entries: u32,
    /// Most comparisons and operations in one transaction.
    pub txn_operations: u32,
}

impl Limits {
    /// What a server offers unless it is told otherwise.
    pub const DEFAULT: Self = Self {
        key_bytes: 1024,
        value_bytes: 1 << 20,
        frame_bytes: 4 << 20,
        chunk_bytes: 64 << 10,
        message_bytes: 64 << 10,
        reply_bytes: 8 << 20,
        in_flight: 4096,
        watches: 1024,
        scan_entries: 10_000,
        txn_operations: 512,
    };

    /// The longest frame before the handshake is done, whatever the limits are.
    pub const HANDSHAKE_FRAME_BYTES: u32 = 4096;

    /// Refuses a key that is empty or too long.
    pub fn check_key(&self, key: &[u8]) -> Result<(), Refusal> {
        if key.is_empty() {
            return Err(Refusal::new(Code::InvalidInput, "a key has at least one byte"));
        }
        if key.len() > self.key_bytes as usize {
            return Err(Refusal::new(Code::TooLarge, "the key is longer than the server allows"));
        }
        Ok(())
    }

    /// Refuses a value that is too long.
    pub fn check_value(&self, value: &[u8]) -> Result<(), Refusal> {
        if value.len() > self.value_bytes as usize {
            return Err(Refusal::new(Code::TooLarge, "the value is longer than the server allows"));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
