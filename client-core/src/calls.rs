//! Requests from the moment they are made until they settle, which each of them does exactly once.
//! A slab: the low half of a call's id is its slot, the high half tells the slot's tenants apart, so
//! that a late reply never meets the wrong call.

use alloc::vec::Vec;

use tidekeep_protocol::frame::{HEADER_BYTES, LENGTH_BYTES, ext, flag, kind};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::Class;
use tidekeep_protocol::planted;
use tidekeep_protocol::session::Number;

use crate::backoff::Backoff;
use crate::config::FOR_PROGRAMS;
use crate::outbox::{has_room, write_frame};
use crate::receive::Joining;
use crate::session::Session;
use crate::time::Millis;

/// Set in the ids of watches and never in those of calls.
pub(crate) const WATCH_BIT: u32 = 1 << 31;

/// Most slots; the one index that is left over names calls which were refused at once.
pub(crate) const SLOTS_MAX: usize = 0xFFFF;

/// A request's frame without its body: header and the deadline's extension.
const ENVELOPE_BYTES: usize = HEADER_BYTES + 3 + 4;

/// What a write's number adds to it.
const NUMBER_BYTES: usize = 3 + Number::BYTES;

/// What it adds to a read that it may show less than the newest.
const FRESHNESS_BYTES: usize = 3 + Freshness::BYTES;

/// Body capacity that a free slot keeps for its next tenant.
const SLOT_KEPT_BYTES: usize = 1024;

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slot has no tenant.
    Free,
    /// Not sent on this connection.
    Queued,
    /// Refused for now.
    Resting,
    /// Given to the transport.
    Sent,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: u32,
    pub(crate) kind: u8,
    pub(crate) class: Class,
    pub(crate) stage: Stage,
    pub(crate) deadline: Millis,
    /// What it must have seen, if it only reads.
    freshness: Freshness,
    /// Its place in the session, from when it was first sent; 0 while it has none.
    pub(crate) sequence: u64,
    /// It was sent on an earlier connection and may have been applied there.
    pub(crate) doubtful: bool,
    /// A mutation's: the queue settles its number, and knows whether it was sent before.
    pub(crate) queued: bool,
    /// The request's body, as it was encoded once.
    pub(crate) body: Vec<u8>,
    /// The reply's chunks so far.
    pub(crate) joined: Vec<u8>,
    /// When it is queued again, while it rests.
    rested_at: Millis,
    /// How long it rests when it is refused for now.
    backoff: Backoff,
    /// The order in which calls were made, which the order of sending follows.
    order: u64,
}

/// All calls that are not settled.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    slots: Vec<Call>,
    free: Vec<u16>,
    /// Ids in the order in which they are to be sent, from `head` on; those settled meanwhile are
    /// skipped.
    queue: Vec<u32>,
    head: usize,
    queued: usize,
    sent: usize,
    bytes: usize,
    made: u64,
    refused: u32,
    pub(crate) session: Session,
}

impl Calls {
    /// Calls that are not settled.
    pub(crate) fn live(&self) -> usize {
        self.queued + self.sent
    }

    /// Calls that wait for the server's reply.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// Bytes of requests that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An id for a call that is refused before it has a slot.
    pub(crate) fn refused_id(&mut self) -> u32 {
        self.refused = self.refused % 0x7FFF + 1;
        self.refused << 16 | SLOTS_MAX as u32
    }

    /// Takes a slot for a call, at the end of the queue, whose request is to be written into its
    /// body before [`Calls::count_body`]. None when every slot is taken.
    pub(crate) fn insert(
        &mut self,
        kind: u8,
        class: Class,
        deadline: Millis,
        freshness: Freshness,
    ) -> Option<u32> {
        self.made += 1;
        let slot = match self.free.pop() {
            Some(slot) => usize::from(slot),
            None if self.slots.len() == SLOTS_MAX => return None,
            None => {
                let slot = self.slots.len();
                self.slots.push(Call::vacant(slot as u32));
                slot
            }
        };
        let call = &mut self.slots[slot];
        call.id = next_tenant(call.id);
        (call.kind, call.class, call.stage) = (kind, class, Stage::Queued);
        (call.deadline, call.order) = (deadline, self.made);
        if FOR_PROGRAMS {
            call.freshness = freshness;
        }
        let id = call.id;
        self.queued += 1;
        self.bound_queue();
        self.queue.push(id);
        Some(id)
    }

