//! A group: shards behind their locks, one order for all their writes, the recent changes. The only
//! door to the data.
//!
//! A batch runs on its caller's thread. Its first write takes the order lock; until the batch's end
//! writes are stamped, applied and noted, then their record is appended, then the lock is free. What
//! remains is to wait for the record, without a lock.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{Class, Request, TxnOp};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::{Stamp, apply};
use tidekeep_store::change::Change;
use tidekeep_store::read::{self, PageLimits};
use tidekeep_store::record::{self, Command, Expired};
use tidekeep_store::reply::Reply;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Footprint, Spread, Writing};
use tidekeep_store::view::View;

use crate::clock::{Clock, Floor};
use crate::commit::{Answers, Call, Lost, Pending, Promise};
use crate::error::Refused;
use crate::log::Permit;
use crate::positions::Positions;
use crate::tail::Tail;
use crate::ticket::Ticket;

/// Writes of a batch share a record up to this many bytes; more take another one.
const RECORD_BYTES: usize = 1 << 20;

/// The data and everything that keeps it in order.
pub(crate) struct Group {
    pub(crate) positions: Arc<Positions>,
    pub(crate) tail: Tail,
    pub(crate) shards: Box<[RwLock<Shard>]>,
    pub(crate) spread: Spread,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) floor: Floor,
    pub(crate) limits: Limits,
    /// The newest revision that was applied.
    pub(crate) revision: AtomicU64,
    pub(crate) order: Mutex<Order>,
}

/// What only the one who orders may touch.
#[derive(Default)]
pub(crate) struct Order {
    record: Vec<u8>,
    changes: Vec<Change>,
}

/// A batch under way: what is answered, what is left, and what it waits for.
pub(crate) struct Run {
    group: Arc<Group>,
    answers: Answers,
    /// The newest revision that an answer shows.
    shows: u64,
    waiting: Waiting,
}

/// What a batch waits for.
enum Waiting {
    /// Nothing: the answers may be given.
    Nothing,
    /// That what the answers show is safe.
    Safe(Ticket),
    /// That the log has room for the calls that are left, which are kept by kind and body.
    Room(Ticket, Vec<Kept>),
}

/// A call that outlives the buffer it came in: its kind and its body.
type Kept = (u8, Vec<u8>);

impl Run {
    /// Runs a batch as far as it goes without waiting.
    pub(crate) fn start(group: Arc<Group>, calls: &[Call<'_>], mut answers: Answers) -> Self {
        answers.clear();
        let mut run = Self { group, answers, shows: 0, waiting: Waiting::Nothing };
        run.advance(calls);
        run
    }

    /// The answers, if nothing has to be waited for.
    pub(crate) fn into_promise(self) -> Pending {
        match self.waiting {
            Waiting::Nothing => Promise::ready(Ok(self.answers)),
            Waiting::Safe(_) | Waiting::Room(..) => Promise::later(self.finish()),
        }
    }

    async fn finish(mut self) -> Result<Answers, Lost> {
        loop {
            match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
                Waiting::Nothing => return Ok(self.answers),
                Waiting::Safe(safe) => safe.await?,
                Waiting::Room(room, left) => {
                    room.await?;
                    self.go_on(&left);
                }
            }
        }
    }

    /// Runs the calls that were put off until there was room.
    fn go_on(&mut self, left: &[Kept]) {
        let decoded: Vec<_> = left
            .iter()
            .filter_map(|(kind, body)| Some((Request::decode(*kind, body)?.ok()?, body)))
            .collect();
        debug_assert_eq!(decoded.len(), left.len(), "each was decoded before it was put off");
        let calls: Vec<_> = decoded.iter().map(|(request, body)| Call { request, body }).collect();
        self.advance(&calls);
    }

