//! Begins what waits, as soon as it may: orders records where this node leads, passes calls on where
//! another one does, and looks who leads before reads. What was refused is tried again, and so is what may
//! have been run, where every write of it has a number.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;
use tidekeep_log::clock::Monotone;
use tidekeep_log::{Answer, Call, Lost, Promise, Replica};
use tidekeep_protocol::freshness::Freshness;
use tokio::sync::{Notify, oneshot};

use crate::link::Link;
use crate::placement::NodeId;
use crate::raft::{Member, ReadPolicy, WriteError};
use crate::replicated::answers;
use crate::replicated::calls::Calls;
use crate::replicated::overtaken::Written;
use crate::replicated::passing::{pass_on, repeatable, share_out};
use crate::replicated::piece::{Done, Failed, Look, Onward, Piece, Read};
use crate::replicated::queue::{Next, Order, Queue, Stage};
use crate::replicated::record::{UnderWay, build};

/// Records of this node that are under way at once.
const WINDOW: usize = 4;

/// Time for a record to be ordered and applied, and for what was passed on to be applied here too.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time after which calls that nobody would order are refused.
const LEADERLESS: Duration = Duration::from_secs(10);

/// Between two looks whether this node still leads, while calls wait that another one has passed on.
const LOOK: Duration = Duration::from_millis(50);

/// Between two tries while nobody leads.
const RETRY: Duration = Duration::from_millis(5);

/// Runs calls against a member.
pub(crate) struct Sequencer<R: AsyncRuntime> {
    pub(crate) member: Arc<Member<R>>,
    link: Arc<dyn Link>,
    /// The time that records are stamped with.
    pub(crate) clock: Monotone,
    /// The last time of another node that it was set to.
    followed_ms: Mutex<Option<u64>>,
    /// When it was started: what the queue's times count from.
    since: R::Instant,
    queue: Mutex<Queue>,
    wake: Notify,
    closed: AtomicBool,
    /// Who runs what waits, once others have the group's keys: it was split, or this node has lost its replica.
    onward: OnceLock<Onward>,
    /// Whether those who follow what is applied here are to follow elsewhere.
    ended: AtomicBool,
    /// Tells those who wait for something here that it will not come any more.
    gone: Notify,
    /// Whether the last stage that ended was ordered by this node, and none was passed on since.
    orders: AtomicBool,
    /// Since when nothing was ordered although something waits.
    stuck: Mutex<Option<R::Instant>>,
    /// The state here has all that was confirmed by then.
    seen: Mutex<Option<R::Instant>>,
}

impl<R: AsyncRuntime> Sequencer<R> {
    /// Its tasks end with it.
    pub(crate) fn start(member: Arc<Member<R>>, link: Arc<dyn Link>, clock: Monotone) -> Arc<Self> {
        let sequencer = Arc::new(Self {
            member,
            link,
            clock,
            followed_ms: Mutex::new(None),
            since: R::Instant::now(),
            queue: Mutex::default(),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            onward: OnceLock::new(),
            ended: AtomicBool::new(false),
            gone: Notify::new(),
            orders: AtomicBool::new(false),
            stuck: Mutex::new(None),
            seen: Mutex::new(None),
        });
        let running = Arc::clone(&sequencer);
        let _ends_by_itself = R::spawn(async move { running.run().await });
        sequencer
    }

    /// Adds calls behind all that came before.
    pub(crate) fn order(&self, piece: Piece) {
        self.add(|queue| queue.order(piece));
    }

    /// Adds a read behind all that came before. One that is content with what is known here is answered at
    /// once.
    pub(crate) fn read(&self, read: Read) {
        match read {
            Read::Calls(piece) if self.has_seen(piece.calls.freshness()) => {
                self.answer(vec![piece])
            }
            read => self.add(|queue| queue.read(read)),
        }
    }

    /// Whether the state here is new enough as it is.
    fn has_seen(&self, freshness: Freshness) -> bool {
        let Freshness::Within(ms) = freshness else { return false };
        // What others have confirmed since, who have the keys now, is not here.
        if self.is_split() {
            return false;
        }
        let most = Duration::from_millis(ms.into());
        self.seen.lock().is_some_and(|at| R::Instant::now() - at <= most)
    }

