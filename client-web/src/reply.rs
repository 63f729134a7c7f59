//! What the core puts out, packed as records for the page.

use tidekeep_client_core::{Error, Output, ServerInfo, State, WatchEvent};
use tidekeep_protocol::codec::{self, Malformed};
use tidekeep_protocol::entry::{Entry, Meta, Stored};
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{
    Children, ChildrenReply, DeleteRange, DeleteRangeReply, Event, Get, GetReply,
    Increment, IncrementReply, Operation, Put, Scan, ScanReply, Status, StatusReply, Touch,
    TouchReply, Txn, TxnReply, TxnResult, WatchMessage, WriteReply, WriteStatus,
};

use crate::packed::Packer;
use crate::request as op;

mod record {
    pub(super) const REPLY: u8 = 1;
    pub(super) const FAILED: u8 = 2;
    pub(super) const WATCH: u8 = 3;
    pub(super) const WATCH_ENDED: u8 = 4;
    pub(super) const STATE: u8 = 5;
    pub(super) const WELCOME: u8 = 6;
    pub(super) const LINK_DOWN: u8 = 7;
}

mod message {
    pub(super) const CONTENT: u8 = 0;
    pub(super) const CAUGHT_UP: u8 = 1;
    pub(super) const CHANGES: u8 = 2;
    pub(super) const BOOKMARK: u8 = 3;
    pub(super) const RESET: u8 = 4;
}

/// Packs one output. Those that are for the driver leave nothing.
pub(crate) fn output(to: &mut Packer<'_>, output: Output<'_>) {
    match output {
        Output::Open | Output::Close => {}
        Output::State(state) => to.record(record::STATE, state_number(state), |_| {}),
        Output::LinkDown(cause) => to.record(record::LINK_DOWN, 0, |to| error(to, &cause)),
        Output::Reply { call, kind, body } => {
            if reply(to, call.0, kind & !kind::REPLY, body).is_err() {
                let cause = malformed();
                to.record(record::FAILED, call.0, |to| error(to, &cause));
            }
        }
        Output::Failed { call, error: cause } => {
            to.record(record::FAILED, call.0, |to| error(to, &cause));
        }
        Output::Watch { watch, event } => {
            to.record(record::WATCH, watch.0, |to| watch_event(to, event));
        }
        Output::WatchFailed { watch, error: cause } => {
            to.record(record::WATCH_ENDED, watch.0, |to| error(to, &cause));
        }
    }
}

/// Packs what the server said of itself.
pub(crate) fn welcome(to: &mut Packer<'_>, server: &ServerInfo) {
    to.record(record::WELCOME, 0, |to| {
        to.number(server.now_ms as f64 - server.greeted_at.0 as f64);
        to.count(server.version.into());
        to.bytes(&server.server_id);
        to.bytes(&server.store_id);
        to.bytes(server.software.as_bytes());
        let limits = &server.limits;
        for limit in [
            limits.key_bytes,
            limits.value_bytes,
            limits.in_flight,
            limits.watches,
            limits.scan_entries,
            limits.txn_operations,
        ] {
            to.count(limit.into());
        }
    });
}

/// Packs a reply, if its body is what its kind says. Pings have none.
fn reply(to: &mut Packer<'_>, call: u32, kind: u8, body: &[u8]) -> Result<(), Malformed> {
    /// Decodes the body of `O`'s reply and fills a record with it.
    fn decoded<'a, O: Operation>(
        to: &mut Packer<'_>,
        call: u32,
        body: &'a [u8],
        fill: impl FnOnce(&mut Packer<'_>, &O::Reply<'a>),
    ) -> Result<(), Malformed> {
        let reply = codec::decode(body)?;
        to.record(record::REPLY, call, |to| fill(to, &reply));
        Ok(())
    }
    match kind {
        op::GET => decoded::<Get<'_>>(to, call, body, got),
        op::PUT | op::DELETE => decoded::<Put<'_>>(to, call, body, written),
        op::SCAN => decoded::<Scan<'_>>(to, call, body, scanned),
        op::CHILDREN => decoded::<Children<'_>>(to, call, body, children),
        op::TOUCH => decoded::<Touch<'_>>(to, call, body, touched),
        op::INCREMENT => decoded::<Increment<'_>>(to, call, body, incremented),
        op::TXN => decoded::<Txn<'_>>(to, call, body, txn),
        op::DELETE_RANGE => decoded::<DeleteRange<'_>>(to, call, body, range_deleted),
        op::STATUS => decoded::<Status>(to, call, body, status),
        kind::PING | kind::PONG => {
            to.record(record::REPLY, call, |_| {});
            Ok(())
        }
        _ => Err(Malformed),
    }
}

fn got(to: &mut Packer<'_>, reply: &GetReply<'_>) {
    to.count(reply.revision);
    optional_stored(to, reply.entry);
}

fn written(to: &mut Packer<'_>, reply: &WriteReply<'_>) {
    to.count(reply.revision);
    to.u8(status_number(reply.status));
    optional_stored(to, reply.entry);
}

