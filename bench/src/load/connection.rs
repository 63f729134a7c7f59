//! One connection of the generator: what it has asked, what it still has to send, and the checking
//! of what comes. Buffers for reading and writing are shared by all, so that they stay in the cache.

use std::collections::VecDeque;
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
    /// The requests since the first that waits, and from when their time counts. A request's place is where it
    /// is here, behind those that were `settled`.
    asked: VecDeque<Option<(Ask, Instant)>>,
    /// Requests that are answered since all were, and not in `asked` any more.
    settled: usize,
    /// Replies that are still to come.
    pub(super) waiting: usize,
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
            asked: VecDeque::new(),
            settled: 0,
            waiting: 0,
            since: Instant::now(),
        })
    }

    /// Sends requests, timed from `since`.
    pub(super) fn send(
        &mut self,
        asks: impl Iterator<Item = Ask>,
        since: Instant,
        desk: &mut Desk,
        tally: &Tally,
    ) -> Result<(), Broken> {
        if self.waiting == 0 {
            (self.settled, self.since) = (0, since);
        }
        let out = &mut desk.output;
        out.clear();
        let (mut start, waited) = (0, self.waiting);
        for ask in asks {
            if self.waiting == waited {
                self.wire.begin(out);
            }
            let before = out.len();
            let id = self.wire.id((self.settled + self.asked.len()) as u32 + 1);
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
            self.asked.push_back(Some((ask, since)));
            self.waiting += 1;
            // A message that would be too long with this request ends before it.
            if out.len() - start > self.wire.message_bytes() && before > start {
                let request = out.split_off(before);
                self.wire.end(out, start);
                start = out.len();
                self.wire.begin(out);
                out.extend_from_slice(&request);
            }
        }
        if self.waiting == waited {
            return Ok(());
        }
        self.wire.end(out, start);
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
            let used = self.read(&desk.input[..filled], now, tally)?;
            self.unread.clear();
            self.unread.extend_from_slice(&desk.input[used..filled]);
            if self.unread.len() == desk.input.len() {
                return Err(Broken::protocol("a reply that is longer than any that was asked for"));
            }
            // More may lie there only if this filled the buffer; else the system tells of it.
            if filled < desk.input.len() {
                break;
            }
        }
        Ok(now)
    }

    /// Judges every whole reply in `input`, which came at `now`; how many bytes that took.
    fn read(&mut self, input: &[u8], now: Instant, tally: &mut Tally) -> Result<usize, Broken> {
        let (mut used, mut replies, mut since) = (0, 0, now);
        while used < input.len() {
            match self.wire.next(&input[used..])? {
                Step::Incomplete => break,
                Step::Skip(bytes) => used += bytes,
                Step::Reply { id, answer, bytes } => {
                    let sent = self.settle(id, &answer, tally)?;
                    // Nearly always requests that left together.
                    if sent != since {
                        tally.record(since, now, std::mem::take(&mut replies));
                        since = sent;
                    }
                    used += bytes;
                    replies += 1;
                }
            }
        }
        tally.record(since, now, replies);
        Ok(used)
    }

    /// Judges a reply; when its request left.
    fn settle(
        &mut self,
        id: Option<u32>,
        answer: &Answer<'_>,
        tally: &mut Tally,
    ) -> Result<Instant, Broken> {
        // Replies without an id come in order: to the first that waits.
        let place = id.map_or(Some(0), |id| (id as usize).checked_sub(self.settled + 1));
        let asked = place.and_then(|place| self.asked.get_mut(place)).and_then(Option::take);
        let Some((ask, since)) = asked else {
            return Err(Broken::protocol("a reply that nobody waits for"));
        };
        while self.asked.pop_front_if(|asked| asked.is_none()).is_some() {
            self.settled += 1;
        }
        self.waiting -= 1;
        tally.judge(ask, answer);
        Ok(since)
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
