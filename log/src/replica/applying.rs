//! A record on its way into a replica's state, command by command: on the node that ordered it for its
//! clients, their reads run in between, each at its place in the order.

use tidekeep_store::approach::KEYS_MAX;
use tidekeep_store::record::{BadRecord, Command, Record};

use crate::commit::{Answer, Answers, Call};
use crate::gets::single_key;
use crate::group::Group;
use crate::log::Permit;
use crate::replica::Replica;
use crate::replica::reading::read;
use crate::turn::Turn;

/// A record that is being applied. What is left of it when it is dropped is applied then.
pub struct Applying<'r> {
    replica: &'r Replica,
    commands: std::vec::IntoIter<Command<'r>>,
    /// Of the commands, those that are near.
    near: usize,
    turn: Option<Turn<'r>>,
}

impl<'r> Applying<'r> {
    pub(crate) fn begin(replica: &'r Replica, record: &'r [u8]) -> Result<Self, BadRecord> {
        let record = Record::decode(record)?;
        let commands = record.commands().collect::<Result<Vec<_>, _>>()?;
        replica.reach(record.stamp.now_ms);
        Ok(Self { replica, commands: commands.into_iter(), near: 0, turn: None })
    }

    /// Applies commands up to and with the next one of a client; its answer, if there is one left.
    pub fn next_write(&mut self) -> Option<Answer> {
        loop {
            let group = self.replica.group();
            if self.near == 0 {
                let ahead = self.commands.as_slice().iter().take(KEYS_MAX);
                self.near = ahead.len();
                group.bring_near(ahead.filter_map(key_of));
            }
            let command = self.commands.next()?;
            self.near -= 1;
            let turn = self.turn.get_or_insert_with(|| Turn::begin(group));
            if let Some(answer) = turn.command(command) {
                return Some(answer);
            }
        }
    }

    /// Answers reads, which see all that was applied so far. A write among them is refused.
    pub fn read(&mut self, calls: &[Call<'_>], answers: &mut dyn Answers) {
        if calls.is_empty() {
            return;
        }
        self.end_turn();
        let group = self.replica.group();
        read(group, calls, &group.moment(), answers);
    }

    fn end_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            let group = self.replica.group();
            turn.finish(permit(group));
            // What is applied is ordered, and so safe: whoever reads from here on is told no older revision.
            group.positions.safe();
        }
    }
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        while self.next_write().is_some() {}
        self.end_turn();
    }
}

/// The key of a command that is about one.
fn key_of<'a>(command: &Command<'a>) -> Option<&'a [u8]> {
    match command {
        Command::Request(request) | Command::Numbered { request, .. } => single_key(request),
        Command::Expire(_) | Command::Evict(_) | Command::EndLease(_) | Command::Step(_) => None,
    }
}

/// Room in a log that keeps nothing.
pub(crate) fn permit(group: &Group) -> Permit<'_> {
    let admitted = group.log().admit(1, 0);
    admitted.unwrap_or_else(|_| unreachable!("it keeps nothing, and nobody closes it"))
}
