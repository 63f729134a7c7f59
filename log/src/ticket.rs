//! "Tell me when position p is safe." A [`Ticket`] is a plain `Future` without a runtime, and a
//! thread can block on it. The writer advances a [`Progress`], which wakes the tickets in order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::thread::{self, Thread};
use crate::sync::{Mutex, OnceLock};

/// A position that only grows, and those who wait for it.
pub(crate) struct Progress {
    reached: AtomicU64,
    failure: OnceLock<Failure>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next_id: u64,
    /// By position, then by id: nearly always in the order in which they came.
    waiters: VecDeque<Waiter>,
    /// Those who wait for a failure alone, likewise: at the end of the others they would be in the way.
    forever: VecDeque<Waiter>,
}

struct Waiter {
    position: u64,
    id: u64,
    waker: Waker,
}

impl Waiting {
    /// Those among whom a waiter for a position is, or would be; and where.
    fn find(&mut self, position: u64, id: u64) -> (&mut VecDeque<Waiter>, Result<usize, usize>) {
        let row = if position == u64::MAX { &mut self.forever } else { &mut self.waiters };
        let place = (position, id);
        let found = match row.back() {
            Some(last) if (last.position, last.id) >= place => {
                row.binary_search_by_key(&place, |it| (it.position, it.id))
            }
            _ => Err(row.len()),
        };
        (row, found)
    }
}

impl Progress {
    pub(crate) fn new(reached: u64) -> Arc<Self> {
        Arc::new(Self {
            reached: AtomicU64::new(reached),
            failure: OnceLock::new(),
            waiting: Mutex::default(),
        })
    }

    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// A ticket that resolves once `position` is reached.
    pub(crate) fn ticket(self: &Arc<Self>, position: u64) -> Ticket {
        Ticket { progress: Arc::clone(self), position, id: None }
    }

    /// Moves on to `position` and wakes those who waited for it, nearest first. A lower position
    /// than before changes nothing.
    pub(crate) fn advance(&self, position: u64) {
        if self.reached.fetch_max(position, Ordering::AcqRel) < position {
            self.wake_through(position);
        }
    }

    /// Fails everything not yet reached, now and from now on.
    pub(crate) fn fail(&self, failure: Failure) {
        // Only the first failure counts: it is the cause, later ones are consequences.
        let _ = self.failure.set(failure);
        self.wake_through(u64::MAX);
    }

    fn wake_through(&self, position: u64) {
        let mut waiting = self.waiting.lock();
        let count = waiting.waiters.partition_point(|it| it.position <= position);
        let forever = if position == u64::MAX { waiting.forever.len() } else { 0 };
        if count + forever == 0 {
            return;
        }
        let Waiting { waiters, forever: others, .. } = &mut *waiting;
        let woken = waiters.drain(..count).chain(others.drain(..forever));
        let woken: Vec<_> = woken.map(|it| it.waker).collect();
        drop(waiting);
        woken.into_iter().for_each(Waker::wake);
    }

    fn outcome(&self, position: u64) -> Option<Result<(), Failure>> {
        // In this order: whoever sees a failure sees all that was reached before it. The other way
        // round, one who looks before the last step and again after the failure behind it would be
        // told that the outcome is unknown, of something that is safe.
        let failure = self.failure.get();
        if self.reached() >= position {
            return Some(Ok(()));
        }
        failure.map(|failure| Err(failure.clone()))
    }
}

/// Resolves when a position is safe, or with the log's fatal [`Failure`], which means that the
/// outcome of everything up to that position is unknown. Cheap (no allocation) if already safe.
#[must_use = "a ticket that nobody waits for confirms nothing"]
pub struct Ticket {
    progress: Arc<Progress>,
    position: u64,
    id: Option<u64>,
}

impl Ticket {
    /// The position waited for.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether waiting would return at once, be it with an error.
    pub fn is_ready(&self) -> bool {
        self.progress.outcome(self.position).is_some()
    }

    /// Blocks this thread until the position is safe.
    ///
    /// # Errors
    /// The log's fatal failure: the outcome is unknown.
    pub fn wait(self) -> Result<(), Failure> {
        block_on(self, None).expect("without a deadline only the outcome ends the wait")
    }

    /// Blocks this thread for at most `limit`; `None` if that was not enough.
    pub fn wait_for(self, limit: Duration) -> Option<Result<(), Failure>> {
        block_on(self, Some(Instant::now() + limit))
    }
}

impl Future for Ticket {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { progress, position, id } = &mut *self;
        if let Some(outcome) = progress.outcome(*position) {
            // Whoever brought it about takes the waker out, if that is not done yet.
            *id = None;
            return Poll::Ready(outcome);
        }
        let mut waiting = progress.waiting.lock();
        // Asked again under the lock that the waker of others takes after moving on.
        if let Some(outcome) = progress.outcome(*position) {
            *id = None;
            return Poll::Ready(outcome);
        }
        let (position, waker) = (*position, context.waker());
        let id = *id.get_or_insert_with(|| {
            waiting.next_id += 1;
            waiting.next_id
        });
        match waiting.find(position, id) {
            (row, Ok(at)) => row[at].waker.clone_from(waker),
            (row, Err(at)) => row.insert(at, Waiter { position, id, waker: waker.clone() }),
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut waiting = self.progress.waiting.lock();
            if let (row, Ok(at)) = waiting.find(self.position, id) {
                row.remove(at);
            }
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({} of {})", self.progress.reached(), self.position)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until `future` is done, or the time is over.
pub(crate) fn block_on<T>(future: impl Future<Output = T>, deadline: Option<Instant>) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return Some(outcome);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.checked_duration_since(Instant::now())?;
                thread::park_timeout(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    struct Note(mpsc::Sender<u64>, u64);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.0.send(self.1).unwrap();
        }
    }

    #[test]
    fn wakes_in_order_and_only_what_was_reached() {
        let progress = Progress::new(0);
        let (woken, order) = mpsc::channel();
        let mut tickets: Vec<_> = [5, 2, 9, 2].map(|p| progress.ticket(p)).into();
        for ticket in &mut tickets {
            let waker = Waker::from(Arc::new(Note(woken.clone(), ticket.position)));
            assert!(Pin::new(ticket).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        progress.advance(5);
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [2, 2, 5]);
        progress.fail(Failure::new("sync", "x", io::Error::other("gone")));
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [9]);
        let outcomes: Vec<_> = tickets.into_iter().map(|t| t.wait().is_ok()).collect();
        assert_eq!(outcomes, [true, true, false, true]);
    }

    #[test]
    fn a_dropped_ticket_leaves_nothing_behind() {
        let progress = Progress::new(0);
        let mut ticket = progress.ticket(1);
        assert!(Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(progress.waiting.lock().waiters.len(), 1);
        drop(ticket);
        assert_eq!(progress.waiting.lock().waiters.len(), 0);
    }

    #[test]
    fn threads_wait_and_give_up() {
        let progress = Progress::new(0);
        assert!(progress.ticket(1).wait_for(Duration::from_millis(1)).is_none());
        let waiter = thread::spawn({
            let ticket = progress.ticket(1);
            move || ticket.wait()
        });
        progress.advance(1);
        assert!(waiter.join().unwrap().is_ok());
    }
}
