//! One command to its reply and its changes. Everything that decides is in the arguments: the state,
//! the stamp and the command.

use alloc::boxed::Box;
use core::ops::DerefMut;

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Put, Request, WriteStatus};
use tidekeep_protocol::planted;

use crate::approach::Near;
use crate::change::{Change, Event, EventKind};
use crate::entry::Entry;
use crate::few::Few;
use crate::index::Place;
use crate::intents::Intents;
use crate::leases::{LEASE_COST, Leases};
use crate::moment::Moment;
use crate::op;
use crate::record::{Command, Expired};
use crate::reply::{Encoded, Reply, Written};
use crate::sessions::{Answer, Numbered};
use crate::shard::Shard;
use crate::shards::{KeyHash, Writing};
use crate::step::{
    AdoptLease, Decide, Finish, Forget, GrantLease, Hold, Prepare, Release, Resolve, Step,
};
use crate::tables::Tables;

/// When and where in the order a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The time at which it was ordered, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The group's revision before it; the command takes the next one if it changes something.
    pub revision: u64,
}

impl Stamp {
    /// The revision that the command takes if it changes something. No group gets to the last one;
    /// bytes that are no true record may claim to.
    pub(crate) fn next(&self) -> u64 {
        self.revision.saturating_add(1)
    }
}

/// Applies one command of a record. A numbered write's answer is the result, be it a refusal, and is
/// remembered.
///
/// # Errors
/// As [`apply_request`].
pub fn apply<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    command: &Command<'_>,
) -> Result<(Option<Reply>, Option<Change>), Refusal> {
    match command {
        Command::Request(request) => {
            let applied = apply_request(writing, tables, stamp, request);
            applied.map(|(reply, change)| (Some(reply), change))
        }
        Command::Numbered { numbered, request, .. } => {
            let (answer, change) = apply_numbered(writing, tables, stamp, numbered, request);
            answer.map(|reply| (Some(reply), change))
        }
        Command::Expire(expired) => Ok((None, apply_expire(writing, tables, stamp, expired))),
        Command::Evict(evicted) => Ok((None, apply_evict(writing, tables, stamp, evicted))),
        Command::EndLease(lease) => Ok((None, apply_end_lease(writing, tables, stamp, *lease))),
        Command::Step(step) => {
            let (reply, change) = apply_step(writing, tables, stamp, step);
            Ok((Some(reply), change))
        }
    }
}

/// Applies a client's numbered write, which [`crate::sessions::Sessions::recall`] said is new, and
/// remembers the answer.
pub fn apply_numbered<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    numbered: &Numbered,
    request: &Request<'_>,
) -> (Answer, Option<Change>) {
    let (answer, change) = match apply_request(writing, tables, stamp, request) {
        Ok((reply, change)) => (Ok(reply), change),
        Err(refusal) => (Err(refusal), None),
    };
    if is_decided(&answer) {
        tables.sessions.remember(numbered, stamp.now_ms, answer.clone());
    }
    (answer, change)
}

/// Applies a client's write.
///
/// # Errors
/// It cannot be done as it stands (a transaction's refused condition, an increment of what is no
/// number, a request that writes nothing), or the entries would take more than the room that `writing`
/// has (`memory-full`); the state is as it was.
pub fn apply_request<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    request: &Request<'_>,
) -> Result<(Reply, Option<Change>), Refusal> {
    tables.intents.forget_holds(stamp.now_ms);
    if let Some(lock) = tables.intents.blocking(request, &tables.leases, stamp.now_ms) {
        return Ok((Reply::Locked(Box::new(lock)), None));
    }
    let bound = writing.bound();
    if let (Request::LeaseGrant(_), Some(bound)) = (request, &bound)
        && writing.bytes() + LEASE_COST > bound.bytes
    {
        return Err(Refusal::new(Code::MemoryFull, MEMORY_FULL));
    }
    let mut transition = Transition::new(writing, tables, stamp);
    transition.undoes = bound.is_some() || matches!(request, Request::Txn(_));
    let reply = run(&mut transition, request)?;
    // What was done to a lease itself is not taken back, and takes no more room for entries.
    if !transition.leased && bound.is_some_and(|bound| !transition.writing.keeps(&bound)) {
        transition.undo();
        return Err(Refusal::new(Code::MemoryFull, MEMORY_FULL));
    }
    Ok((reply, transition.into_change()))
}

