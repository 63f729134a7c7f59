//! Mutations: puts, deletes and increments that go through the queue. Here is what is known of each, how
//! it shows on top of an entry, and its row; what happens to them is in `core/queueing.rs`, and the
//! whole in docs/design-client.md.

use alloc::boxed::Box;
use alloc::vec::Vec;

use tidekeep_protocol::error::Outcome;
use tidekeep_protocol::op::{Delete, Increment, Operation, Put};
use tidekeep_protocol::plain::{Reader, push_bytes, push_number};
use tidekeep_protocol::session::SessionId;

use crate::output::QueueInfo;

/// The version of rows that is written, and the only one that is read.
const ROW_VERSION: u8 = 1;

/// Bytes of a row before the request's body: version, kind, sequence, base.
const ROW_HEAD_BYTES: usize = 18;

/// Bytes of row 0: version, store, session, incarnation, life.
const HEAD_ROW_BYTES: usize = 45;

/// What is being stored of a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    Nothing,
    Row,
    Removal,
}

/// What the server said of a key when it answered a mutation.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) revision: u64,
    /// The encoded value with its metadata; none when there is no entry.
    pub(crate) entry: Option<Vec<u8>>,
}

/// One mutation.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) id: u64,
    pub(crate) kind: u8,
    pub(crate) key: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Its number in the session; 0 while it was surely never sent.
    pub(crate) sequence: u64,
    /// The revision that was shown when it was made.
    pub(crate) base: u64,
    /// The call by which it is under way, or 0.
    pub(crate) call: u32,
    /// It was perhaps sent before this call.
    pub(crate) doubtful: bool,
    /// It has a row.
    pub(crate) stored: bool,
    /// The row bears its number.
    pub(crate) safe: bool,
    /// The row is not as it should be.
    pub(crate) dirty: bool,
    pub(crate) writing: Writing,
    pub(crate) settled: bool,
    /// It was taken back, with this outcome, which is told once it has no row.
    pub(crate) taken: Option<Outcome>,
    /// What is shown of it once it has settled, until views have got there.
    pub(crate) word: Option<Box<Word>>,
    /// The last revision at which each view has seen the key change, if it has.
    pub(crate) seen: Vec<(u32, u64)>,
    /// What an increment that is under way shows.
    pub(crate) sum: Option<i64>,
}

/// All mutations, and what is stored about all.
#[derive(Debug, Default)]
pub(crate) struct Mutations {
    /// By key, then by id.
    pub(crate) list: Vec<Mutation>,
    /// Rows are stored.
    pub(crate) durable: bool,
    /// This life's number is not stored yet.
    pub(crate) opening: bool,
    /// Something wants a connection meanwhile.
    pub(crate) wanted: bool,
    /// Nothing may be sent: see docs/design-client.md.
    pub(crate) held: bool,
    /// The life could not be stored: it is held for good.
    pub(crate) broken: bool,
    pub(crate) failing: bool,
    /// A batch is on its way.
    pub(crate) outstanding: bool,
    /// The next one waits, for the last one failed.
    pub(crate) resting: bool,
    /// Something changed that may let others go on.
    pub(crate) stirred: bool,
    /// Row 0 is not as it should be; it is in the batch on its way.
    pub(crate) head_dirty: bool,
    pub(crate) head_writing: bool,
    pub(crate) store: Option<[u8; 16]>,
    pub(crate) session: Option<(SessionId, u64)>,
    pub(crate) life: u32,
    /// What is added to the core's time to get the wall clock's.
    pub(crate) epoch_ms: u64,
    pub(crate) last_id: u64,
    pub(crate) told: QueueInfo,
}

