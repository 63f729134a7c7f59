//! A turn: the order lock, held while the writes of one record are stamped, applied under the locks
//! of their shards, and appended. No disk is waited for.

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Put, Request};
use tidekeep_protocol::planted;
use tidekeep_protocol::session::SessionId;
use tidekeep_store::apply::{
    Stamp, apply_end_lease, apply_evict, apply_expire, apply_numbered, apply_plain_put,
    apply_request, apply_step, is_decided,
};
use tidekeep_store::approach::Near;
use tidekeep_store::change::Change;
use tidekeep_store::entry::Entry;
use tidekeep_store::moment::Moment;
use tidekeep_store::record::{self, Command, Expired};
use tidekeep_store::reply::Reply;
use tidekeep_store::sessions::Recall;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Footprint, Writing};
use tidekeep_store::step::Step;

use crate::commit::Call;
use crate::envelope;
use crate::error::Refused;
use crate::gets::Ahead;
use crate::group::{Group, Order, held};
use crate::log::Permit;
use crate::sync::atomic::Ordering;
use crate::sync::{MutexGuard, RwLockWriteGuard};

/// Memory for records that is kept from turn to turn.
const KEEP_BYTES: usize = 1 << 20;

/// Changes after which those so far are handed to the history, which copies what is short of them: the
/// entries are near by then, and the memory of those that were written over is the next ones' at once.
const CHANGES_MAX: usize = 32;

/// The right to write, until the record is appended.
pub(crate) struct Turn<'a> {
    group: &'a Group,
    order: MutexGuard<'a, Order>,
    stamp: Stamp,
    /// The session of the numbered writes that are in the record, if there are any.
    session: Option<SessionId>,
    /// Whether something was applied that the record must keep.
    wrote: bool,
    /// Whether records are kept at all.
    logs: bool,
}

impl<'a> Turn<'a> {
    /// Waits for the turn. Ask the log for a permit before.
    pub(crate) fn begin(group: &'a Group) -> Self {
        let mut order = group.order.lock();
        // Under the lock: what is ordered later has no earlier time.
        let now_ms = group.clock.now_ms();
        let stamp = Stamp { now_ms, revision: group.revision.load(Ordering::Acquire) };
        order.record.clear();
        envelope::begin(&mut order.record);
        record::begin(stamp, &mut order.record);
        Self { group, order, stamp, session: None, wrote: false, logs: group.log().keeps_records() }
    }

    /// The moment of everything in this turn.
    pub(crate) fn moment(&self) -> Moment {
        Moment::of(self.stamp.now_ms, &self.order.tables.leases)
    }

    /// The newest revision, with what was written so far.
    pub(crate) fn revision(&self) -> u64 {
        self.stamp.revision
    }

    /// Applies a client's write. What changes nothing leaves no trace in the record, unless it has a
    /// number, under which it must not be decided a second time.
    pub(crate) fn write(
        &mut self,
        call: &Call<'_>,
        ahead: Option<&mut Ahead<'_>>,
    ) -> Result<Reply, Refusal> {
        if self.order.changes.len() >= CHANGES_MAX {
            self.hand_on();
        }
        let Some(numbered) = &call.number else {
            return match self.put_plainly(call, ahead) {
                Some(reply) => Ok(reply),
                None => self.write_once(call),
            };
        };
        match self.order.tables.sessions.recall(numbered, call.request.spec().kind) {
            Recall::New => self.write_once(call),
            Recall::Answered(answer) => answer,
            Recall::Reused => Err(Refusal::new(
                Code::InvalidInput,
                "the write's number is that of another operation, which was answered",
            )),
            Recall::Forgotten => Err(Refusal::new(
                Code::OutcomeUnknown,
                "the write was sent before, and what became of it is no longer known",
            )),
        }
    }

