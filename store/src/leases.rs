//! Leases: times that clients keep renewing, and the keys that go when such a time is over.
//!
//! A lease's keys are the live entries that name it, so only the leases themselves are kept on disk;
//! which keys go with them is found from the entries when they are loaded.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::limits::LEASE_KEYS_MAX;
use tidekeep_protocol::op;
use tidekeep_protocol::planted;

use crate::entry::Entry;

/// A lease in a snapshot: | number u64 | ttl_ms u64 | expires_at u64 |, little-endian.
pub type PackedLease = [u8; PACKED_BYTES];
const PACKED_BYTES: usize = 24;

/// What a lease costs beside its keys, and what each of its keys does: places in trees.
pub(crate) const LEASE_COST: usize = 160;
const KEY_COST: usize = 32;

/// Every lease, by its number and by when it ends.
#[derive(Debug, Default)]
pub struct Leases {
    leases: BTreeMap<u64, Lease>,
    /// When each ends, and its number.
    ends: BTreeSet<(u64, u64)>,
    /// Keys of all leases.
    keys: usize,
}

/// One lease.
#[derive(Debug)]
struct Lease {
    ttl_ms: u64,
    expires_at: u64,
    /// The entries that go with it, as they are kept.
    entries: BTreeSet<Entry>,
}

impl Leases {
    /// Makes the lease with this number; gives when it ends.
    pub(crate) fn grant(&mut self, lease: u64, ttl_ms: u64, now_ms: u64) -> u64 {
        let expires_at = now_ms.saturating_add(ttl_ms);
        self.insert(lease, ttl_ms, expires_at);
        expires_at
    }

    /// Gives a lease its whole time again: its time to live, and when it ends now. None if its time
    /// is over.
    pub(crate) fn keep_alive(&mut self, lease: u64, now_ms: u64) -> Option<(u64, u64)> {
        let kept = self.leases.get_mut(&lease).filter(|kept| kept.expires_at > now_ms)?;
        self.ends.remove(&(kept.expires_at, lease));
        if !planted::is_awake("lease-not-kept-alive") {
            kept.expires_at = now_ms.saturating_add(kept.ttl_ms);
        }
        self.ends.insert((kept.expires_at, lease));
        Some((kept.ttl_ms, kept.expires_at))
    }

    /// Takes a lease out; gives the entries that go with it, in key order.
    pub(crate) fn take(&mut self, lease: u64) -> Option<Vec<Entry>> {
        let taken = self.leases.remove(&lease)?;
        self.ends.remove(&(taken.expires_at, lease));
        self.keys -= taken.entries.len();
        Some(taken.entries.into_iter().collect())
    }

    /// Whether there is such a lease and its time is not over.
    pub fn is_live(&self, lease: u64, now_ms: u64) -> bool {
        self.leases.get(&lease).is_some_and(|kept| kept.expires_at > now_ms)
    }

    /// Whether there is such a lease and its time is over.
    pub(crate) fn is_due(&self, lease: u64, now_ms: u64) -> bool {
        self.leases.get(&lease).is_some_and(|kept| kept.expires_at <= now_ms)
    }

    /// Whether `entry` goes with a lease whose time is over.
    pub fn is_over(&self, entry: &Entry, now_ms: u64) -> bool {
        entry.lease().is_some_and(|lease| !self.is_live(lease, now_ms))
    }

    /// Refuses to tie one more key to a lease that is not there or has as many as may be. `before`
    /// is the key's entry now.
    pub(crate) fn check(
        &self,
        lease: u64,
        before: Option<&Entry>,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let kept = self.leases.get(&lease).filter(|kept| kept.expires_at > now_ms);
        let kept = kept.ok_or_else(no_such_lease)?;
        let has_it = before.is_some_and(|entry| entry.lease() == Some(lease));
        if kept.entries.len() >= LEASE_KEYS_MAX && !has_it {
            return Err(Refusal::new(Code::TooLarge, "16,384 keys go with the lease already"));
        }
        Ok(())
    }

    /// Notes an entry that is kept from now on; false if the lease that it goes with is not there.
    pub fn tie(&mut self, entry: &Entry) -> bool {
        let Some(lease) = entry.lease() else { return true };
        let Some(kept) = self.leases.get_mut(&lease) else { return false };
        self.keys += usize::from(kept.entries.insert(entry.clone()));
        true
    }