    /// The request's body is written.
    pub(crate) fn count_body(&mut self, id: u32) {
        self.bytes += self.slots[index(id)].body.len();
    }

    /// Where the request's body is to be written.
    pub(crate) fn body(&mut self, id: u32) -> &mut Vec<u8> {
        &mut self.slots[index(id)].body
    }

    /// The call with this id, if it is not settled.
    pub(crate) fn find(&mut self, id: u32) -> Option<&mut Call> {
        self.slots.get_mut(index(id)).filter(|call| call.id == id && call.stage != Stage::Free)
    }

    /// Frees the call's slot; what its reply's chunks made so far is forgotten.
    pub(crate) fn settle(&mut self, id: u32, joining: &mut Joining) -> Option<Settled> {
        let call = self.find(id)?;
        let settled = Settled {
            class: call.class,
            sent: call.stage == Stage::Sent,
            doubtful: call.stage == Stage::Sent || call.doubtful,
        };
        joining.release(&mut call.joined);
        let bytes = call.body.len();
        call.stage = Stage::Free;
        let queued = core::mem::take(&mut call.queued);
        call.doubtful = false;
        call.backoff.reset();
        let sequence = core::mem::take(&mut call.sequence);
        call.body.clear();
        if call.body.capacity() > SLOT_KEPT_BYTES {
            call.body = Vec::new();
        }
        self.bytes -= bytes;
        if sequence > 0 && !queued {
            self.session.settle(sequence);
        }
        *(if settled.sent { &mut self.sent } else { &mut self.queued }) -= 1;
        self.free.push(index(id) as u16);
        Some(settled)
    }

    /// Puts a call back into the queue whose connection broke before its reply was whole.
    pub(crate) fn queue_broken(&mut self, id: u32, joining: &mut Joining) {
        if let Some(call) = self.find(id) {
            call.doubtful = call.class == Class::Write;
        }
        self.queue_again(id, joining);
    }

    /// Puts a call that was sent back into the queue, before those that were made after it.
    pub(crate) fn queue_again(&mut self, id: u32, joining: &mut Joining) {
        if self.unsend(id, Stage::Queued, joining) {
            self.enqueue(id);
        }
    }

    /// Lets a call rest that was sent and refused for now: for a while, and not less than `least_ms`.
    /// When that is over.
    pub(crate) fn rest(
        &mut self,
        id: u32,
        now: Millis,
        least_ms: u32,
        delay_ms: impl FnOnce(&mut Backoff) -> u32,
        joining: &mut Joining,
    ) -> Millis {
        let Some(call) = self.find(id) else { return Millis::NEVER };
        let until = now.after(delay_ms(&mut call.backoff).max(least_ms));
        call.rested_at = until;
        self.unsend(id, Stage::Resting, joining);
        until
    }

    /// Puts back into the queue what has rested.
    pub(crate) fn queue_rested(&mut self, now: Millis) {
        let rested = |call: &Call| call.stage == Stage::Resting && call.rested_at <= now;
        while let Some((slot, id)) = self.next_where(0, rested) {
            self.slots[slot].stage = Stage::Queued;
            self.enqueue(id);
        }
    }

    /// A call that was sent counts no longer as such; whether it did.
    fn unsend(&mut self, id: u32, stage: Stage, joining: &mut Joining) -> bool {
        let Some(call) = self.find(id) else { return false };
        joining.release(&mut call.joined);
        if call.stage != Stage::Sent {
            return false;
        }
        call.stage = stage;
        self.sent -= 1;
        self.queued += 1;
        true
    }

    /// Gives a call its place in the queue, before those that were made after it.
    fn enqueue(&mut self, id: u32) {
        let order = self.slots[index(id)].order;
        let mut place = self.head;
        while let Some(&other) = self.queue.get(place) {
            let call = &self.slots[index(other)];
            if call.waits(other) && call.order > order {
                break;
            }
            place += 1;
        }
        self.queue.insert(place, id);
    }

