//! The end of a world: what the store did and nobody was told of, given to calls whose outcome is
//! not known and to leases that ended without a key. Each can account for one revision.

use tidekeep_log::{Change, Event};

use crate::call::What;
use crate::history::History;
use crate::ledger::{Call, End};

/// Who may have done what nobody was told of.
enum Author<'a> {
    Call(&'a What),
    /// The end of a lease that somebody was told of.
    Lease(u64),
    /// The end of a lease that nobody was told of.
    Unheard,
}

/// Finds an author for each of these revisions, and no author for two.
pub(crate) fn settle(
    calls: &[Call],
    deletes: impl Iterator<Item = u64>,
    history: &History,
) -> Result<(), String> {
    let mut authors: Vec<Author<'_>> = history.leases.numbers().map(Author::Lease).collect();
    let in_doubt = |call: &&Call| matches!(call.end, Some(End::Unknown | End::Applied));
    for call in calls.iter().filter(in_doubt).filter(|call| call.what.is_unmarked()) {
        authors.push(Author::Call(&call.what));
        if matches!(call.what, What::Grant { .. }) {
            authors.push(Author::Unheard);
        }
    }
    let mut taken = vec![None; authors.len()];
    let quiet = history.leases.unclaimed().map(|(revision, _)| revision);
    for revision in deletes.chain(quiet) {
        let mut seen = vec![false; authors.len()];
        if !place(revision, &authors, &mut taken, &mut seen, history) {
            let change = history.change(revision);
            return Err(format!("no call accounts for {change:?}"));
        }
    }
    Ok(())
}

/// Gives a revision to an author that is free, or whose revision another one can take.
fn place(
    revision: u64,
    authors: &[Author<'_>],
    taken: &mut [Option<u64>],
    seen: &mut [bool],
    history: &History,
) -> bool {
    let change = history.change(revision).expect("it was taken in");
    for (number, author) in authors.iter().enumerate() {
        if seen[number] || !author.may_do(change, history) {
            continue;
        }
        seen[number] = true;
        if taken[number].is_none_or(|other| place(other, authors, taken, seen, history)) {
            taken[number] = Some(revision);
            return true;
        }
    }
    false
}

impl Author<'_> {
    fn may_do(&self, change: &Change, history: &History) -> bool {
        let events = &change.events;
        let quiet = events.is_empty();
        let tied = |lease: u64| move |event: &Event| event.entry.lease() == Some(lease);
        match self {
            Self::Unheard => quiet,
            Self::Lease(lease) => {
                quiet && history.leases.may_end_at(*lease, change.revision, change.at_ms)
            }
            Self::Call(What::Grant { .. }) => quiet,
            Self::Call(What::KeepAlive { lease }) => quiet && change.revision > *lease,
            Self::Call(What::Revoke { lease }) => {
                change.revision > *lease
                    && events.iter().all(tied(*lease))
                    && events.len() == history.leased(*lease, change.revision - 1).len()
            }
            Self::Call(What::Delete { key, .. }) => {
                matches!(&events[..], [event] if event.key() == key)
            }
            Self::Call(What::DeleteRange { range, limit }) => {
                let inside = |event: &Event| range.as_range().contains(event.key());
                let fits = *limit == 0 || events.len() <= *limit as usize;
                !quiet && fits && events.iter().all(inside)
            }
            Self::Call(_) => false,
        }
    }
}
