//! A turn: the order lock, held while the writes of one record are stamped, applied under the locks
//! of their shards, and appended. No disk is waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{MutexGuard, RwLockWriteGuard};
use tidekeep_protocol::error::Refusal;
use tidekeep_store::apply::{Stamp, apply_expire, apply_request};
use tidekeep_store::change::Change;
use tidekeep_store::entry::Entry;
use tidekeep_store::record::{self, Expired};
use tidekeep_store::reply::Reply;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Footprint, Writing};

use crate::commit::Call;
use crate::error::Refused;
use crate::group::{Group, Order};
use crate::log::Permit;

/// Memory for records that is kept from turn to turn.
const KEEP_BYTES: usize = 1 << 20;

/// The right to write, until the record is appended.
pub(crate) struct Turn<'a> {
    group: &'a Group,
    order: MutexGuard<'a, Order>,
    stamp: Stamp,
}

impl<'a> Turn<'a> {
    /// Waits for the turn. Ask the log for a permit before.
    pub(crate) fn begin(group: &'a Group) -> Self {
        let mut order = group.order.lock();
        // Under the lock: what is ordered later has no earlier time.
        let now_ms = group.clock.now_ms();
        let stamp = Stamp { now_ms, revision: group.revision.load(Ordering::Acquire) };
        order.record.clear();
        record::begin(stamp, &mut order.record);
        Self { group, order, stamp }
    }

    /// The time of everything in this turn.
    pub(crate) fn now_ms(&self) -> u64 {
        self.stamp.now_ms
    }

    /// The newest revision, with what was written so far.
    pub(crate) fn revision(&self) -> u64 {
        self.stamp.revision
    }

    /// Applies a client's write. What changes nothing leaves no trace in the record.
    pub(crate) fn write(&mut self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (group, stamp) = (self.group, self.stamp);
        let footprint = group.spread.footprint(call.request);
        let (reply, changed) = match &footprint {
            Footprint::One(index) => {
                let mut guards = [group.lock(*index)];
                let mut writing = Writing::new(group.spread, &mut guards);
                let (reply, change) = apply_request(&mut writing, stamp, call.request)?;
                (reply, self.keep(change, &guards))
            }
            Footprint::Some(_) | Footprint::All => {
                let mut guards = group.lock_all(&footprint);
                let mut writing = Writing::new(group.spread, &mut guards);
                let (reply, change) = apply_request(&mut writing, stamp, call.request)?;
                (reply, self.keep(change, &guards))
            }
        };
        if changed {
            record::push_request(call.request.spec().kind, call.body, &mut self.order.record);
        }
        Ok(reply)
    }

    fn expire(&mut self, expired: &[Expired<'_>]) {
        let (group, stamp) = (self.group, self.stamp);
        let shards = expired.iter().map(|entry| group.spread.shard_of(entry.key));
        let mut guards = group.lock_all(&Footprint::of(shards));
        let mut writing = Writing::new(group.spread, &mut guards);
        let change = apply_expire(&mut writing, stamp, expired);
        if self.keep(change, &guards) {
            record::push_expire(expired, &mut self.order.record);
        }
    }

    /// Keeps what a command changed, while its shards are still locked: whoever reads an entry
    /// after that finds its revision published, and whoever waits for its end is told.
    fn keep(&mut self, change: Option<Change>, guards: &[Locked<'_>]) -> bool {
        let Some(change) = change else { return false };
        self.stamp.revision = change.revision;
        self.group.revision.store(change.revision, Ordering::Release);
        for due_ms in guards.iter().filter_map(|(_, shard)| shard.next_due()) {
            self.group.alarm.set(due_ms);
        }
        self.order.changes.push(Arc::new(change));
        true
    }

    /// Appends the record and makes the changes known, unless nothing has changed.
    pub(crate) fn finish(mut self, permit: Permit<'_>) {
        if self.order.changes.is_empty() {
            return;
        }
        let group = self.group;
        group.tail.extend(self.order.changes.drain(..), group.positions.known_safe());
        let noted = group.positions.note(self.stamp.revision);
        let index = group.log().append_one(permit, &self.order.record);
        debug_assert_eq!(index, noted, "only turns append to the log");
        self.order.record.shrink_to(KEEP_BYTES);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.order.changes.is_empty() {
            // A panic on the way: what was applied is not in the log, so memory and disk differ,
            // and every answer from here on could be wrong. The log alone is right.
            tracing::error!("a write was applied and not logged; ending the process");
            std::process::abort();
        }
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

    /// Removes entries whose time is over; gives how many were tried.
    ///
    /// # Errors
    /// The log has no room now.
    pub(crate) fn expire(&self, due: &[Entry]) -> Result<usize, Refused> {
        let mut bytes = 0;
        let expired: Vec<_> = due
            .iter()
            .map(|entry| Expired { key: entry.key(), modified: entry.modified() })
            .take_while(|expired| {
                bytes += expired.key.len() + EXPIRED_BYTES;
                bytes <= self.record_bytes
            })
            .collect();
        let permit = self.log().admit_freeing(1, record::bytes_for([bytes].into_iter()))?;
        let mut turn = Turn::begin(self);
        turn.expire(&expired);
        turn.finish(permit);
        Ok(expired.len())
    }
}

/// More than an entry of an expire command takes beside its key: two lengths and a revision.
const EXPIRED_BYTES: usize = 20;
