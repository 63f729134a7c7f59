//! What is said on a connection: frames, read one by one from what TLS has decrypted, and written many at
//! once.
//!
//! ```text
//! | length of the payload u32 | number u64 | kind u8 | payload |        little endian
//! ```
//! The side that connected sends requests and pings, the other one answers with the same number. The first
//! frame of all is the welcome: only then does the caller know that its own certificate was taken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;

/// A connection. TLS asks for a few kilobytes at a time, so what it reads from is buffered.
pub(crate) type Stream = tokio_rustls::TlsStream<BufReader<TcpStream>>;

const HEADER_BYTES: usize = 13;
/// Bytes that are encrypted and written at once.
const BATCH_BYTES: usize = 128 << 10;
/// Bytes that are read from the socket at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes that the system may hold before it sends them.
const UNSENT_BYTES: u32 = 256 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request = 1,
    Reply = 2,
    Ping = 3,
    Pong = 4,
    Welcome = 5,
    Join = 6,
    Joined = 7,
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

/// Puts frames together from what arrives.
pub(crate) struct Inbox {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are there.
    filled: usize,
    kind: Kind,
    payload: Vec<u8>,
    length: usize,
    length_max: usize,
    /// Whether anything has come since it was last asked.
    heard: bool,
}

/// Frames on their way out.
#[derive(Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame's payload that are in the batch; none is if its header is not.
    begun: Option<usize>,
    batch: Vec<u8>,
    written: usize,
    flushed: bool,
}

/// A socket as connections use it.
pub(crate) fn buffered(socket: TcpStream) -> io::Result<BufReader<TcpStream>> {
    socket.set_nodelay(true)?;
    // Ends connections whose other side is gone without a word.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    let terms = socket2::SockRef::from(&socket);
    terms.set_tcp_keepalive(&keepalive)?;
    // What the system has taken but not sent says nothing of whether the other side still reads.
    terms.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    // Ends those to which something was sent that is never confirmed.
    terms.set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::with_capacity(READ_BYTES, socket))
}

/// Waits for the next frame.
pub(crate) async fn next_frame(inbox: &mut Inbox, stream: &mut Stream) -> io::Result<Frame> {
    poll_fn(|cx| inbox.poll_next(cx, stream)).await
}

/// Writes a frame when nothing else is under way.
pub(crate) async fn write_frame(stream: &mut Stream, frame: Frame) -> io::Result<()> {
    let mut outbox = Outbox::default();
    outbox.push(frame);
    poll_fn(|cx| outbox.poll_write(cx, stream, &mut 0)).await
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Request,
            Self::Reply,
            Self::Ping,
            Self::Pong,
            Self::Welcome,
            Self::Join,
            Self::Joined,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl Frame {
    pub(crate) fn new(number: u64, kind: Kind, payload: Vec<u8>) -> Self {
        Self { number, kind, payload }
    }

    /// What it counts among the bytes that are queued. A ping has no room of its own.
    pub(crate) fn weight(&self) -> usize {
        match self.kind {
            Kind::Ping => 0,
            _ => HEADER_BYTES + self.payload.len(),
        }
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        // Longer payloads are refused where they come from.
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..12].copy_from_slice(&self.number.to_le_bytes());
        header[12] = self.kind as u8;
        header
    }
}

impl Inbox {
    /// Takes payloads up to this length.
    pub(crate) fn new(length_max: usize) -> Self {
        let (header, payload) = ([0; HEADER_BYTES], Vec::new());
        Self { header, filled: 0, kind: Kind::Ping, payload, length: 0, length_max, heard: false }
    }

    /// Whether anything has come since this was last asked, be it a part of a frame.
    pub(crate) fn heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// The next frame, or an error once the connection has ended.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncBufRead + Unpin),
    ) -> Poll<io::Result<Frame>> {
        loop {
            if self.filled == HEADER_BYTES && self.payload.len() == self.length {
                return Poll::Ready(Ok(self.finish()));
            }
            let bytes = ready!(Pin::new(&mut *stream).poll_fill_buf(cx))?;
            if bytes.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.heard = true;
            let taken = self.take(bytes)?;
            Pin::new(&mut *stream).consume(taken);
        }
    }

    /// Takes what belongs to the frame at hand, and says how much that was.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled < HEADER_BYTES {
            let taken = bytes.len().min(HEADER_BYTES - self.filled);
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            if self.filled == HEADER_BYTES {
                self.begin()?;
            }
            return Ok(taken);
        }
        let taken = bytes.len().min(self.length - self.payload.len());
        self.payload.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn begin(&mut self) -> io::Result<()> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let [length @ .., _, _, _, _, _, _, _, _, kind] = self.header;
        let length = u32::from_le_bytes(length) as usize;
        if length > self.length_max {
            let most = self.length_max;
            return Err(invalid(format!("a frame has {length} bytes, and {most} are allowed")));
        }
        self.kind = Kind::of(kind).ok_or_else(|| invalid(format!("no frame is of kind {kind}")))?;
        self.length = length;
        self.payload = Vec::with_capacity(length);
        Ok(())
    }

    fn finish(&mut self) -> Frame {
        let [_, _, _, _, number @ .., _] = self.header;
        (self.filled, self.length) = (0, 0);
        let payload = std::mem::take(&mut self.payload);
        Frame { number: u64::from_le_bytes(number), kind: self.kind, payload }
    }
}

