//! Pages of all groups as one: each group gives a page of its keys, and the pages are merged in the order that
//! was asked for, up to the first key behind which some group may have more.
//!
//! ```text
//! asked for 100 of 4 groups ─▶ 44 of each ─┬─▶ merged: 100, none of them behind a group's last one
//!                                          └─▶ fewer: the groups that ended too early give 100 ─▶ merged
//! ```
//! A group is asked for its share of the page and some more, since keys are spread evenly; where they are not
//! (keys with one tag), a second look at those groups is enough. Each group's part is of one moment.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::iter::Peekable;

use tidekeep_log::Entry;
use tidekeep_protocol::op::{Children, Lease, LeasesReply, Order, Projection, Request, Scan};
use tidekeep_store::read::PageLimits;
use tidekeep_store::reply::{Names, Page, Reply};

/// Bytes that a group may give at least when it is asked for its share.
const SHARE_BYTES_MIN: usize = 64 << 10;

/// How a page was merged.
#[derive(Debug)]
pub(super) enum Merged {
    /// It is whole.
    Whole(Reply),
    /// These groups must be asked for all of it.
    Short(Vec<usize>),
}

/// What each of so many groups is asked for first, for a page of all of them.
pub(super) fn share_of<'r>(request: &Request<'r>, groups: usize, most: PageLimits) -> Request<'r> {
    match *request {
        Request::Scan(scan) if scan.projection != Projection::Count => {
            let limits = bounds(scan.limit, scan.bytes, most);
            let bytes = (2 * limits.bytes / groups).max(SHARE_BYTES_MIN).min(limits.bytes);
            let limit = share(limits.entries, groups) as u32;
            Request::Scan(Scan { limit, bytes: bytes as u32, ..scan })
        }
        Request::Children(children) => {
            let limit = share(bounds(children.limit, 0, most).entries, groups) as u32;
            Request::Children(Children { limit, ..children })
        }
        ref whole => whole.clone(),
    }
}

/// Merges the groups' answers to a request; none if they are no pages of it.
pub(super) fn merge_replies(
    request: &Request<'_>,
    replies: &[Reply],
    most: PageLimits,
) -> Option<Merged> {
    match request {
        Request::Scan(scan) => {
            let page = |reply| match reply {
                &Reply::Scan(ref page) => Some(page),
                _ => None,
            };
            let pages: Vec<&Page> = replies.iter().map(page).collect::<Option<_>>()?;
            Some(merge_scan(scan, &pages, most))
        }
        Request::Children(children) => {
            let page = |reply| match reply {
                &Reply::Children(ref names) => Some(names),
                _ => None,
            };
            let pages: Vec<&Names> = replies.iter().map(page).collect::<Option<_>>()?;
            Some(merge_children(children, &pages, most))
        }
        Request::Leases(leases) => {
            let page = |reply| match reply {
                &Reply::Leases(ref leases) => Some(leases),
                _ => None,
            };
            let pages: Vec<&LeasesReply> = replies.iter().map(page).collect::<Option<_>>()?;
            Some(Merged::Whole(merge_leases(leases.limit, &pages, most)))
        }
        _ => None,
    }
}

/// A group's part of so many entries that are spread evenly, and what it may have more by chance.
fn share(entries: usize, groups: usize) -> usize {
    let fair = entries.div_ceil(groups);
    (fair + 3 * fair.isqrt() + 4).min(entries)
}

fn bounds(limit: u32, bytes: u32, most: PageLimits) -> PageLimits {
    let bounded =
        |asked: u32, most: usize| if asked == 0 { most } else { most.min(asked as usize) };
    PageLimits { entries: bounded(limit, most.entries), bytes: bounded(bytes, most.bytes) }
}

