//! A batch: the calls of one connection that arrived together. They run on their caller's thread, in
//! parts that take one record each; what remains is to wait for the log, without a lock.
//!
//! ```text
//! part ─▶ admitted by the log ─▶ turn: gets and writes in order ─▶ record ─▶ next part … ─▶ safe
//!            └ busy: the rest is kept, and runs when there is room
//! ```

use std::sync::Arc;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Class, Request, TxnOp};
use tidekeep_store::approach::KEYS_MAX;
use tidekeep_store::moment::Moment;
use tidekeep_store::record;
use tidekeep_store::sessions::Numbered;

use crate::commit::{Answer, Answers, Call, Lost, Pending, Promise};
use crate::envelope::MAX_PAYLOAD;
use crate::error::Refused;
use crate::group::Group;
use crate::log::Permit;
use crate::ticket::Ticket;
use crate::turn::Turn;

/// The longest record that is admitted: an entry in it, with all that a snapshot keeps beside its
/// key and value, must fit into a chunk.
const RECORD_MAX: usize = MAX_PAYLOAD - 1024;

/// Runs a batch as far as it goes without waiting.
pub(crate) fn run(group: &Arc<Group>, calls: &[Call<'_>], answers: &mut dyn Answers) -> Pending {
    let mut batch = Batch { shows: 0, logged: 0, made: 0 };
    match batch.advance(group, calls, answers) {
        None => match batch.waits_for(group) {
            None => Promise::ready(Ok(Vec::new())),
            Some(safe) => Promise::safe(safe, batch.shows, Arc::clone(group), Vec::new()),
        },
        Some(rest) => Promise::later(batch.finish(Arc::clone(group), rest)),
    }
}

/// What has run so far.
struct Batch {
    /// The newest revision that an answer shows something of.
    shows: u64,
    /// Index of the last record that keeps something of it; 0 if there is none. A numbered write that
    /// changed nothing has a record too: its answer must be the same when it comes again.
    logged: u64,
    /// The newest revision when that record was made: all up to it is safe when the record is.
    made: u64,
}

/// What is left to do when there is room.
struct Rest {
    room: Ticket,
    calls: Vec<Kept>,
}

/// A call that outlives the buffer it came in.
struct Kept {
    kind: u8,
    body: Vec<u8>,
    number: Option<Numbered>,
}

impl Kept {
    fn of(call: &Call<'_>) -> Self {
        let kind = call.request.spec().kind;
        Self { kind, body: call.encoded().into_owned(), number: call.number }
    }

    fn call(&self) -> Option<Call<'_>> {
        let request = Request::decode(self.kind, &self.body)?.ok()?;
        Some(Call { body: Some(&self.body), number: self.number, ..Call::new(request) })
    }
}

impl Batch {
    /// What is to be safe before the answers are given, if it is not yet.
    fn waits_for(&self, group: &Group) -> Option<Ticket> {
        let shown = match self.shows <= self.made {
            true => 0,
            false => group.positions.ticket(self.shows).map_or(0, |ticket| ticket.position()),
        };
        let index = shown.max(self.logged);
        if index <= group.log().durable() {
            // What is shown is safe; whoever looks next is to know it.
            group.positions.reach(self.shows);
            return None;
        }
        Some(group.log().ticket(index))
    }

    async fn finish(mut self, group: Arc<Group>, mut rest: Rest) -> Result<Vec<Answer>, Lost> {
        let mut answers = Vec::with_capacity(rest.calls.len());
        loop {
            rest.room.await?;
            let calls: Vec<_> = rest.calls.iter().filter_map(Kept::call).collect();
            debug_assert_eq!(calls.len(), rest.calls.len(), "each was a request when it was kept");
            match self.advance(&group, &calls, &mut answers) {
                Some(more) => rest = more,
                None => break,
            }
        }
        if let Some(safe) = self.waits_for(&group) {
            safe.await?;
            group.positions.reach(self.shows);
        }
        Ok(answers)
    }

