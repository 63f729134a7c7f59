//! Commands that arrived together and run together, as native requests; and what each is told. The
//! replies are written as the store gives the answers, behind a mark up to which bytes may be shown:
//! it moves on when the store says that all of them are safe.

use std::collections::VecDeque;

use tidekeep_log::{Answer, Answers, Call, Found, Pending};

use super::encode::{Encoder, Version};
use super::house::House;
use super::plan::{At, Planned};
use super::program::LOST;
use super::shape::Shape;
use crate::session::batch::recycle;

/// Commands of one batch at most.
const COMMANDS_MAX: usize = 1024;

/// What a command is told, in its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ticket {
    /// The answer to the next request, in this shape.
    Answer(Shape),
    /// The same, which its client does not want to see.
    Unseen,
    /// So many bytes that are known already.
    Said(usize),
}

/// A batch that has not been handed over yet.
#[derive(Default)]
pub(crate) struct Batch<'b> {
    calls: Vec<Call<'b>>,
    pub(crate) tickets: Vec<Ticket>,
    /// The bytes that are known already.
    pub(crate) said: Vec<u8>,
}

/// What is kept from batch to batch, so that its memory is used again.
#[derive(Default)]
pub(crate) struct Spare {
    calls: Vec<Call<'static>>,
    told: Told,
}

impl<'b> Batch<'b> {
    /// An empty batch.
    #[inline]
    pub(crate) fn begin(spare: &mut Spare) -> Self {
        let Told { tickets, said, .. } = std::mem::take(&mut spare.told);
        Self { calls: std::mem::take(&mut spare.calls), tickets, said }
    }

    /// Adds a command.
    #[inline]
    pub(crate) fn push(&mut self, planned: Planned<'b>, unseen: bool) {
        self.calls.push(Call::new(planned.request));
        self.tickets.push(if unseen { Ticket::Unseen } else { Ticket::Answer(planned.shape) });
    }

    /// Adds what was written to [`Self::said`] from `start` on.
    pub(crate) fn say(&mut self, start: usize) {
        self.tickets.push(Ticket::Said(self.said.len() - start));
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Whether something in it asks the store.
    pub(crate) fn has_requests(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether nobody wants to see the reply to its first command.
    pub(crate) fn is_unseen(&self) -> bool {
        matches!(self.tickets.first(), Some(Ticket::Unseen))
    }

    /// Gives its memory back.
    pub(crate) fn put_back(self, spare: &mut Spare) {
        spare.calls = recycle(self.calls);
        spare.told = Told { tickets: self.tickets, said: self.said, ..Told::default() };
        spare.told.clear();
    }

    /// Whether it should run before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.tickets.len() >= COMMANDS_MAX
    }

    /// Hands the requests over, and writes what it is told at once.
    pub(crate) fn submit(
        self,
        spare: &mut Spare,
        house: &House<'_>,
        outlet: &mut Outlet,
    ) -> (Pending, Told) {
        let mut told = Told { tickets: self.tickets, said: self.said, ..Told::default() };
        let mut teller = Teller { told: &mut told, outlet, at: house.at() };
        let pending = house.commit.submit(&self.calls, &mut teller);
        spare.calls = recycle(self.calls);
        (pending, told)
    }
}

/// What a batch's commands are told, and how far that is.
#[derive(Default)]
pub(crate) struct Told {
    tickets: Vec<Ticket>,
    next: usize,
    said: Vec<u8>,
    said_at: usize,
}

impl Told {
    /// Commands that are not told yet.
    pub(crate) fn left(&self) -> usize {
        self.tickets.len() - self.next
    }

    /// Takes answers that came later, and is done.
    pub(crate) fn finish(
        mut self,
        late: Vec<Answer>,
        spare: &mut Spare,
        house: &House<'_>,
        outlet: &mut Outlet,
    ) {
        let mut teller = Teller { told: &mut self, outlet, at: house.at() };
        late.into_iter().for_each(|answer| teller.answer(answer));
        teller.say_known();
        debug_assert_eq!(self.left(), 0, "one answer for each request");
        self.clear();
        spare.told = self;
    }

    /// Tells all commands that nobody knows what became of them, because storage failed.
    pub(crate) fn lose(mut self, outlet: &mut Outlet) {
        (self.next, self.said_at) = (0, 0);
        while let Some(ticket) = self.tickets.get(self.next).copied() {
            self.next += 1;
            match ticket {
                Ticket::Said(length) => {
                    outlet.out.extend_from_slice(&self.said[self.said_at..self.said_at + length]);
                    self.said_at += length;
                }
                Ticket::Answer(_) => outlet.encoder().error(LOST.as_bytes()),
                Ticket::Unseen => {}
            }
        }
    }

    fn clear(&mut self) {
        self.tickets.clear();
        self.said.clear();
        (self.next, self.said_at) = (0, 0);
    }
}

/// Where replies are written.
pub(crate) struct Outlet {
    pub(crate) out: Vec<u8>,
    /// Bytes of it that the socket has taken.
    gone: usize,
    /// Where the bytes begin that may not be shown yet, if there are any.
    held: Option<usize>,
    pub(crate) version: Version,
    /// Answers that wait for room, oldest first.
    late: VecDeque<Late>,
    late_bytes: usize,
    /// Bytes that may wait for the socket before answers wait as what they are.
    room_bytes: usize,
    /// The longest reply.
    reply_bytes: usize,
}

/// A reply that is not bytes yet, or is so already.
enum Late {
    Answer(Shape, Answer),
    Said(Vec<u8>),
}

impl Late {
    fn bytes(&self) -> usize {
        match self {
            Self::Answer(_, Ok(reply)) => reply.body_bytes(),
            Self::Answer(_, Err(_)) => 0,
            Self::Said(bytes) => bytes.len(),
        }
    }
}

impl Outlet {
    pub(crate) fn new(room_bytes: usize, reply_bytes: usize) -> Self {
        Self {
            out: Vec::new(),
            gone: 0,
            held: None,
            version: Version::Two,
            late: VecDeque::new(),
            late_bytes: 0,
            room_bytes,
            reply_bytes,
        }
    }

