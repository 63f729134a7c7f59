//! Frames on their way out, in lanes: control frames (errors, pongs, heartbeats) always go first,
//! and a long reply or a long watch message leaves in chunks between which everything else moves.
//! Little is written ahead of the socket, so that what comes later can still overtake.

use std::collections::VecDeque;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::ErrorBody;
use tidekeep_protocol::frame::{self, HEADER_BYTES, ext, flag, kind};
use tidekeep_protocol::hello::Welcome;
use tidekeep_protocol::session::SessionId;

/// A body that is too long for one frame, and how much of it has gone.
struct Long {
    kind: u8,
    id: u32,
    bytes: Vec<u8>,
    at: usize,
}

impl Long {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Appends the next chunk; whether it was the last.
    fn write_chunk(&mut self, out: &mut Vec<u8>, chunk_bytes: usize) -> bool {
        let chunk = self.left().min(chunk_bytes);
        let last = chunk == self.left();
        let flags = if last { 0 } else { flag::MORE };
        let bytes = &self.bytes[self.at..self.at + chunk];
        frame::write(out, self.kind, flags, self.id, &[], |out| out.extend_from_slice(bytes));
        self.at += chunk;
        last
    }
}

/// What became of a body given to the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is on its way.
    Taken,
    /// It is longer than any reply may be; nothing of it was kept.
    TooLong,
}

/// The bytes a connection is about to send.
pub(crate) struct Outbox {
    chunk_bytes: usize,
    reply_bytes: usize,
    /// Whole frames, the first `gone` bytes of which the socket has taken.
    ready: Vec<u8>,
    gone: usize,
    control: Vec<u8>,
    replies: VecDeque<Long>,
    reply_backlog: usize,
    watch: Option<Long>,
}

impl Outbox {
    pub(crate) fn new(chunk_bytes: u32, reply_bytes: u32) -> Self {
        Self {
            chunk_bytes: chunk_bytes.max(1) as usize,
            reply_bytes: reply_bytes as usize,
            ready: Vec::new(),
            gone: 0,
            control: Vec::new(),
            replies: VecDeque::new(),
            reply_backlog: 0,
            watch: None,
        }
    }

