//! The boundary's bytes. A turn leaves one buffer of records, which the page reads in one go.
//! Bodies cross as they came or as they will go, in the protocol's own encoding
//! (docs/protocol.md), so that nothing is decoded on one side to be encoded for the other;
//! `ts/codec.ts` reads and writes them, and is held to the protocol's golden vectors.
//!
//! ```text
//! buffer   length u32 LE (of what follows) · timer u32 LE · records
//! timer    milliseconds from now for which the timer is to be set; all bits: as it was
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
//! 10    view    what changed in the view: a patch, see docs/design-client.md
//! 11    0       queued: mutation (number)
//! 12    0       settled: mutation (number) · kind (number) · key (bytes) · the reply's body
//! 13    0       mutation failed: mutation (number) · kind (number) · key (bytes) · error
//! 14    0       rows to be stored: a batch, see docs/design-client.md
//! 15    0       queue: waiting · bytes · 1 if it is held and 2 if storing fails (numbers)
//! 16    0       open a socket
//! 17    0       drop the socket
//!
//! error    code · retryable · outcome · retry after in ms (numbers) · message (bytes)
//! number   seven bits a byte, lowest first, the eighth says that more follow (as postcard does)
//! bytes    length as a number, then the bytes
//! ```

use tidekeep_client_core::{Error, Output, ServerInfo, State};
use tidekeep_protocol::error::Outcome;
use tidekeep_protocol::plain::{push_bytes, push_number};

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
    pub(super) const VIEW: u8 = 10;
    pub(super) const QUEUED: u8 = 11;
    pub(super) const SETTLED: u8 = 12;
    pub(super) const MUTATION_FAILED: u8 = 13;
    pub(super) const STORE: u8 = 14;
    pub(super) const QUEUE: u8 = 15;
    pub(super) const OPEN: u8 = 16;
    pub(super) const CLOSE: u8 = 17;
}

/// Bytes of a record's length, and of the buffer's.
const LENGTH_BYTES: usize = 4;

/// Bytes of a record before its content.
const HEAD_BYTES: usize = LENGTH_BYTES + 1 + 4;

/// The longest delay that `setTimeout` understands.
const TIMER_MAX_MS: u64 = (1 << 31) - 1;

/// Empties the buffer for a turn's records.
pub(crate) fn begin_turn(out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.extend_from_slice(&[u8::MAX; 4]);
}

/// Empties the buffer for what is looked at.
pub(crate) fn begin_look(out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
}

/// Writes the timer's delay, if it is to be set, and the buffer's length.
pub(crate) fn finish_turn(out: &mut [u8], wait_ms: Option<u64>) {
    if let Some(wait_ms) = wait_ms {
        write_u32(out, LENGTH_BYTES, wait_ms.min(TIMER_MAX_MS) as u32);
    }
    finish(out, 0);
}

/// Appends an output as a record.
pub(crate) fn pack(out: &mut Vec<u8>, output: Output<'_>) {
    let start = begin(out);
    // Behind the numbers and bytes that are written at once.
    let mut content: &[u8] = &[];
    let mut failure = None;
    let reply;
    let (what, id) = match output {
        Output::Open => (what::OPEN, 0),
        Output::Close => (what::CLOSE, 0),
        Output::Reply { call, body, .. } => {
            content = body;
            (what::REPLY, call.0)
        }
        Output::Watch { watch, body } => {
            content = body;
            (what::MESSAGE, watch.0)
        }
        Output::WatchReset { watch } => (what::RESET, watch.0),
        Output::State(state) => (what::STATE, state_number(state)),
        Output::Failed { call, error } => {
            failure = Some(error);
            (what::FAILED, call.0)
        }
        Output::WatchFailed { watch, error } => {
            failure = Some(error);
            (what::ENDED, watch.0)
        }
        Output::LinkDown(error) => {
            failure = Some(error);
            (what::LINK_DOWN, 0)
        }
        Output::LeaseLost { lease, error } => {
            push_number(out, lease);
            failure = Some(error);
            (what::LEASE_LOST, 0)
        }
        Output::View { view, body } => {
            content = body;
            (what::VIEW, view.0)
        }
        Output::Store { batch } => {
            content = batch;
            (what::STORE, 0)
        }
        Output::Queued { mutation } => {
            push_number(out, mutation.0);
            (what::QUEUED, 0)
        }
        Output::Settled { mutation, kind, key, result } => {
            push_number(out, mutation.0);
            push_number(out, kind.into());
            push_bytes(out, &key);
            match result {
                Ok(body) => {
                    reply = body;
                    content = &reply;
                    (what::SETTLED, 0)
                }
                Err(error) => {
                    failure = Some(error);
                    (what::MUTATION_FAILED, 0)
                }
            }
        }
        Output::Queue(info) => {
            let flags = u64::from(info.held) | u64::from(info.failing) << 1;
            for &value in &[info.waiting as u64, info.bytes as u64, flags] {
                push_number(out, value);
            }
            (what::QUEUE, 0)
        }
    };
    out.extend_from_slice(content);
    if let Some(error) = failure {
        push_error(out, &error);
    }
    finish_record(out, start, what, id);
}

/// Appends what the server said of itself.
pub(crate) fn pack_welcome(out: &mut Vec<u8>, server: &ServerInfo) {
    let limits = &server.limits;
    let start = begin(out);
    push_number(out, server.now_ms.saturating_sub(server.greeted_at.0));
    for value in &[
        server.version.into(),
        limits.key_bytes,
        limits.value_bytes,
        limits.in_flight,
        limits.watches,
        limits.scan_entries,
        limits.txn_operations,
    ] {
        push_number(out, (*value).into());
    }
    for text in &[&server.server_id[..], &server.store_id, server.software.bytes()] {
        push_bytes(out, text);
    }
    finish_record(out, start, what::WELCOME, 0);
}

fn push_error(out: &mut Vec<u8>, error: &Error) {
    let outcome = match error.outcome {
        Outcome::NotApplied => 0,
        Outcome::Applied => 1,
        Outcome::Unknown => 2,
    };
    let code = error.code.number().into();
    for value in &[code, error.retryable.into(), outcome, error.retry_after_ms] {
        push_number(out, (*value).into());
    }
    push_bytes(out, error.message.bytes());
}

/// Makes room for a record's head and gives back where it begins.
fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    start
}

/// Writes the head of the record that began at `start`.
fn finish_record(out: &mut [u8], start: usize, what: u8, id: u32) {
    out[start + LENGTH_BYTES] = what;
    write_u32(out, start + LENGTH_BYTES + 1, id);
    finish(out, start);
}

/// Writes the length of the record, or of the whole buffer, that began at `start`.
fn finish(out: &mut [u8], start: usize) {
    write_u32(out, start, (out.len() - start - LENGTH_BYTES) as u32);
}

fn write_u32(out: &mut [u8], at: usize, value: u32) {
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_le_bytes();
    }
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
