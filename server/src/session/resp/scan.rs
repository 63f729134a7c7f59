//! Commands over many keys: `SCAN`, `KEYS`, `RANDOMKEY`, `DBSIZE`, `FLUSHALL`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tidekeep_log::{Answer, Call, Entry, Reply, View};
use tidekeep_protocol::op::{DeleteRange, Get, Order, Projection, Request, Scan};
use tidekeep_protocol::range::{KeyRange, Range, successor};

use super::args::Args;
use super::encode::Encoder;
use super::fail::{Fail, SYNTAX};
use super::glob;
use super::house::{Came, House, Wait};
use super::number;
use super::plan::integer;
use super::program::LOST;
use super::table::Walk;

/// Keys that `FLUSHALL` removes at once: others are served between.
const FLUSH_STEP: u32 = 10_000;

/// Keys that one call of `SCAN` looks at, at most.
const SCAN_MAX: u32 = 10_000;

/// Keys that `SCAN` looks at if it does not say.
const SCAN_DEFAULT: u32 = 10;

/// Keys that `KEYS` looks at in one step.
const PAGE_KEYS: usize = 4096;
const PAGE_BYTES: usize = 1 << 20;

/// Looks for a key that is still there.
const LOOKS_MAX: u32 = 16;

/// A command that is under way.
pub(crate) struct Walking {
    what: What,
    /// Whether its client does not want to see the reply.
    pub(crate) unseen: bool,
    /// What the store said at once.
    answers: Vec<Answer>,
}

enum What {
    Flush,
    Scan { range: KeyRange, pattern: Option<Vec<u8>>, count: u32, page: Option<Found> },
    Keys { pattern: Vec<u8>, range: KeyRange, found: Vec<Entry> },
    Random { looks: u32, found: Option<Entry> },
}

/// What a scan found.
struct Found {
    keys: Vec<Entry>,
    /// Behind which key it goes on, if it does.
    after: Option<Vec<u8>>,
}

/// What comes next.
pub(crate) enum Turn {
    Wait(Wait),
    Again,
    Done,
    Failed(Fail),
}

impl Walking {
    /// Begins a command; one that is done at once is answered.
    pub(super) fn begin(
        walk: Walk,
        args: Args<'_, '_>,
        house: &House<'_>,
        to: &mut Encoder<'_>,
    ) -> Result<Option<Self>, Fail> {
        let what = match walk {
            Walk::Size => {
                to.integer(i64::try_from(house.commit.keys()).unwrap_or(i64::MAX));
                return Ok(None);
            }
            Walk::Flush => {
                check_flush(args)?;
                What::Flush
            }
            Walk::Scan => match scan(args, house)? {
                Some(what) => what,
                None => {
                    to.list(2);
                    to.bulk(b"0");
                    to.list(0);
                    return Ok(None);
                }
            },
            Walk::Keys => {
                let pattern = args.get(1).to_vec();
                let range = KeyRange::prefix(&bounded(glob::prefix(&pattern), house));
                What::Keys { pattern, range, found: Vec::new() }
            }
            Walk::Random => What::Random { looks: 0, found: None },
        };
        Ok(Some(Self { what, unseen: false, answers: Vec::new() }))
    }

    /// Asks the next question.
    pub(super) fn step(&mut self, house: &House<'_>) -> Turn {
        let answers = &mut self.answers;
        match &mut self.what {
            What::Flush => {
                let delete = DeleteRange { range: Range::default(), limit: FLUSH_STEP };
                ask(house, Request::DeleteRange(delete), answers)
            }
            What::Scan { range, count, .. } => {
                let scan = Scan {
                    range: range.as_range(),
                    limit: *count,
                    bytes: 0,
                    order: Order::Ascending,
                    projection: Projection::Keys,
                };
                ask(house, Request::Scan(scan), answers)
            }
            What::Keys { range, .. } => Turn::Wait(Wait::View(Box::new(house.commit.view(range)))),
            What::Random { looks, .. } => {
                *looks += 1;
                match house.commit.sample((house.random)().rotate_left(*looks)) {
                    Some(entry) => ask(house, Request::Get(Get { key: entry.key() }), answers),
                    None => Turn::Done,
                }
            }
        }
    }

    /// Takes the answer to the question; `most` bytes of keys are held at most.
    pub(super) fn resume(&mut self, came: Came, house: &House<'_>, most: usize) -> Turn {
        match came {
            Came::View(Ok(view)) => self.list(&view, most),
            Came::Answers(Ok(late)) => self.answered(late, house),
            Came::View(Err(_)) | Came::Answers(Err(_)) => Turn::Failed(Fail::known(LOST)),
        }
    }

