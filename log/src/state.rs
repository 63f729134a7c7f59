//! A state on its way from the disk: a snapshot's chunks, then the records behind it, applied as they
//! were the first time. What does not add up is refused.

use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::{Stamp, apply};
use tidekeep_store::approach::{KEYS_MAX, approach};
use tidekeep_store::entry::Entry;
use tidekeep_store::history;
use tidekeep_store::moment::Moment;
use tidekeep_store::record::{BadRecord, Command, Record};
use tidekeep_store::sessions::Sessions;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Spread, Writing};
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::tables::Tables;
use tidekeep_store::view::View;

use crate::coming::{Coming, Decoders, MUCH};
use crate::error::{BoxError, OpenError};
use crate::gets::single_key;
use crate::group::{Cut, digest};
use crate::recover::Recovery;
use crate::replay::UNLIKE;
use crate::tail::Tail;

/// A snapshot that a newer version of this program has written.
#[derive(Debug, thiserror::Error)]
#[error("its head has version {0}, this version reads up to {newest}", newest = snapshot::VERSION)]
pub(crate) struct NewerHead(u8);

/// A state on its way from the disk.
pub(crate) struct State {
    pub(crate) spread: Spread,
    pub(crate) shards: Vec<(usize, Box<Shard>)>,
    pub(crate) tables: Tables,
    /// The head of the snapshot that it began with.
    pub(crate) snapshot: Option<Head>,
    /// Sessions of the snapshot that are yet to come.
    sessions_left: u64,
    /// Leases of the snapshot that are yet to come.
    leases_left: u64,
    /// Rows of intents of the snapshot that are yet to come.
    intents_left: u64,
    /// Entries of the snapshot that are yet to come.
    entries_left: u64,
    coming: Coming,
    history: history::Reader,
    pub(crate) revision: u64,
    pub(crate) now_ms: u64,
}

impl State {
    pub(crate) fn new(spread: Spread, shard: fn(Spread) -> Shard) -> Self {
        Self {
            spread,
            shards: (0..spread.shards()).map(|index| (index, Box::new(shard(spread)))).collect(),
            tables: Tables::default(),
            snapshot: None,
            sessions_left: 0,
            leases_left: 0,
            intents_left: 0,
            entries_left: 0,
            coming: Coming::new(spread),
            history: history::Reader::default(),
            revision: 0,
            now_ms: 0,
        }
    }

    /// A state of few parts and a spread that anyone could guess, for those who only look at it.
    pub(crate) fn empty() -> Self {
        Self::new(Spread::new(0, 1), Shard::new)
    }

    /// Takes in the snapshot that recovery has chosen, if there is one.
    pub(crate) fn load(
        &mut self,
        recovery: &Recovery,
        history_bytes: usize,
    ) -> Result<Tail, OpenError> {
        let Some(info) = recovery.snapshot() else { return Ok(Tail::new(0, history_bytes)) };
        let refused = |source| {
            let file = crate::snapshot::name(info.index);
            OpenError::Replay { file, index: info.index, source }
        };
        self.remember(history_bytes);
        std::thread::scope(|scope| {
            let mut decoders = None;
            recovery.load_snapshot(|chunk| {
                if self.entries_left < MUCH as u64 && decoders.is_none() || !self.awaits_entries() {
                    return self.take(chunk);
                }
                self.expect_entries(chunk)?;
                decoders.get_or_insert_with(|| Decoders::start(scope, self.spread)).take(chunk)
            })?;
            decoders.map_or(Ok(()), |decoders| decoders.finish(&mut self.coming)).map_err(refused)
        })?;
        self.tie_leased().map_err(refused)?;
        self.begin_tail(history_bytes).map_err(refused)
    }

    /// Is to remember changes worth `history_bytes` of the snapshot that it is about to take in.
    pub(crate) fn remember(&mut self, history_bytes: usize) {
        self.history = history::Reader::new(history_bytes);
    }