    /// Forgets an entry that is no longer kept.
    pub(crate) fn untie(&mut self, entry: &Entry) {
        let Some(kept) = entry.lease().and_then(|lease| self.leases.get_mut(&lease)) else {
            return;
        };
        self.keys -= usize::from(kept.entries.remove(entry));
    }

    /// The leases whose time is over, the most overdue first.
    pub fn due(&self, now_ms: u64) -> impl Iterator<Item = u64> {
        self.ends.iter().take_while(move |(end, _)| *end <= now_ms).map(|(_, lease)| *lease)
    }

    /// When a lease ends, in milliseconds since the Unix epoch.
    pub fn end_of(&self, lease: u64) -> Option<u64> {
        self.leases.get(&lease).map(|kept| kept.expires_at)
    }

    /// When the next lease ends, in milliseconds since the Unix epoch.
    pub fn next_due(&self) -> Option<u64> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// The entries that go with a lease, in key order.
    pub fn entries(&self, lease: u64) -> impl Iterator<Item = &Entry> {
        self.leases.get(&lease).into_iter().flat_map(|lease| &lease.entries)
    }

    /// The next leases behind `after` whose time is not over, at most `most`, and whether there are
    /// more.
    pub fn page(&self, after: u64, most: usize, now_ms: u64) -> (Vec<op::Lease>, bool) {
        let behind = self.leases.range(after.saturating_add(1)..);
        let mut live = behind.filter(|(_, lease)| lease.expires_at > now_ms);
        let page = live.by_ref().take(most).map(|(&number, lease)| op::Lease {
            lease: number,
            ttl_ms: lease.ttl_ms,
            expires_at: lease.expires_at,
            keys: lease.entries.len() as u64,
        });
        let page = page.collect();
        (page, live.next().is_some())
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// How many keys go with a lease.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// What the table costs in memory beside the entries, in bytes.
    pub fn bytes(&self) -> usize {
        self.leases.len() * LEASE_COST + self.keys * KEY_COST
    }

    /// Every lease as a snapshot keeps it, without its keys.
    pub fn packed(&self) -> Vec<PackedLease> {
        let pack = |(&lease, kept): (&u64, &Lease)| {
            let numbers = [lease, kept.ttl_ms, kept.expires_at].map(u64::to_le_bytes);
            let mut packed = [0; PACKED_BYTES];
            packed.copy_from_slice(numbers.as_flattened());
            packed
        };
        self.leases.iter().map(pack).collect()
    }

    /// Takes in a lease that was packed; tie its entries to it then. None if it is cut or there is
    /// such a lease already.
    #[must_use = "what cannot be read must not be passed over"]
    pub fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let packed = PackedLease::try_from(bytes).ok()?;
        let [lease, ttl_ms, expires_at] = [0, 8, END_AT].map(|at| number_at(&packed, at));
        self.insert(lease, ttl_ms, expires_at).then_some(())
    }

    /// Whether it is new.
    fn insert(&mut self, lease: u64, ttl_ms: u64, expires_at: u64) -> bool {
        self.ends.insert((expires_at, lease));
        let kept = Lease { ttl_ms, expires_at, entries: BTreeSet::new() };
        self.leases.insert(lease, kept).is_none()
    }
}

/// One list of the leases in the lists of several groups: each is the same in all that have it, and ends where it
/// ends first. None if something among them is no lease.
pub fn merged<'a>(packed: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<PackedLease>> {
    let mut all: BTreeMap<u64, PackedLease> = BTreeMap::new();
    for bytes in packed {
        let lease = PackedLease::try_from(bytes).ok()?;
        let known = all.entry(number_at(&lease, 0)).or_insert(lease);
        if number_at(&lease, END_AT) < number_at(known, END_AT) {
            *known = lease;
        }
    }
    Some(all.into_values().collect())
}

/// The number of a packed lease.
pub fn number_of(packed: &PackedLease) -> u64 {
    number_at(packed, 0)
}

/// Where a packed lease says when it ends.
const END_AT: usize = 16;

fn number_at(packed: &PackedLease, at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|i| packed[at + i]))
}

