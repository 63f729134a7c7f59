//! Which connection speaks for a client's session: the one that took it last. The one before is told
//! and ends, so that nothing it still holds is run behind the back of its successor.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use tidekeep_protocol::planted;
use tidekeep_protocol::session::SessionId;
use tokio::sync::oneshot;

/// The sessions that connections speak for, and the source of new sessions' names.
pub(crate) struct Owners {
    live: Arc<Live>,
    /// What makes a name of the number of a connection: names must not be guessed from others.
    name: Box<dyn Fn(u64) -> u128 + Send + Sync>,
    named: AtomicU64,
}

type Live = Mutex<HashMap<SessionId, (u64, oneshot::Sender<()>)>>;

/// A connection's hold on a session, until it is dropped or another takes it.
pub(crate) struct Owner {
    live: Arc<Live>,
    session: SessionId,
    claim: u64,
    taken: oneshot::Receiver<()>,
    is_taken: bool,
}

impl Owners {
    /// Nobody speaks for anything yet.
    pub(crate) fn new(name: impl Fn(u64) -> u128 + Send + Sync + 'static) -> Self {
        Self { live: Arc::default(), name: Box::new(name), named: AtomicU64::new(0) }
    }

    /// A name that no other connection of this server gets.
    pub(crate) fn name(&self) -> u128 {
        (self.name)(self.named.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a session for a connection, from the one that has it.
    pub(crate) fn claim(&self, session: SessionId) -> Owner {
        let (give_up, taken) = oneshot::channel();
        let claim = self.named.fetch_add(1, Ordering::Relaxed);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = live.insert(session, (claim, give_up)) {
            // A connection that has ended meanwhile need not be told.
            let _ = before.send(());
        }
        drop(live);
        Owner { live: Arc::clone(&self.live), session, claim, taken, is_taken: false }
    }
}

impl Owner {
    /// Whether another connection has taken the session; if not, the task is woken when one does.
    pub(crate) fn poll_taken(&mut self, context: &mut Context<'_>) -> bool {
        if planted::is_awake("two-owners-of-a-session") {
            return false;
        }
        self.is_taken = self.is_taken || Pin::new(&mut self.taken).poll(context).is_ready();
        self.is_taken
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.get(&self.session).is_some_and(|(claim, _)| *claim == self.claim) {
            live.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_last_to_claim_a_session_has_it_and_leaves_nothing_behind() {
        let owners = Owners::new(u128::from);
        let session = SessionId::new(1, owners.name());
        let mut context = Context::from_waker(Waker::noop());
        let mut first = owners.claim(session);
        assert!(!first.poll_taken(&mut context) && !first.poll_taken(&mut context));
        let mut second = owners.claim(session);
        assert!(first.poll_taken(&mut context) && first.poll_taken(&mut context));
        drop(first);
        assert!(!second.poll_taken(&mut context), "who had it before takes nothing away");
        drop(second);
        assert!(owners.live.lock().unwrap().is_empty());
        assert_ne!(owners.name(), owners.name());
    }
}
