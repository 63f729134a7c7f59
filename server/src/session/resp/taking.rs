//! What becomes of a command that was read: it joins the batch, is queued, is answered at once, runs
//! alone, or waits for its turn.

use super::args::{Args, OwnedArgs};
use super::batch::Batch;
use super::commands::ROWS;
use super::encode::Encoder;
use super::fail::Fail;
use super::house::House;
use super::machine::{Core, Replies};
use super::program::{Program, Queued};
use super::scan::Walking;
use super::subcommands;
use super::table::{self, Local, Row, Run, Walk};
use super::transaction::runs_in_multi;
use super::watched::Watching;
use crate::session::{Ending, Millis};
use tidekeep_protocol::error::Code;

/// Programs that run as one, at most.
const PROGRAMS_MAX: usize = 64;

/// What became of a command that was read.
pub(super) enum Taken {
    /// It is done, or stands in the batch.
    Yes,
    /// Its turn has not come: read it again.
    NotYet,
    /// It goes over many keys, alone.
    Walks(Box<Walking>),
    /// It asks others for what it is to watch, alone.
    Watches(Box<Watching>),
    /// The transaction runs, alone.
    Executes(Box<Program>),
}

impl Core {
    /// Takes one command.
    #[inline]
    pub(super) fn take<'b>(
        &mut self,
        args: Args<'_, 'b>,
        length: usize,
        batch: &mut Batch<'b>,
        house: &House<'_>,
    ) -> Taken {
        // The fast way: a command that is one request, outside of everything.
        if let Some(number) = table::find(args.get(0)) {
            let row = &ROWS[number];
            if let Run::Plan(plan) = row.run
                && row.takes(args.len())
                && self.is_plain()
                && self.admit(house.now, length).is_ok()
            {
                let planned = plan(args, house.at());
                let planned = planned.and_then(|planned| {
                    let checked = planned.check(&self.settings.limits);
                    checked.map(|()| planned).map_err(|refusal| Fail::from(&refusal))
                });
                match planned {
                    Ok(planned) => {
                        self.counts.count(number);
                        batch.push(planned, false);
                    }
                    Err(fail) => self.refuse(&fail, batch),
                }
                return Taken::Yes;
            }
        }
        self.take_any(args, length, batch, house)
    }

    /// Whether nothing keeps a command from joining the batch.
    fn is_plain(&self) -> bool {
        self.multi.is_none()
            && self.gathered.is_empty()
            && self.seen == Replies::All
            && !self.is_subscriber()
            && !self.is_limited()
    }

    /// A command whose words are not in the bytes that arrived.
    pub(super) fn take_quoted(
        &mut self,
        quoted: &OwnedArgs,
        length: usize,
        batch: &mut Batch<'_>,
        house: &House<'_>,
    ) -> Taken {
        // It cannot join the batch, whose requests borrow from those bytes; it runs as a program.
        let mut own = Batch::default();
        if !batch.is_empty() {
            return Taken::NotYet;
        }
        let taken = self.take_any(quoted.as_args(), length, &mut own, house);
        if own.has_requests() {
            let row = table::find(quoted.as_args().get(0)).unwrap_or_default();
            self.gathered.push(Queued { row, args: quoted.clone(), unseen: own.is_unseen() });
            return Taken::Yes;
        }
        batch.tickets.append(&mut own.tickets);
        batch.said.append(&mut own.said);
        taken
    }

    /// Takes a command, whatever state the connection is in.
    fn take_any<'b>(
        &mut self,
        args: Args<'_, 'b>,
        length: usize,
        batch: &mut Batch<'b>,
        house: &House<'_>,
    ) -> Taken {
        let Some(number) = table::find(args.get(0)) else {
            if !self.gathered.is_empty() {
                return Taken::NotYet;
            }
            if is_http(args.get(0)) {
                if !batch.is_empty() || !self.is_told(house) {
                    return Taken::NotYet;
                }
                // A page that was made to send this must not get to the lines behind it.
                self.ending = Some(Ending { code: Code::Protocol, flush: false });
                return Taken::Yes;
            }
            self.spoil();
            self.refuse(&Fail::unknown(args), batch);
            return Taken::Yes;
        };
        let row = &ROWS[number];
        if !self.may_take_now(row, args, batch) || changes_what_is_told(row) && !self.is_told(house)
        {
            return Taken::NotYet;
        }
        let refusal = self.refusal(row, args, length, house);
        if let Some(fail) = refusal {
            let fail = if matches!(row.run, Run::Local(Local::Exec)) {
                self.discard();
                fail.discarding()
            } else {
                self.spoil();
                fail
            };
            self.refuse(&fail, batch);
            return Taken::Yes;
        }
        self.counts.count(number);
        self.client.ran(number);
        if self.multi.is_some() && !runs_in_multi(row) {
            self.queue(number, args, batch);
            return Taken::Yes;
        }
        let before = self.seen;
        let unseen = self.is_unseen();
        match row.run {
            Run::Plan(plan) => self.plan(plan, args, unseen, batch, house),
            Run::Mixed(words, plan, _) if args.len() <= words => {
                self.plan(plan, args, unseen, batch, house)
            }
            Run::Program(_) | Run::Mixed(..) => {
                self.gathered.push(Queued { row: number, args: args.to_owned(), unseen });
                Taken::Yes
            }
            Run::Walk(walk) => self.walk(walk, args, unseen, batch, house),
            Run::Local(Local::Watch) => self.watch(args, unseen, batch, house),
            Run::Local(Local::Exec) => self.exec(unseen, batch, house),
            Run::Local(local) => {
                let start = batch.said.len();
                let done = self.local(local, args, house, &mut batch.said);
                if unseen && !(done && is_always_seen(local, args, before)) {
                    batch.said.truncate(start);
                }
                batch.say(start);
                Taken::Yes
            }
        }
    }

    /// Whether a command's turn has come: some cannot stand in a batch behind others.
    fn may_take_now(&self, row: &Row, args: Args<'_, '_>, batch: &Batch<'_>) -> bool {
        let gathers = !self.gathered.is_empty();
        if self.multi.is_some() && !runs_in_multi(row) {
            return !gathers;
        }
        match row.run {
            Run::Plan(_) => !gathers,
            Run::Mixed(words, ..) if args.len() <= words => !gathers,
            Run::Program(_) | Run::Mixed(..) => {
                batch.is_empty() && self.gathered.len() < PROGRAMS_MAX
            }
            Run::Walk(_) => !gathers && batch.is_empty(),
            Run::Local(local) => !gathers && (batch.is_empty() || stands_anywhere(local)),
        }
    }

    /// Why a command is not taken.
    fn refusal(
        &mut self,
        row: &Row,
        args: Args<'_, '_>,
        length: usize,
        house: &House<'_>,
    ) -> Option<Fail> {
        if !row.takes(args.len()) {
            return Some(Fail::arity(row.name));
        }
        if let Err(fail) = subcommands::check(row.name, args) {
            return Some(fail);
        }
        if let Err(wait_ms) = self.admit(house.now, length) {
            return Some(Fail::new(format!(
                "ERR more in a second than one connection may; again in {wait_ms} ms"
            )));
        }
        self.queue_refuses(row, args, length).or_else(|| self.subscriber_refuses(row, args))
    }

    /// Counts a command against what may come in a second; if it is too much, when it is not.
    fn admit(&mut self, now: Millis, length: usize) -> Result<(), u32> {
        self.requests.check(now)?;
        self.request_bytes.check(now)?;
        self.requests.take(1);
        self.request_bytes.take(length as u64);
        Ok(())
    }

    /// Whether there is a limit to what may come in a second.
    fn is_limited(&self) -> bool {
        let budgets = &self.settings.budgets;
        budgets.requests_per_second > 0 || budgets.bytes_per_second > 0
    }

    /// Whether the reply to the command that is read now is not to be seen.
    pub(super) fn is_unseen(&mut self) -> bool {
        match self.seen {
            Replies::All => false,
            Replies::None => true,
            Replies::SkipNext => {
                self.seen = Replies::All;
                true
            }
        }
    }

    /// Notes that a command was empty. It counts as the one whose reply is not to be seen.
    pub(super) fn take_nothing(&mut self) {
        if self.seen == Replies::SkipNext {
            self.seen = Replies::All;
        }
    }

    /// Tells a command in its turn why it is not run.
    fn refuse(&mut self, fail: &Fail, batch: &mut Batch<'_>) {
        let start = batch.said.len();
        if !self.is_unseen() {
            Encoder::new(&mut batch.said, self.outlet.version).error(fail.text());
        }
        batch.say(start);
        self.counts.refused += 1;
    }

    fn plan<'b>(
        &mut self,
        plan: super::plan::Plan,
        args: Args<'_, 'b>,
        unseen: bool,
        batch: &mut Batch<'b>,
        house: &House<'_>,
    ) -> Taken {
        let planned = plan(args, house.at()).and_then(|planned| {
            let checked = planned.check(&self.settings.limits);
            checked.map(|()| planned).map_err(|refusal| Fail::from(&refusal))
        });
        match planned {
            Ok(planned) => batch.push(planned, unseen),
            Err(fail) => {
                let start = batch.said.len();
                if !unseen {
                    Encoder::new(&mut batch.said, self.outlet.version).error(fail.text());
                }
                batch.say(start);
            }
        }
        Taken::Yes
    }

    fn walk(
        &mut self,
        walk: Walk,
        args: Args<'_, '_>,
        unseen: bool,
        batch: &mut Batch<'_>,
        house: &House<'_>,
    ) -> Taken {
        let start = batch.said.len();
        let mut to = Encoder::new(&mut batch.said, self.outlet.version);
        match Walking::begin(walk, args, house, &mut to) {
            Ok(Some(mut walking)) => {
                walking.unseen = unseen;
                return Taken::Walks(Box::new(walking));
            }
            Ok(None) => {}
            Err(fail) => to.error(fail.text()),
        }
        if unseen {
            batch.said.truncate(start);
        }
        batch.say(start);
        Taken::Yes
    }
}