    /// What a snapshot of it begins with.
    pub(crate) fn head(&self) -> Head {
        let shards = || self.shards.iter().map(|(_, shard)| &**shard);
        let keys = shards().map(|shard| shard.keys() as u64).sum();
        Head {
            revision: self.revision,
            now_ms: self.now_ms,
            keys,
            digest: digest(shards()),
            sessions: self.tables.sessions.len() as u64,
            forgotten_ms: self.tables.sessions.forgotten_ms(),
            leases: self.tables.leases.len() as u64,
            intents: self.tables.intents.rows() as u64,
        }
    }

    /// As a cut after the record `index`.
    pub(crate) fn into_cut(self, index: u64) -> Cut {
        let head = self.head();
        let shards = self.shards.iter().map(|(_, shard)| &**shard);
        let view = View::freeze(shards, &KeyRange::all(), Moment::new(head.now_ms), head.revision);
        Cut { index, head, tables: self.tables.save(), view }
    }

    /// Whether it is the state that a snapshot with this head holds, whenever that was made.
    pub(crate) fn agrees(&self, head: &Head) -> bool {
        Head { now_ms: head.now_ms, ..self.head() } == *head
    }

    /// Takes in a chunk of a snapshot: its head, then its sessions, its leases, its intents, its entries, and the
    /// changes before it.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        if self.snapshot.is_none() {
            if let Some(&found) = chunk.first().filter(|&&version| version > snapshot::VERSION) {
                return Err(NewerHead(found).into());
            }
            let head = Head::decode(chunk).ok_or("its head cannot be read")?;
            (self.revision, self.now_ms) = (head.revision, head.now_ms);
            (self.sessions_left, self.entries_left) = (head.sessions, head.keys);
            (self.leases_left, self.intents_left) = (head.leases, head.intents);
            self.tables.sessions = Sessions::forgotten_until(head.forgotten_ms);
            self.snapshot = Some(head);
            return Ok(());
        }
        if self.sessions_left > 0 {
            for session in snapshot::items(chunk) {
                let read = session.and_then(|bytes| self.tables.sessions.read(bytes));
                read.ok_or("a session in it cannot be read")?;
                let left = self.sessions_left.checked_sub(1);
                self.sessions_left = left.ok_or("it has too many sessions")?;
            }
            return Ok(());
        }
        if self.leases_left > 0 {
            for lease in snapshot::items(chunk) {
                let read = lease.and_then(|bytes| self.tables.leases.read(bytes));
                read.ok_or("a lease in it cannot be read")?;
                self.leases_left =
                    self.leases_left.checked_sub(1).ok_or("it has too many leases")?;
            }
            return Ok(());
        }
        if self.intents_left > 0 {
            for row in snapshot::items(chunk) {
                let read = row.and_then(|bytes| self.tables.intents.read(bytes));
                read.ok_or("what it says of a transaction cannot be read")?;
                let left = self.intents_left.checked_sub(1);
                self.intents_left = left.ok_or("it has too many transactions")?;
            }
            return Ok(());
        }
        if !self.awaits_entries() {
            return Ok(self.history.read(chunk).ok_or("its history cannot be read")?);
        }
        self.expect_entries(chunk)?;
        self.coming.take(chunk)?;
        self.tie_leased()
    }

    /// Takes in entries that are in memory already, in place of the chunks that have them.
    pub(crate) fn take_entries(
        &mut self,
        entries: impl ExactSizeIterator<Item = Entry>,
    ) -> Result<(), BoxError> {
        self.expect(entries.len() as u64)?;
        entries.for_each(|entry| self.coming.push(entry));
        self.tie_leased()
    }

    /// Whether the next chunk has entries.
    fn awaits_entries(&self) -> bool {
        self.snapshot.is_some()
            && (self.sessions_left, self.leases_left, self.intents_left) == (0, 0, 0)
            && self.entries_left > 0
    }

    /// Counts the entries of a chunk.
    fn expect_entries(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        self.expect(snapshot::items(chunk).count() as u64)
    }

    fn expect(&mut self, entries: u64) -> Result<(), BoxError> {
        self.entries_left = self.entries_left.checked_sub(entries).ok_or("it has too many keys")?;
        Ok(())
    }

    /// Ties the entries that have come to their leases, which came before them.
    fn tie_leased(&mut self) -> Result<(), BoxError> {
        match self.coming.take_leased().iter().all(|entry| self.tables.leases.tie(entry)) {
            true => Ok(()),
            false => Err("an entry in it goes with a lease that is not".into()),
        }
    }

    /// Checks that the snapshot adds up, and begins the tail with the changes it remembers.
    pub(crate) fn begin_tail(&mut self, history_bytes: usize) -> Result<Tail, BoxError> {
        let head = self.snapshot.ok_or("it is empty")?;
        let digest = self.coming.lay_out(&mut self.shards);
        let keys: usize = self.shards.iter().map(|(_, shard)| shard.keys()).sum();
        let Tables { sessions, leases, intents } = &self.tables;
        let tables = (sessions.len() as u64, leases.len() as u64, intents.rows() as u64);
        let expected = (head.sessions, head.leases, head.intents);
        if (keys as u64, digest, tables) != (head.keys, head.digest, expected) {
            return Err("its entries do not add up to its head".into());
        }
        let history = std::mem::take(&mut self.history);
        let recent = history.into_recent(head.revision);
        let recent = recent.ok_or("its history does not lead to its revision")?;
        Ok(Tail::of(recent, history_bytes))
    }

    /// Applies a record of the log.
    pub(crate) fn replay(&mut self, payload: &[u8], tail: &Tail) -> Result<(), BoxError> {
        let record = Record::decode(payload)?;
        let mut stamp = record.stamp;
        if stamp.revision != self.revision {
            let (found, expected) = (stamp.revision, self.revision);
            return Err(format!("it follows revision {found}, the state has {expected}").into());
        }
        let mut commands = record.commands().peekable();
        let mut ahead = Vec::new();
        while commands.peek().is_some() {
            // An error is the last one there is.
            ahead.extend(commands.by_ref().take(KEYS_MAX));
            self.look_ahead(&ahead);
            for command in ahead.drain(..) {
                self.apply(command?, &mut stamp, tail)?;
            }
        }
        self.revision = stamp.revision;
        self.now_ms = self.now_ms.max(stamp.now_ms);
        Ok(())
    }

    /// Brings near what commands will look at.
    fn look_ahead(&self, commands: &[Result<Command<'_>, BadRecord>]) {
        let wanted = commands.iter().filter_map(|command| {
            let (Ok(Command::Request(request)) | Ok(Command::Numbered { request, .. })) = command
            else {
                return None;
            };
            let key = single_key(request)?;
            let hash = self.spread.hash(key);
            Some((key, hash, &*self.shards[self.spread.shard_of_hash(hash)].1))
        });
        approach(wanted);
    }

    /// Applies a command.
    fn apply(
        &mut self,
        command: Command<'_>,
        stamp: &mut Stamp,
        tail: &Tail,
    ) -> Result<(), BoxError> {
        let mut writing = Writing::new(self.spread, &mut self.shards);
        let applied = apply(&mut writing, &mut self.tables, *stamp, &command);
        let (change, changed) = match command {
            Command::Numbered { changed, .. } => {
                (applied.map_or(None, |applied| applied.1), changed)
            }
            // Logs that are replayed are those of a store alone, which nobody asks for a step.
            Command::Step(_) => return Err("it holds a step of a cluster's group".into()),
            Command::Request(_) | Command::Expire(_) | Command::Evict(_) | Command::EndLease(_) => {
                (applied?.1, true)
            }
        };
        if change.is_some() != changed {
            return Err(UNLIKE.into());
        }
        if let Some(change) = change {
            stamp.revision = change.revision;
            tail.extend([change], stamp.revision, u64::MAX);
        }
        Ok(())
    }
}
