//! From any slices of the stream to whole frames, and from chunks to whole bodies. A frame that
//! arrives whole is used where it lies; only one that is cut is copied here first.

use alloc::vec::Vec;
use core::ops::Range;

use tidekeep_protocol::frame::{Frame, FrameError, LENGTH_BYTES, kind};
use tidekeep_protocol::session::SessionId;

/// Capacity that is kept when a buffer is done with; more goes back to the allocator.
pub(crate) const KEPT_BYTES: usize = 64 << 10;

/// The bytes of a frame that is not whole yet, and what was left over by a drain.
#[derive(Debug, Default)]
pub(crate) struct Receive {
    held: Vec<u8>,
    start: usize,
    /// The session that the last frame bore, if that was a welcome.
    pub(crate) session: Option<SessionId>,
}

/// A whole frame's fields, and where its body lies.
#[derive(Debug, Clone)]
pub(crate) struct Arrived<'a> {
    pub(crate) kind: u8,
    pub(crate) more: bool,
    pub(crate) id: u32,
    pub(crate) body: Place<'a>,
}

/// Where bytes lie.
#[derive(Debug, Clone)]
pub(crate) enum Place<'a> {
    /// In the driver's buffer.
    Input(&'a [u8]),
    /// In the receive buffer.
    Held(Range<usize>),
    /// In the core's buffer for a body that came in chunks.
    Joined,
}

impl Receive {
    /// The next whole frame of what is held and then of `input`, which moves on. Takes from `input`
    /// only what the frame that is held lacks.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        limit: u32,
    ) -> Result<Option<Arrived<'a>>, FrameError> {
        self.forget_used();
        loop {
            let in_place = self.held.is_empty();
            let pending = if in_place { *input } else { &self.held[self.start..] };
            let Some((frame, total)) = Frame::decode(pending, limit)? else {
                let taken = if in_place { input.len() } else { lacking(pending) };
                let (taken, rest) = input.split_at(taken.min(input.len()));
                if taken.is_empty() {
                    return Ok(None);
                }
                self.held.extend_from_slice(taken);
                *input = rest;
                continue;
            };
            let (kind, more, id) = (frame.kind, frame.more(), frame.id);
            let start = total - frame.body.len();
            let session = session(&frame);
            let body = if in_place {
                let (frame, rest) = input.split_at(total);
                *input = rest;
                Place::Input(&frame[start..])
            } else {
                let before = self.start;
                self.start += total;
                Place::Held(before + start..self.start)
            };
            self.session = session;
            return Ok(Some(Arrived { kind, more, id, body }));
        }
    }

    /// Keeps what a drain did not look at.
    pub(crate) fn keep(&mut self, input: &[u8]) {
        self.held.extend_from_slice(input);
    }

    pub(crate) fn slice(&self, range: &Range<usize>) -> &[u8] {
        &self.held[range.clone()]
    }

    /// Forgets everything: the connection is gone.
    pub(crate) fn clear(&mut self) {
        self.start = self.held.len();
        self.forget_used();
    }

    fn forget_used(&mut self) {
        if self.start == self.held.len() {
            self.start = 0;
            self.held.clear();
            if self.held.capacity() > KEPT_BYTES {
                self.held = Vec::new();
            }
        }
    }
}

/// The session that a frame bears if it is a welcome; other frames may have no such thing.
fn session(frame: &Frame<'_>) -> Option<SessionId> {
    let session = (frame.kind == kind::WELCOME).then(|| frame.extensions.session()).flatten()?;
    session.try_into().ok().map(SessionId)
}

/// How many bytes the cut frame lacks, or its length field does.
fn lacking(pending: &[u8]) -> usize {
    match pending.first_chunk::<LENGTH_BYTES>() {
        Some(length) => {
            (u32::from_le_bytes(*length) as usize).saturating_add(LENGTH_BYTES) - pending.len()
        }
        None => LENGTH_BYTES - pending.len(),
    }
}

/// Bodies that are being joined from chunks: how much memory they take together.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    bytes: usize,
}

impl Joining {
    /// Adds a chunk to a body, unless the body would grow over `body_max` or all of them together
    /// over `total_max`.
    #[must_use]
    pub(crate) fn append(
        &mut self,
        body: &mut Vec<u8>,
        chunk: &[u8],
        body_max: usize,
        total_max: usize,
    ) -> bool {
        if body.len() + chunk.len() > body_max || self.bytes + chunk.len() > total_max {
            return false;
        }
        body.extend_from_slice(chunk);
        self.bytes += chunk.len();
        true
    }

    /// Gives a body's bytes free.
    pub(crate) fn release(&mut self, body: &mut Vec<u8>) -> Vec<u8> {
        self.bytes -= body.len();
        core::mem::take(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidekeep_protocol::frame;

    #[test]
    fn any_cut_gives_the_same_frames() {
        let mut stream = Vec::new();
        for id in 1..6_u32 {
            frame::write(&mut stream, 0x90, 0, id, &[(1, b"ab")], |out| {
                out.extend(core::iter::repeat_n(id as u8, id as usize * 3));
            });
        }
        for first in 0..=stream.len() {
            for second in [first, (first + 1).min(stream.len()), stream.len()] {
                let mut receive = Receive::default();
                let mut seen = Vec::new();
                for mut input in [&stream[..first], &stream[first..second], &stream[second..]] {
                    while let Some(arrived) = receive.next(&mut input, 1000).unwrap() {
                        let body = match &arrived.body {
                            Place::Input(bytes) => *bytes,
                            Place::Held(range) => receive.slice(range),
                            Place::Joined => unreachable!(),
                        };
                        assert!(body.iter().all(|&byte| u32::from(byte) == arrived.id));
                        seen.push((arrived.id, body.len()));
                    }
                    assert!(input.is_empty());
                }
                assert_eq!(seen, [(1, 3), (2, 6), (3, 9), (4, 12), (5, 15)]);
            }
        }
    }

    #[test]
    fn joined_bodies_are_bounded_alone_and_together() {
        let mut joining = Joining::default();
        let (mut one, mut two) = (Vec::new(), Vec::new());
        assert!(joining.append(&mut one, &[0; 6], 8, 10));
        assert!(!joining.append(&mut one, &[0; 3], 8, 10));
        assert!(!joining.append(&mut two, &[0; 5], 8, 10));
        assert!(joining.append(&mut two, &[0; 4], 8, 10));
        assert_eq!(joining.release(&mut one).len(), 6);
        assert!(joining.append(&mut two, &[0; 4], 8, 10));
    }
}