impl Outbox {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    pub(crate) fn append(&mut self, frames: &mut VecDeque<Frame>) {
        self.frames.append(frames);
    }

    /// Whether nothing is left to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.frames.is_empty()
    }

    /// Writes what there is, and is ready once all of it has left. `freed` grows by the weight of frames
    /// that need not be kept any more.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        freed: &mut usize,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.written == self.batch.len() {
                self.batch.clear();
                self.written = 0;
                *freed += self.fill();
            }
            if self.batch.is_empty() {
                if !self.flushed {
                    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                    self.flushed = true;
                }
                return Poll::Ready(Ok(()));
            }
            self.flushed = false;
            let left = &self.batch[self.written..];
            self.written += ready!(Pin::new(&mut *stream).poll_write(cx, left))?;
        }
    }

    /// Fills the batch with as many frames as go into it, and a piece of one that does not.
    fn fill(&mut self) -> usize {
        let mut freed = 0;
        while let Some(frame) = self.frames.front()
            && self.batch.len() < BATCH_BYTES
        {
            let begun = self.begun.unwrap_or_else(|| {
                self.batch.extend_from_slice(&frame.header());
                0
            });
            let room = BATCH_BYTES.saturating_sub(self.batch.len());
            let end = frame.payload.len().min(begun + room);
            self.batch.extend_from_slice(&frame.payload[begun..end]);
            if end < frame.payload.len() {
                self.begun = Some(end);
                break;
            }
            freed += frame.weight();
            self.begun = None;
            self.frames.pop_front();
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes and gives a few bytes at a time.
    struct Trickle {
        bytes: VecDeque<u8>,
        piece: Vec<u8>,
        pieces: usize,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.pieces);
            self.bytes.extend(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl tokio::io::AsyncRead for Trickle {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            unreachable!("frames are read from the buffer")
        }
    }

    impl AsyncBufRead for Trickle {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let it = self.get_mut();
            it.piece = it.bytes.iter().take(it.pieces).copied().collect();
            Poll::Ready(Ok(&it.piece))
        }

        fn consume(mut self: Pin<&mut Self>, taken: usize) {
            self.bytes.drain(..taken);
        }
    }

    fn through(bytes: Vec<u8>, length_max: usize) -> Poll<io::Result<Frame>> {
        let mut wire = Trickle { bytes: bytes.into(), piece: Vec::new(), pieces: 5 };
        Inbox::new(length_max).poll_next(&mut Context::from_waker(Waker::noop()), &mut wire)
    }

    #[test]
    fn frames_arrive_as_they_were_sent_however_they_are_cut() {
        let cx = &mut Context::from_waker(Waker::noop());
        let lengths = [0, 1, 12, BATCH_BYTES - HEADER_BYTES, 5, BATCH_BYTES * 2 + 1, 0, 30_000];
        for pieces in [1, 7, 4_096, usize::MAX] {
            let mut wire = Trickle { bytes: VecDeque::new(), piece: Vec::new(), pieces };
            let (mut outbox, mut freed, mut bytes) = (Outbox::default(), 0, 0);
            let frame = |number: usize| {
                let payload = vec![number as u8; lengths[number]];
                Frame::new(number as u64 + (7 << 40), Kind::Request, payload)
            };
            for number in 0..lengths.len() {
                bytes += frame(number).weight();
                outbox.push(frame(number));
            }
            assert!(matches!(outbox.poll_write(cx, &mut wire, &mut freed), Poll::Ready(Ok(()))));
            assert!(outbox.is_empty());
            assert_eq!(freed, bytes);
            let mut inbox = Inbox::new(BATCH_BYTES * 3);
            if pieces < 100 {
                wire.pieces = 4_096;
            }
            for number in 0..lengths.len() {
                let Poll::Ready(Ok(got)) = inbox.poll_next(cx, &mut wire) else {
                    panic!("no frame")
                };
                assert_eq!(got, frame(number));
            }
            assert!(matches!(inbox.poll_next(cx, &mut wire), Poll::Ready(Err(_))));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_read() {
        let frame = Frame::new(1, Kind::Request, vec![0; 100]);
        let bytes = [frame.header().as_slice(), &frame.payload].concat();
        assert!(matches!(through(bytes.clone(), 100), Poll::Ready(Ok(_))));
        assert!(
            matches!(through(bytes[..13].to_vec(), 99), Poll::Ready(Err(why)) if why.to_string().contains("99"))
        );
        let mut wrong = bytes;
        wrong[12] = 99;
        assert!(
            matches!(through(wrong, 100), Poll::Ready(Err(why)) if why.to_string().contains("99"))
        );
    }
}
