//! The boundary's bytes. A turn leaves one buffer of records, which the page reads in one go.
//! Bodies cross as they came or as they will go, in the protocol's own encoding
//! (docs/protocol.md), so that nothing is decoded on one side to be encoded for the other;
//! `ts/codec.ts` reads and writes them, and is held to the protocol's golden vectors.
//!
//! ```text
//! record   length u32 LE (of what follows) · what u8 · id u32 LE · content
//!
//! what  id      content
//! 1     call    reply: the body of its operation's reply; nothing for a ping
//! 2     call    failed: error
//! 3     watch   message: the body of a WatchMessage
//! 4     watch   reset: nothing
//! 5     watch   ended: error
//! 6     state   nothing; the id is the state: idle, connecting, ready, reconnecting, closed
//! 7     0       welcome: clock (server's time less the page's) · protocol · longest key
//!               longest value · calls in flight · watches · entries in a page · operations in a
//!               transaction (numbers) · server id · store id · software (bytes)
//! 8     0       link down: error
//! 9     0       lease lost: lease (number) · error
//!
//! error    code · retryable · outcome · retry after in ms (numbers) · message (bytes)
//! number   seven bits a byte, lowest first, the eighth says that more follow (as postcard does)
//! bytes    length as a number, then the bytes
//! ```

use tidekeep_client_core::{Error, Output, ServerInfo, State};
use tidekeep_protocol::error::Outcome;

/// What a record is about, as its second field says.
mod what {
    pub(super) const REPLY: u8 = 1;
    pub(super) const FAILED: u8 = 2;
    pub(super) const MESSAGE: u8 = 3;
    pub(super) const RESET: u8 = 4;
    pub(super) const ENDED: u8 = 5;
    pub(super) const STATE: u8 = 6;
    pub(super) const WELCOME: u8 = 7;
    pub(super) const LINK_DOWN: u8 = 8;
    pub(super) const LEASE_LOST: u8 = 9;
}

/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// Appends an output as a record. Those that are for the driver leave nothing.
pub(crate) fn pack(out: &mut Vec<u8>, output: Output<'_>) {
    match output {
        Output::Open | Output::Close => {}
        Output::Reply { call, body, .. } => record(out, what::REPLY, call.0, body),
        Output::Failed { call, error } => failure(out, what::FAILED, call.0, &error),
        Output::WatchReset { watch } => record(out, what::RESET, watch.0, &[]),
        Output::Watch { watch, body } => record(out, what::MESSAGE, watch.0, body),
        Output::WatchFailed { watch, error } => failure(out, what::ENDED, watch.0, &error),
        Output::State(state) => record(out, what::STATE, state_number(state), &[]),
        Output::LinkDown(error) => failure(out, what::LINK_DOWN, 0, &error),
        Output::LeaseLost { lease, error } => {
            let start = begin(out, what::LEASE_LOST, 0);
            number(out, lease);
            finish_failure(out, start, &error);
        }
    }
}

/// Appends what the server said of itself.
pub(crate) fn pack_welcome(out: &mut Vec<u8>, server: &ServerInfo) {
    let limits = &server.limits;
    let start = begin(out, what::WELCOME, 0);
    number(out, server.now_ms.saturating_sub(server.greeted_at.0));
    for value in [
        server.version.into(),
        limits.key_bytes,
        limits.value_bytes,
        limits.in_flight,
        limits.watches,
        limits.scan_entries,
        limits.txn_operations,
    ] {
        number(out, value.into());
    }
    for text in [&server.server_id[..], &server.store_id, server.software.as_bytes()] {
        bytes(out, text);
    }
    finish(out, start);
}

fn record(out: &mut Vec<u8>, what: u8, id: u32, content: &[u8]) {
    let start = begin(out, what, id);
    out.extend_from_slice(content);
    finish(out, start);
}

fn failure(out: &mut Vec<u8>, what: u8, id: u32, error: &Error) {
    let start = begin(out, what, id);
    finish_failure(out, start, error);
}

/// Writes the error that ends the record which began at `start`.
fn finish_failure(out: &mut Vec<u8>, start: usize, error: &Error) {
    let outcome = match error.outcome {
        Outcome::NotApplied => 0,
        Outcome::Applied => 1,
        Outcome::Unknown => 2,
    };
    let code = error.code.number().into();
    for value in [code, error.retryable.into(), outcome, error.retry_after_ms] {
        number(out, value.into());
    }
    bytes(out, error.message.as_bytes());
    finish(out, start);
}

/// Writes a record's head and gives back where it begins.
fn begin(out: &mut Vec<u8>, what: u8, id: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(what);
    out.extend_from_slice(&id.to_le_bytes());
    start
}

/// Writes the length of the record that began at `start`.
fn finish(out: &mut [u8], start: usize) {
    let length = (out.len() - start - LENGTH_BYTES) as u32;
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn state_number(state: State) -> u32 {
    match state {
        State::Idle => 0,
        State::Connecting => 1,
        State::Ready => 2,
        State::Reconnecting => 3,
        State::Closed => 4,
    }
}