    /// Applies a put of the plain kind, if it is one and nothing has to be kept in bounds.
    fn put_plainly(&mut self, call: &Call<'_>, ahead: Option<&mut Ahead<'_>>) -> Option<Reply> {
        let group = self.group;
        let is_free = group.memory.limit().is_none() && self.order.tables.intents.is_free();
        let put = plain_put(call).filter(|_| is_free)?;
        let ahead = ahead.and_then(|ahead| ahead.take(put.key));
        let (hash, near) = ahead.unwrap_or_else(|| (group.spread.hash(put.key), Near::default()));
        let mut shard = group.shards[group.spread.shard_of_hash(hash)].write();
        let (reply, change) = apply_plain_put(&mut shard, self.stamp, put, hash, near)?;
        self.publish(change);
        drop(shard);
        self.log_request(call);
        Some(reply)
    }

    fn write_once(&mut self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let group = self.group;
        match group.spread.footprint(&call.request, &self.order.tables.leases) {
            Footprint::One(index) => self.run(call, &mut [group.lock(index)]),
            footprint => self.run(call, &mut group.lock_all(&footprint)),
        }
    }

    fn run(&mut self, call: &Call<'_>, guards: &mut [Locked<'_>]) -> Result<Reply, Refusal> {
        let group = self.group;
        let before = group.counted(guards);
        let mut writing = Writing::new(group.spread, guards).within(group.memory.room());
        let Some(numbered) = &call.number else {
            let tables = &mut self.order.tables;
            let applied = apply_request(&mut writing, tables, self.stamp, &call.request);
            group.count(before, guards);
            let (reply, change) = applied.inspect_err(|refusal| group.refused(refusal))?;
            if self.keep(change, guards) {
                self.log_request(call);
            }
            return Ok(reply);
        };
        let tables = &mut self.order.tables;
        let (answer, change) =
            apply_numbered(&mut writing, tables, self.stamp, numbered, &call.request);
        group.count(before, guards);
        if !is_decided(&answer) {
            // The same number may come again when there is room, or nothing in the way.
            return answer.inspect_err(|refusal| group.refused(refusal));
        }
        let changed = self.keep(change, guards);
        self.wrote = true;
        if !self.logs {
            return answer;
        }
        let (kind, body) = (call.request.spec().kind, call.encoded());
        let record = &mut self.order.record;
        if self.session.replace(numbered.session) != Some(numbered.session) {
            record::push_session(numbered.session, record);
        }
        record::push_numbered(numbered.number, changed, kind, &body, record);
        answer
    }

    /// Adds a write without a number to the record.
    fn log_request(&mut self, call: &Call<'_>) {
        if !self.logs {
            return;
        }
        let record = &mut self.order.record;
        match call.body {
            Some(body) => record::push_request(call.request.spec().kind, body, record),
            None => record::push_decoded(&call.request, record),
        }
    }

    /// Applies a command of a record that was ordered elsewhere, which is answered if it is a client's or a
    /// node's.
    pub(crate) fn command(&mut self, command: Command<'_>) -> Option<Result<Reply, Refusal>> {
        let (request, number) = match command {
            Command::Request(request) => (request, None),
            Command::Numbered { numbered, request, .. } => (request, Some(numbered)),
            Command::Expire(expired) => {
                self.expire(&expired);
                return None;
            }
            Command::Evict(evicted) => {
                self.evict(&evicted);
                return None;
            }
            Command::EndLease(lease) => {
                self.end_lease(lease);
                return None;
            }
            Command::Step(step) => return Some(Ok(self.step(&step))),
        };
        Some(self.write(&Call { number, ..Call::new(request) }, None))
    }

    /// Applies a node's step. Only records that are ordered elsewhere have any, so none is logged here.
    fn step(&mut self, step: &Step) -> Reply {
        let (group, stamp) = (self.group, self.stamp);
        let mut guards = group.lock_all(&group.spread.of_step(step, &self.order.tables));
        let mut writing = Writing::new(group.spread, &mut guards);
        let (reply, change) = apply_step(&mut writing, &mut self.order.tables, stamp, step);
        self.keep(change, &guards);
        group.note_intents(&self.order.tables);
        self.wrote = true;
        reply
    }

    fn expire(&mut self, expired: &[Expired<'_>]) {
        let (group, stamp) = (self.group, self.stamp);
        let shards = expired.iter().map(|entry| group.spread.shard_of(entry.key));
        let mut guards = group.lock_all(&Footprint::of(shards));
        let before = group.counted(&guards);
        let mut writing = Writing::new(group.spread, &mut guards);
        let change = apply_expire(&mut writing, &mut self.order.tables, stamp, expired);
        group.count(before, &guards);
        if let Some(change) = &change {
            let ends = change.events.iter().filter_map(|event| event.entry.expires_at());
            let mut lags = group.lags.lock();
            ends.for_each(|end| lags.record(stamp.now_ms, stamp.now_ms.saturating_sub(end)));
        }
        if self.keep(change, &guards) {
            record::push_expire(expired, &mut self.order.record);
        }
    }

    fn evict(&mut self, evicted: &[Expired<'_>]) {
        let (group, stamp) = (self.group, self.stamp);
        let shards = evicted.iter().map(|entry| group.spread.shard_of(entry.key));
        let mut guards = group.lock_all(&Footprint::of(shards));
        let before = group.counted(&guards);
        let mut writing = Writing::new(group.spread, &mut guards);
        let change = apply_evict(&mut writing, &mut self.order.tables, stamp, evicted);
        group.count(before, &guards);
        if self.keep(change, &guards) {
            record::push_evict(evicted, &mut self.order.record);
        }
    }

    /// Ends leases whose time is over, with their keys, as far as that is little work; how many
    /// leases and how many keys.
    fn end_leases(&mut self, most: usize) -> (usize, usize) {
        let (mut ended, mut keys) = (0, 0);
        while ended < most && keys < KEYS_STEP {
            let leases = &self.order.tables.leases;
            let Some(lease) = leases.due(self.stamp.now_ms).next() else { break };
            keys += self.end_lease(lease);
            ended += 1;
        }
        (ended, keys)
    }

    /// Ends a lease with its keys, if its time is over; how many keys these were.
    fn end_lease(&mut self, lease: u64) -> usize {
        let group = self.group;
        let leases = &self.order.tables.leases;
        let end_ms = leases.end_of(lease).unwrap_or(self.stamp.now_ms);
        let mut guards = group.lock_all(&group.spread.of_lease(leases, lease));
        let before = group.counted(&guards);
        let mut writing = Writing::new(group.spread, &mut guards);
        let tables = &mut self.order.tables;
        let change = apply_end_lease(&mut writing, tables, self.stamp, lease);
        group.count(before, &guards);
        if change.is_some() {
            let lag_ms = self.stamp.now_ms.saturating_sub(end_ms);
            group.lags.lock().record(self.stamp.now_ms, lag_ms);
        }
        let keys = change.as_ref().map_or(0, |change| change.events.len());
        if self.keep(change, &guards) {
            record::push_end_lease(lease, &mut self.order.record);
        }
        keys
    }

    /// Keeps what a command changed, while its shards are still locked: whoever reads an entry
    /// after that finds its revision published, and whoever waits for its end is told.
    fn keep(&mut self, change: Option<Change>, guards: &[Locked<'_>]) -> bool {
        let Some(change) = change else { return false };
        self.publish(change);
        for due_ms in guards.iter().filter_map(|(_, shard)| shard.next_due()) {
            if !planted::is_awake("expiry-not-woken") {
                self.group.alarm.set(due_ms);
            }
        }
        self.group.leases_due(&self.order.tables.leases);
        true
    }

    /// Makes a change's revision the newest. Its shards are still locked.
    fn publish(&mut self, change: Change) {
        self.stamp.revision = change.revision;
        self.group.revision.store(change.revision, Ordering::Release);
        self.order.changes.push(change);
        self.wrote = true;
    }

    /// Hands the changes so far to the history. Nobody is shown them before their record is safe.
    fn hand_on(&mut self) {
        let group = self.group;
        let history_max = group.memory.history_max();
        group.tail.extend(self.order.changes.drain(..), group.positions.known_safe(), history_max);
    }

    /// Appends the record and makes the changes known, unless there is nothing to keep.
    /// Gives the record's index if there is one.
    pub(crate) fn finish(mut self, permit: Permit<'_>) -> Option<u64> {
        if !self.wrote {
            return None;
        }
        let group = self.group;
        self.hand_on();
        group.memory.note_tables(self.order.tables.bytes());
        group.memory.press();
        let noted = group.positions.note(self.stamp.revision);
        let index = match self.logs {
            true => group.log().append_built(permit, &mut self.order.record),
            false => group.log().append_one(permit, &[]),
        };
        debug_assert_eq!(index, noted, "only turns append to the log");
        self.order.record.clear();
        self.order.record.shrink_to(KEEP_BYTES);
        self.wrote = false;
        Some(index)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.wrote {
            // A panic on the way: what was applied is not in the log, so memory and disk differ,
            // and every answer from here on could be wrong. The log alone is right.
            tracing::error!("a write was applied and not logged; ending the process");
            std::process::abort();
        }
    }
}

/// The put of a call, if it is a plain one.
fn plain_put<'c, 'a>(call: &'c Call<'a>) -> Option<&'c Put<'a>> {
    match &call.request {
        Request::Put(put) if put.is_plain() => Some(put),
        _ => None,
    }
}

/// A shard by its number, locked.
type Locked<'a> = (usize, RwLockWriteGuard<'a, Shard>);

impl Group {
    fn lock(&self, index: usize) -> Locked<'_> {
        (index, self.shards[index].write())
    }

    fn lock_all(&self, footprint: &Footprint) -> Vec<Locked<'_>> {
        footprint.indexes(self.shards.len()).map(|index| self.lock(index)).collect()
    }

    /// What shards hold, if it is to be known.
    fn counted(&self, guards: &[Locked<'_>]) -> Option<u64> {
        self.memory.limit().map(|_| held(guards.iter().map(|(_, shard)| &**shard)))
    }

    /// Counts what a command did to shards that held `before`.
    fn count(&self, before: Option<u64>, guards: &[Locked<'_>]) {
        if let Some(before) = before {
            self.memory.moved(before, held(guards.iter().map(|(_, shard)| &**shard)));
        }
    }

    fn refused(&self, refusal: &Refusal) {
        if refusal.code == Code::MemoryFull {
            self.memory.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends leases whose time is over; gives how many, and how many keys went with them.
    ///
    /// # Errors
    /// The log has no room now.
    pub(crate) fn end_leases(&self) -> Result<(usize, usize), Refused> {
        let most = (self.record_bytes / END_LEASE_BYTES).clamp(1, LEASES_STEP);
        let bytes = record::bytes_for(most, most * size_of::<u64>());
        let permit = self.log().admit_freeing(1, bytes)?;
        let mut turn = Turn::begin(self);
        let ended = turn.end_leases(most);
        turn.finish(permit);
        Ok(ended)
    }

    /// Removes entries whose time is over; gives how many were tried.
    ///
    /// # Errors
    /// The log has no room now.
    pub(crate) fn expire(&self, due: &[Entry]) -> Result<usize, Refused> {
        self.remove(due, |turn, expired| turn.expire(expired))
    }

    /// Removes entries to make room; gives how many were tried.
    ///
    /// # Errors
    /// The log has no room now.
    pub(crate) fn remove_evicted(&self, chosen: &[Entry]) -> Result<usize, Refused> {
        self.remove(chosen, |turn, evicted| turn.evict(evicted))
    }

    fn remove(
        &self,
        entries: &[Entry],
        command: impl FnOnce(&mut Turn<'_>, &[Expired<'_>]),
    ) -> Result<usize, Refused> {
        let mut bytes = 0;
        let removed: Vec<_> = entries
            .iter()
            .map(|entry| Expired { key: entry.key(), modified: entry.modified() })
            .take_while(|expired| {
                bytes += expired.key.len() + EXPIRED_BYTES;
                bytes <= self.record_bytes
            })
            .collect();
        let permit = self.log().admit_freeing(1, record::bytes_for(1, bytes))?;
        let mut turn = Turn::begin(self);
        command(&mut turn, &removed);
        turn.finish(permit);
        Ok(removed.len())
    }
}

/// Leases that end in one turn at most, and keys after which no more are begun.
const LEASES_STEP: usize = 256;
const KEYS_STEP: usize = 512;

/// More than the end of a lease takes in a record.
const END_LEASE_BYTES: usize = 64;

/// More than an entry of an expire command takes beside its key: two lengths and a revision.
const EXPIRED_BYTES: usize = 20;
