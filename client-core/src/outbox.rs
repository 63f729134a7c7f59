//! Control frames that wait to be sent. They go before requests, each of them is small, and their
//! number is bounded by what is in flight.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use tidekeep_protocol::frame::{self, HEADER_BYTES, kind};
use tidekeep_protocol::hello::{Hello, PREFACE, feature};
use tidekeep_protocol::{OLDEST_VERSION, VERSION};

/// Most pongs that wait at once. A server that sends more pings while nothing can be sent is not
/// asking whether we are there.
const PONGS_MAX: usize = 64;

/// Longest name of the program that a greeting bears, in bytes.
const SOFTWARE_BYTES: usize = 256;

/// A control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Preface and hello, the first bytes of a connection and a message of their own.
    Greeting,
    /// Asks whether the server is there.
    Ping,
    /// Answers the ping with this id.
    Pong(u32),
    /// Gives up on the request, or ends the watch, with this id.
    Cancel(u32),
}

/// The control frames in their order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Control>,
    pongs: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, control: Control) {
        if let Control::Pong(_) = control {
            if self.pongs == PONGS_MAX {
                return;
            }
            self.pongs += 1;
        }
        self.waiting.push_back(control);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.pongs = 0;
    }

    /// Moves frames to `out` while it has room; whether all of them went.
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>, max_bytes: usize, software: &str) -> bool {
        while let Some(&control) = self.waiting.front() {
            if !has_room(out, control_bytes(control), max_bytes) {
                return false;
            }
            self.waiting.pop_front();
            match control {
                Control::Greeting => write_greeting(out, software),
                Control::Ping => frame::write(out, kind::PING, 0, 0, &[], |_| {}),
                Control::Pong(id) => {
                    self.pongs -= 1;
                    frame::write(out, kind::PONG, 0, id, &[], |_| {});
                }
                Control::Cancel(id) => frame::write(out, kind::CANCEL, 0, id, &[], |_| {}),
            }
        }
        true
    }
}

/// Whether a frame of `bytes` may be appended: it fits, or it would never fit.
pub(crate) fn has_room(out: &[u8], bytes: usize, max_bytes: usize) -> bool {
    out.is_empty() || out.len() + bytes <= max_bytes
}

fn control_bytes(control: Control) -> usize {
    match control {
        Control::Greeting => usize::MAX / 2,
        Control::Ping | Control::Pong(_) | Control::Cancel(_) => HEADER_BYTES,
    }
}

fn write_greeting(out: &mut Vec<u8>, software: &str) {
    out.extend_from_slice(&PREFACE);
    let hello = Hello {
        version_min: OLDEST_VERSION,
        version_max: VERSION,
        features: feature::NONE,
        software: &software[..software.floor_char_boundary(SOFTWARE_BYTES)],
    };
    frame::write_value(out, kind::HELLO, 0, &hello);
}
