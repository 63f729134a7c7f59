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

/// Merges the groups' answers to a request; none if they are no pages of it. `whole` says of each whether it was
/// asked for all of the page rather than for its share.
pub(super) fn merge_replies(
    request: &Request<'_>,
    replies: &[Reply],
    whole: &[bool],
    most: PageLimits,
) -> Option<Merged> {
    match request {
        Request::Scan(scan) => {
            let pages = replies.iter().map(|reply| match reply {
                Reply::Scan(page) => Some(page),
                _ => None,
            });
            let pages: Vec<&Page> = pages.collect::<Option<_>>()?;
            Some(merge_scan(scan, &pages, whole, most))
        }
        Request::Children(children) => {
            let pages = replies.iter().map(|reply| match reply {
                Reply::Children(names) => Some(names),
                _ => None,
            });
            let pages: Vec<&Names> = pages.collect::<Option<_>>()?;
            Some(merge_children(children, &pages, whole, most))
        }
        Request::Leases(leases) => {
            let pages = replies.iter().map(|reply| match reply {
                Reply::Leases(leases) => Some(leases),
                _ => None,
            });
            let pages: Vec<&LeasesReply> = pages.collect::<Option<_>>()?;
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
fn merge_scan<P: Borrow<Page>>(
    scan: &Scan<'_>,
    pages: &[P],
    whole: &[bool],
    most: PageLimits,
) -> Merged {
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
    let runs = pages.iter().map(|page| Run { told: &page.entries, more: page.more });
    let runs: Vec<_> = runs.collect();
    let len = |entry: &Entry| if keys_only { entry.key().len() } else { entry.packed_len() };
    let filled = match scan.order {
        Order::Ascending => merge(&runs, whole, limits, |entry| Reverse(entry.key()), len),
        Order::Descending => merge(&runs, whole, limits, Entry::key, len),
    };
    match filled {
        Err(short) => Merged::Short(short),
        Ok((entries, more)) => {
            let count = entries.len() as u64;
            Merged::Whole(Reply::Scan(Page { revision, count, more, keys_only, entries }))
        }
    }
}

/// Merges the groups' answers to a listing of children. A branch that several groups have keys below is told once.
fn merge_children<P: Borrow<Names>>(
    request: &Children<'_>,
    pages: &[P],
    whole: &[bool],
    most: PageLimits,
) -> Merged {
    let pages: Vec<&Names> = pages.iter().map(Borrow::borrow).collect();
    let revision = pages.iter().map(|page| page.revision).max().unwrap_or(0);
    let limits = bounds(request.limit, 0, most);
    let runs: Vec<_> =
        pages.iter().map(|page| Run { told: &page.names, more: page.more }).collect();
    match merge(&runs, whole, limits, |(name, _)| Reverse(name), |(name, _)| name.len()) {
        Err(short) => Merged::Short(short),
        Ok((names, more)) => Merged::Whole(Reply::Children(Names { revision, more, names })),
    }
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

/// What a group has told, in order, and whether it has more behind that.
struct Run<'p, T> {
    told: &'p [T],
    more: bool,
}

/// Merges sorted runs into a page, the greatest rank first and each rank once; tells whether there is more.
///
/// # Errors
/// The groups that have told too little for that, and were not asked for all of it.
fn merge<'p, T: Clone, K: Ord + Clone>(
    runs: &[Run<'p, T>],
    whole: &[bool],
    limits: PageLimits,
    rank: impl Fn(&'p T) -> K,
    len: impl Fn(&'p T) -> usize,
) -> Result<(Vec<T>, bool), Vec<usize>> {
    let end_of = |place: usize| runs[place].told.last().map(&rank);
    let unfinished = || (0..runs.len()).filter(|&place| runs[place].more);
    // A group that was asked for all may have more right behind what it has told.
    let cut = unfinished().filter(|&place| whole[place]).filter_map(end_of).max();
    let mut at = vec![0; runs.len()];
    let first = |place: usize| Some((rank(runs[place].told.first()?), place));
    let mut heads: BinaryHeap<(K, usize)> = (0..runs.len()).filter_map(first).collect();
    let mut taken: Vec<T> = Vec::new();
    let (mut last, mut bytes, mut is_full): (Option<K>, _, _) = (None, 0, false);
    while let Some((key, place)) = heads.pop() {
        let one = &runs[place].told[at[place]];
        at[place] += 1;
        heads.extend(runs[place].told.get(at[place]).map(|next| (rank(next), place)));
        if last.as_ref() == Some(&key) {
            continue;
        }
        let over = taken.len() >= limits.entries || bytes + len(one) > limits.bytes;
        if cut.as_ref().is_some_and(|cut| key < *cut) || over && !taken.is_empty() {
            is_full = true;
            break;
        }
        bytes += len(one);
        taken.push(one.clone());
        last = Some(key);
    }
    let is_whole = is_full || cut.is_some() || taken.len() >= limits.entries;
    let reaches = |place: &usize| is_whole && end_of(*place) <= last;
    let short: Vec<usize> =
        unfinished().filter(|&place| !whole[place]).filter(|place| !reaches(place)).collect();
    match short.is_empty() {
        true => Ok((taken, is_full || unfinished().next().is_some())),
        false => Err(short),
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::entry::Meta;
    use tidekeep_protocol::range::Range;

    use super::*;

    const MOST: PageLimits = PageLimits { entries: 1_000, bytes: 1 << 20 };

    /// No group was asked for all of a page.
    const SHARES: [bool; 3] = [false; 3];

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
        assert_eq!(told(merge_scan(&scan(0, Order::Ascending), &up, &SHARES, MOST)), "a b c d");
        assert_eq!(told(merge_scan(&scan(3, Order::Ascending), &up, &SHARES, MOST)), "a b c +");
        let down = [page(3, false, &["d", "a"]), page(9, false, &["c", "b"])];
        assert_eq!(told(merge_scan(&scan(0, Order::Descending), &down, &SHARES, MOST)), "d c b a");
        let Merged::Whole(reply) = merge_scan(&scan(0, Order::Ascending), &up, &SHARES, MOST)
        else {
            panic!("it is whole");
        };
        assert_eq!(reply.shows(), 9);
    }

    #[test]
    fn a_page_does_not_go_beyond_what_a_group_has_told() {
        let pages = [page(1, true, &["a", "b"]), page(1, false, &["c", "d"])];
        let ask = |limit| told(merge_scan(&scan(limit, Order::Ascending), &pages, &SHARES, MOST));
        assert_eq!(ask(2), "a b +");
        assert_eq!(ask(3), "[0]", "there may be something between b and c");
        let down = [page(1, true, &["d", "c"]), page(1, true, &["b", "a"])];
        let ask = |limit| told(merge_scan(&scan(limit, Order::Descending), &down, &SHARES, MOST));
        assert_eq!(ask(2), "d c +");
        assert_eq!(ask(3), "[0]");
        assert_eq!(ask(0), "[0, 1]");
    }

    #[test]
    fn a_page_ends_where_a_group_that_was_asked_for_all_does() {
        let pages = [page(1, true, &["a", "c"]), page(1, true, &["b", "d"])];
        let ask =
            |whole: [bool; 2]| told(merge_scan(&scan(9, Order::Ascending), &pages, &whole, MOST));
        assert_eq!(ask([true, true]), "a b c +");
        assert_eq!(ask([true, false]), "a b c +");
        assert_eq!(ask([false, true]), "[0]");
        assert_eq!(ask([false, false]), "[0, 1]");
    }

    #[test]
    fn bytes_bound_a_page_and_it_has_one_entry_at_least() {
        let pages = [page(1, false, &["a", "c"]), page(1, false, &["b"])];
        let len = entry("a").packed_len();
        for (bytes, keys) in [(1, "a +"), (len, "a +"), (2 * len, "a b +"), (3 * len, "a b c")] {
            let asked = Scan { bytes: bytes as u32, ..scan(0, Order::Ascending) };
            assert_eq!(told(merge_scan(&asked, &pages, &SHARES, MOST)), keys);
        }
    }

    #[test]
    fn counts_add_up_and_stop_at_the_limit() {
        let count = |count, more| Page { count, more, ..page(1, false, &[]) };
        let ask = |limit, pages: &[Page]| {
            let asked = Scan { projection: Projection::Count, ..scan(limit, Order::Ascending) };
            match merge_scan(&asked, pages, &SHARES, MOST) {
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
            told(merge_children(&asked, pages, &SHARES, MOST))
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
