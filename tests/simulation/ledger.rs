//! All calls of a world and what became of them, held against what the store did: each change has
//! exactly one author, no author has two changes, and every end of a call tells the truth.

use std::collections::{BTreeMap, BTreeSet};

use tidekeep_client_core::Error;
use tidekeep_log::{Change, Entry, Event, EventKind};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::error::{Code, Outcome};

use crate::call::{If, Part, What};
use crate::history::History;
use crate::settling;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a reply; the revision that it made, if it made one.
    Replied(Option<u64>),
    /// With an error that says that nothing was applied.
    NotApplied,
    /// With an error that says that it was.
    Applied,
    /// With an error that leaves it open.
    Unknown,
}

/// A call and what is known of it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) client: usize,
    pub(crate) what: What,
    pub(crate) made_at: u64,
    pub(crate) deadline: u64,
    /// The newest revision that any reply had shown when the call was made.
    pub(crate) floor: u64,
    /// The queue that it went through.
    pub(crate) queue: Option<u64>,
    /// Another one of its key waited there when it was made.
    pub(crate) behind: bool,
    pub(crate) end: Option<End>,
    /// The revision that it made in the store.
    pub(crate) made: Option<u64>,
}

/// Every call, by its number, from 1 on.
#[derive(Default)]
pub(crate) struct Ledger {
    calls: Vec<Call>,
    /// Which touch gives which end.
    touches: BTreeMap<u64, u64>,
    /// Revisions that did nothing but delete, and whose author is not known yet.
    deletes: BTreeSet<u64>,
}

impl Ledger {
    /// The number of the next call.
    pub(crate) fn next_number(&self) -> u64 {
        self.calls.len() as u64 + 1
    }

    /// Whether no touch has this end yet.
    pub(crate) fn is_new_end(&self, at: u64) -> bool {
        !self.touches.contains_key(&at)
    }

    pub(crate) fn add(&mut self, call: Call) {
        if let What::Touch { at, .. } = call.what {
            self.touches.insert(at, self.next_number());
        }
        self.calls.push(call);
    }

    pub(crate) fn call(&self, number: u64) -> &Call {
        &self.calls[number as usize - 1]
    }

    /// Calls that have not ended.
    pub(crate) fn open(&self) -> impl Iterator<Item = (u64, &Call)> {
        let numbered = (1..).zip(&self.calls);
        numbered.filter(|(_, call)| call.end.is_none())
    }

    /// Finds the author of the next change. Called before the history takes it in.
    pub(crate) fn explain(&mut self, change: &Change, history: &History) -> Result<(), String> {
        let revision = change.revision;
        let events = asked_for(change).ok_or_else(|| format!("{revision} mixes in ends"))?;
        if events.is_empty() {
            return Ok(());
        }
        let mut puts = events.iter().copied().filter(|event| writes(event));
        let Some(first) = puts.next() else {
            self.deletes.insert(revision);
            return Ok(());
        };
        let author = self.author(first);
        let known = |number: &u64| (1..self.next_number()).contains(number);
        let number = author
            .filter(known)
            .ok_or_else(|| format!("nobody asked for revision {revision}: {change:?}"))?;
        if let Some(other) = puts.find(|event| self.author(event) != author) {
            return Err(format!("revision {revision} is of two calls: {number} and {other:?}"));
        }
        let before = first.previous.as_ref().map(Entry::modified);
        let what = &self.as_sent(number, before);
        check_effects(what, &events, change.at_ms, history)
            .map_err(|why| format!("revision {revision} by call {number}: {why}: {what:?}"))?;
        let call = &mut self.calls[number as usize - 1];
        if let Some(before) = call.made {
            return Err(format!("call {number} was applied twice: {before} and {revision}"));
        }
        if matches!(call.end, Some(End::NotApplied | End::Replied(None))) {
            let end = call.end;
            return Err(format!("call {number} was applied at {revision} after it ended: {end:?}"));
        }
        call.made = Some(revision);
        Ok(())
    }