    fn advance(&mut self, calls: &[Call<'_>]) {
        let mut left = calls;
        while !left.is_empty() {
            let (part, rest) = left.split_at(record_of(left));
            let group = Arc::clone(&self.group);
            match group.admit(part) {
                Ok(admission) => self.run(part, admission),
                Err(room) => {
                    let kept = left.iter().map(|c| (c.request.spec().kind, c.body.to_vec()));
                    self.waiting = Waiting::Room(room, kept.collect());
                    return;
                }
            }
            left = rest;
        }
        if let Some(ticket) = self.group.safe(self.shows) {
            self.waiting = Waiting::Safe(ticket);
        }
    }

    /// Runs the calls of one record.
    fn run(&mut self, calls: &[Call<'_>], admission: Admission<'_>) {
        let group = Arc::clone(&self.group);
        let now = group.now();
        let mut ordering = None;
        for call in calls {
            let answer = match (call.request.spec().class, &admission) {
                (Class::Read, _) => group.read(call.request, now, &mut self.shows),
                (Class::Write, Admission::Refused(refusal)) => Err(refusal.clone()),
                (Class::Write, Admission::Freeing(_)) if !frees(call.request) => Err(no_space()),
                (Class::Write, _) => {
                    let ordering = ordering.get_or_insert_with(|| Ordering::begin(&group, now));
                    ordering.write(call, &mut self.shows)
                }
                (Class::Watch | Class::Server, _) => {
                    Err(Refusal::new(Code::Internal, "this operation is no read and no write"))
                }
            };
            self.answers.push(answer);
        }
        if let (Some(ordering), Admission::All(permit) | Admission::Freeing(permit)) =
            (ordering, admission)
        {
            ordering.finish(permit);
        }
    }
}

/// What of a part of a batch may be written.
enum Admission<'a> {
    /// Everything; also when nothing is to be written.
    All(Permit<'a>),
    /// Only what frees space: the disk is full.
    Freeing(Permit<'a>),
    /// Nothing.
    Refused(Refusal),
}

impl Group {
    /// The time, never earlier than any given out before.
    pub(crate) fn now(&self) -> u64 {
        self.floor.raise(self.clock.now_ms())
    }

    /// Locks every shard for reading, in the order that everybody locks them in.
    pub(crate) fn read_all(&self) -> Vec<RwLockReadGuard<'_, Shard>> {
        self.shards.iter().map(RwLock::read).collect()
    }

    /// Freezes a range, and says which revision must be safe before it is shown.
    pub(crate) fn freeze(&self, range: &KeyRange) -> View {
        let now = self.now();
        let shards = self.read_all();
        let revision = self.revision.load(Acquire);
        View::freeze(shards.iter().map(|shard| &**shard), range, now, revision)
    }

    /// What to wait for until everything up to `revision` may be shown.
    pub(crate) fn safe(&self, revision: u64) -> Option<Ticket> {
        if revision > self.positions.last() {
            // It was applied but its record is not appended yet; whoever does that has the lock.
            drop(self.order.lock());
        }
        self.positions.ticket(revision)
    }

    fn admit(&self, calls: &[Call<'_>]) -> Result<Admission<'_>, Ticket> {
        let writes = |freeing: bool| {
            let bodies = calls.iter().filter(move |call| {
                call.request.spec().class == Class::Write && (!freeing || frees(call.request))
            });
            bodies.map(|call| call.body.len())
        };
        if writes(false).next().is_none() {
            return Ok(Admission::Refused(no_space()));
        }
        let log = self.positions.log();
        let refused = match log.admit(1, record::bytes_for(writes(false))) {
            Ok(permit) => return Ok(Admission::All(permit)),
            Err(refused) => refused,
        };
        match refused {
            Refused::Busy(room) => Err(room),
            Refused::Full => match log.admit_freeing(1, record::bytes_for(writes(true))) {
                Ok(permit) => Ok(Admission::Freeing(permit)),
                Err(_) => Ok(Admission::Refused(no_space())),
            },
            Refused::TooLarge { .. } => Ok(Admission::Refused(Refusal::new(
                Code::TooLarge,
                "the write is larger than a segment of the server's log",
            ))),
            Refused::Failed(failure) => {
                Ok(Admission::Refused(Refusal::new(Code::Storage, failure.to_string())))
            }
            Refused::Closed => {
                Ok(Admission::Refused(Refusal::new(Code::Unavailable, "the server is stopping")))
            }
        }
    }

    fn read(&self, request: &Request<'_>, now: u64, shows: &mut u64) -> Result<Reply, Refusal> {
        let limits = PageLimits {
            entries: self.limits.scan_entries as usize,
            bytes: (self.limits.reply_bytes / 2) as usize,
        };
        let reply = match request {
            Request::Get(get) => {
                let shard = self.shards[self.spread.shard_of(get.key)].read();
                let revision = self.revision.load(Acquire);
                let got = read::get(&shard, get.key, now, revision);
                // That a key is absent shows the write that removed it.
                let written = || shard.written().min(revision);
                *shows = (*shows).max(got.entry.as_ref().map_or_else(written, |e| e.modified()));
                return Ok(Reply::Get(got));
            }
            Request::Scan(scan) => {
                let shards = self.read_all();
                let revision = self.revision.load(Acquire);
                let shards = shards.iter().map(|shard| &**shard);
                Reply::Scan(read::scan(shards, scan, limits, now, revision))
            }
            Request::Children(children) => {
                let shards = self.read_all();
                let revision = self.revision.load(Acquire);
                let shards = shards.iter().map(|shard| &**shard);
                Reply::Children(read::children(shards, children, limits, now, revision))
            }
            _ => return Err(Refusal::new(Code::Internal, "this operation is no read")),
        };
        *shows = (*shows).max(reply.shows());
        Ok(reply)
    }
}

impl Group {
    /// Removes entries whose time is over, at most `most` of them. Gives how many there were.
    ///
    /// # Errors
    /// The log has no room now.
    pub(crate) fn expire(&self, most: usize) -> Result<usize, Refused> {
        let now = self.now();
        let mut due = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            due.extend(shard.due(now).take(most - due.len()).cloned());
        }
        if due.is_empty() {
            return Ok(0);
        }
        let expired: Vec<_> = due
            .iter()
            .map(|entry| Expired { key: entry.key(), modified: entry.modified() })
            .collect();
        let bytes = record::bytes_for(expired.iter().map(|expired| expired.key.len() + 16));
        let permit = self.positions.log().admit_freeing(1, bytes)?;
        let mut ordering = Ordering::begin(self, now);
        ordering.expire(&expired);
        ordering.finish(permit);
        Ok(due.len())
    }
}

/// The order lock, held while the writes of one record are stamped, applied and noted.
struct Ordering<'a> {
    group: &'a Group,
    order: MutexGuard<'a, Order>,
    stamp: Stamp,
}

impl<'a> Ordering<'a> {
    fn begin(group: &'a Group, now: u64) -> Self {
        let mut order = group.order.lock();
        // Whoever ordered while this one waited may have been given a later time.
        let stamp =
            Stamp { now_ms: group.floor.raise(now), revision: group.revision.load(Acquire) };
        order.record.clear();
        record::begin(stamp, &mut order.record);
        Self { group, order, stamp }
    }

    fn write(&mut self, call: &Call<'_>, shows: &mut u64) -> Result<Reply, Refusal> {
        let footprint = self.group.spread.footprint(call.request);
        let command = Command::Request(call.request.clone());
        let (reply, changed) = self.apply(&footprint, &command)?;
        if changed {
            record::push_request(call.request.spec().kind, call.body, &mut self.order.record);
        }
        let reply = reply.ok_or_else(|| Refusal::new(Code::Internal, "a write gave no reply"))?;
        *shows = (*shows).max(reply.shows());
        Ok(reply)
    }

    fn expire(&mut self, expired: &[Expired<'_>]) {
        let spread = self.group.spread;
        let footprint = Footprint::of(expired.iter().map(|entry| spread.shard_of(entry.key)));
        let command = Command::Expire(expired.to_vec());
        let changed = self.apply(&footprint, &command).is_ok_and(|(_, changed)| changed);
        if changed {
            record::push_expire(expired, &mut self.order.record);
        }
    }

    /// Applies a command under the locks of its shards; tells whether it took a revision.
    fn apply(
        &mut self,
        footprint: &Footprint,
        command: &Command<'_>,
    ) -> Result<(Option<Reply>, bool), Refusal> {
        let group = self.group;
        let lock = |index: usize| (index, group.shards[index].write());
        let applied = match footprint {
            Footprint::One(index) => {
                apply(&mut Writing::new(group.spread, &mut [lock(*index)]), self.stamp, command)
                    .inspect(|(_, change)| group.publish(change.as_ref()))
            }
            Footprint::Some(_) | Footprint::All => {
                let mut guards: Vec<_> = footprint.indexes(group.shards.len()).map(lock).collect();
                apply(&mut Writing::new(group.spread, &mut guards), self.stamp, command)
                    .inspect(|(_, change)| group.publish(change.as_ref()))
            }
        };
        let (reply, change) = applied?;
        let Some(change) = change else { return Ok((reply, false)) };
        self.stamp.revision = change.revision;
        self.order.changes.push(change);
        Ok((reply, true))
    }

    /// Appends the record and makes the changes known, unless nothing has changed.
    fn finish(mut self, permit: Permit<'_>) {
        if self.order.changes.is_empty() {
            return;
        }
        let index = self.group.positions.log().append_one(permit, &self.order.record);
        self.group.tail.extend(self.order.changes.drain(..));
        self.group.positions.appended(index, self.stamp.revision);
        if self.order.record.capacity() > RECORD_BYTES {
            self.order.record = Vec::new();
        }
    }
}

impl Group {
    /// Moves the revision on while the shards that changed are still locked, so that whoever reads
    /// an entry also knows its revision.
    fn publish(&self, change: Option<&Change>) {
        if let Some(change) = change {
            self.revision.store(change.revision, Release);
        }
    }
}

/// How many calls, from the first, share a record.
fn record_of(calls: &[Call<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = calls.iter().take_while(|call| {
        bytes += call.body.len();
        bytes <= RECORD_BYTES
    });
    fitting.count().max(1)
}

/// Whether a write only ever makes the store smaller.
fn frees(request: &Request<'_>) -> bool {
    let freeing =
        |op: &TxnOp<'_>| matches!(op, TxnOp::Get(_) | TxnOp::Delete(_) | TxnOp::DeleteRange(_));
    match request {
        Request::Delete(_) | Request::DeleteRange(_) => true,
        Request::Txn(txn) => txn.then.iter().chain(&txn.otherwise).all(freeing),
        _ => false,
    }
}

fn no_space() -> Refusal {
    Refusal::new(Code::NoSpace, "the disk is full; reads and deletes still work")
}
