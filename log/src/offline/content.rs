//! What the files of a store mean: the state that a snapshot and the records after it come to. Each
//! newer snapshot on the way is held against the state that the log has led to.

use std::collections::VecDeque;

use tidekeep_store::record::Record;
use tidekeep_store::snapshot::Head;

use super::findings::{Problem, ProblemKind, Trusted};
use crate::error::{BoxError, OpenError};
use crate::load::decodes;
use crate::state::State;
use crate::tail::Tail;

/// A state and its place in the log.
pub(crate) struct Content {
    pub(crate) state: State,
    tail: Tail,
    /// The last record in it.
    pub(crate) index: u64,
    base: u64,
    replayed: u64,
}

/// A state that can be loaded: a snapshot, or the empty one before the first record.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) index: u64,
    /// The snapshot's file and its head; none for the empty state.
    pub(crate) snapshot: Option<(String, Head)>,
}

/// Loads the snapshot in a file.
pub(crate) type Load<'l> = dyn FnMut(&str) -> Result<(State, Tail), OpenError> + 'l;

/// Goes through the records of the log, and applies each that follows what there is.
pub(crate) struct Replay<'r> {
    load: &'r mut Load<'r>,
    /// Those yet to come, oldest first.
    bases: VecDeque<Base>,
    at: Option<Content>,
    /// Records after this one are left out.
    limit: u64,
    pub(crate) problems: Vec<Problem>,
    /// The first record that cannot be applied and that no newer snapshot makes up for. What there
    /// is may hold a part of it.
    pub(crate) stuck: Option<u64>,
    /// The newest revision that a record speaks of which was not applied.
    pub(crate) last_revision: u64,
}

impl<'r> Replay<'r> {
    pub(crate) fn new(bases: Vec<Base>, limit: u64, load: &'r mut Load<'r>) -> Self {
        let bases = bases.into();
        Self { load, bases, at: None, limit, problems: Vec::new(), stuck: None, last_revision: 0 }
    }

    /// Takes in the next whole record of the log, in whatever segment it is.
    pub(crate) fn take(&mut self, file: &str, index: u64, payload: &[u8]) {
        if index > self.limit {
            return;
        }
        loop {
            match &mut self.at {
                Some(content) if index <= content.index => return self.check(file, index, payload),
                Some(content) if index == content.index + 1 => {
                    match content.state.replay(payload, &content.tail) {
                        Ok(()) => {
                            content.index = index;
                            content.replayed += 1;
                            return self.compare();
                        }
                        Err(source) => {
                            self.note(file, index, source);
                            self.at = None;
                            self.stuck = Some(index);
                        }
                    }
                }
                _ => {}
            }
            if !self.rebase() {
                return self.check(file, index, payload);
            }
        }
    }

    /// The newest state there is, once all records have been taken.
    pub(crate) fn finish(mut self) -> (Option<Content>, Vec<Problem>, Option<u64>) {
        while self.rebase() {}
        (self.at, self.problems, self.stuck)
    }

    /// Loads the next newer snapshot. False if there is none.
    fn rebase(&mut self) -> bool {
        while let Some(base) = self.bases.pop_front() {
            if self.at.as_ref().is_some_and(|content| content.index >= base.index) {
                continue;
            }
            let loaded = match &base.snapshot {
                None => Ok((State::empty(), Tail::new(0, 0))),
                Some((file, _)) => (self.load)(file),
            };
            match loaded {
                Ok((state, tail)) => {
                    let (index, base) = (base.index, base.index);
                    self.at = Some(Content { state, tail, index, base, replayed: 0 });
                    self.stuck = None;
                    return true;
                }
                // It was good a moment ago.
                Err(error) => self.problems.push(error.into()),
            }
        }
        false
    }

    /// Holds a snapshot of the same record against the state.
    fn compare(&mut self) {
        let Some(content) = &self.at else { return };
        while let Some(base) = self.bases.pop_front_if(|base| base.index <= content.index) {
            if let Some((file, head)) = base.snapshot
                && base.index == content.index
                && !content.state.agrees(&head)
            {
                let what = "it differs from the state that the log leads to";
                self.problems.push(Problem {
                    records: Some((base.index, base.index)),
                    ..Problem::of(ProblemKind::Contradiction, &file, what)
                });
            }
        }
    }

    /// A record that is not applied must be one all the same.
    fn check(&mut self, file: &str, index: u64, payload: &[u8]) {
        self.note_revision(payload);
        // The one that was tried has been noted.
        if self.stuck != Some(index)
            && let Err(source) = decodes(payload)
        {
            self.note(file, index, source);
        }
    }

    /// Each record makes one revision at least.
    pub(crate) fn note_revision(&mut self, payload: &[u8]) {
        if let Ok(record) = Record::decode(payload) {
            self.last_revision = self.last_revision.max(record.stamp.revision.saturating_add(1));
        }
    }

    fn note(&mut self, file: &str, index: u64, source: BoxError) {
        self.problems.push(OpenError::Replay { file: file.into(), index, source }.into());
    }
}

impl Content {
    /// In numbers.
    pub(crate) fn trusted(&self) -> Trusted {
        let head = self.state.head();
        Trusted {
            index: self.index,
            revision: head.revision,
            keys: head.keys,
            snapshot_index: self.base,
            replayed: self.replayed,
        }
    }
}