    /// What a call asks for where the last write of its key was at `before`. Of edits in a row that were
    /// made upon the same revision, each stands upon the one before it.
    pub(crate) fn as_sent(&self, number: u64, before: Option<u64>) -> What {
        let what = &self.call(number).what;
        match before {
            Some(before) if self.follows(number, before) => what.under(If::Revision(before)),
            _ => what.clone(),
        }
    }

    /// Whether a queued call was made upon the same revision as the one before it in its queue, which
    /// has made `revision`; or may have been, for all that is known of that one.
    fn follows(&self, number: u64, revision: u64) -> bool {
        let call = self.call(number);
        let Some((key, If::Revision(base))) = call.what.edit() else { return false };
        let made = |before: &&Call| before.made == Some(revision) && before.queue == call.queue;
        let before = self.calls[..number as usize - 1].iter().rev().find(made);
        let edit = before.filter(|_| call.queue.is_some()).and_then(|before| before.what.edit());
        edit.is_some_and(|(of, condition)| match condition {
            If::Revision(other) => of == key && other == base,
            _ => of == key,
        })
    }

    /// Whether a queued call must stand upon what made `revision`: the call right before it of its key and
    /// queue did, and was made upon the same revision.
    pub(crate) fn must_follow(&self, number: u64, revision: u64) -> bool {
        let call = self.call(number);
        let Some((key, condition)) = call.what.edit() else { return false };
        let beside = |before: &&Call| {
            before.queue == call.queue && before.what.edit().is_some_and(|(of, _)| of == key)
        };
        let before = self.calls[..number as usize - 1].iter().rev().find(beside);
        let before = before.filter(|before| call.behind && before.made == Some(revision));
        let upon = before.and_then(|before| before.what.edit()).map(|(_, upon)| upon);
        matches!(condition, If::Revision(_)) && upon == Some(condition)
    }

    fn author(&self, event: &Event) -> Option<u64> {
        let previous = event.previous.as_ref();
        if event.key().starts_with(b"n/") {
            let before = previous.map_or(Some(0), number_of)?;
            return u64::try_from(number_of(&event.entry)? - before).ok();
        }
        if event.kind == EventKind::Touch {
            return self.touches.get(&event.entry.expires_at()?).copied();
        }
        let text = std::str::from_utf8(event.entry.value()).ok()?;
        text.split_once(|letter: char| !letter.is_ascii_digit())?.0.parse().ok()
    }

    /// A write was acknowledged as applied at a revision.
    pub(crate) fn acknowledge(
        &mut self,
        number: u64,
        revision: u64,
        history: &History,
    ) -> Result<(), String> {
        let call = &self.calls[number as usize - 1];
        if let What::Delete { key, condition, .. } = &call.what {
            let change = history.change(revision).ok_or("an unknown revision")?;
            let alone = change.events.len() == 1 && change.events[0].key() == key;
            if !self.deletes.remove(&revision) || !alone {
                return Err(format!("call {number} deleted nothing of its own at {revision}"));
            }
            let before = change.events[0].previous.as_ref().map(Entry::modified);
            let follows = before.is_some_and(|before| self.follows(number, before));
            if !condition.holds(before) && !follows {
                return Err(format!("call {number} deleted against its condition at {revision}"));
            }
            self.calls[number as usize - 1].made = Some(revision);
        } else if call.what.is_unmarked() {
            let change = history.change(revision).ok_or("an unknown revision")?;
            if !change.events.is_empty() && !self.deletes.remove(&revision) {
                return Err(format!("call {number} deleted nothing of its own at {revision}"));
            }
            self.calls[number as usize - 1].made = Some(revision);
        } else if call.made != Some(revision) {
            let made = call.made;
            return Err(format!("call {number} was told {revision}, but made {made:?}"));
        }
        self.end(number, End::Replied(Some(revision)))
    }

