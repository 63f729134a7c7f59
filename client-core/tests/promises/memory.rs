//! The scripted server's memory of numbered writes, which holds every client to the rules of
//! numbering: sequences in order, the flag on every copy but the first, nothing below `oldest`.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::frame::Frame;
use tidekeep_client_core::protocol::session::{Ask, Number, SessionId};

/// All sessions of a store.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sessions: BTreeMap<SessionId, Answers>,
    incarnation: u64,
    made: u64,
    /// Clients have queues.
    pub(crate) queues: bool,
    /// Copies of writes that were answered from memory.
    pub(crate) repeated: usize,
}

#[derive(Debug, Default)]
struct Answers {
    /// Bodies of replies; none when it is forgotten.
    kept: BTreeMap<u64, Option<Vec<u8>>>,
    /// Bodies of all requests that ever bore a number.
    seen: BTreeMap<u64, Vec<u8>>,
    /// What is below is forgotten.
    oldest: u64,
    /// The last sequence that was sent, applied or not.
    last: u64,
}

/// What is known of a numbered write.
pub(crate) enum Remembered {
    New,
    Answered(Vec<u8>),
    Forgotten,
}

impl Memory {
    /// The session that a hello gets.
    pub(crate) fn session(&mut self, ask: Ask, incarnation: u64) -> SessionId {
        if self.incarnation != incarnation {
            self.incarnation = incarnation;
            self.sessions.clear();
        }
        if let Ask::Resume { session, incarnation: made_under } = ask
            && made_under == incarnation
            && self.sessions.contains_key(&session)
        {
            return session;
        }
        self.made += 1;
        let session = SessionId::new(1_700_000_000_000, self.made.into());
        self.sessions.insert(session, Answers::default());
        session
    }

    /// Whether this write was run before.
    pub(crate) fn look_up(
        &mut self,
        session: SessionId,
        number: Number,
        frame: &Frame<'_>,
    ) -> Remembered {
        let answers = self.sessions.get_mut(&session).expect("a session of this store");
        let Number { sequence, oldest } = number;
        assert!(oldest >= answers.oldest, "oldest never goes back");
        match answers.seen.get(&sequence) {
            Some(body) => {
                assert_eq!(body, frame.body, "a number is not used again");
                assert!(frame.is_retry(), "a copy bears the flag");
            }
            None if frame.is_retry() => assert!(sequence > answers.oldest.saturating_sub(1)),
            // A queue's numbers are stored before they are sent, and others overtake them.
            None => assert!(self.queues || sequence > answers.last, "in order"),
        }
        answers.seen.insert(sequence, frame.body.to_vec());
        answers.last = answers.last.max(sequence);
        answers.oldest = oldest;
        answers.kept = answers.kept.split_off(&oldest);
        match answers.kept.get(&sequence) {
            Some(Some(body)) => {
                self.repeated += 1;
                Remembered::Answered(body.clone())
            }
            Some(None) => Remembered::Forgotten,
            None => Remembered::New,
        }
    }

    /// Keeps the answer to a write.
    pub(crate) fn keep(&mut self, session: SessionId, number: Number, reply: &[u8]) {
        let answers = self.sessions.get_mut(&session).expect("a session of this store");
        answers.kept.insert(number.sequence, Some(reply.to_vec()));
    }

    /// Forgets every answer, as a store does that was given too many.
    pub(crate) fn forget_answers(&mut self) {
        for answers in self.sessions.values_mut() {
            answers.kept.values_mut().for_each(|body| *body = None);
        }
    }

    /// Answers that are kept, over all sessions.
    pub(crate) fn kept(&self) -> usize {
        self.sessions.values().map(|answers| answers.kept.len()).sum()
    }
}
