//! Programs: commands that run together on an overlay, be it one that reads before it writes, several
//! of them in a row, or what stands between `MULTI` and `EXEC`.

use tidekeep_log::{Answer, Call, Elsewhere, Entry, Lost, Pending, Reply};

use super::args::OwnedArgs;
use super::commands::ROWS;
use super::encode::{Encoder, Version};
use super::fail::Fail;
use super::fetched::Fetched;
use super::house::House;
use super::overlay::{Outcome, Overlay, Seen, is_stale};
use super::scan;
use super::table::{Run, Walk};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::planted;

/// How often a program is run again before it gives up. Each time, somebody else's write went
/// through between its reads and its own.
const ATTEMPTS_MAX: u32 = 1000;

/// A command to run.
pub(crate) struct Queued {
    /// Its row.
    pub(crate) row: usize,
    pub(crate) args: OwnedArgs,
    /// Whether its client does not want to see the reply.
    pub(crate) unseen: bool,
}

/// Commands that run together.
pub(crate) struct Program {
    pub(crate) commands: Vec<Queued>,
    /// Keys that must be as they were, if it is a transaction.
    pub(crate) watched: Vec<(Vec<u8>, Seen)>,
    /// Whether it is a transaction, of which the replies are a list.
    pub(crate) exec: bool,
    /// Whether its client does not want to see the list.
    pub(crate) unseen: bool,
    attempts: u32,
    /// What it reads of what others keep.
    fetched: Fetched,
    /// What the store said at once.
    answers: Vec<Answer>,
    /// The replies.
    pub(crate) replies: Vec<u8>,
    /// Commands about the connection, which run when the rest is done, and where their replies go.
    pub(crate) later: Vec<(usize, usize)>,
}

/// How an attempt went.
pub(crate) enum Attempt {
    /// It is done, and changed nothing.
    Done,
    /// The store was asked: to make it so, or for what it reads.
    Asked(Pending),
    /// A watched key is not as it was.
    Broken,
    /// It cannot be done.
    Failed(Fail),
}

/// What the store said.
pub(crate) enum Verdict {
    Done,
    /// What it read is no longer so.
    Stale,
    /// It knows more of what it reads.
    Again,
    /// A watched key is not as it was.
    Broken,
    Failed(Fail),
}

impl Program {
    pub(crate) fn new(commands: Vec<Queued>) -> Self {
        Self {
            commands,
            watched: Vec::new(),
            exec: false,
            unseen: false,
            attempts: 0,
            fetched: Fetched::default(),
            answers: Vec::new(),
            replies: Vec::new(),
            later: Vec::new(),
        }
    }

    /// A transaction of commands, under the condition that keys are as they were.
    pub(crate) fn exec(commands: Vec<Queued>, watched: Vec<(Vec<u8>, Seen)>) -> Self {
        let watched = if planted::is_awake("exec-ignores-watch") { Vec::new() } else { watched };
        Self { watched, exec: true, ..Self::new(commands) }
    }

    /// Whether a watched key is not as it was, as far as that is known here.
    pub(crate) fn is_broken(&self, house: &House<'_>) -> bool {
        self.watched.iter().any(|(key, seen)| match house.commit.peek(key) {
            Ok(entry) => entry.map(|entry| entry.modified()) != *seen,
            Err(Elsewhere) => {
                let known = self.fetched.known(key);
                known.is_some_and(|entry| entry.map(Entry::modified) != *seen)
            }
        })
    }

    /// Has those watched keys asked for that others keep: one of them may have changed.
    fn want_watched(&mut self, house: &House<'_>) {
        for (key, _) in &self.watched {
            if house.commit.peek(key).is_err() {
                self.fetched.want(key);
            }
        }
    }

