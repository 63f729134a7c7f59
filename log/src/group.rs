//! A group: shards behind their locks, one order for all their writes, the recent changes. The only
//! door to the data. Reading is here; `turn` orders the writes, `batch` does both for its caller.
//!
//! Locks are taken in this order, and let go in any: the order lock, shards from the first to the
//! last, then the short ones inside of `log`, `positions` and `tail`.

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{self, Children, Get, Request, Scan};
use tidekeep_protocol::planted;
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::change::Change;
use tidekeep_store::entry::Entry;
use tidekeep_store::fingerprint::Fingerprint;
use tidekeep_store::leases::Leases;
use tidekeep_store::moment::Moment;
use tidekeep_store::read::{self, PageLimits};
use tidekeep_store::reply::{Found, Names, Page, Reply};
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::tables::{SavedTables, Tables};
use tidekeep_store::view::View;

use crate::alarm::Alarm;
use crate::clock::Monotone;
use crate::commit::Answers;
use crate::lags::Lags;
use crate::log::Log;
use crate::memory::Memory;
use crate::pace::Pace;
use crate::positions::Positions;
use crate::state::State;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use crate::tail::Tail;

/// The data and everything that keeps it in order.
pub(crate) struct Group {
    pub(crate) positions: Positions,
    pub(crate) tail: Tail,
    pub(crate) clock: Monotone,
    pub(crate) alarm: Alarm,
    pub(crate) shards: Box<[RwLock<Shard>]>,
    pub(crate) spread: Spread,
    pub(crate) limits: Limits,
    /// The longest record, in bytes, that several writes share.
    pub(crate) record_bytes: usize,
    /// The newest revision that was applied. Written under the locks of the shards it changed.
    pub(crate) revision: AtomicU64,
    /// When the next lease ends, in milliseconds since 1970; [`u64::MAX`] when there is none. Before
    /// that, reads need not look at the leases.
    pub(crate) lease_due_ms: AtomicU64,
    /// Whether a transaction over groups has locked anything. Unless it has, reads need not look.
    pub(crate) has_locks: AtomicBool,
    pub(crate) order: Mutex<Order>,
    pub(crate) memory: Memory,
    /// The state of the row of numbers that eviction draws its samples by.
    pub(crate) dice: AtomicU64,
    /// How late entries were removed whose time was over.
    pub(crate) lags: Mutex<Lags>,
}

/// What only the one who orders may touch: the tables, and memory that is used again and again.
#[derive(Default)]
pub(crate) struct Order {
    pub(crate) record: Vec<u8>,
    pub(crate) changes: Vec<Change>,
    pub(crate) tables: Tables,
}

/// The whole state between two records.
pub(crate) struct Cut {
    /// Index of the record before it.
    pub(crate) index: u64,
    /// Its digest is yet to be reckoned from the view.
    pub(crate) head: Head,
    pub(crate) tables: SavedTables,
    pub(crate) view: View,
}

impl Cut {
    /// Gives the chunks of a snapshot of it, but for what is remembered of recent changes.
    pub(crate) fn write<E>(
        &self,
        pace: Pace,
        mut use_chunk: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write_tables(pace, &mut use_chunk)?;
        snapshot::write(&self.view, use_chunk)
    }

    /// Gives the chunks before the entries: the head, and what is no entry.
    pub(crate) fn write_tables<E>(
        &self,
        mut pace: Pace,
        mut use_chunk: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Reckoned where the bytes are made: it takes long where there is much.
        let head = Head { digest: self.view.digest(|| pace.pause()), ..self.head };
        use_chunk(&head.encode())?;
        snapshot::write_tables(&self.tables, use_chunk)
    }
}

impl Group {
    pub(crate) fn log(&self) -> &Log {
        self.positions.log()
    }

    /// Answers a read at a moment. `shows` becomes the newest revision that the answer shows
    /// something of, if that is newer.
    pub(crate) fn read(
        &self,
        request: &Request<'_>,
        moment: &Moment,
        shows: &mut u64,
        answers: &mut dyn Answers,
    ) {
        let reply = match request {
            Request::Get(get) => return self.get(get, moment, shows, answers),
            Request::Scan(scan) => Reply::Scan(self.scan(scan, moment)),
            Request::Children(children) => Reply::Children(self.children(children, moment)),
            Request::Leases(leases) => Reply::Leases(self.leases(leases, moment)),
            _ => {
                let refusal = Refusal::new(Code::Internal, "this operation is no read");
                return answers.answer(Err(refusal));
            }
        };
        *shows = reply.shows().max(*shows);
        answers.answer(Ok(reply));
    }

