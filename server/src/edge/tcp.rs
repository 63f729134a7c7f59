//! Frames over plain TCP: nothing between them and nothing around them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tidekeep_protocol::error::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::input::Input;
use super::transport::{Received, Transport};
use crate::observe;

/// A TCP connection.
pub(crate) struct Tcp(pub(crate) TcpStream);

impl Transport for Tcp {
    const KIND: observe::Transport = observe::Transport::Tcp;

    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        input: &mut Input,
        limit: usize,
    ) -> Poll<io::Result<Received>> {
        let space = input.space(limit);
        if space.is_empty() {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(space);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        let count = buffer.filled().len();
        input.filled(count);
        Poll::Ready(Ok(if count == 0 { Received::End } else { Received::Bytes }))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<usize>> {
        if frames.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match ready!(Pin::new(&mut self.0).poll_write(context, frames)) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => Poll::Ready(other),
        }
    }

    fn poll_finish(&mut self, context: &mut Context<'_>, _: Code) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn into_stream(self) -> TcpStream {
        self.0
    }
}
