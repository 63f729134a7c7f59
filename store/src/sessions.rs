//! What makes a retry safe: for each client session the answers to its recent numbered writes, part
//! of the state like the entries, so that they are in the log, in snapshots and on every replica.
//!
//! A write is run once: a sequence that has an answer gets it again. What is forgotten is never run
//! again either. Forgetting is a function of the commands applied, so replay forgets the same.
//!
//! The idea is that of Raft's client sessions (Ongaro's dissertation, section 6.3), with the
//! client's word of what it no longer awaits, as in RIFL (Lee et al., SOSP 2015).

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::planted;
use tidekeep_protocol::session::{Number, SessionId};

use crate::reply::{Encoded, Reply};

/// A session that wrote nothing for so long is forgotten: seven days, so that who went offline over
/// a long weekend still comes back to it.
const LIFETIME_MS: u64 = 7 * 24 * 3600 * 1000;

/// Sessions that are remembered at once; of more, those go that wrote longest ago.
const SESSIONS_MAX: usize = 65_536;

/// Answers of one session that its client has not acknowledged; more than any server lets be in
/// flight.
const ANSWERS_MAX: usize = 16_384;

/// Bytes of such answers; the newest is kept whatever its size.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Bytes of all sessions: where there are more, those go that wrote longest ago. Part of the log's
/// meaning, like the other bounds here, and so no setting.
const BYTES_MAX: usize = 32 << 20;

/// The longest answer that is remembered, in bytes: with the others it must fit into one chunk of a
/// snapshot. A server sends no longer ones unless it was told to.
const LONGEST_ANSWER: usize = 8 << 20;

/// How far a session's noted time of its last write may lie behind, so that not every write moves
/// it in the order of ages.
const AGE_STEP_MS: u64 = 1000;

/// An answer to a write.
pub type Answer = Result<Reply, Refusal>;

/// A numbered write as it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// Whose write it is.
    pub session: SessionId,
    /// Which of its writes.
    pub number: Number,
    /// Whether an earlier copy may have been run.
    pub retry: bool,
}

/// What is known of a numbered write before it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// It was not run: run it.
    New,
    /// It was run, and this was the answer.
    Answered(Answer),
    /// It may have been run; nobody knows any more.
    Forgotten,
    /// The number is that of a write of another kind.
    Reused,
}

/// Every session that is remembered.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    known: BTreeMap<SessionId, Session>,
    /// By the time of the last write, as noted, oldest first.
    ages: BTreeSet<(u64, SessionId)>,
    /// No session was forgotten that had written after this time: one that was made later and is
    /// not known has never written.
    forgotten_ms: u64,
    bytes: usize,
}

/// One session's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Session {
    noted_ms: u64,
    /// Sequences below this are settled or forgotten.
    floor: u64,
    /// By sequence, ascending.
    answers: VecDeque<(u64, Answer)>,
    bytes: usize,
}

impl Sessions {
    /// What is known of a write of this kind that is about to be run.
    pub fn recall(&self, numbered: &Numbered, kind: u8) -> Recall {
        let sequence = numbered.number.sequence;
        if planted::is_awake("retry-run-again") {
            return Recall::New;
        }
        let Some(session) = self.known.get(&numbered.session) else {
            let may_have_written = numbered.session.created_ms() <= self.forgotten_ms;
            return if numbered.retry && may_have_written {
                Recall::Forgotten
            } else {
                Recall::New
            };
        };
        if sequence < session.floor && !planted::is_awake("late-copy-run") {
            return Recall::Forgotten;
        }
        match session.place(sequence) {
            Ok(at) => match &session.answers[at].1 {
                Ok(reply) if ![0, kind].contains(&reply.kind()) => Recall::Reused,
                answer => Recall::Answered(answer.clone()),
            },
            Err(_) => Recall::New,
        }
    }

