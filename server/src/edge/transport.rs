//! What a session's driver asks of a transport: bytes in, bytes out, an end that the other side
//! understands.

use std::io;
use std::task::{Context, Poll};

use tidekeep_protocol::error::{Code, Refusal};

use super::input::Input;
use crate::observe;

/// What a look at the socket brought.
#[derive(Debug)]
pub(crate) enum Received {
    /// Bytes for the session were added to the input.
    Bytes,
    /// A part of something for the session came.
    Part,
    /// Something came that is not for the session.
    Signs,
    /// The other side will send no more.
    End,
    /// The other side broke the transport's own rules.
    Broken(Refusal),
}

/// A way for frames to travel.
pub(crate) trait Transport: Unpin + Send {
    /// The name in metrics.
    const KIND: observe::Transport;

    /// Adds what has arrived to `input`, which holds at most `limit` bytes.
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        input: &mut Input,
        limit: usize,
    ) -> Poll<io::Result<Received>>;

    /// Sends some of `frames`, a run of whole frames but for the first, whose beginning may have
    /// been sent before. Ready with how many bytes were taken, 0 only if there is nothing to send;
    /// pending while the socket takes no more.
    fn poll_send(&mut self, context: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<usize>>;

    /// Whether bytes that were taken still wait here: [`Self::poll_send`] is to be called for them,
    /// be it without frames.
    fn has_unsent(&self) -> bool {
        false
    }

    /// Says goodbye, for the reason `code`, once everything was sent.
    fn poll_finish(&mut self, context: &mut Context<'_>, code: Code) -> Poll<io::Result<()>>;

    /// The transport as a plain stream of bytes, to wait for the other side's end.
    fn into_stream(self) -> tokio::net::TcpStream;
}
