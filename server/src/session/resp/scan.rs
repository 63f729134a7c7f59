//! Commands over many keys: `SCAN`, `KEYS`, `RANDOMKEY`, `DBSIZE`, `FLUSHALL`.

use tidekeep_log::{Answer, Call, Entry, Reply, views};
use tidekeep_protocol::op::{DeleteRange, Get, Order, Projection, Request, Scan};
use tidekeep_protocol::range::{KeyRange, Range, successor};

use super::args::Args;
use super::cursors::UNKNOWN;
use super::encode::Encoder;
use super::fail::{Fail, SYNTAX};
use super::glob;
use super::house::{Came, House, Wait};
use super::plan::integer;
use super::program::LOST;
use super::table::Walk;
use crate::session::Content;

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
    Scan { range: KeyRange, pattern: Option<Vec<u8>>, count: u32, page: Found },
    Keys { pattern: Vec<u8>, range: KeyRange, found: Vec<Entry> },
    Random { looks: u32, found: Option<Entry> },
    Size { keys: u64 },
}

/// What a scan found.
#[derive(Default)]
struct Found {
    keys: Vec<Entry>,
    /// The key at which it goes on, if it does.
    next: Option<Vec<u8>>,
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
            Walk::Size => What::Size { keys: 0 },
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
                    limit: *count + 1,
                    bytes: 0,
                    order: Order::Ascending,
                    projection: Projection::Keys,
                };
                ask(house, Request::Scan(scan), answers)
            }
            What::Keys { range, .. } => {
                Turn::Wait(Wait::Views(Box::new(views(house.commit.feeds(), range))))
            }
            What::Random { looks, .. } => {
                *looks += 1;
                let random = (house.random)().rotate_left(*looks);
                Turn::Wait(Wait::Sample(house.commit.sample(random)))
            }
            What::Size { .. } => Turn::Wait(Wait::Count(house.commit.keys())),
        }
    }

    /// Takes the answer to the question; `most` bytes of keys are held at most.
    pub(super) fn resume(&mut self, came: Came, house: &House<'_>, most: usize) -> Turn {
        match came {
            Came::Views(Ok(views)) => self.list(Content::new(views), most),
            Came::Answers(Ok(late)) => self.answered(late),
            Came::Count(Ok(count)) => {
                if let What::Size { keys } = &mut self.what {
                    *keys = count;
                }
                Turn::Done
            }
            Came::Sample(Ok(Some(key))) => {
                ask(house, Request::Get(Get { key: &key }), &mut self.answers)
            }
            Came::Sample(Ok(None)) => Turn::Done,
            Came::Count(Err(refusal)) | Came::Sample(Err(refusal)) => {
                Turn::Failed(Fail::from(&refusal))
            }
            Came::Views(Err(_)) | Came::Answers(Err(_)) => Turn::Failed(Fail::known(LOST)),
        }
    }

    fn answered(&mut self, late: Vec<Answer>) -> Turn {
        let answer = self.answers.drain(..).chain(late).next();
        match (&mut self.what, answer) {
            (_, Some(Err(refusal))) => Turn::Failed(Fail::from(&refusal)),
            (What::Flush, Some(Ok(Reply::DeleteRange(reply)))) if reply.more => Turn::Again,
            (What::Flush, Some(Ok(Reply::DeleteRange(_)))) => Turn::Done,
            (What::Scan { range, count, page, .. }, Some(Ok(Reply::Scan(found)))) => {
                page.keys.extend(found.entries);
                let held = page.keys.len();
                if held > *count as usize || found.more && held > 1 {
                    page.next = page.keys.pop().map(|entry| entry.key().to_vec());
                } else if let Some(last) = page.keys.last().filter(|_| found.more) {
                    // One key takes all of a reply: the next one has to be asked for.
                    range.start = successor(last.key());
                    return Turn::Again;
                }
                Turn::Done
            }
            (What::Random { looks, found }, Some(Ok(Reply::Get(got)))) => {
                *found = got.entry;
                // It went between the two looks; others may be there.
                let again = found.is_none() && *looks < LOOKS_MAX;
                if again { Turn::Again } else { Turn::Done }
            }
            _ => Turn::Failed(Fail::known("ERR the server gave an answer of another kind")),
        }
    }

    fn list(&mut self, mut content: Content, most: usize) -> Turn {
        let What::Keys { pattern, found, .. } = &mut self.what else {
            return Turn::Failed(Fail::known(LOST));
        };
        let mut held = 0;
        loop {
            let page = content.page(PAGE_KEYS, PAGE_BYTES);
            if page.is_empty() {
                return Turn::Done;
            }
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
            What::Scan { page, pattern, .. } => {
                let cursors = &house.facts.cursors;
                let cursor = page.next.as_ref().map_or(0, |key| cursors.keep(key, house.commit));
                let fits = |entry: &&Entry| {
                    pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, entry.key()))
                };
                let keys: Vec<&Entry> = page.keys.iter().filter(fits).collect();
                to.list(2);
                to.bulk_integer(i64::try_from(cursor).unwrap_or(0));
                to.list(keys.len());
                keys.iter().for_each(|entry| to.bulk(entry.key()));
            }
            What::Keys { found, .. } => {
                to.list(found.len());
                found.iter().for_each(|entry| to.bulk(entry.key()));
            }
            What::Size { keys } => to.integer(i64::try_from(*keys).unwrap_or(i64::MAX)),
            What::Random { found, .. } => to.bulk_or_null(found.as_ref().map(Entry::key)),
        }
    }
}

/// What a key in a list takes beside its bytes.
const KEY_OVERHEAD: usize = 24;

fn ask(house: &House<'_>, request: Request<'_>, answers: &mut Vec<Answer>) -> Turn {
    answers.clear();
    let call = Call::new(request);
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
        let start = house.facts.cursors.start(cursor, house.commit);
        range.start = range.start.max(start.ok_or(Fail::known(UNKNOWN))?);
    }
    let over = range.end.as_ref().is_some_and(|end| range.start >= *end);
    let nothing = others || over;
    Ok((!nothing).then_some(What::Scan { range, pattern, count, page: Found::default() }))
}

/// A prefix that a range may have: what is longer than any key fits no key, and is cut to say so.
fn bounded(mut prefix: Vec<u8>, house: &House<'_>) -> Vec<u8> {
    prefix.truncate(house.facts.limits.key_bytes as usize + 1);
    prefix
}

/// Reads a cursor: digits, as many zeros before them as may be.
fn cursor(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