/// Applies a plain put to the shard of its key, where no memory limit has to be kept, just as
/// [`apply_request`] would: what is not asked for need not be prepared for. `near` is where the key
/// probably is. None, with nothing done, if an entry is there that ends: whether it lives is for the whole
/// command to say.
pub fn apply_plain_put(
    shard: &mut Shard,
    stamp: Stamp,
    put: &Put<'_>,
    hash: KeyHash,
    near: Near,
) -> Option<(Reply, Change)> {
    debug_assert!(put.is_plain(), "the caller has looked");
    let place = shard.find_near(near, hash, put.key);
    let before = place.and_then(|place| shard.entry(place));
    if before.is_some_and(Entry::ends) {
        return None;
    }
    let (revision, at_ms) = (stamp.next(), stamp.now_ms);
    let meta = Meta {
        created: before.map_or(revision, Entry::created),
        modified: revision,
        version: before.map_or(1, |entry| entry.version().saturating_add(1)),
        expires_at: None,
        lease: None,
    };
    shard.set_time(at_ms);
    let (entry, previous) = shard.put_at(hash, place, put.key, put.value, meta);
    let events = Few::of(Event { kind: EventKind::Put, entry, previous });
    let written = Written { revision, status: WriteStatus::Applied, entry: None };
    Some((Reply::Put(written), Change { revision, at_ms, events }))
}

/// What a write is told that does not fit below the memory limit.
const MEMORY_FULL: &str = "the memory limit is reached; reads, deletes and writes that make the store \
no larger still work";

/// Whether a refusal is about this moment rather than about the write: the memory limit, of which the
/// log knows nothing, so that a numbered write is not decided by it.
pub fn is_for_now(refusal: &Refusal) -> bool {
    refusal.code == Code::MemoryFull
}

/// Whether an answer is the write's for good, and so to be remembered under its number.
pub fn is_decided(answer: &Answer) -> bool {
    match answer {
        Ok(reply) => !matches!(reply, Reply::Locked(_)),
        Err(refusal) => !is_for_now(refusal),
    }
}

/// Removes those of the entries that nothing has written to since they were chosen.
pub fn apply_evict<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    evicted: &[Expired<'_>],
) -> Option<Change> {
    let mut transition = Transition::new(writing, tables, stamp);
    op::evict::run(&mut transition, evicted);
    transition.into_change()
}

/// Removes those of the entries whose time is still over.
pub fn apply_expire<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    expired: &[Expired<'_>],
) -> Option<Change> {
    let mut transition = Transition::new(writing, tables, stamp);
    op::expire::run(&mut transition, expired);
    transition.into_change()
}

/// Removes a lease and its keys if its time is over.
pub fn apply_end_lease<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    lease: u64,
) -> Option<Change> {
    let mut transition = Transition::new(writing, tables, stamp);
    op::end_lease::run(&mut transition, lease);
    transition.into_change()
}

