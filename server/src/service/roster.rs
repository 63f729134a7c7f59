//! Who is connected, over every transport: what `sessions` and `GET /sessions` tell. A connection notes
//! what it does in numbers of its own, which nobody else writes; who asks reads them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tidekeep_log::Commit;
use tidekeep_protocol::op::{Connected, Sessions, SessionsReply};
use tidekeep_protocol::session::SessionId;

use super::clients::Client;
use crate::observe::{Gauges, Transport};
use crate::session::Millis;

/// Most connections in a page.
const PAGE_MAX: usize = 1_000;

/// Bytes that are kept of what a client calls itself.
const NAME_BYTES: usize = 128;

/// All of them, by number.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    last: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Visitor>>>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    id: u64,
    transport: Transport,
    peer: Option<SocketAddr>,
    since: Millis,
    who: OnceLock<Who>,
    heard_ms: AtomicU64,
    watches: AtomicU64,
    calls: AtomicU64,
    buffer_bytes: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

/// What it says of itself.
#[derive(Debug)]
enum Who {
    Named { name: Box<str>, session: Option<SessionId> },
    Redis(Arc<Client>),
}

/// A connection's place in the roster; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    roster: Arc<Roster>,
    visitor: Arc<Visitor>,
}

/// The time at which a page is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// On the clock of the process.
    pub(crate) now: Millis,
    /// In milliseconds since the Unix epoch.
    pub(crate) unix_ms: u64,
}

impl Roster {
    /// Takes a connection in that is open since `since`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        transport: Transport,
        peer: Option<SocketAddr>,
        since: Millis,
    ) -> Presence {
        let visitor = Arc::new(Visitor {
            id: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            transport,
            peer,
            since,
            who: OnceLock::new(),
            heard_ms: AtomicU64::new(since.0),
            watches: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            buffer_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        });
        self.lock().insert(visitor.id, Arc::clone(&visitor));
        Presence { roster: Arc::clone(self), visitor }
    }

    /// Gives a page of those who are connected; what is remembered of others is asked of `commit`.
    pub(crate) fn page<T>(
        &self,
        asked: &Sessions,
        commit: &dyn Commit,
        told: Told,
        tell: impl FnOnce(&SessionsReply<'_>) -> T,
    ) -> T {
        let (mut node, mut remembered) = (None, 0);
        commit.figures(&mut |name, value| match name {
            "cluster_node" => node = Some(value),
            "sessions" => remembered = value,
            _ => {}
        });
        let limit = match asked.limit as usize {
            0 => PAGE_MAX,
            limit => limit.min(PAGE_MAX),
        };
        let open = self.lock();
        let connections = open.len() as u64;
        let mut behind = open.range((Bound::Excluded(asked.after), Bound::Unbounded));
        let visitors: Vec<_> = behind.by_ref().take(limit).map(|(_, it)| Arc::clone(it)).collect();
        let more = behind.next().is_some();
        drop(open);
        let words: Vec<_> = visitors.iter().map(|visitor| visitor.words()).collect();
        let rows = visitors.iter().zip(&words);
        let sessions = rows.map(|(visitor, words)| visitor.row(words, told)).collect();
        tell(&SessionsReply { node, connections, remembered, more, sessions })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Visitor>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// How it is connected.
    pub(crate) fn transport(&self) -> Transport {
        self.visitor.transport
    }

    /// Whether it has said who it is.
    pub(crate) fn is_named(&self) -> bool {
        self.visitor.who.get().is_some()
    }

    /// Notes who it says it is; the first word counts.
    pub(crate) fn is_called(&self, name: &str, session: Option<SessionId>) {
        let mut end = name.len().min(NAME_BYTES);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        // Who was known before stays known by that.
        let _ = self.visitor.who.set(Who::Named { name: name[..end].into(), session });
    }

    /// Notes that it is a Redis client, which may change its name.
    pub(crate) fn is_redis(&self, client: &Arc<Client>) {
        let _ = self.visitor.who.set(Who::Redis(Arc::clone(client)));
    }

    /// Notes that it was heard.
    pub(crate) fn heard(&self, now: Millis) {
        self.visitor.heard_ms.store(now.0, Ordering::Relaxed);
    }

    /// Counts bytes that came from it.
    pub(crate) fn received(&self, bytes: usize) {
        count(&self.visitor.received_bytes, bytes);
    }

    /// Counts bytes that it was sent.
    pub(crate) fn sent(&self, bytes: usize) {
        count(&self.visitor.sent_bytes, bytes);
    }

    /// Notes what is open of it.
    pub(crate) fn holds(&self, gauges: Gauges) {
        let Visitor { watches, calls, buffer_bytes, .. } = &*self.visitor;
        watches.store(gauges.watches as u64, Ordering::Relaxed);
        calls.store(gauges.requests_waiting as u64, Ordering::Relaxed);
        buffer_bytes.store(gauges.buffer_bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.visitor.id);
    }
}

/// Adds to what only one thread at a time adds to: no locked instruction.
fn count(counter: &AtomicU64, more: usize) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(more as u64);
    counter.store(sum, Ordering::Relaxed);
}

impl Visitor {
    /// Where it comes from, and what it calls itself.
    fn words(&self) -> (String, String) {
        let client = match self.who.get() {
            Some(Who::Named { name, .. }) => name.to_string(),
            Some(Who::Redis(client)) => client.called(),
            None => String::new(),
        };
        (self.peer.map_or_else(String::new, |peer| peer.to_string()), client)
    }

    fn row<'w>(&self, (address, client): &'w (String, String), told: Told) -> Connected<'w> {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let ago = |then: u64| told.now.0.saturating_sub(then);
        let session = match self.who.get() {
            Some(Who::Named { session, .. }) => *session,
            _ => None,
        };
        Connected {
            id: self.id,
            transport: self.transport.name(),
            address,
            client,
            since_ms: told.unix_ms.saturating_sub(ago(self.since.0)),
            idle_ms: ago(read(&self.heard_ms)),
            session_since_ms: session.map(|session| session.created_ms()),
            watches: read(&self.watches),
            calls: read(&self.calls),
            buffer_bytes: read(&self.buffer_bytes),
            received_bytes: read(&self.received_bytes),
            sent_bytes: read(&self.sent_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters_and_the_first_one_stays() {
        let roster = Arc::new(Roster::default());
        let presence = roster.enter(Transport::Http, None, Millis(0));
        assert!(!presence.is_named());
        presence.is_called(&format!("x{}", "é".repeat(NAME_BYTES)), None);
        presence.is_called("another", None);
        assert_eq!(presence.visitor.words().1, format!("x{}", "é".repeat(63)));
        drop(presence);
        assert!(roster.lock().is_empty(), "who has left is forgotten");
    }
}
