//! How what was read is run: handed to the store, waited for, tried again, and answered in its turn.

use tidekeep_log::{Answer, Lost};
use tidekeep_protocol::error::Code;

use super::batch::{Batch, Told};
use super::commands::ROWS;
use super::encode::Encoder;
use super::house::{Came, House, Wait};
use super::machine::{Core, UnderWay};
use super::parser::Violation;
use super::program::{Attempt, Program, Verdict};
use super::scan::{Turn, Walking};
use super::table::Run;
use super::taking::Taken;
use super::watched::Watching;
use crate::session::Ending;

impl Core {
    /// Starts what was read.
    pub(super) fn start(
        &mut self,
        batch: Batch<'_>,
        alone: Option<Taken>,
        house: &House<'_>,
    ) -> Option<Wait> {
        if batch.has_requests() {
            self.outlet.hold();
            let (pending, told) = batch.submit(&mut self.spare, house, &mut self.outlet);
            return match pending.into_ready() {
                Ok(came) => {
                    self.finish(told, came, house);
                    None
                }
                Err(pending) => {
                    self.under_way = UnderWay::Batch(told);
                    Some(Wait::Answers(pending))
                }
            };
        }
        self.outlet.out.extend_from_slice(&batch.said);
        batch.put_back(&mut self.spare);
        let gathered = std::mem::take(&mut self.gathered);
        if !gathered.is_empty() {
            return self.run_program(Box::new(Program::new(gathered)), house);
        }
        match alone {
            Some(Taken::Executes(program)) => self.run_program(program, house),
            Some(Taken::Walks(walking)) => self.step(walking, house),
            Some(Taken::Watches(watching)) => self.ask_watched(watching, house),
            _ => None,
        }
    }

    /// Goes on at once if there is nothing to wait for.
    fn go(&mut self, wait: Wait, house: &House<'_>) -> Option<Wait> {
        let came = match wait {
            Wait::Answers(pending) => match pending.into_ready() {
                Ok(answers) => Came::Answers(answers),
                Err(pending) => return Some(Wait::Answers(pending)),
            },
            Wait::Views(pending) => match pending.into_ready() {
                Ok(views) => Came::Views(views),
                Err(pending) => return Some(Wait::Views(Box::new(pending))),
            },
            Wait::Count(pending) => match pending.into_ready() {
                Ok(count) => Came::Count(count),
                Err(pending) => return Some(Wait::Count(pending)),
            },
            Wait::Sample(pending) => match pending.into_ready() {
                Ok(key) => Came::Sample(key),
                Err(pending) => return Some(Wait::Sample(pending)),
            },
        };
        self.resolve(came, house)
    }

    pub(super) fn resolve(&mut self, came: Came, house: &House<'_>) -> Option<Wait> {
        match (std::mem::replace(&mut self.under_way, UnderWay::Nothing), came) {
            (UnderWay::Batch(told), Came::Answers(came)) => {
                self.finish(told, came, house);
                None
            }
            (UnderWay::Program(mut program), Came::Answers(late)) => {
                let verdict = program.verdict(late, house);
                self.judge(program, verdict, house)
            }
            (UnderWay::Watch(mut watching), Came::Answers(late)) => {
                match watching.take(late) {
                    Ok(false) => return self.ask_watched(watching, house),
                    Ok(true) => {
                        if !watching.unseen {
                            self.outlet.encoder().ok();
                        }
                        self.watched.extend(watching.seen());
                    }
                    Err(fail) if watching.unseen => drop(fail),
                    Err(fail) => self.outlet.encoder().error(fail.text()),
                }
                None
            }
            (UnderWay::Walk(mut walking), came) => {
                let turn = walking.resume(came, house, self.settings.budgets.connection_bytes / 2);
                self.turn(walking, turn, house)
            }
            (under_way, _) => {
                debug_assert!(matches!(under_way, UnderWay::Nothing), "what came was waited for");
                None
            }
        }
    }

    /// Shows what a batch is told, now that all of it is safe; or that nobody knows.
    fn finish(&mut self, told: Told, came: Result<Vec<Answer>, Lost>, house: &House<'_>) {
        if let Ok(late) = came {
            told.finish(late, &mut self.spare, house, &mut self.outlet);
            self.outlet.show();
        } else {
            self.outlet.forget_held();
            told.lose(&mut self.outlet);
        }
    }