    /// The entry of a key as it is now, whether or not that is safe to show.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Entry> {
        let moment = self.moment();
        let hash = self.spread.hash(key);
        let shard = self.shards[self.spread.shard_of_hash(hash)].read();
        shard.used(hash, key, moment.now_ms()).filter(|entry| !moment.is_over(entry)).cloned()
    }

    /// An entry that `random` chooses: of the shards that have any, the next one after it.
    pub(crate) fn sample(&self, random: u64) -> Option<Entry> {
        let moment = self.moment();
        let first = random as usize % self.shards.len();
        let (before, from) = self.shards.split_at(first);
        from.iter().chain(before).find_map(|shard| {
            let shard = shard.read();
            let (_, entry) = shard.sample(random, moment.now_ms())?;
            (!moment.is_over(entry)).then(|| entry.clone())
        })
    }

    /// The entries of keys with a fingerprint, be their time over or not.
    pub(crate) fn with_fingerprint(&self, fingerprint: Fingerprint) -> Vec<Entry> {
        let shard = self.spread.shard_of_fingerprint(fingerprint);
        self.shards[shard].read().with_fingerprint(fingerprint)
    }

    /// The moment of a read that begins now, outside of a turn.
    pub(crate) fn moment(&self) -> Moment {
        let now_ms = self.clock.now_ms();
        if now_ms < self.lease_due_ms.load(Ordering::Acquire) {
            return Moment::new(now_ms);
        }
        Moment::of(now_ms, &self.order.lock().tables.leases)
    }

    /// Makes known when the next of the leases ends. Call it with the order lock held.
    pub(crate) fn leases_due(&self, leases: &Leases) {
        let due_ms = leases.next_due().unwrap_or(u64::MAX);
        // Nearly always it stays what it is; a look is cheaper than a swap.
        if self.lease_due_ms.load(Ordering::Acquire) != due_ms {
            self.lease_due_ms.store(due_ms, Ordering::Release);
            self.alarm.set(due_ms);
        }
    }

    /// Makes known whether a part is prepared. Call it with the order lock held.
    pub(crate) fn note_intents(&self, tables: &Tables) {
        self.has_locks.store(!tables.intents.has_no_parts(), Ordering::Release);
    }

    /// A page of leases. Not for a turn: it waits for its own.
    fn leases(&self, request: &op::Leases, moment: &Moment) -> op::LeasesReply {
        let limit = self.limits.scan_entries;
        let most = if request.limit == 0 { limit } else { request.limit.min(limit) };
        let order = self.order.lock();
        let revision = self.revision.load(Ordering::Acquire);
        let leases = &order.tables.leases;
        let (leases, more) = leases.page(request.after, most as usize, moment.now_ms());
        op::LeasesReply { revision, more, leases }
    }

    fn get(&self, get: &Get<'_>, moment: &Moment, shows: &mut u64, answers: &mut dyn Answers) {
        let hash = self.spread.hash(get.key);
        let shard = self.shards[self.spread.shard_of_hash(hash)].read();
        let newest = self.revision.load(Ordering::Acquire);
        self.give(read::get(&shard, hash, get.key, moment, newest), newest, shows, answers);
    }

    /// Gives what a get found while its shard was locked and the newest revision was this one.
    pub(crate) fn give(
        &self,
        mut found: Found<'_>,
        newest: u64,
        shows: &mut u64,
        answers: &mut dyn Answers,
    ) {
        // The key has been as it is since `shows`, so any revision from there on is true of it;
        // the newest one that is safe lets an old entry be shown while younger writes wait.
        found.shows = found.shows.min(newest);
        found.revision = self.positions.known_safe().clamp(found.shows, newest);
        if !planted::is_awake("read-before-durability") {
            *shows = found.shows.max(*shows);
        }
        answers.got(found);
    }

    fn scan(&self, scan: &Scan<'_>, moment: &Moment) -> Page {
        let shards = self.read_all();
        let revision = self.revision.load(Ordering::Acquire);
        let shards = shards.iter().map(|shard| &**shard);
        read::scan(shards, scan, self.page_limits(), moment, revision)
    }

    fn children(&self, children: &Children<'_>, moment: &Moment) -> Names {
        let shards = self.read_all();
        let revision = self.revision.load(Ordering::Acquire);
        let shards = shards.iter().map(|shard| &**shard);
        read::children(shards, children, self.page_limits(), moment, revision)
    }

    /// Freezes a range. Everything up to the view's revision must be safe before it is shown.
    pub(crate) fn freeze(&self, range: &KeyRange) -> View {
        let moment = self.moment();
        let shards = self.read_all();
        let revision = self.revision.load(Ordering::Acquire);
        View::freeze(shards.iter().map(|shard| &**shard), range, moment, revision)
    }

    /// Freezes everything at the end of a record. Writes wait for as long as it takes to share the
    /// leaves and to copy what is remembered of sessions and leases; reads do not.
    pub(crate) fn cut(&self) -> Cut {
        self.cut_under(self.order.lock())
    }

    /// The same, for whoever has the order lock: under it no record is half applied.
    pub(crate) fn cut_under(&self, order: MutexGuard<'_, Order>) -> Cut {
        let (index, revision) = self.positions.last();
        let now_ms = self.clock.now_ms();
        let shards = self.read_all();
        let tables = match planted::is_awake("sessions-not-in-snapshots") {
            true => SavedTables::default(),
            false => order.tables.save(),
        };
        drop(order);
        let keys = shards.iter().map(|shard| shard.keys() as u64).sum();
        let view = {
            let shards = shards.iter().map(|shard| &**shard);
            View::freeze(shards, &KeyRange::all(), Moment::new(now_ms), revision)
        };
        drop(shards);
        let head = Head {
            revision,
            now_ms,
            keys,
            digest: 0,
            sessions: tables.sessions.len() as u64,
            forgotten_ms: tables.sessions.forgotten_ms(),
            leases: tables.leases.len() as u64,
            intents: tables.intents.len() as u64,
        };
        let index = index + u64::from(planted::is_awake("snapshot-index-one-too-far"));
        Cut { index, head, tables, view }
    }

    /// Takes another state instead of its own, which must be younger: whoever follows its changes goes
    /// on with those that come with it, or is told that they are forgotten.
    pub(crate) fn replace(&self, state: State, tail: Tail) {
        let State { shards, tables, revision, .. } = state;
        let mut order = self.order.lock();
        {
            let mut old: Vec<_> = self.shards.iter().map(RwLock::write).collect();
            for (old, (_, new)) in old.iter_mut().zip(shards) {
                **old = *new;
            }
            self.tail.replace(tail);
            self.revision.store(revision, Ordering::Release);
        }
        order.tables = tables;
        self.leases_due(&order.tables.leases);
        self.note_intents(&order.tables);
        self.memory.note_tables(order.tables.bytes());
    }

    /// Keys, and bytes of memory that their entries take.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.shards.iter().map(RwLock::read).fold((0, 0), |(keys, bytes), shard| {
            (keys + shard.keys() as u64, bytes + shard.bytes() as u64)
        })
    }

    /// Keys that end by themselves.
    pub(crate) fn ending(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().ending() as u64).sum()
    }

    /// How many client sessions are remembered, and what they cost in bytes.
    pub(crate) fn tables(&self) -> (usize, usize, usize) {
        let order = self.order.lock();
        (order.tables.sessions.len(), order.tables.leases.len(), order.tables.bytes())
    }

    /// Bytes of memory that finding entries takes: leaves, and the index of ends.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().index_bytes() as u64).sum()
    }

    /// A sum over all entries, and what is left of transactions over groups: equal stores have equal digests.
    pub(crate) fn digest(&self) -> u64 {
        let order = self.order.lock();
        let entries = digest(self.read_all().iter().map(|shard| &**shard));
        entries.wrapping_add(order.tables.intents.digest())
    }

    /// When the next entry or lease ends, in milliseconds since 1970.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let lease = Some(self.lease_due_ms.load(Ordering::Acquire)).filter(|&due| due < u64::MAX);
        self.shards.iter().filter_map(|shard| shard.read().next_due()).chain(lease).min()
    }

    /// About `most` entries whose time is over, the most overdue of each shard first, and of each
    /// shard alike, so that none waits for another's to be done.
    pub(crate) fn due(&self, now_ms: u64, most: usize) -> Vec<Entry> {
        self.due_of(now_ms, most, |_| true)
    }

    /// The same of those entries that `may_end`.
    pub(crate) fn due_of(
        &self,
        now_ms: u64,
        most: usize,
        may_end: impl Fn(&Entry) -> bool,
    ) -> Vec<Entry> {
        let each = most.div_ceil(self.shards.len());
        let mut due = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            due.extend(shard.due(now_ms).filter(|entry| may_end(entry)).take(each).cloned());
        }
        // A record may not hold them all.
        due.sort_by_key(Entry::expires_at);
        due
    }

    fn read_all(&self) -> Vec<RwLockReadGuard<'_, Shard>> {
        self.shards.iter().map(RwLock::read).collect()
    }

    fn page_limits(&self) -> PageLimits {
        // What a page holds beside keys and values is less than what these may take.
        let bytes = (self.limits.reply_bytes / 2) as usize;
        PageLimits { entries: self.limits.scan_entries as usize, bytes }
    }
}

/// Bytes of memory that shards hold: entries and what finding them takes.
pub(crate) fn held<'a>(shards: impl Iterator<Item = &'a Shard>) -> u64 {
    shards.map(|shard| (shard.bytes() + shard.index_bytes()) as u64).sum()
}

/// A sum over the entries of shards that does not depend on how keys are spread over them.
pub(crate) fn digest<'a>(shards: impl Iterator<Item = &'a Shard>) -> u64 {
    shards.fold(0, |sum, shard| sum.wrapping_add(shard.digest()))
}