    /// Any call for which `chosen` holds, at or behind slot `from`; its slot and its id. For walks
    /// that settle what they find.
    pub(crate) fn next_where(
        &self,
        from: usize,
        chosen: impl Fn(&Call) -> bool,
    ) -> Option<(usize, u32)> {
        let mut slot = from;
        loop {
            let call = self.slots.get(slot)?;
            if call.stage != Stage::Free && chosen(call) {
                return Some((slot, call.id));
            }
            slot += 1;
        }
    }

    /// When the first deadline of all calls passes, or the first of them has rested.
    pub(crate) fn earliest_due(&self) -> Millis {
        let mut earliest = Millis::NEVER;
        for call in &self.slots {
            let due = match call.stage {
                Stage::Free => continue,
                Stage::Resting => call.rested_at.min(call.deadline),
                Stage::Queued | Stage::Sent => call.deadline,
            };
            earliest = earliest.min(due);
        }
        earliest
    }

    /// Moves queued requests to `out` while it has room and fewer than `in_flight` wait for
    /// replies.
    pub(crate) fn transmit(
        &mut self,
        now: Millis,
        out: &mut Vec<u8>,
        max_bytes: usize,
        in_flight: usize,
    ) {
        while let Some(&id) = self.queue.get(self.head) {
            let call = &mut self.slots[index(id)];
            if call.waits(id) {
                let bytes = LENGTH_BYTES + call.frame_bytes();
                if self.sent >= in_flight || !has_room(out, bytes, max_bytes) {
                    break;
                }
                let numbered =
                    call.sequence > 0 && !planted::is_awake("retry-under-another-number");
                let retry = numbered && (call.doubtful || !call.queued);
                if call.class == Class::Write && !numbered {
                    let Some(sequence) = self.session.take_sequence() else { break };
                    call.sequence = sequence;
                }
                let flags = if retry { flag::RETRY } else { 0 };
                call.write(now, flags, self.session.number(call.sequence), out);
                call.stage = Stage::Sent;
                self.queued -= 1;
                self.sent += 1;
            }
            self.head += 1;
        }
        if self.head == self.queue.len() {
            self.queue.clear();
            self.head = 0;
        }
        self.bound_queue();
    }

    /// Keeps the queue within about twice the calls that wait in it: those that are sent, and those
    /// that settled before, leave their ids behind.
    fn bound_queue(&mut self) {
        if self.queue.len() > 2 * self.queued + 64 {
            let mut kept = 0;
            for place in self.head..self.queue.len() {
                let id = self.queue[place];
                if self.slots[index(id)].waits(id) {
                    self.queue[kept] = id;
                    kept += 1;
                }
            }
            self.queue.truncate(kept);
            self.head = 0;
        }
    }
}

impl Call {
    /// A slot that had no tenant yet.
    fn vacant(slot: u32) -> Self {
        Self {
            id: slot,
            kind: 0,
            class: Class::Read,
            stage: Stage::Free,
            deadline: Millis::NEVER,
            freshness: Freshness::Linearizable,
            sequence: 0,
            doubtful: false,
            queued: false,
            body: Vec::new(),
            joined: Vec::new(),
            rested_at: Millis::NEVER,
            backoff: Backoff::default(),
            order: 0,
        }
    }

    /// The length field of the request's frame, at most.
    pub(crate) fn frame_bytes(&self) -> usize {
        let second_bytes = match self.class {
            Class::Write => NUMBER_BYTES,
            _ if self.may_be_older() => FRESHNESS_BYTES,
            _ => 0,
        };
        ENVELOPE_BYTES - LENGTH_BYTES + second_bytes + self.body.len()
    }

    /// The kind of frame that answers this call.
    pub(crate) fn reply_kind(&self) -> u8 {
        if self.kind == kind::PING { kind::PONG } else { self.kind | kind::REPLY }
    }

    /// Whether it asks for less than the newest.
    fn may_be_older(&self) -> bool {
        FOR_PROGRAMS && self.class == Class::Read && self.freshness != Freshness::Linearizable
    }

    fn waits(&self, id: u32) -> bool {
        self.id == id && self.stage == Stage::Queued
    }