/// What a request gets that names a lease which is not there.
pub(crate) fn no_such_lease() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such lease; its time may be over")
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use tidekeep_protocol::entry::Meta;

    use super::*;

    fn entry(key: &[u8], modified: u64, lease: Option<u64>) -> Entry {
        let meta = Meta { created: 1, modified, version: 1, expires_at: None, lease };
        Entry::new(key, b"value", meta, &mut Vec::new())
    }

    #[test]
    fn a_lease_ends_its_time_after_it_was_last_kept_alive() {
        let mut leases = Leases::default();
        assert_eq!(leases.grant(7, 1000, 50), 1050);
        assert_eq!(leases.keep_alive(7, 1049), Some((1000, 2049)));
        assert_eq!(leases.next_due(), Some(2049));
        assert_eq!(leases.due(2048).count(), 0);
        assert!(leases.due(2049).eq([7]));
        assert_eq!(leases.keep_alive(7, 2049), None);
        assert_eq!(leases.keep_alive(8, 0), None);
        assert!(leases.is_live(7, 2048) && !leases.is_live(7, 2049) && !leases.is_live(8, 0));
    }

    #[test]
    fn entries_go_with_their_lease_as_they_are_now() {
        let mut leases = Leases::default();
        leases.grant(7, 1000, 0);
        let (old, new) = (entry(b"b", 8, Some(7)), entry(b"b", 9, Some(7)));
        leases.tie(&old);
        leases.untie(&old);
        leases.tie(&new);
        leases.tie(&entry(b"a", 9, Some(7)));
        leases.tie(&entry(b"c", 9, None));
        leases.tie(&entry(b"d", 9, Some(8)));
        assert_eq!((leases.keys(), leases.len()), (2, 1));
        assert_eq!(leases.take(7), Some(vec![entry(b"a", 9, Some(7)), new]));
        assert_eq!((leases.keys(), leases.bytes(), leases.next_due()), (0, 0, None));
        assert_eq!(leases.take(7), None);
    }

    #[test]
    fn a_page_leaves_out_what_is_over_and_says_whether_there_is_more() {
        let mut leases = Leases::default();
        for (number, ttl_ms) in [(3, 300), (5, 100), (8, 300), (9, 300)] {
            leases.grant(number, ttl_ms, 0);
        }
        let numbers = |(page, more): (Vec<op::Lease>, bool)| {
            (page.iter().map(|lease| lease.lease).collect::<Vec<_>>(), more)
        };
        assert_eq!(numbers(leases.page(0, 2, 100)), (vec![3, 8], true));
        assert_eq!(numbers(leases.page(8, 2, 100)), (vec![9], false));
        assert_eq!(numbers(leases.page(u64::MAX, 2, 100)), (vec![], false));
    }

    #[test]
    fn leases_come_back_from_a_snapshot_without_their_keys() {
        let mut leases = Leases::default();
        leases.grant(3, 300, 40);
        leases.grant(5, 100, 20);
        leases.tie(&entry(b"k", 6, Some(3)));
        let mut back = Leases::default();
        for packed in leases.packed() {
            assert_eq!(back.read(&packed), Some(()));
            assert_eq!(back.read(&packed), None, "each but once");
            assert_eq!(Leases::default().read(&packed[1..]), None);
        }
        assert_eq!((back.len(), back.keys(), back.next_due()), (2, 0, Some(120)));
        assert!(back.tie(&entry(b"k", 6, Some(3))) && !back.tie(&entry(b"k", 6, Some(4))));
        assert_eq!(back.page(0, 9, 0), leases.page(0, 9, 0));
    }

    #[test]
    fn a_lease_takes_so_many_keys_and_no_more() {
        let mut leases = Leases::default();
        leases.grant(3, 300, 0);
        let key = |number: usize| entry(&number.to_be_bytes(), 4, Some(3));
        for number in 0..LEASE_KEYS_MAX {
            assert!(leases.check(3, None, 299).is_ok());
            leases.tie(&key(number));
        }
        let code = |refused: Result<(), Refusal>| refused.map_err(|refusal| refusal.code);
        assert_eq!(code(leases.check(3, None, 299)), Err(Code::TooLarge));
        assert_eq!(code(leases.check(3, Some(&key(0)), 299)), Ok(()));
        assert_eq!(code(leases.check(3, Some(&key(0)), 300)), Err(Code::NotFound));
        assert_eq!(code(leases.check(4, None, 0)), Err(Code::NotFound));
    }
}