    /// A call failed.
    pub(crate) fn fail(&mut self, number: u64, error: &Error) -> Result<(), String> {
        match error.outcome {
            Outcome::NotApplied => self.end(number, End::NotApplied),
            Outcome::Applied => self.end(number, End::Applied),
            Outcome::Unknown if !self.call(number).what.writes() => {
                Err(format!("call {number} only reads, so its outcome is known: {error}"))
            }
            // Writes have numbers: a break alone leaves nothing open.
            Outcome::Unknown if !may_leave_open(error.code) => {
                Err(format!("nothing keeps call {number} from being told: {error}"))
            }
            Outcome::Unknown => self.end(number, End::Unknown),
        }
    }

    /// A call has ended.
    pub(crate) fn end(&mut self, number: u64, end: End) -> Result<(), String> {
        let call = &mut self.calls[number as usize - 1];
        // What a closed client has left open, its next life is told.
        let was_open = call.queue.is_some() && call.end == Some(End::Unknown);
        if let Some(before) = call.end.filter(|_| !was_open) {
            return Err(format!("call {number} ended twice: {before:?} and {end:?}"));
        }
        call.end = Some(end);
        match (end, call.made) {
            (End::NotApplied | End::Replied(None), Some(made)) => {
                Err(format!("call {number} was applied at {made}, but ended with {end:?}"))
            }
            (End::Applied, None) if !call.what.is_unmarked() => {
                Err(format!("call {number} is said to be applied, but nothing shows it"))
            }
            _ => Ok(()),
        }
    }

    /// Once every call has ended: nothing is left that nobody can have asked for.
    pub(crate) fn settle(&self, history: &History) -> Result<(), String> {
        self.check_order()?;
        settling::settle(&self.calls, self.deletes.iter().copied(), history)
    }