/// Merges the groups' answers to a scan.
fn merge_scan<P: Borrow<Page>>(scan: &Scan<'_>, pages: &[P], most: PageLimits) -> Merged {
    let pages: Vec<&Page> = pages.iter().map(Borrow::borrow).collect();
    let revision = pages.iter().map(|page| page.revision).max().unwrap_or(0);
    if scan.projection == Projection::Count {
        let count: u64 = pages.iter().map(|page| page.count).sum();
        let limit = if scan.limit == 0 { u64::MAX } else { u64::from(scan.limit) };
        let more = count > limit || pages.iter().any(|page| page.more);
        let count = count.min(limit);
        let page = Page { revision, count, more, keys_only: true, entries: Vec::new() };
        return Merged::Whole(Reply::Scan(page));
    }
    let keys_only = scan.projection == Projection::Keys;
    let limits = bounds(scan.limit, scan.bytes, most);
    let runs = pages.iter().map(|page| page.entries.iter());
    let len = |entry: &&Entry| if keys_only { entry.key().len() } else { entry.packed_len() };
    let (entries, full) = match scan.order {
        Order::Ascending => fill(merge(runs, |entry| Reverse(entry.key())), limits, len),
        Order::Descending => fill(merge(runs, |entry| entry.key()), limits, len),
    };
    let last = entries.last().filter(|_| full).map(|entry| entry.key());
    let is_short = |page: &&Page| {
        page.more
            && match (last, page.entries.last(), scan.order) {
                (Some(last), Some(end), Order::Ascending) => end.key() < last,
                (Some(last), Some(end), Order::Descending) => end.key() > last,
                _ => true,
            }
    };
    let short: Vec<usize> = places(&pages, is_short);
    if !short.is_empty() {
        return Merged::Short(short);
    }
    let more = full || pages.iter().any(|page| page.more);
    let entries: Vec<Entry> = entries.into_iter().cloned().collect();
    let count = entries.len() as u64;
    Merged::Whole(Reply::Scan(Page { revision, count, more, keys_only, entries }))
}

/// Merges the groups' answers to a listing of children. A branch that several groups have keys below is told once.
fn merge_children<P: Borrow<Names>>(
    request: &Children<'_>,
    pages: &[P],
    most: PageLimits,
) -> Merged {
    let pages: Vec<&Names> = pages.iter().map(Borrow::borrow).collect();
    let revision = pages.iter().map(|page| page.revision).max().unwrap_or(0);
    let limits = bounds(request.limit, 0, most);
    let runs = pages.iter().map(|page| page.names.iter());
    let mut all = merge(runs, |(name, _)| Reverse(name)).peekable();
    let once = std::iter::from_fn(|| {
        let name = all.next()?;
        while all.next_if(|other| other.0 == name.0).is_some() {}
        Some(name)
    });
    let (names, full) = fill(once, limits, |(name, _)| name.len());
    let last = names.last().filter(|_| full).map(|(name, _)| name);
    let is_short = |page: &&Names| {
        page.more
            && match (last, page.names.last()) {
                (Some(last), Some((end, _))) => end < last,
                _ => true,
            }
    };
    let short = places(&pages, is_short);
    if !short.is_empty() {
        return Merged::Short(short);
    }
    let more = full || pages.iter().any(|page| page.more);
    let names = names.into_iter().cloned().collect();
    Merged::Whole(Reply::Children(Names { revision, more, names }))
}

/// Merges the groups' answers to a listing of leases. A lease is the same in all groups, and its keys are
/// those of all of them; it ends where it ends first.
fn merge_leases<P: Borrow<LeasesReply>>(limit: u32, pages: &[P], most: PageLimits) -> Reply {
    let pages: Vec<&LeasesReply> = pages.iter().map(Borrow::borrow).collect();
    let revision = pages.iter().map(|page| page.revision).max().unwrap_or(0);
    let ends = pages.iter().filter(|page| page.more).filter_map(|page| page.leases.last());
    let end = ends.map(|lease| lease.lease).min();
    let mut merged: BTreeMap<u64, Lease> = BTreeMap::new();
    for lease in pages.iter().flat_map(|page| &page.leases) {
        let known = merged.entry(lease.lease).or_insert(Lease { keys: 0, ..*lease });
        known.keys += lease.keys;
        known.expires_at = known.expires_at.min(lease.expires_at);
    }
    let known = merged.len();
    let reached = merged.into_values().take_while(|lease| end.is_none_or(|end| lease.lease <= end));
    let leases: Vec<Lease> = reached.take(bounds(limit, 0, most).entries).collect();
    let more = leases.len() < known || end.is_some();
    Reply::Leases(LeasesReply { revision, more, leases })
}

fn places<P>(pages: &[P], is: impl Fn(&P) -> bool) -> Vec<usize> {
    let pages = pages.iter().enumerate().filter(|(_, page)| is(page));
    pages.map(|(place, _)| place).collect()
}

