//! What the store did, told by itself: every safe change in order. Replies and watches are held
//! against it, and every change must be explained by exactly one call.

use std::collections::BTreeMap;

use tidekeep_log::{Change, Entry, EventKind};
use tidekeep_protocol::range::KeyRange;

use crate::leases::Leases;

/// Every safe change so far, and the state after each.
#[derive(Default)]
pub(crate) struct History {
    changes: Vec<Change>,
    versions: BTreeMap<Vec<u8>, Vec<(u64, Option<Entry>)>>,
    pub(crate) leases: Leases,
    /// Keys that went to make room.
    pub(crate) evicted: u64,
}

impl History {
    /// The newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.changes.len() as u64
    }

    /// The change that made a revision.
    pub(crate) fn change(&self, revision: u64) -> Option<&Change> {
        self.changes.get((revision as usize).checked_sub(1)?)
    }

    /// Takes in the next change, if it fits what came before.
    pub(crate) fn push(&mut self, change: &Change) -> Result<(), String> {
        let expected = self.revision() + 1;
        if change.revision != expected {
            return Err(format!("revision {} where {expected} comes next", change.revision));
        }
        let before_ms = self.changes.last().map_or(0, |last| last.at_ms);
        if change.at_ms < before_ms {
            return Err(format!("revision {expected} is ordered in the past"));
        }
        if change.events.is_empty() {
            self.leases.note_quiet(change);
        }
        self.take_end(change)?;
        for event in &change.events {
            let key = event.key().to_vec();
            let before = self.state(&key, expected).cloned();
            let over = |entry: &Entry| self.is_over(entry, expected - 1, change.at_ms);
            let visible = before.clone().filter(|entry| match over(entry) {
                Some(over) => !over,
                None => event.previous.is_some(),
            });
            let (after, previous) = match event.kind {
                EventKind::Put => (Some(event.entry.clone()), visible),
                EventKind::Touch => {
                    let same = |before: &Entry| before.value() == event.entry.value();
                    if !visible.as_ref().is_some_and(same) {
                        return Err(format!("revision {expected} touches what was not there"));
                    }
                    (Some(event.entry.clone()), visible)
                }
                EventKind::Delete => (None, visible),
                EventKind::Expire if before.as_ref().is_none_or(|it| over(it) == Some(false)) => {
                    return Err(format!("revision {expected} expires what has not ended"));
                }
                EventKind::Expire => (None, before),
                EventKind::Evict if visible.is_none() => {
                    return Err(format!("revision {expected} evicts what was not there"));
                }
                EventKind::Evict => {
                    self.evicted += 1;
                    (None, visible)
                }
            };
            if event.previous != previous {
                let found = &event.previous;
                return Err(format!("revision {expected} replaced {previous:?}, not {found:?}"));
            }
            self.versions.entry(key).or_default().push((expected, after));
        }
        self.changes.push(change.clone());
        Ok(())
    }

    /// Takes in that a lease has ended, if the next change says so.
    fn take_end(&mut self, change: &Change) -> Result<(), String> {
        let last = change.events.last().filter(|last| last.kind == EventKind::Expire);
        let Some(lease) = last.and_then(|last| last.entry.lease()) else { return Ok(()) };
        let keys = self.leased(lease, self.revision());
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        self.leases.end(change, &keys, lease)
    }

    /// The entry of a key after a revision, ended or not.
    pub(crate) fn state(&self, key: &[u8], revision: u64) -> Option<&Entry> {
        let versions = self.versions.get(key)?;
        let at = versions.partition_point(|(made, _)| *made <= revision);
        versions[..at].last()?.1.as_ref()
    }

    /// All entries of a range after a revision, ended or not.
    pub(crate) fn content(&self, range: &KeyRange, revision: u64) -> Vec<&Entry> {
        let inside = range.as_range();
        let keys = self.versions.keys().filter(|key| inside.contains(key));
        keys.filter_map(|key| self.state(key, revision)).collect()
    }

    /// The first change after a revision that touches a range.
    pub(crate) fn next_in(&self, range: &KeyRange, after: u64) -> Option<&Change> {
        let range = range.as_range();
        let touches =
            |change: &&Change| change.events.iter().any(|event| range.contains(event.key()));
        self.changes.get(after as usize..)?.iter().find(touches)
    }
}