    fn answered(&mut self, late: Vec<Answer>, house: &House<'_>) -> Turn {
        let answer = self.answers.drain(..).chain(late).next();
        match (&mut self.what, answer) {
            (_, Some(Err(refusal))) => Turn::Failed(Fail::from(&refusal)),
            (What::Flush, Some(Ok(Reply::DeleteRange(reply)))) if reply.more => Turn::Again,
            (What::Flush, Some(Ok(Reply::DeleteRange(_)))) => Turn::Done,
            (What::Scan { page, .. }, Some(Ok(Reply::Scan(found)))) => {
                let last = found.entries.last().filter(|_| found.more);
                let after = last.map(|entry| entry.key().to_vec());
                *page = Some(Found { keys: found.entries, after });
                Turn::Done
            }
            (What::Random { looks, found }, Some(Ok(Reply::Get(got)))) => {
                *found = got.entry;
                // It went between the two looks; others are there as long as the store is not empty.
                let again = found.is_none() && *looks < LOOKS_MAX && house.commit.keys() > 0;
                if again { Turn::Again } else { Turn::Done }
            }
            _ => Turn::Failed(Fail::known("ERR the server gave an answer of another kind")),
        }
    }

    fn list(&mut self, view: &View, most: usize) -> Turn {
        let What::Keys { pattern, found, .. } = &mut self.what else {
            return Turn::Failed(Fail::known(LOST));
        };
        let (mut last, mut held) = (None, 0);
        loop {
            let page = view.page(last.as_deref(), PAGE_KEYS, PAGE_BYTES);
            let Some(end) = page.last() else { return Turn::Done };
            last = Some(end.key().to_vec());
            for entry in page {
                if glob::matches(pattern, entry.key()) {
                    held += entry.key().len() + KEY_OVERHEAD;
                    if held > most {
                        return Turn::Failed(Fail::known(
                            "ERR more keys match than the server lists at once; use SCAN",
                        ));
                    }
                    found.push(entry);
                }
            }
        }
    }

    /// Appends the reply of a command that is done.
    pub(super) fn write(&self, house: &House<'_>, to: &mut Encoder<'_>) {
        match &self.what {
            What::Flush => to.ok(),
            What::Scan { page: Some(page), pattern, .. } => {
                let cursor = page.after.as_ref().map_or(0, |key| house.facts.cursors.keep(key));
                let fits = |entry: &&Entry| {
                    pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, entry.key()))
                };
                let keys: Vec<&Entry> = page.keys.iter().filter(fits).collect();
                to.list(2);
                to.bulk_integer(i64::try_from(cursor).unwrap_or(0));
                to.list(keys.len());
                keys.iter().for_each(|entry| to.bulk(entry.key()));
            }
            What::Scan { page: None, .. } => to.error(LOST.as_bytes()),
            What::Keys { found, .. } => {
                to.list(found.len());
                found.iter().for_each(|entry| to.bulk(entry.key()));
            }
            What::Random { found, .. } => to.bulk_or_null(found.as_ref().map(Entry::key)),
        }
    }
}

/// What a key in a list takes beside its bytes.
const KEY_OVERHEAD: usize = 24;

fn ask(house: &House<'_>, request: Request<'_>, answers: &mut Vec<Answer>) -> Turn {
    answers.clear();
    let call = Call { request, body: None, number: None };
    Turn::Wait(Wait::Answers(house.commit.submit(&[call], answers)))
}

pub(super) fn check_flush(args: Args<'_, '_>) -> Result<(), Fail> {
    match args.len() {
        1 => Ok(()),
        2 if args.is(1, "async") || args.is(1, "sync") => Ok(()),
        _ => Err(SYNTAX),
    }
}

/// Reads a `SCAN`; none if nothing can come of it.
fn scan(args: Args<'_, '_>, house: &House<'_>) -> Result<Option<What>, Fail> {
    let cursor = cursor(args.get(1)).ok_or(Fail::known("ERR invalid cursor"))?;
    let (mut pattern, mut count, mut others, mut at) = (None, SCAN_DEFAULT, false, 2);
    while at < args.len() {
        if at + 1 == args.len() {
            return Err(SYNTAX);
        }
        let value = args.get(at + 1);
        if args.is(at, "count") {
            let asked = integer(value)?;
            if asked < 1 {
                return Err(SYNTAX);
            }
            count = u32::try_from(asked).unwrap_or(u32::MAX).min(SCAN_MAX);
        } else if args.is(at, "match") {
            pattern = Some(value.to_vec()).filter(|pattern| pattern != b"*");
        } else if args.is(at, "type") {
            others = !value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(SYNTAX);
        }
        at += 2;
    }
    let prefix = pattern.as_deref().map(glob::prefix).unwrap_or_default();
    let mut range = KeyRange::prefix(&bounded(prefix, house));
    if cursor > 0 {
        let start = house.facts.cursors.start(cursor);
        range.start = range.start.max(start);
    }
    let over = range.end.as_ref().is_some_and(|end| range.start >= *end);
    let nothing = others || over;
    Ok((!nothing).then_some(What::Scan { range, pattern, count, page: None }))
}