    /// Runs the commands and asks the store to make it so.
    pub(crate) fn attempt(
        &mut self,
        house: &House<'_>,
        limits: &Limits,
        version: Version,
    ) -> Attempt {
        if self.fetched.wants() {
            return Attempt::Asked(self.fetched.ask(house, &mut self.answers));
        }
        if !self.fetched.is_empty() && self.is_broken(house) {
            return Attempt::Broken;
        }
        let mut overlay = Overlay::new(house.commit, &mut self.fetched, limits, house.at());
        self.replies.clear();
        self.later.clear();
        for (number, command) in self.commands.iter().enumerate() {
            let start = self.replies.len();
            let mut to = Encoder::new(&mut self.replies, version);
            match run(command, &mut overlay, &mut to) {
                Ok(Ran::Said) => {}
                Ok(Ran::Later) => self.later.push((start, number)),
                Err(fail) => {
                    self.replies.truncate(start);
                    Encoder::new(&mut self.replies, version).error(fail.text());
                }
            }
            if command.unseen {
                self.replies.truncate(start);
            }
        }
        let mut outcome = overlay.outcome();
        if self.fetched.wants() {
            return Attempt::Asked(self.fetched.ask(house, &mut self.answers));
        }
        outcome.watch(&self.watched);
        self.submit(&outcome, house)
    }

    fn submit(&mut self, outcome: &Outcome, house: &House<'_>) -> Attempt {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX {
            return Attempt::Failed(Fail::known(
                "ERR the keys are written to too often; try again",
            ));
        }
        if outcome.is_nothing() {
            return Attempt::Done;
        }
        if !outcome.fits() {
            return Attempt::Failed(Fail::known("ERR the transaction touches too many keys"));
        }
        let call = Call::new(outcome.request());
        self.answers.clear();
        Attempt::Asked(house.commit.submit(&[call], &mut self.answers))
    }

    /// Reads what the store said, at once or `late`.
    pub(crate) fn verdict(
        &mut self,
        late: Result<Vec<Answer>, Lost>,
        house: &House<'_>,
    ) -> Verdict {
        let Ok(late) = late else { return Verdict::Failed(Fail::known(LOST)) };
        let mut answers = self.answers.drain(..).chain(late);
        if self.fetched.wants() {
            return match self.fetched.take(answers) {
                Ok(()) => Verdict::Again,
                Err(fail) => Verdict::Failed(fail),
            };
        }
        let answer = answers.next();
        drop(answers);
        match answer {
            Some(Ok(reply)) if is_stale(&reply) => {
                self.fetched.forget();
                self.want_watched(house);
                Verdict::Stale
            }
            Some(Ok(Reply::Get(_))) | None => Verdict::Stale,
            Some(Ok(_)) => Verdict::Done,
            Some(Err(refusal)) => Verdict::Failed(Fail::from(&refusal)),
        }
    }
}

/// What is told when nobody knows what became of a write.
pub(crate) const LOST: &str = "ERR the server's storage failed; the outcome is unknown";

/// Whether a command has run.
enum Ran {
    Said,
    /// It runs when all is done.
    Later,
}

fn run(command: &Queued, overlay: &mut Overlay<'_>, to: &mut Encoder<'_>) -> Result<Ran, Fail> {
    let args = command.args.as_args();
    let plan = match ROWS[command.row].run {
        Run::Plan(plan) => plan,
        Run::Mixed(words, plan, _) if args.len() <= words => plan,
        Run::Program(program) | Run::Mixed(_, _, program) => {
            return program(args, overlay, to).map(|()| Ran::Said);
        }
        Run::Walk(Walk::Flush) => {
            scan::check_flush(args)?;
            overlay.flush();
            to.ok();
            return Ok(Ran::Said);
        }
        Run::Local(_) | Run::Walk(_) => return Ok(Ran::Later),
    };
    let at = overlay.at();
    let planned = plan(args, at)?;
    let answer = overlay.run(&planned);
    planned.shape.write(&answer, at, to);
    Ok(Ran::Said)
}
