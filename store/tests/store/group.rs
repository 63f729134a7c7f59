//! A group in one thread: shards without locks, a revision, and nothing on disk.

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{Put, Request};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::{Stamp, apply, apply_plain_put};
use tidekeep_store::approach::approach;
use tidekeep_store::change::Change;
use tidekeep_store::entry::Entry;
use tidekeep_store::moment::Moment;
use tidekeep_store::read::{self, PageLimits};
use tidekeep_store::record::{BadRecord, Command, Record};
use tidekeep_store::reply::Reply;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Footprint, Spread, Writing};
use tidekeep_store::tables::Tables;
use tidekeep_store::view::View;

pub(crate) type Applied = Result<(Option<Reply>, Option<Change>), Refusal>;

pub(crate) struct Group {
    pub(crate) shards: Vec<Shard>,
    pub(crate) tables: Tables,
    pub(crate) spread: Spread,
    pub(crate) revision: u64,
}

impl Group {
    pub(crate) fn new(shards: usize, seed: u64) -> Self {
        let spread = Spread::new(seed, shards);
        let shards = (0..spread.shards()).map(|_| Shard::new(spread)).collect();
        Self { shards, tables: Tables::default(), spread, revision: 0 }
    }

    /// Applies a command, a plain put by the short way.
    pub(crate) fn apply(&mut self, now_ms: u64, command: &Command<'_>) -> Applied {
        if let Command::Request(Request::Put(put)) = command
            && put.is_plain()
            && self.tables.intents.is_free()
            && let Some((reply, change)) = self.put_plainly(now_ms, put)
        {
            self.revision = change.revision;
            return Ok((Some(reply), Some(change)));
        }
        self.apply_whole(now_ms, command)
    }

    fn put_plainly(&mut self, now_ms: u64, put: &Put<'_>) -> Option<(Reply, Change)> {
        let hash = self.spread.hash(put.key);
        let shard = &mut self.shards[self.spread.shard_of_hash(hash)];
        let [near, ..] = approach([(put.key, hash, &*shard)].into_iter());
        let stamp = Stamp { now_ms, revision: self.revision };
        apply_plain_put(shard, stamp, put, hash, near)
    }

    /// Applies a command with just the shards of its footprint at hand.
    fn apply_whole(&mut self, now_ms: u64, command: &Command<'_>) -> Applied {
        let footprint = match command {
            Command::Request(request) | Command::Numbered { request, .. } => {
                self.spread.footprint(request, &self.tables.leases)
            }
            Command::Expire(_) | Command::Evict(_) => Footprint::All,
            Command::EndLease(lease) => self.spread.of_lease(&self.tables.leases, *lease),
            Command::Step(step) => self.spread.of_step(step, &self.tables),
        };
        let wanted: Vec<usize> = footprint.indexes(self.shards.len()).collect();
        let mut guards: Vec<(usize, &mut Shard)> = self
            .shards
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| wanted.contains(index))
            .collect();
        let stamp = Stamp { now_ms, revision: self.revision };
        let mut writing = Writing::new(self.spread, &mut guards);
        let applied = apply(&mut writing, &mut self.tables, stamp, command);
        if let Ok((_, Some(change))) = &applied {
            self.revision = change.revision;
        }
        applied
    }

    /// Applies what a record holds, by the way of all commands.
    pub(crate) fn replay(&mut self, record: &[u8]) -> Result<Vec<Applied>, BadRecord> {
        let record = Record::decode(record)?;
        assert_eq!(record.stamp.revision, self.revision, "records follow each other");
        let mut applied = Vec::new();
        for command in record.commands() {
            applied.push(self.apply_whole(record.stamp.now_ms, &command?));
        }
        Ok(applied)
    }

    /// Answers a read; none for what is no read of the store.
    pub(crate) fn read(
        &self,
        request: &Request<'_>,
        limits: PageLimits,
        now: u64,
    ) -> Option<Reply> {
        let moment = &self.moment(now);
        match request {
            Request::Get(get) => {
                let hash = self.spread.hash(get.key);
                let shard = &self.shards[self.spread.shard_of_hash(hash)];
                Some(Reply::Get(read::get(shard, hash, get.key, moment, self.revision).keep()))
            }
            Request::Scan(scan) => {
                Some(Reply::Scan(read::scan(&self.shards, scan, limits, moment, self.revision)))
            }
            Request::Children(children) => {
                let shards = self.shards.iter();
                let names = read::children(shards, children, limits, moment, self.revision);
                Some(Reply::Children(names))
            }
            _ => None,
        }
    }

    fn moment(&self, now: u64) -> Moment {
        Moment::of(now, &self.tables.leases)
    }

    pub(crate) fn view(&self, range: &KeyRange, now: u64) -> View {
        View::freeze(&self.shards, range, self.moment(now), self.revision)
    }

    /// Every entry in key order, those included whose time is over.
    pub(crate) fn content(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.view(&KeyRange::all(), 0).entries().cloned().collect();
        entries.sort();
        entries
    }

    pub(crate) fn keys(&self) -> usize {
        self.shards.iter().map(Shard::keys).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.shards.iter().map(Shard::digest).fold(0, u64::wrapping_add)
    }

    /// The entries whose time is over, the most overdue first in each shard.
    pub(crate) fn due(&self, now: u64) -> Vec<Entry> {
        self.shards.iter().flat_map(|shard| shard.due(now)).cloned().collect()
    }
}