    /// Remembers the answer to a write that was run at `now_ms`.
    pub fn remember(&mut self, numbered: &Numbered, now_ms: u64, answer: Answer) {
        let Numbered { session: id, number, .. } = *numbered;
        if !self.known.contains_key(&id) {
            self.make_room(now_ms);
            // Of a session that was forgotten, whatever came before this write is unknown for good.
            let may_have_written = id.created_ms() <= self.forgotten_ms;
            let floor = if may_have_written { number.sequence } else { 1 };
            self.known.insert(id, Session { floor, ..Session::default() });
            self.bytes += SESSION_BYTES;
        }
        let Some(session) = self.known.get_mut(&id) else { return };
        let noted_ms = now_ms.max(id.created_ms());
        if session.noted_ms == 0 || noted_ms >= session.noted_ms.saturating_add(AGE_STEP_MS) {
            self.ages.remove(&(session.noted_ms, id));
            self.ages.insert((noted_ms, id));
            session.noted_ms = noted_ms;
        }
        let before = session.bytes;
        session.add(number, answer);
        self.bytes = self.bytes + session.bytes - before;
        while self.bytes > BYTES_MAX && self.known.len() > 1 {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest sessions until those that are left take no more than so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        while self.bytes > bytes && !self.known.is_empty() {
            self.forget_oldest();
        }
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What they cost in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets sessions that are too old, and one more where there are too many.
    fn make_room(&mut self, now_ms: u64) {
        while let Some((noted_ms, _)) = self.ages.first() {
            let over = noted_ms.saturating_add(LIFETIME_MS) <= now_ms;
            if !over && self.known.len() < SESSIONS_MAX {
                break;
            }
            self.forget_oldest();
        }
    }

    /// Forgets the session that wrote longest ago.
    fn forget_oldest(&mut self) {
        let Some((noted_ms, id)) = self.ages.pop_first() else { return };
        if let Some(session) = self.known.remove(&id) {
            self.bytes -= SESSION_BYTES + session.bytes;
        }
        let wrote_ms = noted_ms.saturating_add(AGE_STEP_MS);
        self.forgotten_ms = self.forgotten_ms.max(wrote_ms);
    }
}

/// What a retry gets whose answer was too long.
const TOO_LONG: Refusal = Refusal {
    code: Code::OutcomeUnknown,
    message: Cow::Borrowed("the write was run before, and its answer was too long to be kept"),
};

/// What a session costs beside its answers: its places in two trees.
const SESSION_BYTES: usize = 2 * size_of::<SessionId>() + size_of::<Session>() + 64;

impl Session {
    /// Where the answer to `sequence` is, or belongs.
    fn place(&self, sequence: u64) -> Result<usize, usize> {
        match self.answers.back() {
            Some((last, _)) if *last < sequence => Err(self.answers.len()),
            None => Err(0),
            Some(_) => self.answers.binary_search_by_key(&sequence, |(sequence, _)| *sequence),
        }
    }

    fn add(&mut self, number: Number, answer: Answer) {
        let answer = if cost(&answer) <= LONGEST_ANSWER { answer } else { Err(TOO_LONG) };
        self.settle(number.oldest);
        if let Err(at) = self.place(number.sequence) {
            self.bytes += cost(&answer);
            self.answers.insert(at, (number.sequence, answer));
        }
        while self.answers.len() > 1
            && (self.answers.len() > ANSWERS_MAX || self.bytes > ANSWER_BYTES_MAX)
        {
            let oldest = self.answers.front().map_or(0, |(sequence, _)| *sequence);
            self.settle(oldest.saturating_add(1));
        }
    }

    /// Forgets the answers below `floor`.
    fn settle(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        while let Some((_, answer)) =
            self.answers.pop_front_if(|(sequence, _)| *sequence < self.floor)
        {
            self.bytes -= cost(&answer);
        }
    }
}

/// What an answer costs in memory, in bytes.
fn cost(answer: &Answer) -> usize {
    size_of::<(u64, Answer)>()
        + match answer {
            Ok(reply) => reply.held_bytes(),
            Err(refusal) => refusal.message.len(),
        }
}

// ---- Bytes, for snapshots ----
//
// session: | id 16 bytes | noted_ms u64 | floor u64 | answers u32 | answers |
// answer:  | sequence u64 | shows u64 | code u16 | length u32 | body or message |
// code:    an error's; a reply's is 0, or REPLY and the kind of its request where that is known

/// The bit by which a reply's kind is told from an error's code.
const REPLY: u16 = 0x8000;

impl Sessions {
    /// When the newest session that was forgotten had last written, in milliseconds since 1970.
    pub fn forgotten_ms(&self) -> u64 {
        self.forgotten_ms
    }

    /// Sessions of which every one made until `forgotten_ms` may have been forgotten.
    pub fn forgotten_until(forgotten_ms: u64) -> Self {
        Self { forgotten_ms, ..Self::default() }
    }

    /// Gives each session's bytes.
    pub fn write<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut bytes = Vec::new();
        for (id, session) in &self.known {
            bytes.clear();
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&session.noted_ms.to_le_bytes());
            bytes.extend_from_slice(&session.floor.to_le_bytes());
            bytes.extend_from_slice(&(session.answers.len() as u32).to_le_bytes());
            for (sequence, answer) in &session.answers {
                push_answer(*sequence, answer, &mut bytes);
            }
            each(&bytes)?;
        }
        Ok(())
    }