    fn ask_watched(&mut self, mut watching: Box<Watching>, house: &House<'_>) -> Option<Wait> {
        let wait = watching.ask(house);
        self.under_way = UnderWay::Watch(watching);
        self.go(wait, house)
    }

    fn run_program(&mut self, mut program: Box<Program>, house: &House<'_>) -> Option<Wait> {
        match program.attempt(house, &self.settings.limits, self.outlet.version) {
            Attempt::Done => self.judge(program, Verdict::Done, house),
            Attempt::Broken => self.judge(program, Verdict::Broken, house),
            Attempt::Failed(fail) => self.judge(program, Verdict::Failed(fail), house),
            Attempt::Asked(pending) => {
                self.under_way = UnderWay::Program(program);
                self.go(Wait::Answers(pending), house)
            }
        }
    }

    fn judge(
        &mut self,
        mut program: Box<Program>,
        verdict: Verdict,
        house: &House<'_>,
    ) -> Option<Wait> {
        let start = self.outlet.out.len();
        match verdict {
            Verdict::Stale if program.exec && program.is_broken(house) => {
                self.outlet.encoder().null_list();
            }
            Verdict::Broken => self.outlet.encoder().null_list(),
            Verdict::Stale | Verdict::Again => return self.run_program(program, house),
            Verdict::Done => self.tell(&mut program, house),
            Verdict::Failed(fail) if program.exec || program.commands.len() == 1 => {
                let unseen = !program.exec && program.commands[0].unseen;
                if !unseen {
                    self.outlet.encoder().error(fail.text());
                }
            }
            Verdict::Failed(_) => {
                // One of several that were run together only because they arrived together: each
                // is to fail for itself.
                let last = program.commands.pop()?;
                let first = Program::new(std::mem::take(&mut program.commands));
                self.gathered.insert(0, last);
                return self.run_program(Box::new(first), house);
            }
        }
        if program.unseen {
            self.outlet.out.truncate(start);
        }
        let left = std::mem::take(&mut self.gathered);
        if left.is_empty() {
            return None;
        }
        self.run_program(Box::new(Program::new(left)), house)
    }

    /// Tells what a program came to, and does what was left for the end.
    fn tell(&mut self, program: &mut Program, house: &House<'_>) {
        if program.exec {
            self.outlet.encoder().list(program.commands.len());
        }
        let replies = std::mem::take(&mut program.replies);
        let mut at = 0;
        for &(until, number) in &program.later {
            self.outlet.out.extend_from_slice(&replies[at..until]);
            at = until;
            let command = &program.commands[number];
            if let Run::Local(local) = ROWS[command.row].run {
                let mut out = std::mem::take(&mut self.outlet.out);
                self.local(local, command.args.as_args(), house, &mut out);
                self.outlet.out = out;
            }
        }
        self.outlet.out.extend_from_slice(&replies[at..]);
    }

    fn step(&mut self, mut walking: Box<Walking>, house: &House<'_>) -> Option<Wait> {
        let turn = walking.step(house);
        self.turn(walking, turn, house)
    }

    fn turn(&mut self, walking: Box<Walking>, turn: Turn, house: &House<'_>) -> Option<Wait> {
        match turn {
            Turn::Wait(wait) => {
                self.under_way = UnderWay::Walk(walking);
                self.go(wait, house)
            }
            Turn::Again => self.step(walking, house),
            Turn::Done => {
                if !walking.unseen {
                    walking.write(house, &mut self.outlet.encoder());
                }
                None
            }
            Turn::Failed(fail) => {
                if !walking.unseen {
                    self.outlet.encoder().error(fail.text());
                }
                None
            }
        }
    }

    /// Tells a client that broke the protocol so, in its turn, and ends.
    pub(super) fn violated(&mut self, violation: Violation, batch: &mut Batch<'_>) {
        let start = batch.said.len();
        if !self.is_unseen() {
            let text = format!("ERR Protocol error: {violation}");
            Encoder::new(&mut batch.said, self.outlet.version).error(text.as_bytes());
        }
        batch.say(start);
        self.ending = Some(Ending { code: Code::Protocol, flush: true });
    }
}
