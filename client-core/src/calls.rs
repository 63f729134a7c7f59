//! Requests from the moment they are made until they settle, which each of them does exactly once.
//! A slab: the low half of a call's id is its slot, the high half tells the slot's tenants apart, so
//! that a late reply never meets the wrong call.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use tidekeep_protocol::frame::{self, HEADER_BYTES, LENGTH_BYTES, ext, kind};
use tidekeep_protocol::op::Class;

use crate::outbox::has_room;
use crate::receive::Joining;
use crate::time::Millis;

/// Set in the ids of watches and never in those of calls.
pub(crate) const WATCH_BIT: u32 = 1 << 31;

/// Most slots; the one index that is left over names calls which were refused at once.
pub(crate) const SLOTS_MAX: usize = 0xFFFF;

/// A request's frame without its body: header and the deadline's extension.
const ENVELOPE_BYTES: usize = HEADER_BYTES + 3 + 4;

/// Body capacity that a free slot keeps for its next tenant.
const SLOT_KEPT_BYTES: usize = 1024;

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slot has no tenant.
    Free,
    /// Not sent on this connection.
    Queued,
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
    /// The request's body, as it was encoded once.
    pub(crate) body: Vec<u8>,
    /// The reply's chunks so far.
    pub(crate) joined: Vec<u8>,
    /// The order in which calls were made, which the order of sending follows.
    order: u64,
}

/// All calls that are not settled.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    slots: Vec<Call>,
    free: Vec<u16>,
    /// Ids in the order in which they are to be sent; those settled meanwhile are skipped.
    queue: VecDeque<u32>,
    queued: usize,
    sent: usize,
    bytes: usize,
    made: u64,
    refused: u32,
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

    /// Takes a slot and puts the call at the end of the queue; `write` appends the request's body.
    /// None when every slot is taken.
    pub(crate) fn insert(
        &mut self,
        kind: u8,
        class: Class,
        deadline: Millis,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<u32> {
        let id = self.take_slot(kind, class, deadline)?;
        let call = &mut self.slots[index(id)];
        write(&mut call.body);
        self.bytes += call.body.len();
        Some(id)
    }

    fn take_slot(&mut self, kind: u8, class: Class, deadline: Millis) -> Option<u32> {
        let index = match self.free.pop() {
            Some(index) => usize::from(index),
            None if self.slots.len() == SLOTS_MAX => return None,
            None => {
                let id = self.slots.len() as u32;
                let (body, joined) = (Vec::new(), Vec::new());
                let stage = Stage::Free;
                self.slots.push(Call { id, kind, class, stage, deadline, body, joined, order: 0 });
                id as usize
            }
        };
        self.made += 1;
        let call = &mut self.slots[index];
        call.id = next_tenant(call.id);
        call.kind = kind;
        call.class = class;
        call.stage = Stage::Queued;
        call.deadline = deadline;
        call.order = self.made;
        self.queued += 1;
        self.drop_settled();
        let id = self.slots[index].id;
        self.queue.push_back(id);
        Some(id)
    }

    /// The call with this id, if it is not settled.
    pub(crate) fn find(&mut self, id: u32) -> Option<&mut Call> {
        self.slots.get_mut(index(id)).filter(|call| call.id == id && call.stage != Stage::Free)
    }

    /// Frees the call's slot; what its reply's chunks made so far is given back.
    pub(crate) fn settle(&mut self, id: u32, joining: &mut Joining) -> Option<Settled> {
        let call = self.find(id)?;
        let settled = Settled {
            class: call.class,
            sent: call.stage == Stage::Sent,
            joined: joining.release(&mut call.joined),
        };
        let bytes = call.body.len();
        call.stage = Stage::Free;
        call.body.clear();
        if call.body.capacity() > SLOT_KEPT_BYTES {
            call.body = Vec::new();
        }
        self.bytes -= bytes;
        *(if settled.sent { &mut self.sent } else { &mut self.queued }) -= 1;
        self.free.push(index(id) as u16);
        Some(settled)
    }

    /// Puts a call that was sent back into the queue, before those that were made after it.
    pub(crate) fn queue_again(&mut self, id: u32, joining: &mut Joining) {
        let Some(call) = self.find(id) else { return };
        joining.release(&mut call.joined);
        if call.stage != Stage::Sent {
            return;
        }
        call.stage = Stage::Queued;
        let order = call.order;
        self.sent -= 1;
        self.queued += 1;
        let later = |&id: &u32| {
            let call = &self.slots[index(id)];
            call.id == id && call.stage == Stage::Queued && call.order > order
        };
        let place = self.queue.iter().position(later).unwrap_or(self.queue.len());
        self.queue.insert(place, id);
    }

    /// Any call for which `chosen` holds, at or behind slot `from`; its slot and its id. For walks
    /// that settle what they find.
    pub(crate) fn next_where(
        &self,
        from: usize,
        chosen: impl Fn(&Call) -> bool,
    ) -> Option<(usize, u32)> {
        let wanted = |call: &Call| call.stage != Stage::Free && chosen(call);
        let index = from + self.slots.get(from..)?.iter().position(wanted)?;
        Some((index, self.slots[index].id))
    }

    /// The earliest deadline of all calls.
    pub(crate) fn earliest_deadline(&self) -> Option<Millis> {
        let live = self.slots.iter().filter(|call| call.stage != Stage::Free);
        live.map(|call| call.deadline).min()
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
        while let Some(&id) = self.queue.front() {
            let Some(call) = self.slots.get_mut(index(id)).filter(|call| call.waits(id)) else {
                self.queue.pop_front();
                continue;
            };
            if self.sent >= in_flight || !has_room(out, ENVELOPE_BYTES + call.body.len(), max_bytes)
            {
                return;
            }
            call.write(now, out);
            call.stage = Stage::Sent;
            self.queue.pop_front();
            self.queued -= 1;
            self.sent += 1;
        }
    }

    /// Keeps the queue within twice the calls that wait in it: those that settled before they were
    /// sent leave their ids behind.
    fn drop_settled(&mut self) {
        if self.queue.len() > 2 * self.queued + 32 {
            let slots = &self.slots;
            self.queue.retain(|&id| slots[index(id)].waits(id));
        }
    }
}

impl Call {
    /// The length field of the request's frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        ENVELOPE_BYTES - LENGTH_BYTES + self.body.len()
    }

    /// The kind of frame that answers this call.
    pub(crate) fn reply_kind(&self) -> u8 {
        if self.kind == kind::PING { kind::PONG } else { self.kind | kind::REPLY }
    }

    fn waits(&self, id: u32) -> bool {
        self.id == id && self.stage == Stage::Queued
    }

    fn write(&self, now: Millis, out: &mut Vec<u8>) {
        if self.kind == kind::PING {
            frame::write(out, self.kind, 0, self.id, &[], |_| {});
            return;
        }
        let left_ms = u32::try_from(self.deadline.since(now)).unwrap_or(u32::MAX).max(1);
        let deadline = (ext::DEADLINE, &left_ms.to_le_bytes()[..]);
        frame::write(out, self.kind, 0, self.id, &[deadline], |out| {
            out.extend_from_slice(&self.body);
        });
    }
}

/// What is left of a call that has settled.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) class: Class,
    pub(crate) sent: bool,
    pub(crate) joined: Vec<u8>,
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
