//! Leases as replies and changes tell of them. The store's changes do not say which lease they made
//! or kept alive, so what is not acknowledged yet leaves two bounds: the least and the most that a
//! lease can live.

use std::collections::BTreeMap;

use tidekeep_log::{Change, Entry, EventKind};
use tidekeep_protocol::op::{LeaseReply, LeaseRevokeReply, LeasesReply};

use crate::call::What;
use crate::history::History;
use crate::reading::Wall;

/// Every lease that anybody was told of.
#[derive(Default)]
pub(crate) struct Leases {
    known: BTreeMap<u64, Lease>,
    /// Revisions that changed no entry and whose author is not known yet, and when they were ordered.
    quiet: BTreeMap<u64, u64>,
}

/// One lease.
#[derive(Default)]
struct Lease {
    ttl_ms: u64,
    /// When it ends, from each acknowledged revision on.
    ends: BTreeMap<u64, u64>,
    /// The revision at which it ended or was revoked.
    ended: Option<u64>,
    /// Keep-alives and revocations that may be applied without anybody having been told.
    kept_in_doubt: u64,
    revoked_in_doubt: u64,
}

impl Lease {
    /// The time until which it certainly lives, unless it is revoked.
    fn least(&self, at: u64) -> u64 {
        self.ends.range(..=at).next_back().map_or(0, |(_, end)| *end)
    }
}

impl Leases {
    /// Leases, the newest first; with a time, those that may well live then.
    pub(crate) fn newest(&self, now_ms: Option<u64>) -> Vec<u64> {
        let lives = |it: &Lease| {
            let least = it.least(u64::MAX);
            it.ended.is_none() && now_ms.is_none_or(|now_ms| now_ms < least)
        };
        let newest = self.known.iter().rev();
        newest.filter(|(_, it)| lives(it)).map(|(lease, _)| *lease).take(8).collect()
    }

    /// Notes a call to come; what it does to a lease is in doubt until it ends.
    pub(crate) fn asked(&mut self, what: &What) {
        self.doubt(what, |doubts| *doubts += 1);
    }

    /// Notes that a call has ended and that it is known what became of it.
    pub(crate) fn decided(&mut self, what: &What) {
        self.doubt(what, |doubts| *doubts -= 1);
    }

    fn doubt(&mut self, what: &What, change: impl FnOnce(&mut u64)) {
        match what {
            What::KeepAlive { lease } => change(&mut self.lease(*lease).kept_in_doubt),
            What::Revoke { lease } => change(&mut self.lease(*lease).revoked_in_doubt),
            _ => {}
        }
    }

    fn lease(&mut self, lease: u64) -> &mut Lease {
        self.known.get_mut(&lease).expect("only known leases are named")
    }

    /// How many ended with keys, or were revoked.
    pub(crate) fn ended(&self) -> u64 {
        self.known.values().filter(|it| it.ended.is_some()).count() as u64
    }

    /// Revisions that changed no entry, with the time at which they were ordered, that nobody was
    /// told of.
    pub(crate) fn unclaimed(&self) -> impl Iterator<Item = (u64, u64)> {
        self.quiet.iter().map(|(revision, at_ms)| (*revision, *at_ms))
    }

    /// Whether a lease may have ended without a key at a revision, by itself.
    pub(crate) fn may_end_at(&self, lease: u64, revision: u64, at_ms: u64) -> bool {
        self.known
            .get(&lease)
            .is_some_and(|it| it.ended.is_none() && revision > lease && at_ms >= it.least(revision))
    }

    /// All leases that were told of.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.known.keys().copied()
    }

    /// Whether a lease is over at a time, as of a revision; none if nobody can know.
    pub(crate) fn is_over(&self, lease: u64, at: u64, now_ms: u64) -> Option<bool> {
        let it = &self.known[&lease];
        let least = it.least(at);
        let kept = self.quiet.range(lease..=at).next_back().filter(|_| it.kept_in_doubt > 0);
        let most = kept.map_or(least, |(_, kept_ms)| least.max(kept_ms + it.ttl_ms));
        let gone = it.ended.is_some_and(|ended| ended <= at);
        match () {
            () if gone || now_ms >= most => Some(true),
            () if now_ms < least => Some(false),
            () => None,
        }
    }

    fn claim(&mut self, revision: u64) -> Result<u64, String> {
        let claimed = self.quiet.remove(&revision);
        claimed.ok_or_else(|| format!("revision {revision} is not of this call alone"))
    }

    /// Takes in the end of a lease by itself, in the next change.
    pub(crate) fn end(
        &mut self,
        change: &Change,
        keys: &[&[u8]],
        lease: u64,
    ) -> Result<(), String> {
        let revision = change.revision;
        let same = |event: &tidekeep_log::Event| {
            event.kind == EventKind::Expire && event.entry.lease() == Some(lease)
        };
        if !change.events.iter().all(same)
            || !change.events.iter().map(|it| it.key()).eq(keys.iter().copied())
        {
            return Err(format!("lease {lease} ends at {revision} with {change:?}, not {keys:?}"));
        }
        if self.is_over(lease, revision - 1, change.at_ms) == Some(false) {
            return Err(format!("lease {lease} ends at {revision} before its time"));
        }
        let it = self.lease(lease);
        match it.ended.replace(revision) {
            Some(before) => Err(format!("lease {lease} ends at {revision}, but did at {before}")),
            None => Ok(()),
        }
    }

    /// Notes a change without any entry.
    pub(crate) fn note_quiet(&mut self, change: &Change) {
        self.quiet.insert(change.revision, change.at_ms);
    }

    /// A lease was acknowledged as granted or kept alive.
    pub(crate) fn acknowledge(&mut self, what: &What, reply: &LeaseReply) -> Result<(), String> {
        let LeaseReply { revision, lease, ttl_ms, expires_at } = *reply;
        let at_ms = self.claim(revision)?;
        let asked_ttl_ms = match what {
            What::Grant { ttl_ms } => {
                if lease != revision {
                    return Err(format!("lease {lease} was granted at {revision}"));
                }
                self.known.insert(lease, Lease { ttl_ms: *ttl_ms, ..Lease::default() });
                *ttl_ms
            }
            What::KeepAlive { lease: asked } if *asked == lease => {
                if self.is_over(lease, revision - 1, at_ms) == Some(true) {
                    return Err(format!("lease {lease} was over, but kept alive at {revision}"));
                }
                self.known[&lease].ttl_ms
            }
            _ => return Err(format!("told of lease {lease}")),
        };
        if ttl_ms != asked_ttl_ms || expires_at != at_ms + ttl_ms {
            return Err(format!("{reply:?}, ordered at {at_ms}, to live {asked_ttl_ms} ms"));
        }
        let it = self.lease(lease);
        it.ends.insert(revision, expires_at);
        match it.ended.filter(|ended| *ended < revision) {
            Some(ended) => Err(format!("lease {lease} ended at {ended}, but lives at {revision}")),
            None => Ok(()),
        }
    }
}