    fn write(&self, now: Millis, flags: u8, number: Number, out: &mut Vec<u8>) {
        let left_ms = u32::try_from(self.deadline.since(now)).unwrap_or(u32::MAX).max(1);
        let (deadline, number) = (left_ms.to_le_bytes(), number.to_bytes());
        let freshness = self.freshness.to_bytes();
        let mut extensions = [(ext::DEADLINE, &deadline[..]), (ext::NUMBER, &number[..])];
        let mut borne = if self.kind == kind::PING { 0 } else { 1 };
        if self.sequence > 0 {
            borne = 2;
        } else if self.may_be_older() {
            // A server that does not know it shows the newest, which is as good.
            extensions[1] = (ext::FRESHNESS, &freshness[..]);
            borne = 2;
        }
        write_frame(out, self.kind, flags, self.id, &extensions[..borne], &self.body);
    }
}

/// What is left of a call that has settled.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) class: Class,
    /// It was sent on the present connection.
    pub(crate) sent: bool,
    /// It was sent on this one or an earlier one: it may have been applied.
    pub(crate) doubtful: bool,
}

/// The slot of an id.
pub(crate) fn index(id: u32) -> usize {
    (id & 0xFFFF) as usize
}

/// The id of a slot's next tenant: never 0, never with [`WATCH_BIT`].
pub(crate) fn next_tenant(id: u32) -> u32 {
    let tenant = (id & !WATCH_BIT) >> 16;
    (tenant % 0x7FFF + 1) << 16 | (id & 0xFFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(count: usize) -> (Calls, Vec<u32>) {
        let mut calls = Calls::default();
        let insert = |calls: &mut Calls| {
            calls.insert(0x10, Class::Read, Millis(9), Freshness::Linearizable).unwrap()
        };
        let ids = (0..count).map(|_| insert(&mut calls)).collect();
        (calls, ids)
    }

    fn send(calls: &mut Calls, count: usize) -> Vec<u32> {
        let mut out = Vec::new();
        let in_flight = calls.sent() + count;
        calls.transmit(Millis(0), &mut out, usize::MAX, in_flight);
        let id = |frame: &[u8]| u32::from_le_bytes(frame[8..12].try_into().unwrap());
        out.chunks(ENVELOPE_BYTES).map(id).collect()
    }

    #[test]
    fn ids_are_never_zero_never_a_watchs_and_differ_between_tenants() {
        let mut joining = Joining::default();
        let (mut calls, _) = calls(0);
        let mut last = 0;
        for _ in 0..70_000 {
            let id = calls.insert(0x10, Class::Read, Millis(9), Freshness::Linearizable).unwrap();
            assert!(id != 0 && id & WATCH_BIT == 0 && id != last);
            assert!(calls.find(last).is_none());
            calls.settle(id, &mut joining);
            last = id;
        }
    }

    #[test]
    fn calls_are_sent_in_the_order_in_which_they_were_made_also_the_second_time() {
        let mut joining = Joining::default();
        let (mut calls, ids) = calls(8);
        assert_eq!(send(&mut calls, 5), ids[..5]);
        calls.settle(ids[1], &mut joining);
        calls.settle(ids[6], &mut joining);
        for again in [3, 0, 4, 2] {
            calls.queue_again(ids[again], &mut joining);
        }
        let order = [0, 2, 3, 4, 5, 7].map(|place| ids[place]);
        assert_eq!(send(&mut calls, 100), order);
        assert_eq!((calls.live(), calls.sent()), (6, 6));
    }

    #[test]
    fn queue_does_not_grow_with_calls_that_have_settled() {
        let mut joining = Joining::default();
        let (mut calls, keep) = calls(1);
        for _ in 0..10_000 {
            let id = calls.insert(0x10, Class::Read, Millis(9), Freshness::Linearizable).unwrap();
            calls.settle(id, &mut joining);
        }
        assert!(calls.queue.len() < 100, "{}", calls.queue.len());
        assert_eq!(calls.slots.len(), 2);
        assert_eq!(send(&mut calls, 100), keep);
    }

    #[test]
    fn slots_run_out_and_come_back() {
        let mut joining = Joining::default();
        let (mut calls, ids) = calls(SLOTS_MAX);
        assert_eq!(calls.insert(0x10, Class::Read, Millis(9), Freshness::Linearizable), None);
        assert_ne!(calls.refused_id(), calls.refused_id());
        let refused = calls.refused_id();
        assert!(calls.find(refused).is_none());
        calls.settle(ids[7], &mut joining);
        assert!(calls.insert(0x10, Class::Read, Millis(9), Freshness::Linearizable).is_some());
    }
}