impl Mutations {
    /// Takes in what was stored; none when it is not what this version writes.
    pub(crate) fn read(&mut self, mut rows: &[u8]) -> Option<()> {
        while let Some((head, rest)) = rows.split_first_chunk::<12>() {
            let id = u64_at(head, 0);
            let length = u32::from_le_bytes(*head.last_chunk()?) as usize;
            let (row, rest) = rest.split_at_checked(length)?;
            rows = rest;
            if *row.first()? != ROW_VERSION {
                return None;
            }
            if id > 0 {
                let body = row.get(ROW_HEAD_BYTES..)?;
                let mut mutation = Mutation::new(id, row[1], body)?;
                mutation.sequence = u64_at(row, 2);
                mutation.base = u64_at(row, 10);
                mutation.doubtful = mutation.sequence > 0;
                mutation.safe = mutation.doubtful;
                mutation.stored = true;
                mutation.dirty = false;
                self.last_id = self.last_id.max(id);
                self.insert(mutation);
            } else if row.len() == HEAD_ROW_BYTES {
                self.store = Some(*row[1..].first_chunk()?);
                self.session = Some((SessionId(*row[17..].first_chunk()?), u64_at(row, 33)));
                self.life = u32::from_le_bytes(*row.last_chunk()?);
            } else {
                return None;
            }
        }
        rows.is_empty().then_some(())
    }

    /// Takes all that is to be stored as one batch.
    pub(crate) fn batch(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for mutation in self.list.iter_mut().filter(|it| it.dirty) {
            mutation.dirty = false;
            mutation.writing = if mutation.settled { Writing::Removal } else { Writing::Row };
            mutation.push_row(&mut out);
        }
        if self.head_dirty
            && let (Some(store), Some((session, incarnation))) = (self.store, self.session)
        {
            (self.head_dirty, self.head_writing) = (false, true);
            push_head(&mut out, 0, HEAD_ROW_BYTES);
            out.push(ROW_VERSION);
            out.extend_from_slice(&store);
            out.extend_from_slice(&session.0);
            out.extend_from_slice(&incarnation.to_le_bytes());
            out.extend_from_slice(&self.life.to_le_bytes());
        }
        out
    }

    /// Puts a mutation in its place; where that is.
    pub(crate) fn insert(&mut self, mutation: Mutation) -> usize {
        let mut at = self.from(&mutation.key);
        let before = |it: &Mutation| it.key == mutation.key && it.id < mutation.id;
        while self.list.get(at).is_some_and(before) {
            at += 1;
        }
        self.list.insert(at, mutation);
        at
    }

    /// Where the first mutation of a key at or behind `key` is.
    pub(crate) fn from(&self, key: &[u8]) -> usize {
        self.list.partition_point(|it| *it.key < *key)
    }

    /// A view has seen a key at `revision`: what the server said of it until then is not news there any
    /// more. Whether something was.
    pub(crate) fn noticed(&mut self, view: u32, key: &[u8], revision: u64) -> bool {
        let (from, mut was_news) = (self.from(key), false);
        for mutation in &mut self.list[from..] {
            if *mutation.key != *key {
                break;
            }
            let showed = mutation.word_for(view).is_some();
            match mutation.seen.iter_mut().find(|(of, _)| *of == view) {
                Some((_, seen)) => *seen = revision.max(*seen),
                None => mutation.seen.push((view, revision)),
            }
            was_news |= showed && mutation.word_for(view).is_none();
        }
        was_news
    }

    /// The mutation that is under way by this call.
    pub(crate) fn of_call(&self, call: u32) -> Option<usize> {
        self.list.iter().position(|it| it.call == call)
    }

    /// Whether no earlier mutation of its key is unsettled.
    pub(crate) fn is_first(&self, at: usize) -> bool {
        let mut before = at;
        while before > 0 && self.list[before - 1].key == self.list[at].key {
            before -= 1;
            if !self.list[before].settled {
                return false;
            }
        }
        true
    }

    /// The mutation with the least of what `rank` says, where it says something.
    pub(crate) fn least(&self, rank: impl Fn(usize, &Mutation) -> Option<u64>) -> Option<usize> {
        let mut least = None;
        let mut place = None;
        for at in 0..self.list.len() {
            let rank = rank(at, &self.list[at]);
            if rank.is_some() && (least.is_none() || rank < least) {
                (least, place) = (rank, Some(at));
            }
        }
        place
    }

    /// Forgets what has settled, has no row any more and does not show.
    pub(crate) fn forget_done(&mut self) {
        self.list.retain(|it| {
            !it.settled
                || it.stored
                || it.dirty
                || it.writing != Writing::Nothing
                || it.word.is_some()
        });
    }

    pub(crate) fn info(&self) -> QueueInfo {
        let open = self.list.iter().filter(|it| !it.settled);
        let mut info = QueueInfo { held: self.held, failing: self.failing, ..QueueInfo::default() };
        for mutation in open {
            info.waiting += 1;
            info.bytes += mutation.bytes();
        }
        info
    }

