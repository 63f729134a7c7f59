//! `WATCH`: what keys are when it is run. Those that others keep are asked for.

use tidekeep_log::{Answer, Entry, Lost};

use super::args::Args;
use super::batch::Batch;
use super::encode::Encoder;
use super::fail::Fail;
use super::fetched::Fetched;
use super::house::{House, Wait};
use super::machine::Core;
use super::overlay::Seen;
use super::program::LOST;
use super::taking::Taken;

/// Keys that one connection may watch.
const WATCHED_MAX: usize = 16_384;

/// Keys to watch that are being asked for.
pub(crate) struct Watching {
    keys: Vec<Vec<u8>>,
    fetched: Fetched,
    /// Whether its client does not want to see the reply.
    pub(super) unseen: bool,
    /// What the store said at once.
    answers: Vec<Answer>,
}

impl Watching {
    /// Asks for the next keys.
    pub(super) fn ask(&mut self, house: &House<'_>) -> Wait {
        Wait::Answers(self.fetched.ask(house, &mut self.answers))
    }

    /// Takes what the store said, at once or `late`; whether all is known.
    pub(super) fn take(&mut self, late: Result<Vec<Answer>, Lost>) -> Result<bool, Fail> {
        let late = late.map_err(|_| Fail::known(LOST))?;
        self.fetched.take(self.answers.drain(..).chain(late))?;
        Ok(!self.fetched.wants())
    }

    /// What the keys were.
    pub(super) fn seen(self) -> impl Iterator<Item = (Vec<u8>, Seen)> {
        let Self { keys, fetched, .. } = self;
        keys.into_iter().map(move |key| {
            let seen = fetched.known(&key).flatten().map(Entry::modified);
            (key, seen)
        })
    }
}

impl Core {
    /// Begins to watch keys.
    pub(super) fn watch(
        &mut self,
        args: Args<'_, '_>,
        unseen: bool,
        batch: &mut Batch<'_>,
        house: &House<'_>,
    ) -> Taken {
        let start = batch.said.len();
        let mut to = Encoder::new(&mut batch.said, self.outlet.version);
        match self.try_watch(args, house) {
            Ok(elsewhere) if elsewhere.is_empty() => to.ok(),
            Ok(keys) => {
                let mut fetched = Fetched::default();
                keys.iter().for_each(|key| fetched.want(key));
                let answers = Vec::new();
                return Taken::Watches(Box::new(Watching { keys, fetched, unseen, answers }));
            }
            Err(fail) => to.error(fail.text()),
        }
        if unseen {
            batch.said.truncate(start);
        }
        batch.say(start);
        Taken::Yes
    }

    /// Watches the keys that are here; the others.
    fn try_watch(&mut self, args: Args<'_, '_>, house: &House<'_>) -> Result<Vec<Vec<u8>>, Fail> {
        if self.multi.is_some() {
            return Err(Fail::known("ERR WATCH inside MULTI is not allowed"));
        }
        let mut elsewhere: Vec<Vec<u8>> = Vec::new();
        for key in args.from(1) {
            if self.watched.len() + elsewhere.len() >= WATCHED_MAX {
                return Err(Fail::known("ERR more keys are watched than one connection may"));
            }
            self.settings.limits.check_key(key).map_err(|refusal| Fail::from(&refusal))?;
            if self.watched.iter().all(|(known, _)| known != key) {
                match house.commit.peek(key) {
                    Ok(entry) => {
                        let seen = entry.map(|entry| entry.modified());
                        self.watched.push((key.to_vec(), seen));
                    }
                    Err(_) if elsewhere.iter().any(|known| known == key) => {}
                    Err(_) => elsewhere.push(key.to_vec()),
                }
            }
        }
        Ok(elsewhere)
    }
}
