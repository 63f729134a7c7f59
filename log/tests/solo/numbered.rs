//! Numbered writes: a retry gets the first answer, whatever happened in between, and nothing is ever
//! run twice.

use tidekeep_log::disk::faulty::{Crash, FaultyDisk};
use tidekeep_log::{Answer, Call, Lost, Numbered, Reply, Solo, collect};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Request, WriteStatus};
use tidekeep_protocol::session::{Number, SessionId};

use crate::restore::{back_up, restore_on};
use crate::world::{
    World, add, add_request, delete_request, figure, put, put_of, put_request, wait,
};

const MADE_MS: u64 = 1_000;

fn numbered(sequence: u64, oldest: u64) -> Numbered {
    let number = Number { sequence, oldest };
    Numbered { session: SessionId::new(MADE_MS, 7), number, retry: false }
}

fn again(numbered: Numbered) -> Numbered {
    Numbered { retry: true, ..numbered }
}

/// Runs numbered writes as one batch.
fn ask_all(store: &Solo, requests: &[(Request<'_>, Numbered)]) -> Result<Vec<Answer>, Lost> {
    let bodies: Vec<Vec<u8>> = requests
        .iter()
        .map(|(request, _)| {
            let mut body = Vec::new();
            request.encode(&mut body);
            body
        })
        .collect();
    let calls: Vec<Call<'_>> = requests
        .iter()
        .zip(&bodies)
        .map(|((request, number), body)| Call {
            body: Some(body),
            number: Some(*number),
            ..Call::new(request.clone())
        })
        .collect();
    wait(collect(store, &calls))
}

fn ask(store: &Solo, request: Request<'_>, numbered: Numbered) -> Result<Reply, Refusal> {
    ask_all(store, &[(request, numbered)]).expect("storage works").remove(0)
}

/// The answer's bytes on the wire: what a client can tell one from another by.
fn wire(answer: &Result<Reply, Refusal>) -> Result<Vec<u8>, Refusal> {
    answer.clone().map(|reply| {
        let mut body = Vec::new();
        reply.encode(&mut body);
        body
    })
}

#[test]
fn a_retry_gets_the_first_answer_over_restarts_and_snapshots() {
    let world = World::new(1);
    let mut store = world.open();
    put(&store, b"text", b"no number");
    let writes = [
        add_request(b"n", 5),
        put_request(b"k", b"v"),
        delete_request(b"absent"),
        add_request(b"text", 1),
        add_request(b"n", 1),
    ];
    let batch: Vec<_> =
        (1..).zip(writes.clone()).map(|(at, request)| (request, numbered(at, 1))).collect();
    let first: Vec<_> = ask_all(&store, &batch).expect("storage works").iter().map(wire).collect();
    assert_eq!(first[3].as_ref().map_err(|refusal| refusal.code), Err(Code::InvalidInput));
    let revision = store.feed().revision();

    let mut world = world;
    for with_snapshot in [false, true, false] {
        let retried: Vec<_> =
            (1..).zip(writes.clone()).map(|(at, r)| (r, again(numbered(at, 1)))).collect();
        let answers = ask_all(&store, &retried).expect("storage works");
        assert_eq!(answers.iter().map(wire).collect::<Vec<_>>(), first);
        assert_eq!(store.feed().revision(), revision, "nothing was run again");
        if with_snapshot {
            store.snapshot().expect("it is written");
        }
        drop(store);
        world = world.on(world.disk.crash(Crash::Drop));
        store = world.open();
    }
    assert_eq!(add(&store, b"n", 0).0, 6);
    assert_eq!(figure(&store, "sessions"), 1);
}

#[test]
fn a_number_of_one_operation_is_not_taken_for_another_over_restarts_and_snapshots() {
    let mut world = World::new(1);
    let mut store = world.open();
    ask(&store, add_request(b"n", 1), numbered(1, 1)).expect("it is new");
    for with_snapshot in [false, true, false] {
        for other in [put_request(b"n", b"9"), delete_request(b"n")] {
            let refused = ask(&store, other, again(numbered(1, 1)));
            assert_eq!(refused.map_err(|refusal| refusal.code), Err(Code::InvalidInput));
        }
        ask(&store, add_request(b"n", 1), again(numbered(1, 1))).expect("it is a retry");
        if with_snapshot {
            store.snapshot().expect("it is written");
        }
        drop(store);
        world = world.on(world.disk.crash(Crash::Drop));
        store = world.open();
    }
    assert_eq!(add(&store, b"n", 0).0, 1);
}

#[test]
fn a_backup_holds_the_answers_to_what_it_holds() {
    let world = World::new(6);
    let store = world.open();
    let write = (add_request(b"n", 5), numbered(1, 1));
    let first = wire(&ask(&store, write.0.clone(), write.1));
    let bytes = back_up(&store, 1 << 20, || {});
    drop(store);
    let disk = FaultyDisk::new(7);
    restore_on(&disk, &bytes).expect("it is restored");
    let store = world.on(disk).open();
    assert_eq!(wire(&ask(&store, write.0.clone(), again(write.1))), first);
    assert_eq!(add(&store, b"n", 0).0, 5, "it was not added again");
}

#[test]
fn what_the_client_no_longer_awaits_is_unknown_and_never_run() {
    let world = World::new(2);
    let store = world.open();
    for sequence in 1..=3 {
        ask(&store, add_request(b"n", 1), numbered(sequence, sequence)).expect("it adds");
    }
    for late in [numbered(2, 1), again(numbered(2, 2))] {
        let refused = ask(&store, add_request(b"n", 1), late).expect_err("it is forgotten");
        assert_eq!(refused.code, Code::OutcomeUnknown);
    }
    assert_eq!(add(&store, b"n", 0).0, 3);
}

#[test]
fn a_write_that_never_arrived_is_run_when_it_is_sent_again() {
    let store = World::new(3).open();
    // The first write of a session, and one in the middle.
    ask(&store, add_request(b"n", 1), again(numbered(1, 1))).expect("it adds");
    ask(&store, add_request(b"n", 1), numbered(3, 1)).expect("it adds");
    ask(&store, add_request(b"n", 1), again(numbered(2, 1))).expect("it adds");
    assert_eq!(add(&store, b"n", 0).0, 3);
}

#[test]
fn a_retry_of_a_write_that_waits_for_the_disk_waits_too() {
    let world = World::new(4);
    let store = world.open();
    put(&store, b"ready", b"");
    world.disk.hold_syncs(true);
    let request = add_request(b"n", 1);
    let mut body = Vec::new();
    request.encode(&mut body);
    let submit = |number| {
        let calls =
            [Call { body: Some(&body), number: Some(number), ..Call::new(request.clone()) }];
        collect(&store, &calls)
    };
    let first = submit(numbered(1, 1));
    let second = submit(again(numbered(1, 1)));
    let Err(second) = second.into_ready() else {
        panic!("an answer that is not safe was given to a retry");
    };
    world.disk.hold_syncs(false);
    let first = wait(first).expect("storage works");
    assert_eq!(wait(second).expect("storage works"), first);
    assert_eq!(add(&store, b"n", 0).0, 1);
}

/// Or a copy that comes after a power cut could be decided otherwise than its client was told.
#[test]
fn a_numbered_write_that_changed_nothing_is_answered_when_that_is_safe() {
    let world = World::new(5);
    let store = world.open();
    put(&store, b"there", b"");
    world.disk.hold_syncs(true);
    let absent = tidekeep_protocol::op::Put {
        condition: tidekeep_protocol::condition::Condition::Absent,
        ..put_of(b"there", b"")
    };
    let request = Request::Put(absent);
    let mut body = Vec::new();
    request.encode(&mut body);
    let calls = [Call { body: Some(&body), number: Some(numbered(1, 1)), ..Call::new(request) }];
    let Err(refused) = collect(&store, &calls).into_ready() else {
        panic!("the refusal can still be forgotten");
    };
    world.disk.hold_syncs(false);
    let answers = wait(refused).expect("storage works");
    assert!(matches!(&answers[0], Ok(Reply::Put(put)) if put.status == WriteStatus::Refused));
}

/// After each cut, what was in flight is sent again, as a client does, and everything counts once.
#[test]
fn a_cut_after_every_disk_call_and_a_retry_leave_each_write_applied_once() {
    const WRITES: u64 = 24;
    let life = |seed| World { segment_bytes: 4096, ..World::new(seed) };
    // The writes from `first` on, each of which adds 1 and pays off the one before.
    let run = |store: &Solo, first: u64, retry: bool| -> u64 {
        for sequence in first..=WRITES {
            let number = numbered(sequence, sequence);
            let number = if retry && sequence == first { again(number) } else { number };
            match ask_all(store, &[(add_request(b"n", 1), number)]) {
                Ok(answers) => match &answers[0] {
                    Ok(Reply::Increment(reply)) => assert_eq!(reply.value, sequence as i64),
                    Ok(Reply::Encoded(_)) => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(refusal) => {
                        assert_eq!(refusal.code, Code::Storage, "{refusal}");
                        return sequence;
                    }
                },
                Err(_) => return sequence,
            }
            if sequence % 7 == 0 {
                // Where the power fails in the middle of it, the next write finds out.
                let _ = store.snapshot();
            }
        }
        WRITES + 1
    };
    let calls = {
        let world = life(0);
        assert_eq!(run(&world.open(), 1, false), WRITES + 1);
        world.disk.calls()
    };
    for call in 0..calls {
        let crash = Crash::ALL[call as usize % Crash::ALL.len()];
        let world = life(call);
        world.disk.cut_after(call);
        let unanswered = world.try_open().map_or(1, |store| run(&store, 1, false));
        let world = world.on(world.disk.crash(crash));
        let store = world.open();
        run(&store, unanswered, true);
        assert_eq!(add(&store, b"n", 0).0, WRITES as i64, "cut after call {call}, {crash:?}");
    }
}