    /// What the socket should take next: whole frames, but for the part of the first that has gone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.ready[self.gone..]
    }

    /// Notes that the socket took the first `count` of [`Self::bytes`].
    pub(crate) fn taken(&mut self, count: usize) {
        self.gone += count;
        if self.gone == self.ready.len() {
            self.ready.clear();
            self.gone = 0;
        } else if self.gone >= self.chunk_bytes {
            self.ready.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// Whether the socket should be given more before new frames are written: two chunks ahead keep
    /// it busy, more would only make everything behind them late.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() - self.gone < 2 * self.chunk_bytes
    }

    /// How many bytes answers may become at once, beside those that are held back elsewhere.
    pub(crate) fn room(&self, held_back: usize) -> usize {
        (2 * self.chunk_bytes).saturating_sub(self.bytes().len() + held_back)
    }

    /// Where the next frame begins; see [`Self::cut`].
    pub(crate) fn mark(&self) -> usize {
        self.ready.len()
    }

    /// Takes the frames behind a mark out again.
    pub(crate) fn cut(&mut self, mark: usize) -> Vec<u8> {
        self.ready.split_off(mark)
    }

    /// Adds frames that were cut off before.
    pub(crate) fn append(&mut self, frames: &[u8]) {
        self.ready.extend_from_slice(frames);
    }

    /// Bytes written or waiting, long bodies included.
    pub(crate) fn backlog(&self) -> usize {
        let watch = self.watch.as_ref().map_or(0, Long::left);
        self.bytes().len() + self.control.len() + self.reply_backlog + watch
    }

    /// Memory that is taken, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let watch = self.watch.as_ref().map_or(0, |long| long.bytes.capacity());
        self.ready.capacity() + self.control.capacity() + self.reply_backlog + watch
    }

    /// Bytes of control frames and of what stands before them.
    pub(crate) fn control_backlog(&self) -> usize {
        self.bytes().len() + self.control.len()
    }

    /// Whether a long body is on its way.
    pub(crate) fn has_long(&self) -> bool {
        self.watch.is_some() || !self.replies.is_empty()
    }

    /// Bytes of long replies that wait.
    pub(crate) fn reply_backlog(&self) -> usize {
        self.reply_backlog
    }

    /// Whether nothing at all waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.backlog() == 0
    }

    /// Adds a control frame.
    pub(crate) fn control(&mut self, kind: u8, id: u32, body: impl FnOnce(&mut Vec<u8>)) {
        frame::write(&mut self.control, kind, 0, id, &[], body);
    }

    /// Adds the welcome, with the client's session if it has one.
    pub(crate) fn welcome(&mut self, welcome: &Welcome<'_>, session: Option<SessionId>) {
        let extension = session.as_ref().map(|session| (ext::SESSION, &session.0[..]));
        frame::write(&mut self.control, kind::WELCOME, 0, 0, extension.as_slice(), |body| {
            codec::encode(welcome, body);
        });
    }

    /// Adds an error frame; id 0 is the connection's own end.
    pub(crate) fn error(&mut self, id: u32, body: &ErrorBody<'_>) {
        frame::write_value(&mut self.control, kind::ERROR, id, body);
    }

    /// Moves waiting control frames to the front of what is not yet ready.
    pub(crate) fn release_control(&mut self) {
        if !self.control.is_empty() {
            self.ready.extend_from_slice(&self.control);
            self.control.clear();
        }
    }

    /// An estimate of a body's length at which it need not even be tried: estimates are a few
    /// times too high at most, and a body is in memory before its true length is known.
    pub(crate) fn hopeless_bytes(&self) -> usize {
        8 * self.reply_bytes
    }

    /// Whether a body of this length is surely a short reply.
    pub(crate) fn is_short(&self, bytes: usize) -> bool {
        bytes <= self.chunk_bytes && bytes <= self.reply_bytes
    }

    /// Adds a reply that [`Self::is_short`].
    pub(crate) fn short_reply(&mut self, kind: u8, id: u32, body: impl FnOnce(&mut Vec<u8>)) {
        frame::write(&mut self.ready, kind, 0, id, &[], body);
    }

    /// Adds a reply whose body `body` appends. Short ones are ready at once, long ones follow in
    /// chunks.
    pub(crate) fn reply(&mut self, kind: u8, id: u32, body: impl FnOnce(&mut Vec<u8>)) -> Fit {
        match self.write(kind, id, body) {
            Written::Short => Fit::Taken,
            Written::Long(long) => {
                self.reply_backlog += long.left();
                self.replies.push_back(long);
                Fit::Taken
            }
            Written::TooLong => Fit::TooLong,
        }
    }

    /// Adds a watch message. While a long one is leaving there must not be another long one, nor
    /// any of the same watch: see [`Self::watch_busy`].
    pub(crate) fn watch_message(
        &mut self,
        kind: u8,
        id: u32,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Fit {
        match self.write(kind, id, body) {
            Written::Short => Fit::Taken,
            Written::Long(long) => {
                debug_assert!(!self.watch_busy(), "chunks of two watch messages would mix");
                self.watch = Some(long);
                Fit::Taken
            }
            Written::TooLong => Fit::TooLong,
        }
    }

    /// Whether a long watch message is still leaving.
    pub(crate) fn watch_busy(&self) -> bool {
        self.watch.is_some()
    }

    /// Writes the next chunk of a long watch message; whether there was one.
    pub(crate) fn next_watch_chunk(&mut self) -> bool {
        let Some(long) = &mut self.watch else { return false };
        if long.write_chunk(&mut self.ready, self.chunk_bytes) {
            self.watch = None;
        }
        true
    }

    /// Writes the next chunk of a long reply, all of them in turn; whether there was one.
    pub(crate) fn next_reply_chunk(&mut self) -> bool {
        let Some(mut long) = self.replies.pop_front() else { return false };
        let before = long.left();
        let last = long.write_chunk(&mut self.ready, self.chunk_bytes);
        self.reply_backlog -= before - long.left();
        if !last {
            self.replies.push_back(long);
        }
        true
    }

    /// Drops the rest of a long watch message of this watch: its end follows as a control frame.
    pub(crate) fn forget_watch(&mut self, id: u32) {
        if self.watch.as_ref().is_some_and(|long| long.id == id) {
            self.watch = None;
        }
    }

    /// Gives memory back that a burst needed.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.ready.shrink_to(0);
            self.control.shrink_to(0);
            self.replies.shrink_to(0);
        }
    }

    fn write(&mut self, kind: u8, id: u32, body: impl FnOnce(&mut Vec<u8>)) -> Written {
        let start = self.ready.len();
        frame::write(&mut self.ready, kind, 0, id, &[], body);
        let length = self.ready.len() - start - HEADER_BYTES;
        if length <= self.chunk_bytes {
            return Written::Short;
        }
        if length > self.reply_bytes {
            self.ready.truncate(start);
            self.ready.shrink_to(4 * self.chunk_bytes);
            return Written::TooLong;
        }
        let bytes = self.ready.split_off(start);
        self.ready.shrink_to(4 * self.chunk_bytes);
        Written::Long(Long { kind, id, bytes, at: HEADER_BYTES })
    }
}

