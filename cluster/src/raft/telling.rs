//! Tells those who gave records to a node's log when these are safe, one after the other: openraft is told of
//! writes in the order in which it made them. Whoever makes them safe tells of it, the log's own thread as a
//! rule, so that no task is woken only to wake another.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tidekeep_log::Ticket;

/// Told once, with what became of records.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Those who are still to be told, in their order.
#[derive(Default)]
pub(super) struct Telling(Mutex<VecDeque<(Ticket, Done)>>);

impl Telling {
    /// Has somebody told once a ticket resolves and all before were told. Give tickets in their order.
    pub(super) fn add(self: &Arc<Self>, ticket: Ticket, done: Done) {
        let mut waiting = self.0.lock();
        waiting.push_back((ticket, done));
        // Otherwise the first one's ticket wakes this.
        if waiting.len() == 1 {
            tell(&mut waiting, &Waker::from(Arc::clone(self)));
        }
    }

    /// Forgets who waits: nothing becomes safe any more.
    pub(super) fn end(&self) {
        let waiting = std::mem::take(&mut *self.0.lock());
        drop(waiting);
    }
}

impl Wake for Telling {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        tell(&mut self.0.lock(), &waker);
    }
}

/// Tells all whose tickets have resolved; the next one's wakes `waker`.
fn tell(waiting: &mut VecDeque<(Ticket, Done)>, waker: &Waker) {
    while let Some((ticket, _)) = waiting.front_mut() {
        let Poll::Ready(outcome) = Pin::new(ticket).poll(&mut Context::from_waker(waker)) else {
            return;
        };
        let Some((_, done)) = waiting.pop_front() else { return };
        done(outcome.map_err(|failure| io::Error::other(failure.to_string())));
    }
}
