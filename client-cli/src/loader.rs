//! The sending half of an import: keeps a bounded number of puts under way, sends again what a
//! broken connection left open, and knows up to which line everything is stored.
//!
//! A put whose outcome is unknown may be sent again because it sets the same value; two lines with
//! the same key are never under way together, so the later one always wins.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tidekeep_client::{Client, Code, Condition, Error, Expiry, PutOptions, State};
use tokio::sync::mpsc::Receiver;

use crate::escape::escape;
use crate::failure::Failure;
use crate::output::note;
use crate::progress::Progress;
use crate::record::Record;

pub(crate) mod lines;

use lines::Line;

/// How an import deals with what it meets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Leaves keys alone that are there already.
    pub(crate) if_absent: bool,
    /// Goes on behind a bad line.
    pub(crate) keep_going: bool,
    /// Most puts under way.
    pub(crate) in_flight: usize,
    /// How long to go on without a single reply.
    pub(crate) patience: Duration,
}

/// What has become of the lines so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Stored.
    pub(crate) imported: u64,
    /// Left alone because the key was there.
    pub(crate) skipped: u64,
    /// No record, or refused by the server.
    pub(crate) bad: u64,
    /// Bytes of keys and values stored.
    pub(crate) bytes: u64,
}

/// An import under way.
pub(crate) struct Loader<'a> {
    client: Client,
    plan: Plan,
    progress: &'a mut Progress,
    tally: Tally,
    puts: FuturesUnordered<Pin<Box<dyn Future<Output = Settled>>>>,
    keys: HashSet<Vec<u8>>,
    lines: BTreeSet<u64>,
    bytes: usize,
    waiting: VecDeque<Line>,
    next_line: u64,
    heard: Rc<Cell<Instant>>,
    position: u64,
}

/// A put that is over.
struct Settled {
    line: u64,
    end: u64,
    record: Record,
    stored: Result<bool, Error>,
}

impl<'a> Loader<'a> {
    /// An import that has not begun.
    pub(crate) fn new(client: Client, plan: Plan, progress: &'a mut Progress) -> Self {
        Self {
            client,
            plan,
            progress,
            tally: Tally::default(),
            puts: FuturesUnordered::new(),
            keys: HashSet::new(),
            lines: BTreeSet::new(),
            bytes: 0,
            waiting: VecDeque::new(),
            next_line: 1,
            heard: Rc::new(Cell::new(Instant::now())),
            position: 0,
        }
    }

    /// What has become of the lines, and the line to go on with: everything before it is settled.
    /// Puts that are still under way are given up.
    pub(crate) fn end(self) -> (Tally, u64) {
        let open = self.lines.first().copied();
        (self.tally, open.unwrap_or(self.next_line))
    }

    /// Loads every line. A failure ends it only after what is under way has settled.
    pub(crate) async fn run(
        &mut self,
        mut source: Receiver<io::Result<Vec<Line>>>,
    ) -> Result<(), Failure> {
        let result = self.load(&mut source).await;
        while let Some(settled) = self.puts.next().await {
            // The first failure is the one that is told.
            let _ = self.settle(settled);
        }
        result
    }

