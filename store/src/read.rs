//! Reading: get, scan and children, at a moment that is given in. All of a page is read at one
//! revision because its caller holds the shards while it is made.

use alloc::vec::Vec;

use tidekeep_protocol::op::{Children, Order, Projection, Scan};
use tidekeep_protocol::planted;
use tidekeep_protocol::range::{Range, prefix_end, successor};

use crate::approach::Near;
use crate::entry::Entry;
use crate::merge::{Direction, merge};
use crate::moment::Moment;
use crate::reply::{Found, Names, Page};
use crate::shard::Shard;
use crate::shards::KeyHash;

/// The bounds of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Most entries or names.
    pub entries: usize,
    /// Most bytes of packed entries, but always at least one entry.
    pub bytes: usize,
}

/// Reads the entry of a key, whose hash this is. That there is none may be the work of any write to
/// the shard so far, and that one with a lease is still there the work of any keep-alive.
pub fn get<'a>(
    shard: &'a Shard,
    hash: KeyHash,
    key: &[u8],
    moment: &Moment,
    revision: u64,
) -> Found<'a> {
    get_near(shard, Near::default(), hash, key, moment, revision)
}

/// Like [`get`], where it is known where the key probably is.
pub fn get_near<'a>(
    shard: &'a Shard,
    near: Near,
    hash: KeyHash,
    key: &[u8],
    moment: &Moment,
    revision: u64,
) -> Found<'a> {
    let kept = shard.used_near(near, hash, key, moment.now_ms());
    let shows = match kept {
        Some(entry) if entry.lease().is_some() => revision,
        Some(entry) => entry.modified(),
        None => shard.written(),
    };
    Found { revision, entry: kept.filter(|entry| !moment.is_over(entry)), shows }
}

/// The entry of `key`, unless its time is over.
pub fn live<'a>(shard: &'a Shard, key: &[u8], moment: &Moment) -> Option<&'a Entry> {
    shard.get(key).filter(|entry| !moment.is_over(entry))
}

/// Reads one page of a range from all shards.
pub fn scan<'a>(
    shards: impl IntoIterator<Item = &'a Shard>,
    scan: &'a Scan<'a>,
    limits: PageLimits,
    moment: &Moment,
    revision: u64,
) -> Page {
    let range = scan.range;
    if scan.projection == Projection::Count {
        return count(shards, range, scan.limit, moment, revision);
    }
    let limits = PageLimits {
        entries: bounded(scan.limit, limits.entries),
        bytes: bounded(scan.bytes, limits.bytes),
    };
    let keys_only = scan.projection == Projection::Keys;
    let mut page = Page { revision, count: 0, more: false, keys_only, entries: Vec::new() };
    match scan.order {
        Order::Ascending => {
            let runs = shards.into_iter().map(|shard| shard.ascending(range));
            fill(&mut page, merge(runs, Direction::Ascending), limits, moment);
        }
        Order::Descending => {
            let runs = shards.into_iter().map(|shard| shard.descending(range));
            fill(&mut page, merge(runs, Direction::Descending), limits, moment);
        }
    }
    page.count = page.entries.len() as u64;
    page
}

fn fill<'a>(
    page: &mut Page,
    entries: impl Iterator<Item = &'a Entry>,
    limits: PageLimits,
    moment: &Moment,
) {
    let mut bytes = 0;
    for entry in entries.filter(|entry| !moment.is_over(entry)) {
        let len = if page.keys_only { entry.key().len() } else { entry.packed_len() };
        let full = page.entries.len() >= limits.entries || bytes + len > limits.bytes;
        if full && !page.entries.is_empty() {
            page.more = !planted::is_awake("scan-ends-early");
            return;
        }
        bytes += len;
        page.entries.push(entry.clone());
    }
}

fn count<'a>(
    shards: impl IntoIterator<Item = &'a Shard>,
    range: Range<'a>,
    limit: u32,
    moment: &Moment,
    revision: u64,
) -> Page {
    let limit = bounded(limit, usize::MAX);
    let counted = shards
        .into_iter()
        .flat_map(|shard| shard.ascending(range))
        .filter(|entry| !moment.is_over(entry))
        .take(limit.saturating_add(1))
        .count();
    Page {
        revision,
        count: counted.min(limit) as u64,
        more: counted > limit,
        keys_only: true,
        entries: Vec::new(),
    }
}

/// Lists the names below a prefix, seeking past everything below each branch.
pub fn children<'a>(
    shards: impl Iterator<Item = &'a Shard> + Clone,
    request: &Children<'_>,
    limits: PageLimits,
    moment: &Moment,
    revision: u64,
) -> Names {
    let prefix = request.prefix;
    let end = prefix_end(prefix);
    let most = bounded(request.limit, limits.entries);
    let mut names = Names { revision, more: false, names: Vec::new() };
    let mut bytes = 0;
    let mut from = first_key(request);
    while let Some(start) = from.take() {
        let range = Range { start: &start, end: end.as_deref() };
        let next = shards
            .clone()
            .filter_map(|shard| shard.ascending(range).find(|entry| !moment.is_over(entry)))
            .min_by(|a, b| a.key().cmp(b.key()));
        let Some(entry) = next else { break };
        let (name, branch) = split_name(&entry.key()[prefix.len()..], request.delimiter);
        let full = names.names.len() >= most || bytes + name.len() > limits.bytes;
        if full && !names.names.is_empty() {
            names.more = true;
            break;
        }
        bytes += name.len();
        let full = &entry.key()[..prefix.len() + name.len()];
        from = if branch { prefix_end(full) } else { Some(successor(full)) };
        names.names.push((name.to_vec(), branch));
    }
    names
}

/// The first key that the page may show something of; none when all keys are behind it.
fn first_key(request: &Children<'_>) -> Option<Vec<u8>> {
    let Some(after) = request.after else { return Some(request.prefix.to_vec()) };
    let full = [request.prefix, after].concat();
    let branch = !request.delimiter.is_empty() && after.ends_with(request.delimiter);
    if branch { prefix_end(&full) } else { Some(successor(&full)) }
}

/// A name up to and with the delimiter, and whether it goes on behind it.
fn split_name<'a>(rest: &'a [u8], delimiter: &[u8]) -> (&'a [u8], bool) {
    if delimiter.is_empty() {
        return (rest, false);
    }
    match rest.windows(delimiter.len()).position(|window| window == delimiter) {
        Some(at) => (&rest[..at + delimiter.len()], true),
        None => (rest, false),
    }
}

fn bounded(asked: u32, most: usize) -> usize {
    if asked == 0 { most } else { most.min(asked as usize) }
}