fn scanned(to: &mut Packer<'_>, reply: &ScanReply<'_>) {
    to.count(reply.revision);
    to.count(reply.count);
    to.flag(reply.more);
    to.list(&reply.entries, entry);
}

fn children(to: &mut Packer<'_>, reply: &ChildrenReply<'_>) {
    to.count(reply.revision);
    to.flag(reply.more);
    to.list(&reply.children, |to, child| {
        to.bytes(child.name);
        to.flag(child.branch);
    });
}

fn touched(to: &mut Packer<'_>, reply: &TouchReply) {
    to.count(reply.revision);
    to.u8(status_number(reply.status));
    to.optional(reply.meta.as_ref(), meta);
}

fn incremented(to: &mut Packer<'_>, reply: &IncrementReply) {
    to.count(reply.revision);
    to.number(reply.value as f64);
}

fn range_deleted(to: &mut Packer<'_>, reply: &DeleteRangeReply) {
    to.count(reply.revision);
    to.count(reply.deleted);
    to.flag(reply.more);
}

fn txn(to: &mut Packer<'_>, reply: &TxnReply<'_>) {
    to.count(reply.revision);
    to.flag(reply.succeeded);
    to.list(&reply.results, |to, result| match result {
        TxnResult::Get(reply) => got(to, reply),
        TxnResult::Put(reply) | TxnResult::Delete(reply) => written(to, reply),
        TxnResult::Touch(reply) => touched(to, reply),
        TxnResult::Increment(reply) => incremented(to, reply),
        TxnResult::DeleteRange(reply) => range_deleted(to, reply),
    });
}

fn status(to: &mut Packer<'_>, reply: &StatusReply<'_>) {
    to.bytes(reply.software.as_bytes());
    to.bytes(reply.durability.as_bytes());
    to.list(&reply.figures, |to, figure| {
        to.bytes(figure.name.as_bytes());
        to.count(figure.value);
    });
}

fn watch_event(to: &mut Packer<'_>, watched: WatchEvent<'_>) {
    let message = match watched {
        WatchEvent::Reset => return to.u8(message::RESET),
        WatchEvent::Message(message) => message,
    };
    match message {
        WatchMessage::Content(entries) => {
            to.u8(message::CONTENT);
            to.list(&entries, entry);
        }
        WatchMessage::CaughtUp { revision, cursor } => {
            position(to, message::CAUGHT_UP, revision, cursor);
        }
        WatchMessage::Events { revision, cursor, events } => {
            position(to, message::CHANGES, revision, cursor);
            to.list(&events, event);
        }
        WatchMessage::Bookmark { revision, cursor } => {
            position(to, message::BOOKMARK, revision, cursor);
        }
    }
}

fn position(to: &mut Packer<'_>, what: u8, revision: u64, cursor: &[u8]) {
    to.u8(what);
    to.count(revision);
    to.bytes(cursor);
}

fn event(to: &mut Packer<'_>, event: &Event<'_>) {
    let (what, key, now, previous) = match event {
        Event::Put { entry, previous } => (0, entry.key, Some(&entry.stored), previous),
        Event::Delete { key, previous } => (1, *key, None, previous),
        Event::Expire { key, previous } => (2, *key, None, previous),
    };
    to.u8(what);
    to.bytes(key);
    if let Some(now) = now {
        stored(to, now);
    }
    optional_stored(to, *previous);
}

fn entry(to: &mut Packer<'_>, entry: &Entry<'_>) {
    to.bytes(entry.key);
    stored(to, &entry.stored);
}

fn optional_stored(to: &mut Packer<'_>, entry: Option<Stored<'_>>) {
    to.optional(entry.as_ref(), stored);
}

fn stored(to: &mut Packer<'_>, stored: &Stored<'_>) {
    meta(to, &stored.meta);
    to.bytes(stored.value);
}

fn meta(to: &mut Packer<'_>, meta: &Meta) {
    to.count(meta.created);
    to.count(meta.modified);
    to.count(meta.version);
    to.number(meta.expires_at.map_or(-1.0, |time| time as f64));
}

fn error(to: &mut Packer<'_>, error: &Error) {
    // Codes are frozen and few; one that does not fit is one that the page does not know.
    to.u8(u8::try_from(error.code.number()).unwrap_or(0));
    to.flag(error.retryable);
    to.u8(match error.outcome {
        Outcome::NotApplied => 0,
        Outcome::Applied => 1,
        Outcome::Unknown => 2,
    });
    to.count(error.retry_after_ms.into());
    to.bytes(error.message.as_bytes());
}

fn malformed() -> Error {
    Error {
        code: Code::Protocol,
        retryable: false,
        outcome: Outcome::Unknown,
        retry_after_ms: 0,
        message: "the reply does not decode as its kind says".into(),
    }
}

fn state_number(state: State) -> u32 {
    match state {
        State::Idle => 0,
        State::Connecting => 1,
        State::Ready => 2,
        State::Reconnecting => 3,
        State::Closed => 4,
    }
}

fn status_number(status: WriteStatus) -> u8 {
    match status {
        WriteStatus::Applied => 0,
        WriteStatus::NotFound => 1,
        WriteStatus::Refused => 2,
    }
}
