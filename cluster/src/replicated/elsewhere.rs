//! A group of which this node has no replica: all calls for it go to the nodes that have one, in the order in
//! which they came.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::link::{Link, PeerAddress};
use crate::placement::NodeId;
use crate::raft::{Instant, Runtime};
use crate::replicated::overtaken::Written;
use crate::replicated::passing::{pass_on, repeatable, share_out};
use crate::replicated::piece::{Failed, Onward, Piece};
use crate::replicated::queue::{Next, Order, Queue, Stage};

/// Time after which calls that nobody would run are refused.
const LEADERLESS: Duration = Duration::from_secs(10);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(10);

/// The nodes that have a replica: first the one that should lead, last those that say nothing.
pub(crate) type Holders = Arc<dyn Fn() -> Vec<(NodeId, PeerAddress)> + Send + Sync>;

/// Passes calls on.
pub(crate) struct Elsewhere {
    group: u32,
    link: Arc<dyn Link>,
    holders: Holders,
    queue: Mutex<Queue>,
    wake: Notify,
    closed: AtomicBool,
    /// Who runs what waits, once a replica has come here or the group was split.
    onward: OnceLock<Onward>,
    /// Whether calls wait that a holder was asked in vain to run.
    in_vain: AtomicBool,
}

impl Elsewhere {
    /// Its task ends with [`Self::retire`] or [`Self::close`].
    pub(crate) fn start<R: Runtime>(
        group: u32,
        link: Arc<dyn Link>,
        holders: Holders,
    ) -> Arc<Self> {
        let (closed, in_vain) = (AtomicBool::new(false), AtomicBool::new(false));
        let (queue, wake) = (Mutex::default(), Notify::new());
        let this = Arc::new(Self {
            group,
            link,
            holders,
            queue,
            wake,
            closed,
            onward: OnceLock::new(),
            in_vain,
        });
        let running = Arc::clone(&this);
        let _ends_by_itself = R::spawn(async move { running.run::<R>().await });
        this
    }

    /// Adds calls behind all that came before.
    pub(crate) fn add(&self, piece: Piece) {
        let mut queue = self.queue.lock();
        match (self.closed.load(Ordering::Acquire), self.onward.get()) {
            // Behind those that came before, which were handed on under the same lock.
            (true, Some(onward)) => onward(piece),
            (true, None) => piece.give_up(),
            (false, _) => queue.order(piece),
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Begins nothing any more, waits until nothing is under way, and hands on what waits and all that comes.
    pub(crate) async fn retire<R: Runtime>(&self, onward: Onward) {
        // The first one stays.
        let _ = self.onward.set(Arc::clone(&onward));
        self.wake.notify_one();
        loop {
            {
                let mut queue = self.queue.lock();
                if queue.is_idle() || self.closed.load(Ordering::Acquire) {
                    self.closed.store(true, Ordering::Release);
                    for stage in queue.drain() {
                        if let Stage::Order(order) = stage {
                            order.pieces.into_iter().for_each(|piece| onward(piece));
                        }
                    }
                    break;
                }
            }
            R::sleep(RETRY).await;
        }
        self.close();
    }

    fn is_retiring(&self) -> bool {
        self.onward.get().is_some()
    }

    /// Whether there are nodes that run calls, as far as is known here.
    pub(crate) fn answers(&self) -> bool {
        !self.in_vain.load(Ordering::Relaxed) && !(self.holders)().is_empty()
    }

    /// Refuses what comes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    async fn run<R: Runtime>(&self) {
        let since = R::Instant::now();
        let now = || R::Instant::now() - since;
        while !self.closed.load(Ordering::Acquire) && !self.is_retiring() {
            let next = self.queue.lock().next(1, now());
            match next {
                Next::Begin(Stage::Order(Order { number, pieces, .. })) => {
                    let left = self.have_run::<R>(pieces).await;
                    self.in_vain.store(false, Ordering::Relaxed);
                    let mut queue = self.queue.lock();
                    match left.is_empty() {
                        true => queue.ordered(number, now()),
                        false => queue.returned(number, left, now()),
                    }
                }
                // Reads are ordered among writes here.
                Next::Begin(Stage::Reads(_)) => self.queue.lock().read_through(),
                Next::Nothing(None) => self.wake.notified().await,
                Next::Nothing(Some(until)) => {
                    let _late = R::timeout(until.saturating_sub(now()), self.wake.notified()).await;
                }
            }
        }
        if self.is_retiring() {
            return;
        }
        for stage in self.queue.lock().drain() {
            if let Stage::Order(order) = stage {
                order.pieces.into_iter().for_each(Piece::give_up);
            }
        }
    }

    /// Asks one holder after the other until the pieces are answered, or it has taken too long; what is left once
    /// somebody else is to run it.
    async fn have_run<R: Runtime>(&self, mut pieces: Vec<Piece>) -> Vec<Piece> {
        let began = R::Instant::now();
        // Since all were asked last. Their order changes meanwhile.
        let mut asked = BTreeSet::new();
        while !pieces.is_empty() && !self.is_retiring() {
            let holders = (self.holders)();
            if R::Instant::now() - began > LEADERLESS || self.closed.load(Ordering::Acquire) {
                pieces.into_iter().for_each(Piece::give_up);
                return Vec::new();
            }
            let next = holders.iter().find(|(holder, _)| !asked.contains(holder));
            if let Some((to, at)) = next {
                asked.insert(*to);
                let alone = holders.len() == 1;
                let outcome =
                    pass_on::<R>(&*self.link, self.group, (*to, at), &pieces, alone).await;
                self.in_vain.store(outcome.is_err(), Ordering::Relaxed);
                match outcome {
                    Ok(done) => {
                        share_out(done, pieces);
                        return Vec::new();
                    }
                    Err(Failed::NotLeader) => {}
                    Err(Failed::Unknown(why)) => {
                        pieces = repeatable(pieces, &why, Written::default())
                    }
                }
            } else {
                asked.clear();
            }
            R::sleep(RETRY).await;
        }
        pieces
    }
}