    /// What writes replies.
    pub(crate) fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(&mut self.out, self.version)
    }

    /// What the socket should take next.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.out[self.gone..self.held.unwrap_or(self.out.len())]
    }

    /// Notes that the socket took the first `count` of [`Self::bytes`].
    pub(crate) fn taken(&mut self, count: usize) {
        self.gone += count;
        if self.gone == self.out.len() {
            self.out.clear();
            self.gone = 0;
            self.held = self.held.map(|_| 0);
        } else if self.gone >= COMPACT_BYTES {
            self.out.drain(..self.gone);
            self.held = self.held.map(|at| at - self.gone);
            self.gone = 0;
        }
    }

    /// Whether more may be written before the socket has taken some.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() - self.gone < self.room_bytes
    }

    /// Whether a message that nobody asked for may be written: between replies, and while there is
    /// room.
    pub(crate) fn takes_messages(&self) -> bool {
        self.held.is_none() && self.is_level() && self.has_room()
    }

    /// Whether nothing waits: no answer, and no byte.
    pub(crate) fn is_empty(&self) -> bool {
        self.late.is_empty() && self.gone == self.out.len()
    }

    /// Whether no answer waits for room.
    pub(crate) fn is_level(&self) -> bool {
        self.late.is_empty()
    }

    /// Holds back what is written from here on.
    pub(crate) fn hold(&mut self) {
        self.held = Some(self.out.len());
    }

    /// Shows what was held back.
    pub(crate) fn show(&mut self) {
        self.held = None;
    }

    /// Forgets what was held back.
    pub(crate) fn forget_held(&mut self) {
        if let Some(held) = self.held.take() {
            self.out.truncate(held);
            self.late.clear();
            self.late_bytes = 0;
        }
    }

    /// Turns answers that waited into bytes while there is room.
    pub(crate) fn fill(&mut self, at: At) {
        while self.held.is_none()
            && self.has_room()
            && let Some(late) = self.late.pop_front()
        {
            self.late_bytes -= late.bytes();
            match late {
                Late::Answer(shape, answer) => self.write(shape, &answer, at),
                Late::Said(bytes) => self.out.extend_from_slice(&bytes),
            }
        }
    }

    /// Memory that is taken, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.out.capacity() + self.late_bytes
    }

    /// Gives memory back that a burst needed.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.out.shrink_to(IDLE_BYTES);
            self.late.shrink_to(0);
        }
    }

    fn write(&mut self, shape: Shape, answer: &Answer, at: At) {
        if answer.as_ref().is_ok_and(|reply| reply.body_bytes() > self.reply_bytes) {
            return self.encoder().error(b"ERR the reply is longer than the server sends");
        }
        shape.write(answer, at, &mut self.encoder());
    }

    fn wait(&mut self, late: Late) {
        self.late_bytes += late.bytes();
        self.late.push_back(late);
    }
}

/// Output that an idle connection keeps memory for.
const IDLE_BYTES: usize = 4 << 10;

/// Bytes that have gone before the rest is moved to the front.
const COMPACT_BYTES: usize = 64 << 10;

/// Writes each answer as it is given.
struct Teller<'a> {
    told: &'a mut Told,
    outlet: &'a mut Outlet,
    at: At,
}

impl Teller<'_> {
    /// Writes what is known up to the next command that waits for an answer.
    #[inline]
    fn say_known(&mut self) {
        while let Some(Ticket::Said(length)) = self.told.tickets.get(self.told.next) {
            let start = self.told.said_at;
            let said = &self.told.said[start..start + length];
            if self.outlet.is_level() {
                self.outlet.out.extend_from_slice(said);
            } else {
                self.outlet.wait(Late::Said(said.to_vec()));
            }
            self.told.said_at += length;
            self.told.next += 1;
        }
    }

    /// The shape of the next answer; none if nobody wants to see it.
    #[inline]
    fn next(&mut self) -> Option<Shape> {
        self.say_known();
        let ticket = self.told.tickets.get(self.told.next);
        self.told.next += 1;
        match ticket {
            Some(Ticket::Answer(shape)) => Some(*shape),
            _ => None,
        }
    }
}

impl Answers for Teller<'_> {
    fn got(&mut self, found: Found<'_>) {
        let Some(shape) = self.next() else { return };
        if self.outlet.is_level() && self.outlet.has_room() {
            shape.write_entry(found.entry, self.at, &mut self.outlet.encoder());
        } else {
            self.outlet.wait(Late::Answer(shape, Ok(tidekeep_log::Reply::Get(found.keep()))));
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some(shape) = self.next() else { return };
        if self.outlet.is_level() && self.outlet.has_room() {
            self.outlet.write(shape, &answer, self.at);
        } else {
            self.outlet.wait(Late::Answer(shape, answer));
        }
    }
}
