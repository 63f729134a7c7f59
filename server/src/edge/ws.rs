//! Frames in WebSocket messages: several share one message, none spans two. The WebSocket protocol
//! itself is tungstenite's; this only feeds it from a socket and holds it to sizes.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::frame::LENGTH_BYTES;
use tidekeep_protocol::hello::PREFACE;
use tidekeep_protocol::limits::Limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message};

use super::input::Input;
use super::transport::{Received, Transport};
use crate::observe;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 8 << 10;

/// Bytes of messages that are put together for one write.
const WRITE_BYTES: usize = 256 << 10;

/// The longest first message: the preface and a hello.
const GREETING_BYTES: usize = PREFACE.len() + LENGTH_BYTES + Limits::HANDSHAKE_FRAME_BYTES as usize;

/// A WebSocket connection after its upgrade.
pub(crate) struct Ws {
    stream: TcpStream,
    context: WebSocketContext,
    message_bytes: usize,
    longest: usize,
    /// Whether the first message, which begins with the preface, has come.
    greeted: bool,
    /// Whether messages were written that the socket has not taken yet.
    unsent: bool,
    /// What the close frame will say, if the reason lies in the WebSocket protocol.
    close_code: Option<CloseCode>,
}

impl Ws {
    /// A server's end of a connection on which `early` was already read behind the upgrade.
    pub(crate) fn new(stream: TcpStream, early: Vec<u8>, limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(WRITE_BYTES)
            // One more message than is gathered: a single frame may be longer than a message.
            .max_write_buffer_size(WRITE_BYTES + 2 * longest(limits))
            .max_message_size(Some(GREETING_BYTES))
            .max_frame_size(Some(GREETING_BYTES));
        Self {
            stream,
            context: WebSocketContext::from_partially_read(early, Role::Server, Some(config)),
            message_bytes: limits.message_bytes as usize,
            longest: longest(limits),
            greeted: false,
            unsent: false,
            close_code: None,
        }
    }

    fn take(&mut self, message: &[u8], input: &mut Input) -> Received {
        let frames = if self.greeted {
            message
        } else {
            self.greeted = true;
            let longest = Some(self.longest);
            self.context.set_config(|config| {
                config.max_message_size = longest;
                config.max_frame_size = longest;
            });
            // A preface that is wrong is the session's to refuse.
            message.get(PREFACE.len()..).unwrap_or_default()
        };
        if !holds_whole_frames(frames) {
            let text = "a frame spans WebSocket messages";
            return Received::Broken(Refusal::new(Code::Protocol, text));
        }
        input.append(message);
        Received::Bytes
    }

    fn broken(&mut self, error: Error) -> io::Result<Received> {
        let (close_code, refusal) = match error {
            Error::ConnectionClosed | Error::AlreadyClosed => return Ok(Received::End),
            Error::Io(error) => return Err(error),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return Ok(Received::End);
            }
            Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                let text = format!("a message of {size} bytes is over the limit of {max_size}");
                (CloseCode::Size, Refusal::new(Code::TooLarge, text))
            }
            Error::Utf8(_) => (CloseCode::Unsupported, text_refused()),
            error => (CloseCode::Protocol, Refusal::new(Code::Protocol, error.to_string())),
        };
        self.close_code = Some(close_code);
        Ok(Received::Broken(refusal))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.context.flush(&mut Bridge::new(&mut self.stream, context)) {
            Ok(()) => {
                self.unsent = false;
                Poll::Ready(Ok(()))
            }
            Err(error) => settle(error),
        }
    }
}

