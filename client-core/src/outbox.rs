//! Control frames that wait to be sent, and how every frame is written. Control frames go before
//! requests, each of them is small, and their number is bounded by what is in flight.

use alloc::vec::Vec;

use tidekeep_protocol::frame::{self, HEADER_BYTES, ext, kind};
use tidekeep_protocol::hello::{Hello, PREFACE, feature};
use tidekeep_protocol::session::{Ask, SessionId};
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
    waiting: Vec<Control>,
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
        self.waiting.push(control);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.pongs = 0;
    }

    /// Moves frames to `out` while it has room; whether all of them went.
    pub(crate) fn transmit(
        &mut self,
        out: &mut Vec<u8>,
        max_bytes: usize,
        software: &str,
        session: Option<&(SessionId, u64)>,
    ) -> bool {
        let mut went = 0;
        for &control in &self.waiting {
            if !has_room(out, control_bytes(control), max_bytes) {
                break;
            }
            went += 1;
            let (kind, id) = match control {
                Control::Greeting => {
                    write_greeting(out, software, session);
                    continue;
                }
                Control::Ping => (kind::PING, 0),
                Control::Pong(id) => {
                    self.pongs -= 1;
                    (kind::PONG, id)
                }
                Control::Cancel(id) => (kind::CANCEL, id),
            };
            write_frame(out, kind, 0, id, &[], &[]);
        }
        self.waiting.copy_within(went.., 0);
        self.waiting.truncate(self.waiting.len() - went);
        self.waiting.is_empty()
    }
}

/// Appends a frame. All frames are written here, so that the code for it exists once.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    id: u32,
    extensions: &[(u8, &[u8])],
    body: &[u8],
) {
    frame::write(out, kind, flags, id, extensions, |out| out.extend_from_slice(body));
}

/// Whether a frame of `bytes` may be appended: it fits, or it would never fit.
pub(crate) fn has_room(out: &[u8], bytes: usize, max_bytes: usize) -> bool {
    out.is_empty() || out.len() + bytes <= max_bytes
}

fn control_bytes(control: Control) -> usize {
    match control {
        // More than fits beside anything else: it goes alone.
        Control::Greeting => usize::MAX / 2,
        Control::Ping | Control::Pong(_) | Control::Cancel(_) => HEADER_BYTES,
    }
}

fn write_greeting(out: &mut Vec<u8>, software: &str, session: Option<&(SessionId, u64)>) {
    out.extend_from_slice(&PREFACE);
    let hello = Hello {
        version_min: OLDEST_VERSION,
        version_max: VERSION,
        features: feature::NONE,
        software: &software[..software.floor_char_boundary(SOFTWARE_BYTES)],
    };
    let mut body = Vec::new();
    hello.write(&mut body);
    let resume = session.map(|&(session, incarnation)| Ask::resume_bytes(session, incarnation));
    let ask = resume.as_ref().map_or(&[][..], |data| &data[..]);
    write_frame(out, kind::HELLO, 0, 0, &[(ext::SESSION, ask)], &body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidekeep_protocol::codec;
    use tidekeep_protocol::frame::Frame;

    #[test]
    fn pongs_are_bounded_while_nothing_can_be_sent() {
        let mut outbox = Outbox::default();
        for id in 0..10_000 {
            outbox.push(Control::Pong(id));
        }
        let mut out = Vec::new();
        assert!(outbox.transmit(&mut out, 64 << 10, "", None));
        assert_eq!(out.len(), PONGS_MAX * HEADER_BYTES);
        outbox.push(Control::Pong(7));
        assert!(outbox.transmit(&mut out, 64 << 10, "", None));
        assert_eq!(out.len(), (PONGS_MAX + 1) * HEADER_BYTES);
    }

    #[test]
    fn frames_stop_at_the_end_of_the_buffer_and_go_on_in_the_next() {
        let mut outbox = Outbox::default();
        outbox.push(Control::Greeting);
        outbox.push(Control::Ping);
        outbox.push(Control::Cancel(3));
        let long = "é".repeat(300);
        let mut out = Vec::new();
        assert!(!outbox.transmit(&mut out, 10, &long, None));
        let (hello, total) = Frame::decode(&out[PREFACE.len()..], 4096).unwrap().unwrap();
        assert_eq!((hello.kind, PREFACE.len() + total), (kind::HELLO, out.len()));
        let hello: Hello<'_> = codec::decode(hello.body).unwrap();
        assert_eq!(hello.software, "é".repeat(SOFTWARE_BYTES / 2));
        out.clear();
        assert!(!outbox.transmit(&mut out, 2 * HEADER_BYTES - 1, "", None));
        assert_eq!(out.len(), HEADER_BYTES);
        out.clear();
        assert!(outbox.transmit(&mut out, 2 * HEADER_BYTES - 1, "", None));
        assert_eq!(out.len(), HEADER_BYTES);
    }
}