impl History {
    /// A lease was acknowledged as revoked.
    pub(crate) fn revoke(&mut self, lease: u64, reply: &LeaseRevokeReply) -> Result<(), String> {
        let revision = reply.revision;
        let change = self.change(revision).cloned().ok_or("an unknown revision")?;
        let before = self.leased(lease, revision - 1);
        let events = change.events.iter();
        let gone = events.map(|event| (event.kind, event.key().to_vec()));
        let expected = before.into_iter().map(|key| (EventKind::Delete, key));
        if !gone.eq(expected) || reply.deleted != change.events.len() as u64 {
            return Err(format!("lease {lease} was revoked as {reply:?}: {change:?}"));
        }
        if change.events.is_empty() {
            self.leases.claim(revision)?;
        }
        if self.leases.is_over(lease, revision - 1, change.at_ms) == Some(true) {
            return Err(format!("lease {lease} was over, but revoked at {revision}"));
        }
        match self.leases.lease(lease).ended.replace(revision) {
            Some(before) => Err(format!("lease {lease} is revoked, but ended at {before}")),
            None => Ok(()),
        }
    }

    /// The keys of a lease after a revision, in order.
    pub(crate) fn leased(&self, lease: u64, at: u64) -> Vec<Vec<u8>> {
        let content = self.content(&tidekeep_protocol::range::KeyRange::all(), at);
        let tied = content.into_iter().filter(|entry| entry.lease() == Some(lease));
        tied.map(|entry| entry.key().to_vec()).collect()
    }

    /// Whether an entry's time is over, as of a revision; none if nobody can know.
    pub(crate) fn is_over(&self, entry: &Entry, at: u64, now_ms: u64) -> Option<bool> {
        match entry.lease() {
            Some(lease) => self.leases.is_over(lease, at, now_ms),
            None => Some(entry.expires_at().is_some_and(|end| end <= now_ms)),
        }
    }

    /// A call was told that there is no such lease: was that right?
    pub(crate) fn check_gone(&self, what: &What, wall: Wall) -> Result<(), String> {
        let lease = what.lease().ok_or_else(|| format!("{what:?} names no lease"))?;
        let it = &self.leases.known[&lease];
        let gone = it.ended.is_some() || it.revoked_in_doubt > 0;
        let least = it.least(self.revision());
        if gone || wall.latest_ms >= least {
            return Ok(());
        }
        Err(format!("{what:?} found no lease, though it lives until {least}"))
    }

    /// Checks a page of leases from the first on.
    pub(crate) fn check_leases(&self, reply: &LeasesReply, wall: Wall) -> Result<(), String> {
        let at = reply.revision;
        let mut listed = Vec::new();
        for found in &reply.leases {
            let (lease, end) = (found.lease, found.expires_at);
            let at_ms = end.checked_sub(found.ttl_ms);
            let mut kept = (lease..=at).filter_map(|revision| self.change(revision));
            let was_kept = kept.any(|it| it.events.is_empty() && Some(it.at_ms) == at_ms);
            let granted = self.change(lease).is_some_and(|change| change.events.is_empty());
            let rises = listed.last().is_none_or(|last| *last < lease);
            let keys = self.leased(lease, at).len() as u64;
            let mut right = was_kept && granted && rises && found.keys == keys;
            right &= end > wall.earliest_ms;
            if let Some(it) = self.leases.known.get(&lease) {
                right &= it.ttl_ms == found.ttl_ms && end >= it.least(at);
                right &= self.leases.is_over(lease, at, end - 1) != Some(true);
            }
            if !right {
                return Err(format!("a lease that is not so, with {keys} keys: {found:?}"));
            }
            listed.push(lease);
        }
        let reach = if reply.more { listed.last().copied().unwrap_or(0) } else { at };
        let missing = self.leases.known.range(..=reach).find(|(lease, it)| {
            let gone = it.ended.is_some_and(|ended| ended <= at) || it.revoked_in_doubt > 0;
            !gone && it.least(at) > wall.latest_ms && !listed.contains(lease)
        });
        match missing {
            Some((lease, _)) => Err(format!("leases without {lease}: {reply:?}")),
            None => Ok(()),
        }
    }
}
