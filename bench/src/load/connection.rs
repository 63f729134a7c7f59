//! One connection of the generator: what it has asked, what it still has to send, and the checking
//! of what comes. Buffers for reading and writing are shared by all, so that they stay in the cache.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::content::key;
use crate::load::tally::Tally;
use crate::load::work::Ask;
use crate::wire::{Answer, Broken, Shape, Step, Template, Wire};

/// How long a server may take to answer a hello.
const HELLO_LIMIT: Duration = Duration::from_secs(20);
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// What all connections share.
pub(super) struct Desk {
    get: Template,
    set: Template,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Desk {
    pub(super) fn new<W: Wire>(shape: Shape) -> Self {
        let (get, set) = (W::get(), W::set(shape));
        Self { get, set, input: vec![0; READ_BYTES], output: Vec::new() }
    }
}

/// A connection and its batch.
pub(super) struct Connection<W> {
    pub(super) stream: TcpStream,
    wire: W,
    /// What came and is not a whole reply yet.
    unread: Vec<u8>,
    /// What the system did not take yet.
    unsent: Vec<u8>,
    /// The requests of the batch; a request's id is its place here and one more.
    asked: Vec<Option<Ask>>,
    /// Replies that are still to come.
    pub(super) waiting: usize,
    /// Where the next reply without an id belongs.
    next: usize,
    /// From when the batch's time counts.
    since: Instant,
}

impl<W: Wire> Connection<W> {
    /// Connects, says hello, and lets `registry` tell when there is something to do.
    pub(super) fn open(
        address: SocketAddr,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, Broken> {
        let mut stream = Blocking::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HELLO_LIMIT))?;
        let wire = W::open(&mut stream)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            wire,
            unread: Vec::new(),
            unsent: Vec::new(),
            asked: Vec::new(),
            waiting: 0,
            next: 0,
            since: Instant::now(),
        })
    }

    /// Sends a batch, timed from `since`.
    pub(super) fn send(
        &mut self,
        asks: impl Iterator<Item = Ask>,
        since: Instant,
        desk: &mut Desk,
        tally: &Tally,
    ) -> Result<(), Broken> {
        self.asked.clear();
        let out = &mut desk.output;
        out.clear();
        let mut start = 0;
        for ask in asks {
            if self.asked.is_empty() {
                self.wire.begin(out);
            }
            let before = out.len();
            let id = self.wire.id(self.asked.len() as u32 + 1);
            match ask {
                Ask::Get(number) => desk.get.write(out, id, &key(number), |_| ()),
                Ask::Set(number) => {
                    let key = key(number);
                    let value =
                        |out: &mut Vec<u8>| tally.values.write(out, &key, number, tally.generation);
                    desk.set.write(out, id, &key, value);
                }
            }
            self.wire.seal(&mut out[before..]);
            self.asked.push(Some(ask));
            // A message that would be too long with this request ends before it.
            if out.len() - start > self.wire.message_bytes() && before > start {
                let request = out.split_off(before);
                self.wire.end(out, start);
                start = out.len();
                self.wire.begin(out);
                out.extend_from_slice(&request);
            }
        }
        if self.asked.is_empty() {
            return Ok(());
        }
        self.wire.end(out, start);
        self.waiting = self.asked.len();
        self.next = 0;
        self.since = since;
        let sent = write(&mut self.stream, out)?;
        self.unsent.extend_from_slice(&out[sent..]);
        Ok(())
    }

    /// From when the last batch's time counts.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Sends what the system had not taken.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        if !self.unsent.is_empty() {
            let sent = write(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Reads what has come and judges it; when it came.
    pub(super) fn receive(
        &mut self,
        desk: &mut Desk,
        tally: &mut Tally,
    ) -> Result<Instant, Broken> {
        let mut now = Instant::now();
        loop {
            let kept = self.unread.len();
            desk.input[..kept].copy_from_slice(&self.unread);
            let count = match self.stream.read(&mut desk.input[kept..]) {
                Ok(0) => return Err(Broken::protocol("the server closed the connection")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            now = Instant::now();
            let filled = kept + count;
            let (used, whole) = self.read(&desk.input[..filled], tally)?;
            self.unread.clear();
            self.unread.extend_from_slice(&desk.input[used..filled]);
            if self.unread.len() == desk.input.len() {
                return Err(Broken::protocol("a reply that is longer than any that was asked for"));
            }
            tally.record(self.since, now, whole);
            // More may lie there only if this filled the buffer; else the system tells of it.
            if filled < desk.input.len() {
                break;
            }
        }
        Ok(now)
    }

    /// Judges every whole reply in `input`; how many bytes that took, and how many replies.
    fn read(&mut self, input: &[u8], tally: &mut Tally) -> Result<(usize, u64), Broken> {
        let (mut used, mut replies) = (0, 0);
        loop {
            match self.wire.next(&input[used..])? {
                Step::Incomplete => return Ok((used, replies)),
                Step::Skip(bytes) => used += bytes,
                Step::Reply { id, answer, bytes } => {
                    self.settle(id, &answer, tally)?;
                    used += bytes;
                    replies += 1;
                }
            }
            if used == input.len() {
                return Ok((used, replies));
            }
        }
    }

    fn settle(
        &mut self,
        id: Option<u32>,
        answer: &Answer<'_>,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let place = match id {
            Some(id) => (id as usize).wrapping_sub(1),
            None => self.next,
        };
        let Some(ask) = self.asked.get_mut(place).and_then(Option::take) else {
            return Err(Broken::protocol("a reply that nobody waits for"));
        };
        self.next += 1;
        self.waiting -= 1;
        tally.judge(ask, answer);
        Ok(())
    }
}

/// Writes as much as the system takes.
fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<usize> {
    let all = bytes.len();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all - bytes.len())
}
