//! One RESP connection: commands in, replies out, in order. Its driver moves bytes and time, and waits
//! for what it is told to wait for.

use std::sync::Arc;

use tidekeep_log::View;
use tidekeep_protocol::error::Code;

use super::batch::{Batch, Outlet, Spare, Told};
use super::commands::ROWS;
use super::house::{Came, House, Wait};
use super::listening::Listening;
use super::overlay::Seen;
use super::parser::{Parsed, Parser};
use super::program::{Program, Queued};
use super::scan::Walking;
use super::taking::Taken;
use super::watched::Watching;
use crate::service::{Client, Mailbox};
use crate::session::rate::Bucket;
use crate::session::timing::{Excess, SLOWEST_BYTES_PER_MS, Stall};
use crate::session::{Ending, Millis, Settings};

/// A connection.
pub(crate) struct Resp {
    parser: Parser,
    pub(super) core: Core,
}

/// All of it but what reads its bytes.
pub(super) struct Core {
    pub(super) settings: Arc<Settings>,
    pub(super) client: Arc<Client>,
    pub(super) outlet: Outlet,
    pub(super) under_way: UnderWay,
    pub(super) spare: Spare,
    /// Programs in a row that have arrived and are to run.
    pub(super) gathered: Vec<Queued>,
    pub(super) multi: Option<Multi>,
    /// What it listens to, if to anything.
    pub(super) listening: Option<Box<Listening>>,
    pub(super) watched: Vec<(Vec<u8>, Seen)>,
    pub(super) seen: Replies,
    pub(super) ending: Option<Ending>,
    pub(super) stall: Stall,
    pub(super) frame_due: Option<Millis>,
    pub(super) excess: Excess,
    pub(super) input_bytes: usize,
    pub(super) requests: Bucket,
    pub(super) request_bytes: Bucket,
    pub(super) counts: Counts,
}

/// What the store was asked and has not answered.
pub(super) enum UnderWay {
    Nothing,
    Batch(Told),
    Program(Box<Program>),
    Walk(Box<Walking>),
    Watch(Box<Watching>),
}

/// A transaction that is being queued.
#[derive(Default)]
pub(super) struct Multi {
    pub(super) queued: Vec<Queued>,
    pub(super) bytes: usize,
    /// Whether a command could not be queued.
    pub(super) spoiled: bool,
}

/// Which replies the client wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replies {
    All,
    None,
    /// None of the next command.
    SkipNext,
}

/// Commands by row since the last look.
pub(crate) struct Counts {
    rows: Vec<u32>,
    touched: Vec<u8>,
    /// Commands that were told an error before they ran.
    pub(crate) refused: u32,
}

impl Resp {
    pub(crate) fn new(settings: Arc<Settings>, client: Arc<Client>, now: Millis) -> Self {
        let parser = Parser::new(settings.limits.frame_bytes as usize);
        let budgets = settings.budgets;
        let core = Core {
            client,
            outlet: Outlet::new(settings.output_bytes, budgets.connection_bytes),
            under_way: UnderWay::Nothing,
            spare: Spare::default(),
            gathered: Vec::new(),
            multi: None,
            listening: None,
            watched: Vec::new(),
            seen: Replies::All,
            ending: None,
            stall: Stall::new(settings.slow_reader_ms),
            frame_due: None,
            excess: Excess::new(settings.slow_reader_ms),
            input_bytes: 0,
            requests: Bucket::new(budgets.requests_per_second, now),
            request_bytes: Bucket::new(budgets.bytes_per_second, now),
            counts: Counts::new(),
            settings,
        };
        Self { parser, core }
    }

    /// The most unread bytes that may wait.
    pub(crate) fn input_limit(&self) -> usize {
        self.core.settings.limits.frame_bytes as usize + INPUT_SLACK_BYTES
    }

    /// Whether commands are taken: not while others are under way, or answers wait for their reader.
    pub(crate) fn takes_commands(&self) -> bool {
        let core = &self.core;
        core.ending.is_none()
            && matches!(core.under_way, UnderWay::Nothing)
            && core.outlet.is_level()
            && core.outlet.has_room()
            && !core.over_budget()
    }

    /// Whether there is a point in reading more bytes.
    pub(crate) fn may_read(&self) -> bool {
        self.core.ending.is_none() && !self.core.over_budget()
    }