impl Transport for Ws {
    const KIND: observe::Transport = observe::Transport::WebSocket;

    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        input: &mut Input,
        limit: usize,
    ) -> Poll<io::Result<Received>> {
        // A message is added whole: there must be room for the longest.
        if input.unread().len() >= limit {
            return Poll::Pending;
        }
        let mut bridge = Bridge::new(&mut self.stream, context);
        let read = self.context.read(&mut bridge);
        let heard = bridge.heard;
        let received = match read {
            Ok(Message::Binary(message)) => self.take(&message, input),
            Ok(Message::Text(_)) => {
                self.close_code = Some(CloseCode::Unsupported);
                Received::Broken(text_refused())
            }
            Ok(Message::Close(_)) => Received::End,
            // Pongs are sent by the next read.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Received::Signs,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if !heard {
                    return Poll::Pending;
                }
                Received::Part
            }
            Err(error) => return Poll::Ready(self.broken(error)),
        };
        Poll::Ready(Ok(received))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent {
            ready!(self.poll_flush(context))?;
        }
        let mut taken = 0;
        while taken < frames.len() && taken < WRITE_BYTES {
            let length = message_length(&frames[taken..], self.message_bytes);
            let message = Bytes::copy_from_slice(&frames[taken..taken + length]);
            let mut bridge = Bridge::new(&mut self.stream, context);
            match self.context.write(&mut bridge, Message::Binary(message)) {
                Ok(()) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(Error::Io(error)) => return Poll::Ready(Err(error)),
                Err(error) => return Poll::Ready(Err(io::Error::other(error))),
            }
            self.unsent = true;
            taken += length;
        }
        if self.unsent {
            match self.poll_flush(context) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn has_unsent(&self) -> bool {
        self.unsent
    }

    fn poll_finish(&mut self, context: &mut Context<'_>, code: Code) -> Poll<io::Result<()>> {
        if self.context.can_write() {
            let close = CloseFrame {
                code: self.close_code.unwrap_or_else(|| close_code(code)),
                reason: code.name().into(),
            };
            let mut bridge = Bridge::new(&mut self.stream, context);
            match self.context.close(&mut bridge, Some(close)) {
                Ok(()) => {}
                Err(error) => ready!(settle(error))?,
            }
        }
        ready!(self.poll_flush(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// The longest message a client may send: several frames within the limit of a message, or a
/// single longer frame.
pub(crate) fn longest(limits: &Limits) -> usize {
    (limits.message_bytes as usize).max(limits.frame_bytes as usize + LENGTH_BYTES)
}

fn text_refused() -> Refusal {
    Refusal::new(Code::Protocol, "WebSocket messages must be binary")
}

fn close_code(code: Code) -> CloseCode {
    match code {
        Code::Unavailable => CloseCode::Restart,
        Code::ResourceExhausted | Code::TooManyConnections | Code::OverBudget => CloseCode::Again,
        Code::TooLarge => CloseCode::Size,
        Code::Protocol | Code::Version => CloseCode::Protocol,
        Code::Storage | Code::Internal => CloseCode::Error,
        _ => CloseCode::Policy,
    }
}

/// Whether a message's frames end where the message does. Frames too long or too short for their
/// header are the session's to refuse.
fn holds_whole_frames(message: &[u8]) -> bool {
    let mut rest = message;
    while let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        match after.get(u32::from_le_bytes(*length) as usize..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    rest.is_empty()
}

/// How many bytes of `frames` make the next message: as many frames as fit, at least one.
fn message_length(frames: &[u8], message_bytes: usize) -> usize {
    let mut at = 0;
    while let Some((length, after)) = frames[at..].split_first_chunk::<LENGTH_BYTES>() {
        let next = at + LENGTH_BYTES + (u32::from_le_bytes(*length) as usize).min(after.len());
        if at > 0 && next > message_bytes {
            break;
        }
        at = next;
    }
    if at == 0 { frames.len() } else { at }
}

/// Turns an error of writing into a poll: a socket that takes no more now is no error.
fn settle(error: Error) -> Poll<io::Result<()>> {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        Error::Io(error) => Poll::Ready(Err(error)),
        Error::ConnectionClosed => Poll::Ready(Ok(())),
        error => Poll::Ready(Err(io::Error::other(error))),
    }
}

/// The socket as tungstenite wants it: reading and writing that would block says so, and has the
/// task woken.
struct Bridge<'a, 'c> {
    stream: &'a mut TcpStream,
    context: &'a mut Context<'c>,
    /// Whether any bytes came.
    heard: bool,
}

impl<'a, 'c> Bridge<'a, 'c> {
    fn new(stream: &'a mut TcpStream, context: &'a mut Context<'c>) -> Self {
        Self { stream, context, heard: false }
    }
}

impl Read for Bridge<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.stream).poll_read(self.context, &mut buffer) {
            Poll::Ready(Ok(())) => {
                self.heard |= !buffer.filled().is_empty();
                Ok(buffer.filled().len())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Bridge<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.stream).poll_write(self.context, bytes) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::frame;

    use super::*;

    fn frames(bodies: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, length) in bodies.iter().enumerate() {
            frame::write(&mut bytes, 0x90, 0, id as u32, &[], |out| out.extend(vec![0; *length]));
        }
        bytes
    }

    #[test]
    fn frames_share_messages_and_never_span_them() {
        let run = frames(&[10, 20, 100, 5, 5]);
        let (mut rest, mut lengths) = (&run[..], Vec::new());
        while !rest.is_empty() {
            let length = message_length(rest, 60);
            assert!(holds_whole_frames(&rest[..length]));
            lengths.push(length);
            rest = &rest[length..];
        }
        assert_eq!(lengths, [22 + 32, 112, 17 + 17]);
    }

    #[test]
    fn a_message_that_ends_inside_a_frame_is_told() {
        let run = frames(&[10, 20]);
        assert!(holds_whole_frames(&run) && holds_whole_frames(b""));
        for cut in [1, 3, 4, 21, 23, 30, run.len() - 1] {
            assert!(!holds_whole_frames(&run[..cut]), "cut at {cut}");
        }
    }
}