/// Applies a node's step. The reply is [`Reply::Encoded`].
pub fn apply_step<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    step: &Step,
) -> (Reply, Option<Change>) {
    match step {
        Step::AdoptLease(adopt) => {
            let mut transition = Transition::new(writing, tables, stamp);
            let reply = op::adopt_lease::run(&mut transition, adopt);
            let change = transition.into_change();
            (Encoded::answer::<AdoptLease>(&reply, reply.revision), change)
        }
        Step::GrantLease(grant) => {
            let (granted, change) = op::grant_lease::run(writing, tables, stamp, grant);
            (Encoded::answer::<GrantLease>(&granted, stamp.next()), change)
        }
        Step::Prepare(prepare) => {
            let prepared = op::prepare::prepare(writing, tables, stamp, prepare);
            (Encoded::answer::<Prepare>(&prepared, stamp.revision), None)
        }
        Step::Decide(decide) => {
            let (decided, change) = op::prepare::decide(writing, tables, stamp, decide);
            (Encoded::answer::<Decide>(&decided, stamp.next()), change)
        }
        Step::Finish(finish) => {
            let (finished, change) = op::prepare::finish(writing, tables, stamp, finish);
            (Encoded::answer::<Finish>(&finished, stamp.next()), change)
        }
        Step::Resolve(resolve) => {
            let outcome = op::prepare::resolve(tables, stamp, resolve);
            (Encoded::answer::<Resolve>(&outcome, stamp.revision), None)
        }
        Step::Forget(forget) => {
            tables.intents.forget(&forget.txn);
            (Encoded::answer::<Forget>(&(), stamp.revision), None)
        }
        Step::Hold(hold) => {
            let held = op::hold::hold(tables, stamp, hold);
            (Encoded::answer::<Hold>(&held, stamp.revision), None)
        }
        Step::Release(release) => {
            let held = op::hold::release(tables, stamp, release);
            (Encoded::answer::<Release>(&held, stamp.revision), None)
        }
    }
}

fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    request: &Request<'_>,
) -> Result<Reply, Refusal> {
    match request {
        Request::Put(put) => op::put::run(transition, put).map(Reply::Put),
        Request::Delete(delete) => Ok(Reply::Delete(op::delete::run(transition, delete))),
        Request::Touch(touch) => op::touch::run(transition, touch).map(Reply::Touch),
        Request::Increment(increment) => {
            op::increment::run(transition, increment).map(Reply::Increment)
        }
        Request::DeleteRange(delete) => {
            Ok(Reply::DeleteRange(op::delete_range::run(transition, delete)))
        }
        Request::Txn(txn) => op::txn::run(transition, txn).map(Reply::Txn),
        Request::LeaseGrant(grant) => Ok(Reply::Lease(op::lease_grant::run(transition, grant))),
        Request::LeaseKeepAlive(request) => {
            op::lease_keep_alive::run(transition, request).map(Reply::Lease)
        }
        Request::LeaseRevoke(request) => {
            op::lease_revoke::run(transition, request).map(Reply::LeaseRevoke)
        }
        Request::Get(_)
        | Request::Scan(_)
        | Request::Children(_)
        | Request::Watch(_)
        | Request::Leases(_)
        | Request::Status(_)
        | Request::Backup(_)
        | Request::Sessions(_)
        | Request::Cluster(_) => Err(Refusal::new(Code::Internal, "a read is no command")),
    }
}

/// A command under way: what it may touch, when it happens, and what it has changed so far.
pub(crate) struct Transition<'t, 'a, G> {
    writing: &'t mut Writing<'a, G>,
    leases: &'t mut Leases,
    intents: &'t Intents,
    stamp: Stamp,
    /// Whose time was not over then is alive.
    alive_ms: u64,
    /// Whether all was tried before, and must be done now.
    settled: bool,
    /// Whether a lease was changed itself.
    leased: bool,
    /// Whether it may have to be taken back.
    undoes: bool,
    events: Few<Event>,
    undo: Few<Undo>,
}

/// How a key and its shard were before a write.
struct Undo {
    /// The entry that was there, or else the one that came.
    entry: Entry,
    /// Whether it was there.
    kept: bool,
    /// The shard's newest revision.
    written: u64,
}

/// Where a key is, or would be: good until something is written.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    hash: KeyHash,
    /// Which of the shards at hand.
    shard: usize,
    place: Option<Place>,
}

impl<'t, 'a, G: DerefMut<Target = Shard>> Transition<'t, 'a, G> {
    pub(crate) fn new(
        writing: &'t mut Writing<'a, G>,
        tables: &'t mut Tables,
        stamp: Stamp,
    ) -> Self {
        let Tables { leases, intents, .. } = tables;
        let (events, undo) = (Few::default(), Few::default());
        let (alive_ms, leased, undoes, settled) = (stamp.now_ms, false, false, false);
        Self { writing, leases, intents, stamp, alive_ms, settled, leased, undoes, events, undo }
    }