    /// What went through one queue was applied in the order of its key.
    fn check_order(&self) -> Result<(), String> {
        let mut last: BTreeMap<(u64, &[u8]), (u64, u64)> = BTreeMap::new();
        for (number, call) in (1..).zip(&self.calls) {
            let edit = call.what.edit();
            let (Some(queue), Some((key, _)), Some(made)) = (call.queue, edit, call.made) else {
                continue;
            };
            match last.insert((queue, key), (number, made)) {
                Some((before, at)) if at >= made => {
                    return Err(format!("{number} was applied at {made}, {before} at {at}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a call may end in doubt with this code: its time was over, its caller gave it up, or the
/// server's storage failed under it.
fn may_leave_open(code: Code) -> bool {
    matches!(code, Code::Timeout | Code::Cancelled | Code::Closed | Code::Storage)
}

/// The number that an entry's value writes out.
pub(crate) fn number_of(entry: &Entry) -> Option<i64> {
    std::str::from_utf8(entry.value()).ok()?.parse().ok()
}

/// Whether there is an entry afterwards.
fn writes(event: &Event) -> bool {
    matches!(event.kind, EventKind::Put | EventKind::Touch)
}

/// What of a change a call asked for: not the ends of keys, which come by themselves, or just before
/// what takes their place, and nothing of an eviction.
fn asked_for(change: &Change) -> Option<Vec<&Event>> {
    if change.events.iter().any(|event| event.kind == EventKind::Evict) {
        // A command of the store's own (memory.rs holds it to what it may do).
        return Some(Vec::new());
    }
    let ended = |event: &Event| event.kind == EventKind::Expire;
    let asked: Vec<&Event> = change.events.iter().filter(|event| !ended(event)).collect();
    let replaced =
        |pair: &[Event]| !ended(&pair[0]) || (writes(&pair[1]) && pair[0].key() == pair[1].key());
    let fits = !change.events.last().is_some_and(ended) && change.events.windows(2).all(replaced);
    (asked.is_empty() || fits).then_some(asked)
}

/// Checks that a change is what a call asks for, whole.
fn check_effects(
    what: &What,
    events: &[&Event],
    at_ms: u64,
    history: &History,
) -> Result<(), String> {
    match what {
        What::Put { key, value, condition, expiry, .. } => {
            let event = only(events)?;
            check_condition(*condition, event)?;
            check_put(event, key, value)?;
            check_end(event, *expiry, at_ms, history)
        }
        What::Increment { key, expiry } => {
            let event = only(events)?;
            check_key(event, key)?;
            check_end(event, *expiry, at_ms, history)
        }
        What::Touch { key, at, condition } => {
            let event = only(events)?;
            check_condition(*condition, event)?;
            check_key(event, key)?;
            check_end(event, Expiry::At(*at), at_ms, history)
        }
        What::Txn { compare, then, otherwise } => {
            // Nobody can know whether a lease is over while a keep-alive is in doubt.
            let branch = |unsure: bool| {
                let holds = compare.as_ref().is_none_or(|(key, condition)| {
                    let entry = history.state(key, history.revision());
                    let over = |it: &Entry| history.is_over(it, history.revision(), at_ms);
                    let visible = entry.filter(|entry| !over(entry).unwrap_or(unsure));
                    condition.holds(visible.map(Entry::modified))
                });
                check_parts(if holds { then } else { otherwise }, events, at_ms, history)
            };
            branch(false).or_else(|_| branch(true))
        }
        _ => Err("it does not write such things".to_owned()),
    }
}

fn check_parts(
    parts: &[Part],
    events: &[&Event],
    at_ms: u64,
    history: &History,
) -> Result<(), String> {
    let mut events = events.iter().copied().peekable();
    for part in parts {
        match part {
            Part::Get { .. } => {}
            Part::Put { key, value } => {
                check_put(events.next().ok_or("a put is missing")?, key, value)?;
            }
            Part::Increment { key } => {
                check_key(events.next().ok_or("an increment is missing")?, key)?;
            }
            Part::Delete { key } => {
                let deletes =
                    |event: &&Event| event.kind == EventKind::Delete && event.key() == key;
                let deleted = events.next_if(deletes).is_some();
                let entry = history.state(key, history.revision());
                let over = entry.map(|entry| history.is_over(entry, history.revision(), at_ms));
                if over.unwrap_or(Some(true)) == Some(deleted) {
                    return Err("a delete is missing, or one too many".to_owned());
                }
            }
        }
    }
    events.next().map_or(Ok(()), |more| Err(format!("more than was asked for: {more:?}")))
}

fn only<'a>(events: &[&'a Event]) -> Result<&'a Event, String> {
    match events {
        [event] => Ok(event),
        _ => Err("more than one change".to_owned()),
    }
}

fn check_condition(condition: If, event: &Event) -> Result<(), String> {
    let before = event.previous.as_ref().map(Entry::modified);
    if condition.holds(before) { Ok(()) } else { Err("its condition did not hold".to_owned()) }
}

fn check_key(event: &Event, key: &[u8]) -> Result<(), String> {
    let right = writes(event) && event.key() == key;
    if right { Ok(()) } else { Err(format!("another key: {event:?}")) }
}

fn check_put(event: &Event, key: &[u8], value: &[u8]) -> Result<(), String> {
    check_key(event, key)?;
    let right = event.entry.value() == value;
    if right { Ok(()) } else { Err(format!("another value: {event:?}")) }
}

fn check_end(event: &Event, expiry: Expiry, at_ms: u64, history: &History) -> Result<(), String> {
    let previous = event.previous.as_ref();
    let expected = match expiry {
        Expiry::Never => (None, None),
        Expiry::Keep => (previous.and_then(Entry::expires_at), previous.and_then(Entry::lease)),
        Expiry::After(ms) => (Some(at_ms + ms), None),
        Expiry::At(at) => (Some(at), None),
        Expiry::Lease(lease) => (None, Some(lease)),
    };
    let found = (event.entry.expires_at(), event.entry.lease());
    if found != expected {
        return Err(format!("ends at {found:?}, not {expected:?}"));
    }
    match history.is_over(&event.entry, history.revision(), at_ms) {
        Some(true) if found.1.is_some() => Err("its lease was over".to_owned()),
        _ => Ok(()),
    }
}