/// What of sorted things fits into a page, at least one of them; and whether something did not.
fn fill<'p, T>(
    all: impl Iterator<Item = &'p T>,
    limits: PageLimits,
    len: impl Fn(&&'p T) -> usize,
) -> (Vec<&'p T>, bool) {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for one in all {
        let len = len(&one);
        let full = taken.len() >= limits.entries || bytes + len > limits.bytes;
        if full && !taken.is_empty() {
            return (taken, true);
        }
        bytes += len;
        taken.push(one);
    }
    (taken, false)
}

/// Merges sorted runs; the one whose rank is greatest comes first.
fn merge<'p, T: 'p, K: Ord>(
    runs: impl Iterator<Item = std::slice::Iter<'p, T>>,
    rank: impl Fn(&'p T) -> K,
) -> impl Iterator<Item = &'p T> {
    let mut runs: Vec<Peekable<_>> = runs.map(Iterator::peekable).collect();
    let mut heads: BinaryHeap<(K, usize)> = BinaryHeap::with_capacity(runs.len());
    for (place, run) in runs.iter_mut().enumerate() {
        heads.extend(run.peek().map(|first| (rank(first), place)));
    }
    std::iter::from_fn(move || {
        let (_, place) = heads.pop()?;
        let one = runs[place].next()?;
        heads.extend(runs[place].peek().map(|next| (rank(next), place)));
        Some(one)
    })
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::entry::Meta;
    use tidekeep_protocol::range::Range;

    use super::*;

    const MOST: PageLimits = PageLimits { entries: 1_000, bytes: 1 << 20 };

    fn entry(key: &str) -> Entry {
        let meta = Meta { created: 1, modified: 1, version: 1, expires_at: None, lease: None };
        Entry::new(key.as_bytes(), b"value", meta, &mut Vec::new())
    }

    fn page(revision: u64, more: bool, keys: &[&str]) -> Page {
        let entries: Vec<_> = keys.iter().map(|key| entry(key)).collect();
        Page { revision, count: entries.len() as u64, more, keys_only: false, entries }
    }

    fn scan(limit: u32, order: Order) -> Scan<'static> {
        let (range, projection) = (Range::default(), Projection::Full);
        Scan { range, limit, bytes: 0, order, projection }
    }

    /// The keys of a page, with a plus if there are more; or which groups are to be asked again.
    fn told(merged: Merged) -> String {
        match merged {
            Merged::Short(groups) => format!("{groups:?}"),
            Merged::Whole(Reply::Scan(page)) => {
                let keys = page.entries.iter().map(|it| String::from_utf8_lossy(it.key()));
                keys.collect::<Vec<_>>().join(" ") + if page.more { " +" } else { "" }
            }
            Merged::Whole(Reply::Children(names)) => {
                let names = names.names.iter().map(|(name, _)| String::from_utf8_lossy(name));
                names.collect::<Vec<_>>().join(" ")
            }
            Merged::Whole(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn pages_are_merged_in_both_orders_up_to_the_limit() {
        let up = [page(3, false, &["a", "d"]), page(9, false, &["b", "c"]), page(1, false, &[])];
        assert_eq!(told(merge_scan(&scan(0, Order::Ascending), &up, MOST)), "a b c d");
        assert_eq!(told(merge_scan(&scan(3, Order::Ascending), &up, MOST)), "a b c +");
        let down = [page(3, false, &["d", "a"]), page(9, false, &["c", "b"])];
        assert_eq!(told(merge_scan(&scan(0, Order::Descending), &down, MOST)), "d c b a");
        let Merged::Whole(reply) = merge_scan(&scan(0, Order::Ascending), &up, MOST) else {
            panic!("it is whole");
        };
        assert_eq!(reply.shows(), 9);
    }

    #[test]
    fn a_page_does_not_go_beyond_what_a_group_has_told() {
        let pages = [page(1, true, &["a", "b"]), page(1, false, &["c", "d"])];
        let ask = |limit| told(merge_scan(&scan(limit, Order::Ascending), &pages, MOST));
        assert_eq!(ask(2), "a b +");
        assert_eq!(ask(3), "[0]", "there may be something between b and c");
        let down = [page(1, true, &["d", "c"]), page(1, true, &["b", "a"])];
        let ask = |limit| told(merge_scan(&scan(limit, Order::Descending), &down, MOST));
        assert_eq!(ask(2), "d c +");
        assert_eq!(ask(3), "[0]");
        assert_eq!(ask(0), "[0, 1]");
    }

    #[test]
    fn bytes_bound_a_page_and_it_has_one_entry_at_least() {
        let pages = [page(1, false, &["a", "c"]), page(1, false, &["b"])];
        let len = entry("a").packed_len();
        for (bytes, keys) in [(1, "a +"), (len, "a +"), (2 * len, "a b +"), (3 * len, "a b c")] {
            let asked = Scan { bytes: bytes as u32, ..scan(0, Order::Ascending) };
            assert_eq!(told(merge_scan(&asked, &pages, MOST)), keys);
        }
    }

    #[test]
    fn counts_add_up_and_stop_at_the_limit() {
        let count = |count, more| Page { count, more, ..page(1, false, &[]) };
        let ask = |limit, pages: &[Page]| {
            let asked = Scan { projection: Projection::Count, ..scan(limit, Order::Ascending) };
            match merge_scan(&asked, pages, MOST) {
                Merged::Whole(Reply::Scan(page)) => (page.count, page.more),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ask(0, &[count(3, false), count(4, false)]), (7, false));
        assert_eq!(ask(7, &[count(3, false), count(4, false)]), (7, false));
        assert_eq!(ask(6, &[count(3, false), count(4, false)]), (6, true));
        assert_eq!(ask(6, &[count(6, true), count(0, false)]), (6, true));
    }

    #[test]
    fn a_branch_in_several_groups_is_one_name() {
        let names = |more, names: &[&str]| Names {
            revision: 1,
            more,
            names: names.iter().map(|it| (it.as_bytes().to_vec(), it.ends_with('/'))).collect(),
        };
        let ask = |limit, pages: &[Names]| {
            let asked = Children { prefix: b"", delimiter: b"/", after: None, limit };
            told(merge_children(&asked, pages, MOST))
        };
        let whole = [names(false, &["a/", "b", "d/"]), names(false, &["a/", "c", "d/"])];
        assert_eq!(ask(0, &whole), "a/ b c d/");
        assert_eq!(ask(4, &whole), "a/ b c d/");
        assert_eq!(ask(2, &whole), "a/ b");
        let cut = [names(true, &["a/", "b"]), names(false, &["a/", "c"])];
        assert_eq!(ask(2, &cut), "a/ b");
        assert_eq!(ask(3, &cut), "[0]");
    }

    #[test]
    fn a_lease_of_all_groups_is_one_with_all_its_keys() {
        let lease = |lease, expires_at, keys| Lease { lease, ttl_ms: 500, expires_at, keys };
        let page =
            |more, leases: &[Lease]| LeasesReply { revision: 2, more, leases: leases.into() };
        let pages = [
            page(true, &[lease(4, 90, 1), lease(6, 90, 2)]),
            page(false, &[lease(4, 80, 3), lease(6, 95, 0), lease(9, 80, 1)]),
        ];
        let whole = page(true, &[lease(4, 80, 4), lease(6, 90, 2)]);
        assert_eq!(merge_leases(0, &pages, MOST), Reply::Leases(whole));
        let one = page(true, &[lease(4, 80, 4)]);
        assert_eq!(merge_leases(1, &pages, MOST), Reply::Leases(one));
        let all = page(false, &[lease(9, 80, 1)]);
        assert_eq!(merge_leases(0, &[all.clone(), page(false, &[])], MOST), Reply::Leases(all));
    }

    #[test]
    fn a_share_is_a_little_more_than_fair_and_never_more_than_all() {
        assert_eq!(share(100, 1), 100);
        assert_eq!(share(100, 4), 25 + 15 + 4);
        assert_eq!(share(3, 16), 3);
        let most = PageLimits { entries: 10_000, bytes: 4 << 20 };
        let Request::Scan(asked) = share_of(&Request::Scan(scan(0, Order::Ascending)), 16, most)
        else {
            panic!("a scan");
        };
        assert_eq!((asked.limit, asked.bytes), (625 + 75 + 4, 512 << 10));
    }
}