    /// Runs `look` on the newest state.
    pub(super) fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Replica) -> T + Send + 'static,
    ) -> Promise<Result<T, Lost>> {
        let (tell, seen) = oneshot::channel();
        let look: Look = Box::new(move |replica| {
            // Nobody may be waiting any more.
            let _ = tell.send(replica.map(look));
        });
        self.read(Read::Look(look));
        Promise::later(async move {
            let seen = seen.await.ok().flatten();
            seen.ok_or_else(|| Lost::new("no node leads the group now"))
        })
    }

    fn add(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        add(&mut queue);
        let stages = if self.is_closed() { queue.drain() } else { Vec::new() };
        if let Some(onward) = self.onward.get() {
            // In the order in which they came here, whoever else adds something.
            stages.into_iter().for_each(|stage| hand_on(stage, onward));
        } else {
            drop(queue);
            stages.into_iter().for_each(refuse);
        }
        self.wake.notify_one();
    }

    /// Whether the group was split, as far as is applied here.
    fn is_split(&self) -> bool {
        self.member.replica().is_sealed()
    }

    /// Begins nothing any more, waits until nothing is under way, and hands on what waits and all that comes.
    pub(crate) async fn retire(&self, onward: Onward) {
        // The first one stays.
        let _ = self.onward.set(onward);
        self.gone.notify_waiters();
        self.wake.notify_one();
        loop {
            {
                let queue = self.queue.lock();
                if queue.is_idle() || self.is_closed() {
                    self.closed.store(true, Ordering::Release);
                    break;
                }
            }
            R::sleep(RETRY).await;
        }
        // Those who follow are woken when they find the feeds of the others.
        self.add(|_| ());
    }

    fn is_retiring(&self) -> bool {
        self.onward.get().is_some()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Refuses what waits, and all that comes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Those who follow find elsewhere what changes from now on.
        self.ended.store(true, Ordering::Release);
        self.gone.notify_waiters();
        self.add(|_| ());
    }

    /// Resolves when those who follow are to follow elsewhere.
    pub(super) async fn until_ended(&self) {
        self.until(|it| it.ended.load(Ordering::Acquire)).await;
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            // Before the look, so that it misses nothing behind it.
            let mut gone = pin!(self.gone.notified());
            gone.as_mut().enable();
            if is_so(self) {
                return;
            }
            gone.await;
        }
    }

    async fn run(self: Arc<Self>) {
        while !self.is_closed() && !self.is_retiring() {
            let leader = self.member.leader();
            // Only what this node orders itself is sure to be ordered as it was handed over: not beside what is
            // still on its way to another leader, nor while it leads and refuses, as one just elected does.
            let leads = leader == Some(self.member.node());
            let window = if leads && self.orders.load(Ordering::Acquire) { WINDOW } else { 1 };
            let next = self.queue.lock().next(window, self.now());
            match next {
                Next::Begin(Stage::Order(order)) => self.begin_order(order, leader).await,
                Next::Begin(Stage::Reads(reads)) => {
                    let this = Arc::clone(&self);
                    let _ends_by_itself = R::spawn(async move {
                        this.read_all(reads).await;
                        this.queue.lock().read_through();
                        this.wake.notify_one();
                    });
                }
                Next::Nothing(None) => {
                    self.wake.notified().await;
                    give_way().await;
                }
                Next::Nothing(Some(until)) => {
                    let _late =
                        R::timeout(until.saturating_sub(self.now()), self.wake.notified()).await;
                    give_way().await;
                }
            }
        }
    }

    async fn begin_order(self: &Arc<Self>, order: Order, leader: Option<NodeId>) {
        let Order { number, mut pieces, .. } = order;
        let this = Arc::clone(self);
        if let Some(other) = leader.filter(|leader| *leader != self.member.node()) {
            self.orders.store(false, Ordering::Release);
            let refused: Vec<_> = pieces.extract_if(.., |piece| piece.passed_on).collect();
            refused.into_iter().for_each(Piece::give_up);
            let _ends_by_itself = R::spawn(async move {
                let left = this.pass_on(other, number, pieces).await;
                this.end_order(number, left);
            });
            return;
        }
        let record = build(&pieces, self.stamp());
        let under_way = Arc::new(UnderWay::new(pieces));
        // Handed over here and not in a task of its own: records are ordered as they begin.
        let proposed = self.member.propose(record, Arc::clone(&under_way) as _).await;
        let _ends_by_itself = R::spawn(async move {
            let outcome = match proposed {
                Ok(proposed) => {
                    R::timeout(PATIENCE, proposed.ordered()).await.unwrap_or_else(|_| {
                        Err(WriteError::Unknown("it was not ordered in time".into()))
                    })
                }
                Err(error) => Err(error),
            };
            this.orders.store(outcome.is_ok(), Ordering::Release);
            let left = match outcome {
                Ok(_) => {
                    *this.stuck.lock() = None;
                    Vec::new()
                }
                Err(WriteError::Split) => {
                    // Whoever passed them on knows who has the keys now, or will.
                    let mut pieces = under_way.take();
                    let passed_on = pieces.extract_if(.., |piece| piece.passed_on);
                    passed_on.for_each(Piece::give_up);
                    this.wait_for_leader(pieces).await
                }
                Err(WriteError::NotLeader(_)) => this.wait_for_leader(under_way.take()).await,
                Err(WriteError::TooLong { .. }) => {
                    under_way.take().into_iter().for_each(Piece::give_up);
                    Vec::new()
                }
                Err(WriteError::Unknown(why)) => {
                    let written = this.written_behind(number);
                    this.wait_for_leader(repeatable(under_way.take(), &why, written)).await
                }
            };
            this.end_order(number, left);
        });
    }

    fn end_order(&self, number: u64, left: Vec<Piece>) {
        {
            let mut queue = self.queue.lock();
            match left.is_empty() {
                true => queue.ordered(number, self.now()),
                false => queue.returned(number, left, self.now()),
            }
        }
        self.wake.notify_one();
    }

    /// The time since it was started.
    fn now(&self) -> Duration {
        R::Instant::now() - self.since
    }

    /// Whether this node leads, as far as it knows.
    fn leads(&self) -> bool {
        self.member.leader() == Some(self.member.node())
    }

    /// Lets the clock go on from the time that another node has told last.
    pub(crate) fn follow(&self) {
        // Held until it is set, so that nobody asks before.
        let mut followed_ms = self.followed_ms.lock();
        let Some((told_ms, came)) = self.member.told() else { return };
        if followed_ms.replace(told_ms) != Some(told_ms) {
            self.clock.follow(told_ms, R::Instant::now() - came);
        }
    }

    /// The time of a record that begins now.
    pub(crate) fn stamp(&self) -> u64 {
        // Whoever has just come to lead may have applied nothing of the last records yet.
        self.follow();
        self.clock.now_ms().max(self.member.replica().now_ms())
    }

    /// Waits a little, as long as somebody may lead soon; else nothing is left.
    async fn wait_for_leader(&self, pieces: Vec<Piece>) -> Vec<Piece> {
        if pieces.is_empty() {
            return pieces;
        }
        let since = *self.stuck.lock().get_or_insert_with(R::Instant::now);
        if R::Instant::now() - since > LEADERLESS || self.is_closed() {
            pieces.into_iter().for_each(Piece::give_up);
            return Vec::new();
        }
        R::sleep(RETRY).await;
        pieces
    }

    /// Has the node that leads run the pieces; what is left to be tried again.
    async fn pass_on(&self, to: NodeId, number: u64, pieces: Vec<Piece>) -> Vec<Piece> {
        if pieces.is_empty() {
            return pieces;
        }
        let Some(at) = self.member.address_of(to) else {
            return self.wait_for_leader(pieces).await;
        };
        match pass_on::<R>(&*self.link, self.member.group(), (to, &at), &pieces, false).await {
            Ok(done) => {
                *self.stuck.lock() = None;
                // Whoever looks here next sees what it was told of. If that takes too long, reads that must
                // see it wait for themselves; and once others have the keys, nobody looks here.
                let applied = pin!(self.member.applied(done.index, PATIENCE));
                select(applied, pin!(self.until(Self::is_retiring))).await;
                share_out(done, pieces);
                Vec::new()
            }
            Err(Failed::NotLeader) => self.wait_for_leader(pieces).await,
            Err(Failed::Unknown(why)) => {
                let written = self.written_behind(number);
                self.wait_for_leader(repeatable(pieces, &why, written)).await
            }
        }
    }

    /// What may have been written behind a stage of order that may have been run.
    fn written_behind(&self, number: u64) -> Written {
        match self.queue.lock().is_followed(number) {
            true => Written::anything(),
            false => Written::default(),
        }
    }

    /// Runs calls that another node has passed on.
    pub(crate) async fn serve(&self, from: NodeId, request: &[u8]) -> Vec<u8> {
        let calls = request.get(size_of::<u32>()..).and_then(Calls::decode);
        let Some(calls) = calls else {
            return answers::encode(&Err(Failed::Unknown("the calls cannot be read".into())));
        };
        let reads_only = calls.writes() == 0;
        let (piece, outcome) = Piece::new(calls, true);
        match reads_only {
            true => self.read(Read::Calls(piece)),
            false if self.leads() => self.order(piece),
            false => piece.give_up(),
        }
        let mut outcome = self.while_it_leads(outcome).await;
        if let Ok(done) = &mut outcome
            && self.member.address_of(from).is_none()
        {
            // It is sent nothing of the group any more, and would wait in vain to have applied it.
            done.index = 0;
        }
        answers::encode(&outcome)
    }

    /// What becomes of calls that another node has passed on. They are refused if this one comes to lead no more
    /// before they have begun: behind what it passes on itself, they might wait for who waits for them.
    async fn while_it_leads(
        &self,
        mut outcome: oneshot::Receiver<Result<Done, Failed>>,
    ) -> Result<Done, Failed> {
        loop {
            if let Ok(outcome) = R::timeout(LOOK, &mut outcome).await {
                return outcome.unwrap_or(Err(Failed::NotLeader));
            }
            if !self.leads() {
                let refused = self.queue.lock().take_passed_on();
                refused.into_iter().for_each(Piece::give_up);
                self.wake.notify_one();
            }
        }
    }

    async fn read_all(&self, reads: Vec<Read>) {
        let strictest = reads.iter().map(Read::freshness).min().unwrap_or_default();
        let seen = self.see(strictest).await;
        let others_have_the_keys = match seen {
            Ok(()) => self.is_split(),
            Err(_) => self.is_retiring(),
        };
        if others_have_the_keys {
            return self.hold(reads).await;
        }
        let replica = self.member.replica();
        let mut gets = Vec::with_capacity(reads.len());
        for read in reads {
            match (read, &seen) {
                (Read::Calls(piece), Ok(())) if piece.calls.has_page() => self.answer(vec![piece]),
                (Read::Calls(piece), Ok(())) => gets.push(piece),
                (Read::Calls(piece), Err(why)) => piece.fail(why.clone()),
                (Read::Look(look), seen) => look(seen.is_ok().then_some(replica)),
            }
        }
        self.answer(gets);
    }

    /// Keeps reads of a group of which others have the keys until it is known here who.
    async fn hold(&self, reads: Vec<Read>) {
        let began = R::Instant::now();
        let mut pieces = Vec::new();
        for read in reads {
            match read {
                Read::Calls(piece) if piece.passed_on => piece.give_up(),
                Read::Calls(piece) => pieces.push(piece),
                Read::Look(look) => look(None),
            }
        }
        while R::Instant::now() - began < LEADERLESS && !self.is_closed() {
            if let Some(onward) = self.onward.get() {
                return pieces.into_iter().for_each(|piece| onward(piece));
            }
            R::sleep(RETRY).await;
        }
        pieces.into_iter().for_each(Piece::give_up);
    }

    /// Answers reads from the state as it is here, all together: what they look at is brought near for all of
    /// them at once.
    fn answer(&self, pieces: Vec<Piece>) {
        let calls: Vec<Call<'_>> = pieces.iter().flat_map(|piece| piece.calls.requests()).collect();
        let mut answers: Vec<Answer> = Vec::with_capacity(calls.len());
        self.member.replica().read(&calls, &mut answers);
        drop(calls);
        share_out(Done { index: 0, answers }, pieces);
    }

    /// Resolves once the state here is as new as is asked for.
    async fn see(&self, freshness: Freshness) -> Result<(), Failed> {
        // Only the leader has a lease: any other node asks it as ever.
        if freshness == Freshness::Lease && self.member.read(ReadPolicy::Lease).await.is_ok() {
            return Ok(());
        }
        let began = R::Instant::now();
        loop {
            let asked = R::Instant::now();
            let read = pin!(R::timeout(PATIENCE, self.member.read(ReadPolicy::Index)));
            match select(read, pin!(self.until(Self::is_retiring))).await {
                Either::Left((Ok(Ok(())), _)) => {
                    let mut seen = self.seen.lock();
                    *seen = (*seen).max(Some(asked));
                    return Ok(());
                }
                // A member that has stopped was taken from this node, which soon says who has the keys.
                Either::Left(_)
                    if R::Instant::now() - began < LEADERLESS
                        && !self.is_closed()
                        && !self.is_retiring() =>
                {
                    R::sleep(RETRY).await;
                }
                Either::Left(_) | Either::Right(_) => return Err(Failed::NotLeader),
            }
        }
    }
}

/// Lets the tasks run that are ready, once: connections that were read together hand their calls over before
/// the first of them makes a record.
async fn give_way() {
    let mut gave_way = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Hands on what never began.
fn hand_on(stage: Stage, onward: &Onward) {
    match stage {
        Stage::Order(order) => order.pieces.into_iter().for_each(|piece| onward(piece)),
        Stage::Reads(reads) => reads.into_iter().for_each(|read| match read {
            Read::Calls(piece) => onward(piece),
            Read::Look(look) => look(None),
        }),
    }
}

/// Refuses what never began.
fn refuse(stage: Stage) {
    match stage {
        Stage::Order(order) => {
            order.pieces.into_iter().for_each(Piece::give_up);
        }
        Stage::Reads(reads) => reads.into_iter().for_each(|read| match read {
            Read::Calls(piece) => piece.fail(Failed::NotLeader),
            Read::Look(look) => look(None),
        }),
    }
}