    /// One that is taken back.
    pub(crate) fn tried(
        writing: &'t mut Writing<'a, G>,
        tables: &'t mut Tables,
        stamp: Stamp,
    ) -> Self {
        Self { undoes: true, ..Self::new(writing, tables, stamp) }
    }

    /// One of which all was tried at `alive_ms`, and its keys were locked since.
    pub(crate) fn settled(
        writing: &'t mut Writing<'a, G>,
        tables: &'t mut Tables,
        stamp: Stamp,
        alive_ms: u64,
    ) -> Self {
        Self { alive_ms, settled: true, ..Self::new(writing, tables, stamp) }
    }

    /// Whether a transaction over groups wants this key to stay as it is.
    pub(crate) fn is_locked(&self, key: &[u8]) -> bool {
        self.intents.is_locked(key, self.stamp.now_ms)
    }

    /// Whether one wants this lease to stay.
    pub(crate) fn is_lease_held(&self, lease: u64) -> bool {
        self.intents.is_lease_held(lease, self.leases, self.stamp.now_ms)
    }

    /// What it changed, if anything.
    pub(crate) fn into_change(self) -> Option<Change> {
        let (revision, at_ms) = (self.stamp.next(), self.stamp.now_ms);
        self.changed().then_some(Change { revision, at_ms, events: self.events })
    }

    pub(crate) fn now(&self) -> u64 {
        self.stamp.now_ms
    }

    /// The revision of everything this command writes.
    pub(crate) fn next_revision(&self) -> u64 {
        self.stamp.next()
    }

    /// What a reply bears as its revision: the command's own if it changed something.
    pub(crate) fn revision(&self) -> u64 {
        if self.changed() { self.stamp.next() } else { self.stamp.revision }
    }

    fn changed(&self) -> bool {
        self.leased || !self.events.is_empty()
    }

    pub(crate) fn leases(&self) -> &Leases {
        self.leases
    }

    /// The leases, to change one: no entry need change then for the command to take a revision.
    /// Not for the operations of a transaction, which may be taken back.
    pub(crate) fn change_leases(&mut self) -> &mut Leases {
        self.leased = true;
        self.leases
    }

