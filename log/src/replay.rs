//! Applies the log's records at a start. Which revision a command took is known from the log, so that
//! commands that write a single key are applied by all cores, each core to shards of its own: in a
//! shard's order, which is all that its state depends on. What they changed and answered is then put
//! in the log's order again. Every other record waits for those before it and is applied alone, as are
//! all while there are leases, which any write may touch, or locks, which may be in the way of any.

use std::iter;

use tidekeep_protocol::op::Request;
use tidekeep_store::apply::{Stamp, apply_plain_put, apply_request, is_for_now};
use tidekeep_store::approach::{KEYS_MAX, Near, approach};
use tidekeep_store::change::Change;
use tidekeep_store::record::{Command, Extent, Record};
use tidekeep_store::sessions::{Answer, Numbered};
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{KeyHash, Spread, Writing};
use tidekeep_store::tables::Tables;

use crate::coming::{cores, joined};
use crate::gets::single_key;
use crate::recover::{Logged, Unusable};
use crate::state::State;
use crate::tail::Tail;

/// Commands, and bytes of them, that are applied together.
const COMMANDS_MAX: usize = 16 << 10;
const BYTES_MAX: usize = 4 << 20;

/// Commands that are worth threads.
const COMMANDS_MIN: usize = 1 << 10;

/// Applies records to a state in their order.
pub(crate) struct Replay<'s> {
    state: &'s mut State,
    tail: &'s Tail,
    threads: usize,
    commands_min: usize,
}

/// A record whose commands write a single key each.
struct Plain<'a> {
    index: u64,
    payload: &'a [u8],
    record: Record<'a>,
}

/// Records that are yet to be applied, one behind the other.
#[derive(Default)]
struct Group<'a> {
    records: Vec<Plain<'a>>,
    commands: usize,
    bytes: usize,
    /// The revision behind the last one.
    revision: u64,
}

impl<'s> Replay<'s> {
    pub(crate) fn new(state: &'s mut State, tail: &'s Tail) -> Self {
        let threads = cores().min(state.shards.len());
        Self { state, tail, threads, commands_min: COMMANDS_MIN }
    }

    /// Applies records that follow those before.
    pub(crate) fn records(&mut self, records: &[Logged<'_>]) -> Result<(), Unusable> {
        let mut group = Group::default();
        for &(index, payload) in records {
            let plain = match Record::decode(payload) {
                Ok(record) => record.single_keyed().map(|extent| (record, extent)),
                Err(_) => None,
            };
            let tables = &self.state.tables;
            let apart = tables.leases.is_empty() && tables.intents.is_free();
            let Some((record, extent)) = plain.filter(|_| apart) else {
                self.together(&mut group)?;
                self.alone(index, payload)?;
                continue;
            };
            let before =
                if group.records.is_empty() { self.state.revision } else { group.revision };
            if record.stamp.revision != before {
                self.together(&mut group)?;
                // Says what is wrong with it.
                self.alone(index, payload)?;
                continue;
            }
            let Extent { commands, changes } = extent;
            group.records.push(Plain { index, payload, record });
            group.revision = before.saturating_add(changes);
            group.commands += commands;
            group.bytes += payload.len();
            if group.commands >= COMMANDS_MAX || group.bytes >= BYTES_MAX {
                self.together(&mut group)?;
            }
        }
        self.together(&mut group)
    }

    fn alone(&mut self, index: u64, payload: &[u8]) -> Result<(), Unusable> {
        self.state.replay(payload, self.tail).map_err(|source| Unusable { index, source })
    }

    /// Applies a group and empties it.
    fn together(&mut self, group: &mut Group<'_>) -> Result<(), Unusable> {
        let Group { records, commands, revision, .. } = std::mem::take(group);
        if self.threads == 1 || commands < self.commands_min {
            return records.iter().try_for_each(|plain| self.alone(plain.index, plain.payload));
        }
        let State { spread, shards, tables, .. } = &mut *self.state;
        let mut shares: Vec<Share<'_>> =
            (0..self.threads).map(|number| Share::new(*spread, self.threads, number)).collect();
        for (at, shard) in shards.iter_mut().enumerate() {
            shares[at % self.threads].shards.push(shard);
        }
        let mine = shares.pop();
        let records = &records[..];
        let done = std::thread::scope(|scope| {
            let others: Vec<_> =
                shares.into_iter().map(|share| scope.spawn(move || share.apply(records))).collect();
            let mine = mine.map(|share| share.apply(records));
            let others = others.into_iter().map(joined);
            others.chain(mine).collect::<Result<Vec<Done<'_>>, Unusable>>()
        })?;
        let (changes, answers): (Vec<_>, Vec<_>) =
            done.into_iter().map(|done| (done.changes, done.answers)).unzip();
        for Answered { numbered, now_ms, answer, .. } in merged(answers, |answered| answered.at) {
            tables.sessions.remember(&numbered, now_ms, answer);
        }
        self.tail.extend(merged(changes, |change| change.revision), revision, u64::MAX);
        let last_ms = records.iter().map(|plain| plain.record.stamp.now_ms).max();
        self.state.revision = revision;
        self.state.now_ms = self.state.now_ms.max(last_ms.unwrap_or(0));
        Ok(())
    }
}

/// One thread's shards, in the order of their numbers.
struct Share<'s> {
    spread: Spread,
    threads: usize,
    number: usize,
    shards: Vec<&'s mut (usize, Box<Shard>)>,
}

