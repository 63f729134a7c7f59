//! A few entries apart from the store, on which requests are tried: by the very operations that the
//! store applies. Who needs to know what several writes come to before any is made loads what they
//! touch, runs them here, and then asks for one transaction.

use alloc::boxed::Box;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::limits::LEASE_TTL_MS_MAX;
use tidekeep_protocol::op::{Get, Request};

use crate::apply::{Stamp, apply_request};
use crate::entry::Entry;
use crate::moment::Moment;
use crate::read;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::shards::{Spread, Writing};
use crate::tables::Tables;

/// Entries at one moment, and what was done to them.
pub struct Scratch {
    shards: [(usize, Box<Shard>); 1],
    spread: Spread,
    tables: Tables,
    stamp: Stamp,
}

impl Scratch {
    /// Nothing yet; everything that is run happens at `now_ms`, in milliseconds since the Unix epoch.
    pub fn new(now_ms: u64) -> Self {
        let spread = Spread::new(1, 1);
        Self {
            shards: [(0, Box::new(Shard::new(spread)))],
            spread,
            tables: Tables::default(),
            stamp: Stamp { now_ms, revision: 0 },
        }
    }

    /// The time of everything here.
    pub fn now_ms(&self) -> u64 {
        self.stamp.now_ms
    }

    /// Takes an entry in as it is in the store.
    pub fn load(&mut self, entry: Entry) {
        let (now_ms, leases) = (self.stamp.now_ms, &mut self.tables.leases);
        if let Some(lease) = entry.lease() {
            // It was there when the entry was read; whether it still is, the store says.
            if !leases.is_live(lease, now_ms) {
                leases.grant(lease, LEASE_TTL_MS_MAX, now_ms);
            }
            leases.tie(&entry);
        }
        self.stamp.revision = self.stamp.revision.max(entry.modified());
        self.shards[0].1.insert(entry);
    }

    /// The entry of `key`, unless its time is over.
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        read::live(&self.shards[0].1, key, &Moment::new(self.stamp.now_ms))
    }

    /// Runs a request. What it touches must have been loaded.
    ///
    /// # Errors
    /// As [`apply_request`].
    pub fn run(&mut self, request: &Request<'_>) -> Result<Reply, Refusal> {
        if let Request::Get(Get { key }) = request {
            let moment = Moment::new(self.stamp.now_ms);
            let (shard, hash) = (&self.shards[0].1, self.spread.hash(key));
            let got = read::get(shard, hash, key, &moment, self.stamp.revision);
            return Ok(Reply::Get(got.keep()));
        }
        let mut writing = Writing::new(self.spread, &mut self.shards);
        let (reply, change) = apply_request(&mut writing, &mut self.tables, self.stamp, request)?;
        if let Some(change) = change {
            self.stamp.revision = change.revision;
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use tidekeep_protocol::condition::{Condition, Expiry};
    use tidekeep_protocol::entry::Meta;
    use tidekeep_protocol::op::{Increment, Put};

    use super::*;

    fn entry(key: &[u8], value: &[u8], lease: Option<u64>) -> Entry {
        let meta = Meta { created: 3, modified: 7, version: 2, expires_at: None, lease };
        Entry::new(key, value, meta, &mut Vec::new())
    }

    #[test]
    fn what_was_run_is_seen_by_what_follows() {
        let mut scratch = Scratch::new(1000);
        scratch.load(entry(b"n", b"41", None));
        let increment = Increment { key: b"n", by: 1, expiry: Expiry::After(5) };
        scratch.run(&Request::Increment(increment)).unwrap();
        assert_eq!(scratch.get(b"n").map(Entry::value), Some(&b"42"[..]));
        assert_eq!(scratch.get(b"n").and_then(Entry::expires_at), Some(1005));
        assert_eq!(scratch.get(b"other"), None);
    }

    #[test]
    fn an_entry_keeps_the_lease_it_goes_with() {
        let mut scratch = Scratch::new(1000);
        scratch.load(entry(b"k", b"1", Some(2)));
        let (condition, expiry) = (Condition::Present, Expiry::Keep);
        let put = Put { key: b"k", value: b"2", condition, expiry, previous: false };
        scratch.run(&Request::Put(put)).unwrap();
        assert_eq!(scratch.get(b"k").and_then(Entry::lease), Some(2));
    }
}