    /// What a view shows of a key whose entry on the server is `stored`, and whether that is optimistic.
    pub(crate) fn shown(
        &self,
        view: u32,
        key: &[u8],
        stored: Option<&[u8]>,
    ) -> (Option<Vec<u8>>, bool) {
        let (mut shown, mut optimistic) = (stored.map(<[u8]>::to_vec), false);
        if self.held {
            return (shown, false);
        }
        for mutation in &self.list[self.from(key)..] {
            if *mutation.key != *key {
                break;
            }
            if let Some(word) = mutation.word_for(view) {
                (shown, optimistic) = (word.entry.clone(), false);
            } else if !mutation.settled {
                (shown, optimistic) = (mutation.effect(shown.as_deref(), 0), true);
            }
        }
        (shown, optimistic)
    }
}

impl Mutation {
    /// A mutation of a request's body; none when it is not one that can be queued.
    pub(crate) fn new(id: u64, kind: u8, body: &[u8]) -> Option<Self> {
        let key = Request::read(kind, body)?.key.into();
        Some(Self {
            id,
            kind,
            key,
            body: body.to_vec(),
            sequence: 0,
            base: 0,
            call: 0,
            doubtful: false,
            stored: false,
            safe: false,
            dirty: true,
            writing: Writing::Nothing,
            settled: false,
            taken: None,
            word: None,
            seen: Vec::new(),
            sum: None,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.body.len()
    }

    /// What the server said of the key, if a view has not got there by itself.
    pub(crate) fn word_for(&self, view: u32) -> Option<&Word> {
        self.word.as_deref().filter(|word| word.revision > self.seen_by(view))
    }

    /// The last revision at which a view has seen the key change, or 0.
    pub(crate) fn seen_by(&self, view: u32) -> u64 {
        for &(of, seen) in &self.seen {
            if of == view {
                return seen;
            }
        }
        0
    }

    /// Appends its row; once it has settled, that there is none.
    pub(crate) fn push_row(&self, out: &mut Vec<u8>) {
        if self.settled {
            return push_head(out, self.id, 0);
        }
        push_head(out, self.id, ROW_HEAD_BYTES + self.body.len());
        out.extend_from_slice(&[ROW_VERSION, self.kind]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.body);
    }

    /// The entry that it makes of another, or none: written at `revision`, or not yet if that is 0.
    pub(crate) fn effect(&self, before: Option<&[u8]>, revision: u64) -> Option<Vec<u8>> {
        let request = Request::read(self.kind, &self.body)?;
        let old = before.and_then(Stored::read);
        let sum;
        let value = if self.kind == Delete::SPEC.kind {
            return None;
        } else if self.kind == Increment::SPEC.kind {
            let Some(number) = self.sum.or_else(|| self.sum_with(before)) else {
                return before.map(<[u8]>::to_vec);
            };
            sum = decimal(number);
            &sum
        } else {
            request.value
        };
        let old = old.unwrap_or_default();
        let modified = if revision > 0 { revision } else { old.modified };
        let created = if old.version > 0 { old.created } else { modified };
        let (expires_at, lease) = match request.expiry {
            (KEEP, _) => (old.expires_at, old.lease),
            (AT, at) => (Some(at), None),
            (LEASE, lease) => (None, Some(lease)),
            _ => (None, None),
        };
        let mut out = Vec::new();
        for &number in &[created, modified, old.version + 1] {
            push_number(&mut out, number);
        }
        for &option in &[expires_at, lease] {
            push_number(&mut out, option.is_some().into());
            if let Some(number) = option {
                push_number(&mut out, number);
            }
        }
        push_bytes(&mut out, value);
        Some(out)
    }

    /// The sum that an increment makes of an entry, if both are numbers.
    pub(crate) fn sum_with(&self, before: Option<&[u8]>) -> Option<i64> {
        let by = Request::read(self.kind, &self.body)?.by?;
        let number = match before {
            Some(before) => number_of(Stored::read(before)?.value)?,
            None => 0,
        };
        by.checked_add(number)
    }

    /// The revision that its condition asks for.
    pub(crate) fn condition(&self) -> Option<u64> {
        Request::read(self.kind, &self.body)?.condition.map(|(revision, _)| revision)
    }

    /// Lets its condition ask for another revision.
    pub(crate) fn set_condition(&mut self, revision: u64) {
        let request = Request::read(self.kind, &self.body);
        let Some((old, left)) = request.and_then(|it| it.condition) else { return };
        let end = self.body.len() - left;
        let mut was = Vec::new();
        push_number(&mut was, old);
        let mut body = self.body[..end - was.len()].to_vec();
        push_number(&mut body, revision);
        body.extend_from_slice(&self.body[end..]);
        self.body = body;
    }
}

/// The numbers of an expiry's variants.
const KEEP: u32 = 1;
const AT: u32 = 3;
const LEASE: u32 = 4;

/// What is to be known of a request. Read by hand, which takes far less code in a page than decoding
/// all there is to know of three of them.
struct Request<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// The revision that is asked for, and how many bytes of the body follow it.
    condition: Option<(u64, usize)>,
    /// Its variant, and what comes with it.
    expiry: (u32, u64),
    by: Option<i64>,
}

impl<'a> Request<'a> {
    fn read(kind: u8, body: &'a [u8]) -> Option<Self> {
        let mut rest = Reader::new(body);
        let mut request =
            Self { key: rest.bytes(), value: &[], condition: None, expiry: (0, 0), by: None };
        if kind == Put::SPEC.kind {
            request.value = rest.bytes();
        } else if kind == Increment::SPEC.kind {
            let zigzag = rest.number();
            request.by = Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        } else if kind != Delete::SPEC.kind {
            return None;
        }
        if kind != Increment::SPEC.kind {
            match rest.variant(5) {
                3 => request.condition = Some((rest.number(), rest.rest().len())),
                4 => {
                    let _value = rest.bytes();
                }
                _ => {}
            }
        }
        if kind != Delete::SPEC.kind {
            request.expiry.0 = rest.variant(LEASE + 1);
            if request.expiry.0 > KEEP {
                request.expiry.1 = rest.number();
            }
        }
        if kind != Increment::SPEC.kind {
            let _previous = rest.flag();
        }
        rest.end(request)
    }
}

/// What is to be known of an entry.
#[derive(Default)]
pub(crate) struct Stored<'a> {
    created: u64,
    pub(crate) modified: u64,
    version: u64,
    expires_at: Option<u64>,
    lease: Option<u64>,
    value: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(crate) fn read(stored: &'a [u8]) -> Option<Self> {
        let mut rest = Reader::new(stored);
        let (created, modified, version) = (rest.number(), rest.number(), rest.number());
        let (expires_at, lease) = (rest.optional_number(), rest.optional_number());
        let value = rest.bytes();
        rest.so_far(Self { created, modified, version, expires_at, lease, value })
    }
}

