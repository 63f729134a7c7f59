//! What stands between `MULTI` and `EXEC`: what is queued, and how it begins to run.

use super::args::Args;
use super::batch::Batch;
use super::encode::Encoder;
use super::fail::{Fail, NOT_IN_MULTI};
use super::house::House;
use super::machine::Core;
use super::program::{Program, Queued};
use super::table::{Local, Row, Run, Walk};
use super::taking::Taken;

/// Commands that a transaction may queue.
const QUEUED_MAX: usize = 16_384;

impl Core {
    /// Why a command is not queued, if it is to be.
    pub(super) fn queue_refuses(
        &self,
        row: &Row,
        args: Args<'_, '_>,
        length: usize,
    ) -> Option<Fail> {
        let multi = self.multi.as_ref().filter(|_| !runs_in_multi(row))?;
        if is_not_queued(row, args) {
            return Some(NOT_IN_MULTI);
        }
        let room = self.settings.budgets.connection_bytes / 2;
        let full = multi.queued.len() >= QUEUED_MAX || multi.bytes + length > room;
        full.then_some(Fail::known("ERR the transaction is longer than the server takes"))
    }

    /// Notes that a transaction cannot be executed any more.
    pub(super) fn spoil(&mut self) {
        if let Some(multi) = &mut self.multi {
            multi.spoiled = true;
        }
    }

    /// Ends a transaction of which nothing is run.
    pub(super) fn discard(&mut self) {
        self.multi = None;
        self.watched.clear();
        self.client.in_multi(None);
    }

    /// Queues a command.
    pub(super) fn queue(&mut self, row: usize, args: Args<'_, '_>, batch: &mut Batch<'_>) {
        let unseen = self.is_unseen();
        let start = batch.said.len();
        if let Some(multi) = &mut self.multi {
            let args = args.to_owned();
            multi.bytes += args.held_bytes();
            multi.queued.push(Queued { row, args, unseen: false });
            self.client.in_multi(Some(multi.queued.len()));
        }
        if !unseen {
            Encoder::new(&mut batch.said, self.outlet.version).simple("QUEUED");
        }
        batch.say(start);
    }

    /// Begins to run what was queued, or says why it is not run.
    pub(super) fn exec(&mut self, unseen: bool, batch: &mut Batch<'_>, house: &House<'_>) -> Taken {
        let start = batch.said.len();
        let mut to = Encoder::new(&mut batch.said, self.outlet.version);
        match self.multi.take() {
            None => to.error(b"ERR EXEC without MULTI"),
            Some(multi) => {
                self.client.in_multi(None);
                let watched = std::mem::take(&mut self.watched);
                if multi.spoiled {
                    to.error(b"EXECABORT Transaction discarded because of previous errors.");
                } else {
                    let mut program = Program::exec(multi.queued, watched);
                    program.unseen = unseen;
                    if !program.is_broken(house) {
                        return Taken::Executes(Box::new(program));
                    }
                    to.null_list();
                }
            }
        }
        if unseen {
            batch.said.truncate(start);
        }
        batch.say(start);
        Taken::Yes
    }
}

/// Whether a command is run though others are queued.
pub(super) fn runs_in_multi(row: &Row) -> bool {
    use Local::{Discard, Exec, Multi, Quit, Reset, Watch};
    matches!(row.run, Run::Local(Exec | Discard | Multi | Watch | Quit | Reset))
}

/// Whether a command cannot be queued: it goes over keys that a transaction cannot depend on, changes
/// what the connection may do, or would take parts out of the list of replies.
fn is_not_queued(row: &Row, args: Args<'_, '_>) -> bool {
    use Local::{Client, Hello, PatternSubscribe, PatternUnsubscribe, Subscribe, Unsubscribe};
    match row.run {
        Run::Walk(walk) => walk != Walk::Flush,
        Run::Local(Subscribe | PatternSubscribe | Unsubscribe | PatternUnsubscribe | Hello) => true,
        Run::Local(Client) => args.is(1, "reply"),
        _ => false,
    }
}