    /// Takes the commands that `bytes` begin with; gives how many bytes are done with, and what is to
    /// be waited for before the next call.
    pub(crate) fn read(&mut self, bytes: &[u8], house: &House<'_>) -> (usize, Option<Wait>) {
        let mut batch = Batch::begin(&mut self.core.spare);
        let mut at = 0;
        let mut alone = None;
        let mut cut = false;
        while !batch.is_full() && self.core.ending.is_none() && self.core.outlet.has_room() {
            let rest = &bytes[at..];
            let parsed = match self.parser.next(rest) {
                Ok(parsed) => parsed,
                // In its turn: it is found again when those before it have run.
                Err(_) if !self.core.gathered.is_empty() || !batch.is_empty() => break,
                Err(_) if !self.core.is_told(house) => break,
                Err(violation) => {
                    self.core.violated(violation, &mut batch);
                    break;
                }
            };
            let (length, taken) = match parsed {
                Parsed::Part => {
                    cut = !rest.is_empty();
                    break;
                }
                Parsed::Nothing(length) => {
                    self.core.take_nothing();
                    (length, Taken::Yes)
                }
                Parsed::Command(length) => {
                    let args = self.parser.args(rest);
                    (length, self.core.take(args, length, &mut batch, house))
                }
                Parsed::Quoted(length) => {
                    let quoted = self.parser.quoted();
                    (length, self.core.take_quoted(&quoted, length, &mut batch, house))
                }
            };
            match taken {
                Taken::Yes => at += length,
                Taken::NotYet => break,
                taken => {
                    at += length;
                    alone = Some(taken);
                    break;
                }
            }
        }
        self.core.note_cut(cut, at, house.now);
        let wait = self.core.start(batch, alone, house);
        let done = self.core.ending.is_some();
        (if done { bytes.len() } else { at }, wait)
    }

    /// Goes on with what was waited for; what is to be waited for next.
    pub(crate) fn resolve(&mut self, came: Came, house: &House<'_>) -> Option<Wait> {
        self.core.resolve(came, house)
    }

    /// Whether there is anything for [`Self::fill`] to look at.
    pub(crate) fn has_more_to_say(&self) -> bool {
        !self.core.outlet.is_level() || self.core.listening.is_some()
    }

    /// Turns answers that waited for room into bytes.
    pub(crate) fn fill(&mut self, house: &House<'_>) {
        self.core.outlet.fill(house.at());
        self.core.deliver(house);
    }

    /// The post that messages come by, if it listens to anything.
    pub(crate) fn mailbox(&self) -> Option<&Mailbox> {
        self.core.listening.as_ref().map(|listening| listening.mailbox())
    }

    /// Whether changes are followed.
    pub(crate) fn follows_changes(&self) -> bool {
        self.core.follows_changes()
    }

    /// Whether the driver is to get a view of each group and hand them in: changes are followed from there.
    pub(crate) fn wants_beginning(&self) -> bool {
        self.core.wants_beginning()
    }

    /// Follows changes from behind these views.
    pub(crate) fn begin_events(&mut self, views: Vec<View>) {
        self.core.begin_events(views);
    }

    /// Follows changes in so many groups, if the only one was split into them; whether it was.
    pub(crate) fn regroup(&mut self, groups: usize) -> bool {
        self.core.regroup(groups)
    }

    /// The revision of a group behind which the driver is to wait for a change; none while there is
    /// nothing to wait for.
    pub(crate) fn waits_for_change(&self, group: usize) -> Option<u64> {
        self.core.waits_for_change(group)
    }

    /// Notes that there is a change to look at.
    pub(crate) fn changed(&mut self, group: usize) {
        self.core.changed(group);
    }

    /// What is ready for the socket.
    pub(crate) fn output(&self) -> &[u8] {
        self.core.outlet.bytes()
    }

    /// Notes that the socket took `count` bytes of the output.
    pub(crate) fn taken(&mut self, now: Millis, count: usize) {
        let core = &mut self.core;
        core.outlet.taken(count);
        core.stall.update(now, count, core.outlet.bytes().len());
    }

    /// Whether every command that was read is answered and every byte taken.
    pub(crate) fn is_settled(&self) -> bool {
        let core = &self.core;
        matches!(core.under_way, UnderWay::Nothing) && core.outlet.is_empty()
    }