/// Whether a command changes which messages the connection is told, or how.
fn changes_what_is_told(row: &Row) -> bool {
    use Local::{Hello, PatternSubscribe, PatternUnsubscribe, Quit, Reset, Subscribe, Unsubscribe};
    matches!(
        row.run,
        Run::Local(
            Hello | PatternSubscribe | PatternUnsubscribe | Quit | Reset | Subscribe | Unsubscribe
        )
    )
}

/// Whether the reply to a command that was done is seen though its client wants none: it is a message to
/// a listener, or says that replies are seen from here on.
fn is_always_seen(local: Local, args: Args<'_, '_>, before: Replies) -> bool {
    use Local::{Client, PatternSubscribe, PatternUnsubscribe, Reset, Subscribe, Unsubscribe};
    match local {
        Subscribe | PatternSubscribe | Unsubscribe | PatternUnsubscribe => true,
        Reset => before == Replies::None,
        Client => args.is(1, "reply") && args.is(2, "on"),
        _ => false,
    }
}

/// Whether a command may be answered while those before it are not: it changes nothing that their
/// replies depend on, and depends on nothing that they change.
fn stands_anywhere(local: Local) -> bool {
    use Local::{Command, Config, Discard, Echo, Multi, Ping, Time};
    matches!(local, Ping | Echo | Time | Command | Config | Multi | Discard)
}

/// Whether a line is one of HTTP's: a browser was made to speak to this port.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}