enum Written {
    Short,
    Long(Long),
    TooLong,
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::frame::Frame;

    use super::*;

    fn frames(bytes: &[u8]) -> Vec<(u8, u32, usize, bool)> {
        let (mut rest, mut frames) = (bytes, Vec::new());
        while let Some((frame, length)) = Frame::decode(rest, u32::MAX).unwrap() {
            frames.push((frame.kind, frame.id, frame.body.len(), frame.more()));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        frames
    }

    fn outbox() -> Outbox {
        Outbox::new(10, 100)
    }

    #[test]
    fn long_replies_leave_in_turn_and_short_ones_pass_them() {
        let mut out = outbox();
        assert_eq!(out.reply(0x93, 1, |out| out.extend([1; 25])), Fit::Taken);
        assert_eq!(out.reply(0x93, 2, |out| out.extend([2; 11])), Fit::Taken);
        assert_eq!(out.reply(0x90, 3, |out| out.extend([3; 10])), Fit::Taken);
        while out.next_reply_chunk() {}
        let expected = [
            (0x90, 3, 10, false),
            (0x93, 1, 10, true),
            (0x93, 2, 10, true),
            (0x93, 1, 10, true),
            (0x93, 2, 1, false),
            (0x93, 1, 5, false),
        ];
        assert_eq!(frames(out.bytes()), expected);
        assert_eq!(out.reply_backlog(), 0);
    }

    #[test]
    fn control_frames_pass_everything_not_yet_ready() {
        let mut out = outbox();
        out.reply(0x93, 1, |out| out.extend([1; 20]));
        out.next_reply_chunk();
        out.control(kind::PONG, 9, |_| {});
        out.release_control();
        out.next_reply_chunk();
        let kinds: Vec<u8> = frames(out.bytes()).iter().map(|frame| frame.0).collect();
        assert_eq!(kinds, [0x93, kind::PONG, 0x93]);
    }

    #[test]
    fn a_reply_over_the_limit_leaves_nothing_behind() {
        let mut out = outbox();
        assert_eq!(out.reply(0x93, 1, |out| out.extend([1; 101])), Fit::TooLong);
        assert!(out.is_empty());
    }

    #[test]
    fn what_the_socket_took_is_not_sent_again() {
        let mut out = outbox();
        for id in 1..=5 {
            out.reply(0x90, id, |out| out.extend([0; 8]));
        }
        let whole = out.bytes().to_vec();
        let mut sent = Vec::new();
        while !out.bytes().is_empty() {
            let part = out.bytes().len().min(7);
            sent.extend_from_slice(&out.bytes()[..part]);
            out.taken(part);
        }
        assert_eq!(sent, whole);
    }

    #[test]
    fn a_watch_that_ends_takes_the_rest_of_its_message_along() {
        let mut out = outbox();
        out.watch_message(0x99, 4, |out| out.extend([0; 30]));
        assert!(out.watch_busy());
        out.forget_watch(5);
        assert!(out.next_watch_chunk());
        out.forget_watch(4);
        assert!(!out.next_watch_chunk());
        assert_eq!(frames(out.bytes()), [(0x99, 4, 10, true)]);
    }
}