/// The number that text stands for, if it is written as the server writes it. Parsing by the library
/// would take more code.
fn number_of(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let mut number: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 || number > (u64::MAX - 9) / 10 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    let number = number as i64;
    let number = if digits.len() < text.len() { number.wrapping_neg() } else { number };
    // Also where it does not fit.
    (decimal(number) == text).then_some(number)
}

/// A number as the server writes it; formatting would take more code.
fn decimal(number: i64) -> Vec<u8> {
    let (mut digits, mut left) = (Vec::new(), number.unsigned_abs());
    loop {
        digits.push(b'0' + (left % 10) as u8);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        digits.push(b'-');
    }
    digits.reverse();
    digits
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn push_head(out: &mut Vec<u8>, id: u64, row_bytes: usize) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&(row_bytes as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let texts = ["", "-", "+", "0", "-0", "+7", "007", "12a", " 1", "1 ", "--1", "é"];
        let edges = [i64::MAX, i64::MIN, 1, -1].map(|number| number.to_string());
        let beyond = [
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
        ];
        for text in texts.iter().copied().chain(edges.iter().map(|it| &**it)).chain(beyond) {
            let number = text.parse().ok().filter(|number: &i64| number.to_string() == text);
            assert_eq!(number_of(text.as_bytes()), number, "{text:?}");
        }
        for number in [0, 10, -305, i64::MAX, i64::MIN] {
            assert_eq!(number_of(&decimal(number)), Some(number));
        }
    }
}