/// A command to one of a thread's shards.
struct Own<'a> {
    record: u64,
    /// Where it stands among all commands of the group.
    at: usize,
    stamp: Stamp,
    key: &'a [u8],
    hash: KeyHash,
    /// Which of the thread's shards.
    shard: usize,
    request: Request<'a>,
    numbered: Option<Numbered>,
    /// Whether it changed something the first time.
    changed: bool,
}

/// What a thread's commands did, each list in the log's order.
#[derive(Default)]
struct Done<'a> {
    changes: Vec<Change>,
    answers: Vec<Answered>,
    /// Commands that are looked ahead for.
    ahead: Vec<Own<'a>>,
}

/// A numbered write's answer, which is to be remembered.
struct Answered {
    at: usize,
    numbered: Numbered,
    now_ms: u64,
    answer: Answer,
}

impl<'s> Share<'s> {
    fn new(spread: Spread, threads: usize, number: usize) -> Self {
        Self { spread, threads, number, shards: Vec::new() }
    }

    /// Applies the commands to its own shards, and passes over those that are others'.
    fn apply<'a>(mut self, records: &[Plain<'a>]) -> Result<Done<'a>, Unusable> {
        let mut done = Done::default();
        let mut at = 0;
        for &Plain { index, record, .. } in records {
            let unusable = |source| Unusable { index, source };
            let mut stamp = record.stamp;
            for command in record.commands() {
                let command = command.map_err(|source| unusable(source.into()))?;
                let (request, numbered, changed) = match command {
                    Command::Request(request) => (request, None, true),
                    Command::Numbered { numbered, changed, request } => {
                        (request, Some(numbered), changed)
                    }
                    Command::Expire(_)
                    | Command::Evict(_)
                    | Command::EndLease(_)
                    | Command::Step(_) => {
                        return Err(unusable(OF_MORE.into()));
                    }
                };
                let key = single_key(&request).ok_or_else(|| unusable(OF_MORE.into()))?;
                let hash = self.spread.hash(key);
                let shard = self.spread.shard_of_hash(hash);
                if shard % self.threads == self.number {
                    let shard = shard / self.threads;
                    let record = index;
                    done.ahead.push(Own {
                        record,
                        at,
                        stamp,
                        key,
                        hash,
                        shard,
                        request,
                        numbered,
                        changed,
                    });
                }
                at += 1;
                stamp.revision += u64::from(changed);
                if done.ahead.len() == KEYS_MAX {
                    self.apply_ahead(&mut done)?;
                }
            }
        }
        self.apply_ahead(&mut done)?;
        Ok(done)
    }

    fn apply_ahead(&mut self, done: &mut Done<'_>) -> Result<(), Unusable> {
        let wanted = done.ahead.iter().map(|own| (own.key, own.hash, &*self.shards[own.shard].1));
        let near = approach(wanted);
        for (own, near) in done.ahead.drain(..).zip(near) {
            let shard = &mut *self.shards[own.shard];
            let (answer, change) = apply_own(self.spread, shard, &own, near);
            let unusable = |source| Unusable { index: own.record, source };
            match own.numbered {
                Some(numbered) if !answer.as_ref().is_err_and(is_for_now) => {
                    let (at, now_ms) = (own.at, own.stamp.now_ms);
                    done.answers.push(Answered { at, numbered, now_ms, answer });
                }
                Some(_) => {}
                None => drop(answer.map_err(|refusal| unusable(refusal.into()))?),
            }
            if change.is_some() != own.changed {
                return Err(unusable(UNLIKE.into()));
            }
            done.changes.extend(change);
        }
        Ok(())
    }
}

/// Applies a command to its shard. Who may have written a numbered one is for others to know.
fn apply_own(
    spread: Spread,
    shard: &mut (usize, Box<Shard>),
    own: &Own<'_>,
    near: Near,
) -> (Answer, Option<Change>) {
    if let Request::Put(put) = &own.request
        && put.is_plain()
        && let Some((reply, change)) = apply_plain_put(&mut shard.1, own.stamp, put, own.hash, near)
    {
        return (Ok(reply), Some(change));
    }
    // There are no leases and no locks.
    let mut tables = Tables::default();
    let mut writing = Writing::new(spread, std::slice::from_mut(shard));
    match apply_request(&mut writing, &mut tables, own.stamp, &own.request) {
        Ok((reply, change)) => (Ok(reply), change),
        Err(refusal) => (Err(refusal), None),
    }
}

const OF_MORE: &str = "a command is of more than a single key";

/// What is said of a record that does something else than it did.
pub(crate) const UNLIKE: &str = "a command does not change now what it changed the first time";

/// One row of several that are each in order.
fn merged<T, M: Ord + Copy>(rows: Vec<Vec<T>>, order: impl Fn(&T) -> M) -> impl Iterator<Item = T> {
    let mut rows: Vec<_> = rows.into_iter().map(|row| row.into_iter().peekable()).collect();
    iter::from_fn(move || {
        let next = rows.iter_mut().filter_map(|row| row.peek().map(&order).map(|at| (at, row)));
        next.min_by_key(|(at, _)| *at)?.1.next()
    })
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
