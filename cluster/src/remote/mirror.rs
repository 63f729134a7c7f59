//! The recent changes of a group that has no replica here: kept up by asking a node that has one, while
//! anybody follows them. All who follow share it, so that a group is followed once whatever their number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidekeep_log::{Change, Changed, Changes, Lost, PendingView, Promise, TooOld};
use tidekeep_protocol::range::KeyRange;
use tokio::sync::{oneshot, watch};

use crate::link::Link;
use crate::raft::{Instant, Runtime};
use crate::remote::fetched;
use crate::remote::message::{Ask, Told, changes_of};
use crate::replicated::Holders;

/// A request for changes waits there for the next one for so long.
const WAIT: Duration = Duration::from_secs(2);

/// Time for a reply, beside that wait.
const REPLY: Duration = Duration::from_secs(3);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(20);

/// When nobody has asked for so long, nobody follows.
const IDLE: Duration = Duration::from_secs(60);

/// Time after which it is told that nobody answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of changes that are asked for at once.
const STEP_BYTES: u32 = 1 << 20;

/// A group's recent changes.
pub(crate) struct Mirror<R: Runtime> {
    group: u32,
    link: Arc<dyn Link>,
    holders: Holders,
    /// Changes are kept up to this many bytes.
    history_bytes: usize,
    state: Mutex<State<R>>,
    /// Tells those who wait that the state is another one.
    news: watch::Sender<()>,
}

struct State<R: Runtime> {
    /// None while nobody follows, and until a node has answered.
    window: Option<Window>,
    /// Where the window is to begin, if somebody says so.
    from: Option<u64>,
    runs: bool,
    closed: bool,
    used: R::Instant,
    /// The newest revision that anybody here was told.
    told: u64,
}

/// Changes without a hole.
struct Window {
    /// The revision before the first one.
    oldest: u64,
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Window {
    fn newest(&self) -> u64 {
        self.oldest + self.changes.len() as u64
    }

    /// Adds those of these changes that follow; the oldest ones go when there are too many.
    fn extend(&mut self, changes: Vec<Change>, bytes_max: usize) {
        for change in changes {
            if change.revision == self.newest() + 1 {
                self.bytes += change.cost();
                self.changes.push_back(change);
            }
        }
        // The last one is kept whatever its size: somebody is yet to be told of it.
        while self.bytes > bytes_max
            && self.changes.len() > 1
            && let Some(change) = self.changes.pop_front()
        {
            self.bytes -= change.cost();
            self.oldest = change.revision;
        }
    }

    /// Adds those of these changes that come before; whether they reach up to here.
    fn precede(&mut self, changes: &[Change]) -> bool {
        if changes.last().is_none_or(|last| last.revision < self.oldest) {
            return false;
        }
        for change in changes.iter().rev() {
            if change.revision == self.oldest {
                self.bytes += change.cost();
                self.changes.push_front(change.clone());
                self.oldest -= 1;
            }
        }
        true
    }
}

impl<R: Runtime> Mirror<R> {
    /// Of a group; nobody follows it yet.
    pub(crate) fn new(
        group: u32,
        link: Arc<dyn Link>,
        holders: Holders,
        history_bytes: usize,
    ) -> Arc<Self> {
        let state = State {
            window: None,
            from: None,
            runs: false,
            closed: false,
            used: R::Instant::now(),
            told: 0,
        };
        let (state, news) = (Mutex::new(state), watch::Sender::new(()));
        Arc::new(Self { group, link, holders, history_bytes, state, news })
    }

    /// The newest revision that is known here.
    pub(crate) fn revision(&self) -> u64 {
        let mut state = self.state.lock();
        let newest = state.window.as_ref().map_or(0, Window::newest);
        state.told = state.told.max(newest);
        state.told
    }

    /// The changes after a revision that are known here.
    pub(crate) fn changes(self: &Arc<Self>, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        let mut state = self.follow(Some(after));
        let Some(window) = &state.window else {
            return Ok(Changes { changes: Vec::new(), through: after });
        };
        let (oldest, newest) = (window.oldest, window.newest());
        let Some(skipped) = after.checked_sub(oldest) else { return Err(TooOld { oldest }) };
        let mut left = bytes;
        let mut changes: Vec<Change> = Vec::new();
        for change in window.changes.iter().skip(skipped as usize) {
            if change.cost() > left && !changes.is_empty() {
                break;
            }
            left = left.saturating_sub(change.cost());
            changes.push(change.clone());
        }
        let through = changes.last().map_or(newest.max(after), |change| change.revision);
        state.told = state.told.max(through);
        Ok(Changes { changes, through })
    }

