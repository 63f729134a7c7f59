//! Numbered writes in the log: what is replayed remembers the same answers, and what changed nothing
//! is remembered too.

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Increment, Operation, Put, Request};
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record::{self, BadRecord, Command, Record};
use tidekeep_store::reply::Reply;
use tidekeep_store::sessions::{Numbered, Recall, Sessions};

use crate::group::Group;

const NOW_MS: u64 = 1_767_225_600_000;

fn numbered(sequence: u64) -> Numbered {
    let number = Number { sequence, oldest: 1 };
    Numbered { session: SessionId::new(NOW_MS, 7), number, retry: false }
}

/// What a commit does with a numbered write.
fn write(
    group: &mut Group,
    log: &mut Vec<u8>,
    numbered: Numbered,
    request: Request<'_>,
) -> Result<Reply, Refusal> {
    match group.tables.sessions.recall(&numbered, request.spec().kind) {
        Recall::Answered(answer) => return answer,
        Recall::Forgotten => panic!("nothing was forgotten"),
        Recall::Reused => panic!("a retry is of the same kind"),
        Recall::New => {}
    }
    let mut body = Vec::new();
    request.encode(&mut body);
    let (before, kind) = (group.revision, request.spec().kind);
    let command = Command::Numbered { numbered, changed: true, request };
    let applied = group.apply(NOW_MS, &command);
    record::push_numbered(numbered.number, group.revision > before, kind, &body, log);
    applied.map(|(reply, _)| reply.expect("a request has an answer"))
}

fn increment() -> Request<'static> {
    Request::Increment(Increment { key: b"n", by: 1, expiry: Expiry::Keep })
}

fn put<'a>(value: &'a [u8], condition: Condition<'a>) -> Request<'a> {
    Request::Put(Put { key: b"n", value, condition, expiry: Expiry::Never, previous: true })
}

#[test]
fn a_retry_gets_the_first_answer_also_after_replay() {
    let mut group = Group::new(4, 1);
    let mut log = Vec::new();
    record::begin(Stamp { now_ms: NOW_MS, revision: 0 }, &mut log);
    record::push_session(numbered(1).session, &mut log);
    let writes = [
        increment(),
        put(b"no", Condition::Absent),
        put(b"x", Condition::Always),
        increment(),
        increment(),
    ];
    let answers: Vec<_> = (1..)
        .zip(&writes)
        .map(|(sequence, request)| write(&mut group, &mut log, numbered(sequence), request.clone()))
        .collect();
    assert!(answers[3].is_err(), "x is no number");
    assert_eq!(group.revision, 2, "one increment and one put applied");

    let mut replayed = Group::new(9, 2);
    replayed.replay(&log).expect("the record reads");
    for group in [&mut group, &mut replayed] {
        for (sequence, (request, answer)) in (1..).zip(writes.iter().zip(&answers)) {
            let again = Numbered { retry: true, ..numbered(sequence) };
            let mut unlogged = Vec::new();
            assert_eq!(&write(group, &mut unlogged, again, request.clone()), answer);
            assert!(unlogged.is_empty());
        }
        assert_eq!(group.revision, 2);
    }
    assert_eq!(replayed.digest(), group.digest());
}

#[test]
fn a_numbered_write_without_its_session_or_cut_is_refused() {
    let kind = Increment::SPEC.kind;
    let mut body = Vec::new();
    increment().encode(&mut body);
    let number = Number { sequence: 2, oldest: 1 };
    let record = |with_session: bool, cut: usize, body: &[u8]| {
        let mut log = Vec::new();
        record::begin(Stamp { now_ms: NOW_MS, revision: 0 }, &mut log);
        if with_session {
            record::push_session(numbered(1).session, &mut log);
        }
        record::push_numbered(number, true, kind, body, &mut log);
        log.truncate(log.len() - cut);
        log
    };
    let first_bad = |log: &[u8]| {
        let record = Record::decode(log).expect("a header");
        record.commands().find_map(Result::err)
    };
    assert_eq!(first_bad(&record(true, 0, &body)), None);
    assert_eq!(first_bad(&record(false, 0, &body)), Some(BadRecord::Body));
    assert_eq!(first_bad(&record(true, 1, &body)), Some(BadRecord::Cut));
    assert_eq!(first_bad(&record(true, 0, &body[1..])), Some(BadRecord::Body));
    let mut unsure = record(true, 0, &body);
    let changed_at = unsure.len() - body.len() - 2;
    unsure[changed_at] = 4;
    assert_eq!(first_bad(&unsure), Some(BadRecord::Body));
}

#[test]
fn what_has_to_be_forgotten_goes_oldest_first_and_is_told_from_what_never_was() {
    let mut sessions = Sessions::default();
    let of = |made_ms: u64, retry| {
        let number = Number { sequence: 1, oldest: 1 };
        Numbered { session: SessionId::new(made_ms, 7), number, retry }
    };
    let refused = || Err(Refusal::new(Code::Conflict, "x".repeat(1_000)));
    for day in 1..=10 {
        let now_ms = day * 86_400_000;
        sessions.remember(&of(now_ms, false), now_ms, refused());
    }
    let bytes = sessions.bytes();
    sessions.shrink(bytes / 2);
    assert!(sessions.len() < 6 && sessions.bytes() <= bytes / 2, "{}", sessions.len());
    assert_eq!(sessions.recall(&of(10 * 86_400_000, true), 1), Recall::Answered(refused()));
    assert_eq!(sessions.recall(&of(86_400_000, true), 1), Recall::Forgotten);
    sessions.shrink(0);
    assert!(sessions.is_empty());
    assert_eq!(sessions.recall(&of(10 * 86_400_000, true), 1), Recall::Forgotten);
    assert_eq!(sessions.recall(&of(11 * 86_400_000, true), 1), Recall::New);
}