    /// Takes a session's bytes in; none when they are no session, or one that is known.
    #[must_use = "what cannot be read must not be passed over"]
    pub fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let id = SessionId(*id);
        let (noted_ms, rest) = split_u64(rest)?;
        let (floor, rest) = split_u64(rest)?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut session = Session { noted_ms, floor, ..Session::default() };
        for _ in 0..u32::from_le_bytes(*count) {
            let (sequence, answer, behind) = split_answer(rest)?;
            if session.answers.back().is_some_and(|(last, _)| *last >= sequence) {
                return None;
            }
            session.bytes += cost(&answer);
            session.answers.push_back((sequence, answer));
            rest = behind;
        }
        if !rest.is_empty() {
            return None;
        }
        self.bytes += SESSION_BYTES + session.bytes;
        self.ages.insert((noted_ms, id));
        self.known.insert(id, session).is_none().then_some(())
    }
}

fn push_answer(sequence: u64, answer: &Answer, out: &mut Vec<u8>) {
    let (shows, code) = match answer {
        Ok(reply) if reply.kind() == 0 => (reply.shows(), 0),
        Ok(reply) => (reply.shows(), REPLY | u16::from(reply.kind())),
        Err(refusal) => (0, refusal.code.number()),
    };
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&shows.to_le_bytes());
    out.extend_from_slice(&code.to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    match answer {
        Ok(reply) => reply.encode(out),
        Err(refusal) => out.extend_from_slice(refusal.message.as_bytes()),
    }
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn split_answer(bytes: &[u8]) -> Option<(u64, Answer, &[u8])> {
    let (sequence, rest) = split_u64(bytes)?;
    let (shows, rest) = split_u64(rest)?;
    let (code, rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let answer = match u16::from_le_bytes(*code) {
        code if code == 0 || code & REPLY != 0 => {
            let kind = u8::try_from(code & !REPLY).ok()?;
            Ok(Reply::Encoded(Encoded { shows, kind, body: body.into() }))
        }
        code => {
            let code = Code::from_number(code)?;
            Err(Refusal::new(code, String::from(core::str::from_utf8(body).ok()?)))
        }
    };
    Some((sequence, answer, rest))
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::op::IncrementReply;

    use super::*;

    const NOW: u64 = 1_000_000;

    /// That of the write that [`answer`] answers.
    const KIND: u8 = 0x16;

    fn session(made_ms: u64) -> SessionId {
        SessionId::new(made_ms, u128::from(made_ms))
    }

    fn write(made_ms: u64, sequence: u64, oldest: u64) -> Numbered {
        let number = Number { sequence, oldest };
        Numbered { session: session(made_ms), number, retry: false }
    }

    fn again(numbered: Numbered) -> Numbered {
        Numbered { retry: true, ..numbered }
    }

    fn answer(value: i64) -> Answer {
        Ok(Reply::Increment(IncrementReply { revision: 1, value }))
    }

    #[test]
    fn an_answer_is_kept_until_the_client_no_longer_awaits_it() {
        let mut sessions = Sessions::default();
        for sequence in 1..=3 {
            let write = write(NOW, sequence, 1);
            assert_eq!(sessions.recall(&write, KIND), Recall::New);
            sessions.remember(&write, NOW, answer(sequence as i64));
        }
        let second = again(write(NOW, 2, 1));
        assert_eq!(sessions.recall(&second, KIND), Recall::Answered(answer(2)));
        sessions.remember(&write(NOW, 5, 3), NOW, answer(5));
        assert_eq!(sessions.recall(&second, KIND), Recall::Forgotten);
        assert_eq!(sessions.recall(&again(write(NOW, 3, 3)), KIND), Recall::Answered(answer(3)));
        assert_eq!(
            sessions.recall(&again(write(NOW, 4, 3)), KIND),
            Recall::New,
            "it never arrived"
        );
    }

    #[test]
    fn a_refusal_is_an_answer_too() {
        let mut sessions = Sessions::default();
        let refused = Err(Refusal::new(Code::InvalidInput, "no number"));
        sessions.remember(&write(NOW, 1, 1), NOW, refused.clone());
        assert_eq!(sessions.recall(&again(write(NOW, 1, 1)), KIND), Recall::Answered(refused));
    }

    #[test]
    fn a_session_that_may_have_been_forgotten_is_told_from_one_that_never_wrote() {
        let mut sessions = Sessions::default();
        let old = write(NOW, 1, 1);
        sessions.remember(&old, NOW, answer(1));
        let later = NOW + LIFETIME_MS;
        let unheard = again(write(NOW + AGE_STEP_MS + 1, 1, 1));
        sessions.remember(&write(later, 1, 1), later, answer(1));
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.recall(&again(old), KIND), Recall::Forgotten);
        assert_eq!(sessions.recall(&unheard, KIND), Recall::New);
        // It goes on with new writes, and what was before stays unknown.
        let new = write(NOW, 9, 9);
        assert_eq!(sessions.recall(&new, KIND), Recall::New);
        sessions.remember(&new, later, answer(9));
        assert_eq!(sessions.recall(&again(write(NOW, 8, 8)), KIND), Recall::Forgotten);
        assert_eq!(sessions.recall(&again(new), KIND), Recall::Answered(answer(9)));
    }

    #[test]
    fn memory_is_bounded_in_answers_bytes_and_sessions() {
        let mut sessions = Sessions::default();
        for sequence in 1..=ANSWERS_MAX as u64 + 5 {
            sessions.remember(&write(NOW, sequence, 1), NOW, answer(0));
        }
        assert_eq!(sessions.recall(&again(write(NOW, 5, 1)), KIND), Recall::Forgotten);
        assert_eq!(sessions.recall(&again(write(NOW, 6, 1)), KIND), Recall::Answered(answer(0)));
        assert!(sessions.bytes() < ANSWER_BYTES_MAX * 2);

        let long = || Err(Refusal::new(Code::Conflict, "x".repeat(ANSWER_BYTES_MAX)));
        sessions.remember(&write(NOW, 30_000, 1), NOW, long());
        sessions.remember(&write(NOW, 30_001, 1), NOW, long());
        assert_eq!(sessions.recall(&again(write(NOW, 30_000, 1)), KIND), Recall::Forgotten);
        assert_eq!(sessions.recall(&again(write(NOW, 30_001, 1)), KIND), Recall::Answered(long()));

        // Forty long answers of as many sessions are more than all may take together.
        for made_ms in NOW + 1..NOW + 40 {
            sessions.remember(&write(made_ms, 1, 1), NOW + 10 * AGE_STEP_MS, long());
            assert!(sessions.bytes() <= BYTES_MAX);
        }
        assert_eq!(sessions.recall(&again(write(NOW, 30_001, 1)), KIND), Recall::Forgotten);

        let mut sessions = Sessions::default();
        sessions.remember(&write(NOW, 1, 1), NOW, answer(0));
        for made_ms in NOW + 1..=NOW + SESSIONS_MAX as u64 {
            sessions.remember(&write(made_ms, 1, 1), made_ms, answer(0));
        }
        assert_eq!(sessions.len(), SESSIONS_MAX);
        assert_eq!(sessions.recall(&again(write(NOW, 1, 1)), KIND), Recall::Forgotten);
        assert!(sessions.bytes() < SESSIONS_MAX * (SESSION_BYTES + 200));
    }

    #[test]
    fn bytes_bring_the_sessions_back() {
        let mut sessions = Sessions::forgotten_until(77);
        for sequence in 1..=3 {
            sessions.remember(&write(NOW, sequence, 1), NOW, answer(sequence as i64));
        }
        sessions.remember(&write(NOW + 5, 1, 1), NOW, Err(Refusal::new(Code::Conflict, "no")));
        let image = |sessions: &Sessions| {
            let mut all = Vec::new();
            sessions
                .write(|bytes| {
                    all.push(bytes.to_vec());
                    Ok::<(), ()>(())
                })
                .map(|()| all)
        };
        let written = image(&sessions).unwrap();
        let mut read = Sessions::forgotten_until(sessions.forgotten_ms());
        for bytes in &written {
            assert_eq!(read.read(bytes), Some(()));
            assert_eq!(read.read(bytes), None, "the same session once more");
            for end in 0..bytes.len() {
                assert_eq!(Sessions::default().read(&bytes[..end]), None);
            }
        }
        assert_eq!(image(&read).unwrap(), written);
        let Recall::Answered(Ok(reply)) = read.recall(&again(write(NOW, 2, 1)), KIND) else {
            panic!()
        };
        let (mut body, mut expected) = (Vec::new(), Vec::new());
        reply.encode(&mut body);
        answer(2).unwrap().encode(&mut expected);
        assert_eq!(body, expected);
    }
}