    /// Runs part after part until all is done or the log is busy.
    fn advance(
        &mut self,
        group: &Group,
        calls: &[Call<'_>],
        answers: &mut dyn Answers,
    ) -> Option<Rest> {
        let mut left = calls;
        while !left.is_empty() {
            let part = Part::of(left, group.record_bytes);
            match Admission::ask(group, &part) {
                Ok(admission) => self.run(group, part.calls, admission, answers),
                Err(room) => {
                    return Some(Rest { room, calls: left.iter().map(Kept::of).collect() });
                }
            }
            left = &left[part.calls.len()..];
        }
        None
    }

    /// Runs the calls of one part.
    fn run(
        &mut self,
        group: &Group,
        calls: &[Call<'_>],
        admission: Admission<'_>,
        answers: &mut dyn Answers,
    ) {
        let mut turn: Option<Turn<'_>> = None;
        // Reads before the first write are of one moment; those behind it see what the turn did.
        let mut moment: Option<Moment> = None;
        let (mut at, mut ahead, mut ahead_to) = (0, None, 0);
        while let Some(call) = calls.get(at) {
            if call.request.spec().class == Class::Write {
                if at >= ahead_to {
                    group.approach(&calls[at..], &mut ahead);
                    ahead_to = at + KEYS_MAX;
                }
                let answer = admission.of(&call.request).and_then(|()| {
                    let turn = turn.get_or_insert_with(|| {
                        if group.memory.limit().is_some() {
                            group.make_room(growth(calls));
                        }
                        Turn::begin(group)
                    });
                    let answer = turn.write(call, ahead.as_mut());
                    // Whatever was decided was decided by all that came before.
                    self.shows = turn.revision();
                    answer
                });
                answers.answer(answer);
                at += 1;
                continue;
            }
            let moment = match &turn {
                Some(turn) => &turn.moment(),
                None => moment.get_or_insert_with(|| group.moment()),
            };
            match group.get_all(&calls[at..], moment, &mut self.shows, answers) {
                0 => {
                    group.read(&call.request, moment, &mut self.shows, answers);
                    at += 1;
                }
                some => at += some,
            }
        }
        if let (Some(turn), Admission::All(permit) | Admission::Freeing(permit)) = (turn, admission)
        {
            let revision = turn.revision();
            if let Some(index) = turn.finish(permit) {
                (self.logged, self.made) = (index, revision);
            }
        }
    }
}

/// Calls that take one record, and one turn.
struct Part<'p, 'a> {
    calls: &'p [Call<'a>],
    /// How many of them write, and bytes of their bodies in sum.
    writes: usize,
    body_bytes: usize,
}

impl<'p, 'a> Part<'p, 'a> {
    /// The first of `calls` that make a part. A page is read on its own, so that no write waits for it
    /// in the middle of a turn.
    fn of(calls: &'p [Call<'a>], record_bytes: usize) -> Self {
        let mut part = Self { calls: &calls[..0], writes: 0, body_bytes: 0 };
        for (at, call) in calls.iter().enumerate() {
            let (writes, body_bytes) = match call.request.spec().class {
                Class::Write => (part.writes + 1, part.body_bytes + call.body_bytes()),
                Class::Read | Class::Watch | Class::Server => (part.writes, part.body_bytes),
            };
            let alone = is_page(&call.request) || body_bytes > record_bytes;
            if alone && at > 0 {
                break;
            }
            part = Self { calls: &calls[..=at], writes, body_bytes };
            if alone {
                break;
            }
        }
        part
    }
}

fn is_page(request: &Request<'_>) -> bool {
    matches!(request, Request::Scan(_) | Request::Children(_) | Request::Leases(_))
}

/// Which writes of a part may run.
enum Admission<'a> {
    /// All of them.
    All(Permit<'a>),
    /// Those that free space: the disk is full.
    Freeing(Permit<'a>),
    /// None of them.
    Refused(Refusal),
    /// There are none.
    NotNeeded,
}

impl<'a> Admission<'a> {
    /// Asks the log for room, or gives what to wait for before asking again.
    fn ask(group: &'a Group, part: &Part<'_, '_>) -> Result<Self, Ticket> {
        if part.writes == 0 {
            return Ok(Self::NotNeeded);
        }
        let bytes = record::bytes_for(part.writes, part.body_bytes);
        if bytes > RECORD_MAX {
            return Ok(Self::Refused(too_large()));
        }
        match group.log().admit(1, bytes) {
            Ok(permit) => Ok(Self::All(permit)),
            Err(Refused::Full) => {
                let freeing = part.calls.iter().filter(|call| frees(&call.request));
                let keeps = |call: &Call<'_>| matches!(call.request, Request::LeaseKeepAlive(_));
                let keeping = freeing.clone().any(keeps);
                let body_bytes = freeing.clone().map(Call::body_bytes).sum();
                let bytes = record::bytes_for(freeing.count(), body_bytes);
                let log = group.log();
                let admitted = if keeping {
                    log.admit_keeping_alive(1, bytes)
                } else {
                    log.admit_freeing(1, bytes)
                };
                admitted.map(Self::Freeing).or_else(Self::refused)
            }
            Err(refused) => Self::refused(refused),
        }
    }

    fn refused(refused: Refused) -> Result<Self, Ticket> {
        Ok(Self::Refused(match refused {
            Refused::Busy(room) => return Err(room),
            Refused::Full => no_space(),
            Refused::TooLarge { .. } => too_large(),
            Refused::Failed(failure) => Refusal::new(Code::Storage, failure.to_string()),
            Refused::Closed => Refusal::new(Code::Unavailable, "the server is stopping"),
        }))
    }

    /// Whether this write may run.
    fn of(&self, request: &Request<'_>) -> Result<(), Refusal> {
        match self {
            Self::All(_) => Ok(()),
            Self::Freeing(_) if frees(request) => Ok(()),
            Self::Freeing(_) => Err(no_space()),
            Self::Refused(refusal) => Err(refusal.clone()),
            Self::NotNeeded => Err(Refusal::new(Code::Internal, "a write was taken for a read")),
        }
    }
}

/// Whether a write never makes the store larger. That a lease is kept alive must not depend on room:
/// its keys would go.
fn frees(request: &Request<'_>) -> bool {
    let freeing =
        |op: &TxnOp<'_>| matches!(op, TxnOp::Get(_) | TxnOp::Delete(_) | TxnOp::DeleteRange(_));
    match request {
        Request::Delete(_)
        | Request::DeleteRange(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseRevoke(_) => true,
        Request::Txn(txn) => txn.then.iter().chain(&txn.otherwise).all(freeing),
        _ => false,
    }
}

/// About how much memory the writes of a part may take.
fn growth(part: &[Call<'_>]) -> u64 {
    let grows =
        |call: &&Call<'_>| call.request.spec().class == Class::Write && !frees(&call.request);
    part.iter().filter(grows).map(|call| call.body_bytes() as u64 + GROWTH_BYTES).sum()
}

/// What a write adds beside its bytes: an entry's head, its places in a leaf and among the ends.
const GROWTH_BYTES: u64 = 160;

/// What writes get while the disk is full.
pub(crate) fn no_space() -> Refusal {
    Refusal::new(Code::NoSpace, "the disk is full; reads and deletes still work")
}

fn too_large() -> Refusal {
    Refusal::new(Code::TooLarge, "the write is longer than a record of the server's log")
}
