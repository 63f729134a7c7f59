//! What carries the bytes: a TCP stream, or a WebSocket of binary messages. Both are polled from one
//! place, so that reading and writing need no lock between them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream as _;
use futures_util::Sink;
use tidekeep_protocol::hello::WEBSOCKET_SUBPROTOCOL;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::address::{Address, Way};

/// Bytes that one read of a TCP stream takes at most.
const READ_BYTES: usize = 64 << 10;

/// An open way to a server.
pub(crate) enum Transport {
    Tcp { stream: TcpStream, received: Box<[u8]>, length: usize },
    WebSocket { socket: Box<WebSocketStream<TcpStream>>, received: Bytes, flushing: bool },
}

impl Transport {
    /// Connects. `message_bytes` bounds the WebSocket messages that are taken.
    pub(crate) async fn open(address: Address, message_bytes: usize) -> io::Result<Self> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        match address.way {
            Way::Tcp => {
                let received = vec![0; READ_BYTES].into_boxed_slice();
                Ok(Self::Tcp { stream, received, length: 0 })
            }
            Way::WebSocket { url } => {
                let mut request = url.into_client_request().map_err(into_io)?;
                let subprotocol = HeaderValue::from_static(WEBSOCKET_SUBPROTOCOL);
                request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol);
                let config = WebSocketConfig::default()
                    .max_message_size(Some(message_bytes))
                    .max_frame_size(Some(message_bytes));
                let (socket, _) =
                    tokio_tungstenite::client_async_with_config(request, stream, Some(config))
                        .await
                        .map_err(into_io)?;
                let socket = Box::new(socket);
                Ok(Self::WebSocket { socket, received: Bytes::new(), flushing: false })
            }
        }
    }

    /// Waits for bytes, which [`Transport::received`] then shows; false when the server has ended
    /// the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self {
            Self::Tcp { stream, received, length } => {
                let mut buffer = ReadBuf::new(received);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                *length = buffer.filled().len();
                Poll::Ready(Ok(*length > 0))
            }
            Self::WebSocket { socket, received, .. } => loop {
                match ready!(Pin::new(&mut *socket).poll_next(cx)) {
                    Some(Ok(Message::Binary(bytes))) => {
                        *received = bytes;
                        return Poll::Ready(Ok(true));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Text(_))) => {
                        let error = io::Error::other("the server sent a text message");
                        return Poll::Ready(Err(error));
                    }
                    Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(false)),
                    Some(Err(error)) => return Poll::Ready(Err(into_io(error))),
                }
            },
        }
    }

    /// The bytes of the last read.
    pub(crate) fn received(&self) -> &[u8] {
        match self {
            Self::Tcp { received, length, .. } => &received[..*length],
            Self::WebSocket { received, .. } => received,
        }
    }

    /// Sends `out` and leaves it empty; over WebSocket as one message.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp { stream, .. } => {
                while out.sent < out.bytes.len() {
                    let rest = &out.bytes[out.sent..];
                    match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        sent => out.sent += sent,
                    }
                }
                out.clear();
                Poll::Ready(Ok(()))
            }
            Self::WebSocket { socket, flushing, .. } => {
                let mut socket = Pin::new(&mut **socket);
                if !*flushing {
                    ready!(socket.as_mut().poll_ready(cx)).map_err(into_io)?;
                    let message = Message::Binary(Bytes::copy_from_slice(&out.bytes));
                    socket.as_mut().start_send(message).map_err(into_io)?;
                    *flushing = true;
                }
                ready!(socket.poll_flush(cx)).map_err(into_io)?;
                *flushing = false;
                out.clear();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ends the stream in good order.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Self::WebSocket { socket, .. } => {
                Pin::new(&mut **socket).poll_close(cx).map_err(into_io)
            }
        }
    }
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was not sent. One very large request does not keep its memory.
    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        self.bytes.clear();
        self.bytes.shrink_to(2 * READ_BYTES);
    }
}

fn into_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