    /// Resolves when there is a change after a revision, or when it has been forgotten.
    pub(crate) fn changed(self: &Arc<Self>, after: u64) -> Changed {
        drop(self.follow(Some(after)));
        let news = self.news.subscribe();
        let this = Arc::clone(self);
        Promise::later(async move {
            let is_there = |window: &Window| window.newest() > after || after < window.oldest;
            this.until(news, |state| state.window.as_ref().is_some_and(is_there)).await
        })
    }

    /// Resolves when the changes after a revision can be asked for without waiting, as far as they are
    /// remembered anywhere.
    pub(crate) fn reach(self: &Arc<Self>, after: u64) -> Changed {
        drop(self.follow(Some(after)));
        let (tell, told) = oneshot::channel();
        let this = Arc::clone(self);
        let _ends_by_itself = R::spawn(async move {
            // Nobody may be waiting any more.
            let _ = tell.send(this.reach_back(after).await);
        });
        Promise::later(async move { told.await.unwrap_or_else(|_| Err(nobody())) })
    }

    /// A cut of a range, of which what follows is kept here.
    pub(crate) fn view(self: &Arc<Self>, range: &KeyRange) -> PendingView {
        drop(self.follow(None));
        let (tell, told) = oneshot::channel();
        let (this, range) = (Arc::clone(self), range.clone());
        let _ends_by_itself = R::spawn(async move {
            let fetched = match this.begun().await {
                Ok(()) => fetched::view(&this, &range).await,
                Err(lost) => Err(lost),
            };
            // Nobody may be waiting any more.
            let _ = tell.send(fetched);
        });
        Promise::later(async move { told.await.unwrap_or_else(|_| Err(nobody())) })
    }

    /// Ends it.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.news.send_replace(());
    }

    /// Has it kept up, from a revision on if it is not yet.
    fn follow(self: &Arc<Self>, from: Option<u64>) -> parking_lot::MutexGuard<'_, State<R>> {
        let mut state = self.state.lock();
        state.used = R::Instant::now();
        if state.window.is_none() {
            state.from = match (state.from, from) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        if !state.runs && !state.closed {
            state.runs = true;
            let this = Arc::clone(self);
            let _ends_by_itself = R::spawn(async move { this.run().await });
        }
        state
    }

    /// Waits until the state is so.
    async fn until(
        &self,
        mut news: watch::Receiver<()>,
        is_so: impl Fn(&State<R>) -> bool,
    ) -> Result<(), Lost> {
        loop {
            {
                let state = self.state.lock();
                if is_so(&state) {
                    return Ok(());
                }
                if state.closed {
                    return Err(nobody());
                }
            }
            news.changed().await.map_err(|_| nobody())?;
        }
    }

    /// Waits until there is a window, but not for ever.
    async fn begun(&self) -> Result<(), Lost> {
        let began = self.until(self.news.subscribe(), |state| state.window.is_some());
        R::timeout(PATIENCE, began).await.unwrap_or_else(|_| Err(nobody()))
    }

    /// Asks one of the nodes that have a replica, each in its turn.
    pub(super) async fn ask(&self, turn: usize, ask: &Ask, wait: Duration) -> Option<Told> {
        let holders = (self.holders)();
        let (to, at) = holders.get(turn % holders.len().max(1))?;
        let reply = self.link.call(*to, at, ask.lane(), ask.encode(self.group), wait + REPLY);
        Told::decode(&reply.await.ok()?)
    }

    /// The revision before the oldest change that one of the nodes remembers; 0 when none of them says.
    async fn oldest(&self) -> u64 {
        for turn in 0..(self.holders)().len() {
            if let Some(Told::Oldest(oldest)) = self.ask(turn, &Ask::Oldest, Duration::ZERO).await {
                return oldest;
            }
        }
        0
    }