    /// Why the connection is to be closed, once it is.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.core.ending
    }

    /// Closes the connection when what is under way is answered.
    pub(crate) fn go_away(&mut self) {
        if self.is_settled() && self.core.ending.is_none() {
            self.core.ending = Some(Ending { code: Code::Unavailable, flush: true });
        }
    }

    /// Acts on what is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        self.core.tick(now);
    }

    /// When the next thing is due.
    pub(crate) fn wait(&self) -> Option<Millis> {
        let core = &self.core;
        let dues = [core.frame_due, core.stall.wait(), core.excess.wait()];
        if dues == [None; 3] { None } else { dues.into_iter().flatten().min() }
    }

    /// The same, where what else is held is about to change.
    pub(crate) fn set_input(&mut self, bytes: usize) {
        self.core.input_bytes = bytes + self.parser.held_bytes();
    }

    /// Notes how many bytes the driver holds that were not read.
    pub(crate) fn note_input(&mut self, now: Millis, bytes: usize) {
        self.core.note_input(now, bytes + self.parser.held_bytes());
    }

    /// Bytes that are held for this client.
    pub(crate) fn held_bytes(&self) -> usize {
        self.core.held_bytes()
    }

    /// Commands that the store has not answered.
    pub(crate) fn requests_waiting(&self) -> usize {
        match &self.core.under_way {
            UnderWay::Nothing => 0,
            UnderWay::Batch(told) => told.left(),
            UnderWay::Program(program) => program.commands.len(),
            UnderWay::Walk(_) | UnderWay::Watch(_) => 1,
        }
    }

    /// Gives memory back that a burst needed.
    pub(crate) fn rest(&mut self) {
        self.parser.rest();
        if self.is_settled() {
            self.core.outlet.rest();
            self.core.spare = Spare::default();
        }
    }

    /// What was done since the last look.
    pub(crate) fn counts(&mut self) -> &mut Counts {
        &mut self.core.counts
    }
}

/// Bytes of commands that may wait behind one that is not whole.
const INPUT_SLACK_BYTES: usize = 64 << 10;

impl Core {
    // Time and memory.

    /// Gives a command that has begun a time by which it must be whole.
    pub(super) fn note_cut(&mut self, cut: bool, at: usize, now: Millis) {
        if !cut {
            self.frame_due = None;
        } else if self.frame_due.is_none() || at > 0 {
            let transfer_ms = u64::from(self.settings.limits.frame_bytes) / SLOWEST_BYTES_PER_MS;
            self.frame_due = Some(now.after(self.settings.frame_ms + transfer_ms));
        }
    }

    fn tick(&mut self, now: Millis) {
        self.note_input(now, self.input_bytes);
        if self.ending.is_some() {
            return;
        }
        let over = if self.frame_due.is_some_and(|due| now >= due) {
            Code::Timeout
        } else if self.stall.over(now) {
            Code::SlowReader
        } else if self.excess.over(now) {
            Code::OverBudget
        } else {
            return;
        };
        self.ending = Some(Ending { code: over, flush: false });
    }

    #[inline]
    fn held_bytes(&self) -> usize {
        let held = self.input_bytes + self.outlet.held_bytes();
        if self.multi.is_none() && self.watched.is_empty() && self.listening.is_none() {
            return held;
        }
        held + self.seldom_held_bytes()
    }

    /// What few connections hold: a transaction, watched keys, post.
    fn seldom_held_bytes(&self) -> usize {
        let queued = self.multi.as_ref().map_or(0, |multi| multi.bytes);
        let watched: usize = self.watched.iter().map(|(key, _)| key.capacity() + 40).sum();
        let post = self.listening.as_ref().map_or(0, |listening| listening.mailbox().bytes());
        queued + watched + post
    }

    pub(super) fn over_budget(&self) -> bool {
        self.held_bytes() > self.settings.budgets.connection_bytes
    }

    fn note_input(&mut self, now: Millis, bytes: usize) {
        self.input_bytes = bytes;
        self.excess.update(now, self.over_budget());
    }
}

impl Counts {
    fn new() -> Self {
        Self { rows: vec![0; ROWS.len()], touched: Vec::new(), refused: 0 }
    }

    #[inline]
    pub(super) fn count(&mut self, row: usize) {
        if self.rows[row] == 0 {
            self.touched.push(row as u8);
        }
        self.rows[row] += 1;
    }

    /// Gives each command's row and how often it came, and forgets it.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(usize, u32)) {
        for row in self.touched.drain(..) {
            each(row.into(), std::mem::take(&mut self.rows[usize::from(row)]));
        }
        self.refused = 0;
    }

    /// Whether anything was counted.
    pub(crate) fn is_touched(&self) -> bool {
        !self.touched.is_empty() || self.refused > 0
    }
}