    async fn load(&mut self, source: &mut Receiver<io::Result<Vec<Line>>>) -> Result<(), Failure> {
        let mut states = self.client.states();
        let mut ended = false;
        loop {
            self.start_waiting()?;
            if ended && self.waiting.is_empty() && self.puts.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(settled) = self.puts.next() => self.settle(settled)?,
                batch = source.recv(), if self.waiting.is_empty() && !ended => match batch {
                    Some(batch) => self.waiting.extend(batch.map_err(|error| unreadable(&error))?),
                    None => ended = true,
                },
                Ok(()) = states.changed() => self.tell_state(*states.borrow_and_update()),
            }
        }
    }

    /// Starts as many of the waiting lines as there is room for.
    fn start_waiting(&mut self) -> Result<(), Failure> {
        while self.puts.len() < self.plan.in_flight && self.bytes < IN_FLIGHT_BYTES {
            let Some(line) = self.waiting.pop_front() else { return Ok(()) };
            self.next_line = line.number;
            match line.record {
                Ok(record) if self.keys.contains(&record.key) => {
                    self.waiting.push_front(Line { record: Ok(record), ..line });
                    return Ok(());
                }
                Ok(record) => self.start(line.number, line.end, record),
                Err(why) => {
                    self.bad_line(Failure::invalid(why).at(format_args!("line {}", line.number)))?;
                }
            }
            self.next_line = line.number + 1;
        }
        Ok(())
    }

    fn start(&mut self, line: u64, end: u64, record: Record) {
        self.keys.insert(record.key.clone());
        self.lines.insert(line);
        self.bytes += record.key.len() + record.value.len();
        let (client, plan, heard) = (self.client.clone(), self.plan, Rc::clone(&self.heard));
        self.puts.push(Box::pin(async move {
            let stored = store(&client, plan, &heard, &record).await;
            Settled { line, end, record, stored }
        }));
    }

    fn settle(&mut self, settled: Settled) -> Result<(), Failure> {
        let Settled { line, end, record, stored } = settled;
        let bytes = record.key.len() + record.value.len();
        self.keys.remove(&record.key);
        self.bytes -= bytes;
        self.position = self.position.max(end);
        let result = match stored {
            Ok(true) => {
                self.tally.imported += 1;
                self.tally.bytes += bytes as u64;
                Ok(())
            }
            Ok(false) => {
                self.tally.skipped += 1;
                Ok(())
            }
            Err(error) if is_records_fault(error.code()) => {
                let place = format!("line {line}, key \"{}\"", escape(&record.key));
                self.bad_line(Failure::from(error).at(place))
            }
            // The line stays open: [`Loader::end`] leads back to it.
            Err(error) => return Err(Failure::from(error).at(format_args!("line {line}"))),
        };
        // A bad line at which the import stops stays open too, for whoever mends it.
        if result.is_ok() {
            self.lines.remove(&line);
        }
        self.progress.set(self.position, self.tally.imported + self.tally.skipped);
        result
    }

    fn bad_line(&mut self, failure: Failure) -> Result<(), Failure> {
        self.tally.bad += 1;
        if !self.plan.keep_going {
            return Err(failure);
        }
        self.progress.say(|| crate::output::report(&failure));
        Ok(())
    }

    fn tell_state(&self, state: State) {
        match state {
            State::Reconnecting => {
                self.progress.say(|| note("the connection is lost; waiting for the server"));
            }
            State::Ready => self.progress.say(|| note("connected again; going on")),
            State::Idle | State::Connecting | State::Closed => {}
        }
    }
}

/// Puts one record, again and again while the server is away; whether it was stored or left alone.
async fn store(
    client: &Client,
    plan: Plan,
    heard: &Cell<Instant>,
    record: &Record,
) -> Result<bool, Error> {
    loop {
        let condition = if plan.if_absent { Condition::Absent } else { Condition::Always };
        let expiry = record.expires_at.map_or(Expiry::Never, Expiry::At);
        let options = PutOptions { condition, expiry, previous: false };
        let error = match client.put(&record.key, &record.value, options).await {
            Ok(_) => {
                heard.set(Instant::now());
                return Ok(true);
            }
            Err(error) if error.code() == Code::Conflict => {
                heard.set(Instant::now());
                return Ok(false);
            }
            Err(error) => error,
        };
        let left = plan.patience.saturating_sub(heard.get().elapsed());
        if !passes(error.code()) || left.is_zero() {
            return Err(error);
        }
        wait(client, &error, left).await;
    }
}

/// Waits until it makes sense to try again, at most `left`.
async fn wait(client: &Client, error: &Error, left: Duration) {
    if client.state() == State::Ready {
        tokio::time::sleep(error.retry_after().unwrap_or(RETRY_PAUSE).min(left)).await;
        return;
    }
    let mut states = client.states();
    let back = states.wait_for(|state| matches!(state, State::Ready | State::Closed));
    // However it ends, the next attempt tells.
    let _ = tokio::time::timeout(left, back).await;
}

/// Whether trouble of this kind goes away by itself.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Network
            | Code::Timeout
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::RateLimited
            | Code::TooManyConnections
            | Code::OverBudget
    )
}

/// Whether the record is to blame, so that the next one may fare better.
fn is_records_fault(code: Code) -> bool {
    matches!(code, Code::InvalidInput | Code::TooLarge)
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::invalid(format!("the input cannot be read: {error}"))
}

/// Most bytes of keys and values under way.
const IN_FLIGHT_BYTES: usize = 8 << 20;
const RETRY_PAUSE: Duration = Duration::from_millis(200);