    async fn run(self: Arc<Self>) {
        let (mut turn, mut refused) = (0, 0);
        loop {
            let Some(ask) = self.next() else { return };
            match (&ask, self.ask(turn, &ask, WAIT).await) {
                (Ask::Newest, Some(Told::Newest(revision))) => self.begin(revision),
                (Ask::Changes { after, .. }, Some(Told::Changes { chunks, last }))
                    if let Some(changes) = changes_of(&chunks, *after, last) =>
                {
                    self.take(*after, changes);
                    refused = 0;
                }
                (_, told) => {
                    turn += 1;
                    refused += usize::from(told == Some(Told::TooOld));
                    if refused > (self.holders)().len() {
                        // Nobody remembers what comes next: whoever waits for it has to begin anew.
                        self.begin_anew();
                        refused = 0;
                    }
                    R::sleep(RETRY).await;
                }
            }
        }
    }

    /// What to ask next; none if nobody follows any more.
    fn next(&self) -> Option<Ask> {
        let mut state = self.state.lock();
        let now = R::Instant::now();
        if self.news.receiver_count() > 0 {
            state.used = now;
        }
        if state.closed || now - state.used > IDLE {
            (state.runs, state.window, state.from) = (false, None, None);
            return None;
        }
        let after = state.window.as_ref().map(Window::newest).or(state.from);
        let wait_ms = WAIT.as_millis() as u32;
        Some(after.map_or(Ask::Newest, |after| Ask::Changes { after, bytes: STEP_BYTES, wait_ms }))
    }

    fn begin(&self, oldest: u64) {
        let window = Window { oldest, changes: VecDeque::new(), bytes: 0 };
        self.state.lock().window.get_or_insert(window);
        self.news.send_replace(());
    }

    fn begin_anew(&self) {
        let mut state = self.state.lock();
        (state.window, state.from) = (None, None);
    }

    fn take(&self, after: u64, changes: Vec<Change>) {
        let mut state = self.state.lock();
        let is_first = state.window.is_none();
        let window = state.window.get_or_insert_with(|| Window {
            oldest: after,
            changes: VecDeque::new(),
            bytes: 0,
        });
        let is_new = is_first || !changes.is_empty();
        window.extend(changes, self.history_bytes);
        drop(state);
        if is_new {
            self.news.send_replace(());
        }
    }

    /// Gets the changes between a revision and the window, if there are any and somebody remembers them. From
    /// 0 on, which whoever wants all asks for: those that are remembered, or as many of them as fit.
    async fn reach_back(&self, after: u64) -> Result<(), Lost> {
        self.begun().await?;
        let began = R::Instant::now();
        let (mut found, mut bytes) = (VecDeque::new(), 0);
        let (mut turn, mut refused) = (0, 0);
        let whole = after == 0;
        let after = if whole { self.oldest().await } else { after };
        let mut at = after;
        while R::Instant::now() - began < PATIENCE {
            {
                let mut state = self.state.lock();
                let Some(window) = &mut state.window else { return Ok(()) };
                let room = self.history_bytes.saturating_sub(window.bytes);
                while whole
                    && bytes > room
                    && let Some(oldest) = found.pop_front()
                {
                    bytes -= Change::cost(&oldest);
                }
                let forgotten = bytes > room || refused > (self.holders)().len();
                if after >= window.oldest || window.precede(found.make_contiguous()) || forgotten {
                    return Ok(());
                }
            }
            let ask = Ask::Changes { after: at, bytes: STEP_BYTES, wait_ms: 0 };
            match self.ask(turn, &ask, Duration::ZERO).await {
                Some(Told::Changes { chunks, last })
                    if last > at
                        && let Some(changes) = changes_of(&chunks, at, last) =>
                {
                    bytes += changes.iter().map(Change::cost).sum::<usize>();
                    found.extend(changes);
                    at = last;
                }
                told => {
                    turn += 1;
                    refused += usize::from(told == Some(Told::TooOld));
                    R::sleep(RETRY).await;
                }
            }
        }
        Err(nobody())
    }
}

/// No node that has a replica answers.
pub(super) fn nobody() -> Lost {
    Lost::new("no node that has a replica of the group answers now")
}