/// A prefix that a range may have: what is longer than any key fits no key, and is cut to say so.
fn bounded(mut prefix: Vec<u8>, house: &House<'_>) -> Vec<u8> {
    prefix.truncate(house.facts.limits.key_bytes as usize + 1);
    prefix
}

fn cursor(text: &[u8]) -> Option<u64> {
    if text.len() == 20 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    number::integer(text).and_then(|value| u64::try_from(value).ok())
}

/// Where scans go on. A cursor is a number, as in Redis, while the store is ordered by keys: the
/// number names a key that is kept here, and says how the key begins, from where a scan goes on whose
/// key was forgotten. So every key that stays is returned, some twice then.
///
/// ```text
/// | first two bytes of the key | 37 bits of a number that never comes again |     53 bits in all
/// ```
/// That is as much as a JavaScript number holds.
#[derive(Debug)]
pub(crate) struct Cursors {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    next: u64,
    /// Keys by number, oldest first; the newest has the number before `next`.
    keys: VecDeque<Vec<u8>>,
}

/// Scans that are remembered: a kibibyte each at most.
const CURSORS_MAX: usize = 4096;
const NUMBER_BITS: u32 = 37;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

impl Cursors {
    /// Numbers begin with the time, so that those of an earlier run do not come again.
    pub(crate) fn new(unix_ms: u64) -> Self {
        let next = (unix_ms & NUMBER_MASK).max(1);
        Self { kept: Mutex::new(Kept { next, keys: VecDeque::new() }) }
    }

    /// A cursor behind a key.
    pub(super) fn keep(&self, key: &[u8]) -> u64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.next;
        kept.next = if number == NUMBER_MASK { 1 } else { number + 1 };
        if kept.next < number {
            kept.keys.clear();
        } else {
            if kept.keys.len() == CURSORS_MAX {
                kept.keys.pop_front();
            }
            kept.keys.push_back(key.to_vec());
        }
        prefix_of(key) << NUMBER_BITS | number
    }

    /// The first key behind a cursor, or one before it.
    pub(super) fn start(&self, cursor: u64) -> Vec<u8> {
        let (prefix, number) = (cursor >> NUMBER_BITS, cursor & NUMBER_MASK);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = kept.next.checked_sub(number).filter(|&behind| behind > 0);
        let at = behind.and_then(|behind| kept.keys.len().checked_sub(behind as usize));
        match at.and_then(|at| kept.keys.get(at)).filter(|key| prefix_of(key) == prefix) {
            Some(key) => successor(key),
            None => {
                let first = [(prefix >> 8) as u8, prefix as u8];
                // A key of one byte has a zero behind it in the number.
                if first[1] == 0 { first[..1].to_vec() } else { first.to_vec() }
            }
        }
    }
}

/// The first two bytes of a key.
fn prefix_of(key: &[u8]) -> u64 {
    let byte = |at: usize| u64::from(key.get(at).copied().unwrap_or(0));
    byte(0) << 8 | byte(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_behind_its_key_and_never_too_far() {
        let cursors = Cursors::new(1_700_000_000_000);
        let (one, two) = (cursors.keep(b"user:1"), cursors.keep(b"z"));
        assert!(one > 0 && two > 0 && two < 1 << 53);
        assert_eq!(cursors.start(one), b"user:1\0");
        assert_eq!(cursors.start(two), b"z\0");
        for _ in 0..CURSORS_MAX {
            cursors.keep(b"other");
        }
        assert_eq!(cursors.start(one), b"us", "it was forgotten");
        assert_eq!(cursors.start(two), b"z");
        assert!(cursors.start(u64::MAX) <= b"\xff\xff".to_vec());
        assert_eq!(cursors.start(5), b"\0");
    }

    #[test]
    fn numbers_that_begin_anew_are_not_taken_for_older_ones() {
        let cursors = Cursors::new(NUMBER_MASK);
        let last = cursors.keep(b"aa");
        let first = cursors.keep(b"ab");
        assert_eq!(cursors.start(last), b"aa");
        assert_eq!(cursors.start(first), b"ab\0");
    }
}