    /// The moment of this command, as reads know it.
    pub(crate) fn moment(&self) -> Moment {
        Moment::of(self.alive_ms, self.leases)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Shard> {
        self.writing.all()
    }

    /// Finds a key.
    pub(crate) fn find(&self, key: &[u8]) -> Spot {
        let hash = self.writing.hash(key);
        let shard = self.writing.at(hash);
        Spot { hash, shard, place: self.writing.shard(shard).find(hash, key) }
    }

    /// The entry there, unless its time is over; it counts as used.
    pub(crate) fn live(&self, spot: Spot) -> Option<&Entry> {
        let now = self.alive_ms;
        let entry = self.writing.shard(spot.shard).used_at(spot.place?, now)?;
        (!entry.expired(now) && !self.leases.is_over(entry, now)).then_some(entry)
    }

    /// The entry there as it is kept, its time over or not.
    pub(crate) fn kept(&self, spot: Spot) -> Option<&Entry> {
        self.writing.shard(spot.shard).entry(spot.place?)
    }

    /// Writes `key`, whose spot this is, over the live entry that there may be; `kind` says what that is
    /// to watchers. Refused, with nothing
    /// changed, if the lease that it shall go with is not there.
    pub(crate) fn put(
        &mut self,
        spot: Spot,
        key: &[u8],
        value: &[u8],
        expiry: Expiry,
        kind: EventKind,
    ) -> Result<Meta, Refusal> {
        let revision = self.next_revision();
        let before = self.live(spot);
        let was_live = before.is_some();
        let (expires_at, lease) = self.end(expiry, before)?;
        let meta = Meta {
            created: before.map_or(revision, Entry::created),
            modified: revision,
            version: before.map_or(1, |entry| entry.version().saturating_add(1)),
            expires_at,
            lease,
        };
        let now = self.stamp.now_ms;
        let shard = self.writing.shard_mut(spot.shard);
        let written = shard.written();
        shard.set_time(now);
        let (entry, displaced) = shard.put_at(spot.hash, spot.place, key, value, meta);
        if let Some(displaced) = &displaced {
            self.leases.untie(displaced);
        }
        let tied = self.leases.tie(&entry);
        debug_assert!(tied, "the lease was looked for before");
        if self.undoes {
            let (kept, before) = (displaced.is_some(), displaced.as_ref().unwrap_or(&entry));
            self.undo.push(Undo { entry: before.clone(), kept, written });
        }
        let previous = match displaced {
            Some(over) if !was_live => {
                // Its time was over and its expire command had not come yet: watchers are told that it
                // ended before they are told what came in its place.
                let previous = Some(over.clone());
                self.events.push(Event { kind: EventKind::Expire, entry: over, previous });
                None
            }
            displaced => displaced,
        };
        self.events.push(Event { kind, entry, previous });
        Ok(meta)
    }

    /// Removes the entry there, if there is one.
    pub(crate) fn remove_at(&mut self, spot: Spot, kind: EventKind) {
        let Some(place) = spot.place else { return };
        let revision = self.next_revision();
        let shard = self.writing.shard_mut(spot.shard);
        let written = shard.written();
        let Some(entry) = shard.remove_at(spot.hash, place, revision) else { return };
        self.leases.untie(&entry);
        if self.undoes {
            self.undo.push(Undo { entry: entry.clone(), kept: true, written });
        }
        self.events.push(Event { kind, previous: Some(entry.clone()), entry });
    }

    /// Removes `entry`, which is there.
    pub(crate) fn remove(&mut self, entry: &Entry, kind: EventKind) {
        self.remove_at(self.find(entry.key()), kind);
    }

    /// Takes back everything this command has done.
    pub(crate) fn undo(&mut self) {
        if planted::is_awake("transaction-half-applied") {
            return;
        }
        while let Some(Undo { entry, kept, written }) = self.undo.pop() {
            let at = self.writing.at(self.writing.hash(entry.key()));
            let shard = self.writing.shard_mut(at);
            if let Some(came) = shard.get(entry.key()) {
                self.leases.untie(came);
            }
            if kept {
                // Its lease is there: no transaction ends one.
                self.leases.tie(&entry);
            }
            shard.restore(entry, kept, written);
        }
        self.events = Few::default();
    }

    /// The time at which an entry ends by itself, or the lease that it goes with.
    fn end(&self, expiry: Expiry, before: Option<&Entry>) -> Result<End, Refusal> {
        Ok(match expiry {
            Expiry::Never => (None, None),
            Expiry::Keep => (before.and_then(Entry::expires_at), before.and_then(Entry::lease)),
            Expiry::After(ms) => (Some(self.stamp.now_ms.saturating_add(ms).min(LAST_END)), None),
            Expiry::At(at) => (Some(at.min(LAST_END)), None),
            Expiry::Lease(lease) => {
                // What was tried holds on to the lease, whatever has come to it since.
                if !self.settled {
                    self.leases.check(lease, before, self.stamp.now_ms)?;
                }
                (None, Some(lease))
            }
        })
    }
}

/// When an entry ends by itself, and the lease that it goes with; one of them at most.
type End = (Option<u64>, Option<u64>);

/// The last time at which a key can end: the greatest whole number that a JavaScript number holds.
const LAST_END: u64 = (1 << 53) - 1;

/// Whether `condition` holds of a key's live entry.
pub(crate) fn holds(condition: &Condition<'_>, entry: Option<&Entry>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => entry.is_none(),
        Condition::Present => entry.is_some(),
        Condition::Revision(revision) => entry.is_some_and(|entry| {
            entry.modified() == *revision || planted::is_awake("revision-not-compared")
        }),
        Condition::Value(value) => entry.is_some_and(|entry| entry.value() == *value),
    }
}
