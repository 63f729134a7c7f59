//! Requests that are wrong: each gets an error with its code, and ends the connection only where the
//! rest of the bytes cannot be trusted. No other client notices.

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::{self, flag, kind};
use tidekeep_protocol::limits::EXPIRY_MS_MAX;
use tidekeep_protocol::op::{
    Children, DeleteRange, Get, Increment, Operation, Order, Projection, Put, Scan, Txn, TxnOp,
    Watch, WatchFrom,
};
use tidekeep_protocol::range::Range;

use crate::harness::{Client, TestServer, plain_frame, put, request_frame};

const GET: u8 = 0x10;

#[track_caller]
fn refused<O: Operation>(client: &mut Client, request: &O) -> Code {
    let frame = client.call(9, request);
    assert_eq!(frame.error().outcome, Outcome::NotApplied);
    assert!(!frame.error().message.is_empty(), "an error says something to people");
    frame.code()
}

fn scan(limit: u32) -> Scan<'static> {
    let (order, projection) = (Order::Ascending, Projection::Full);
    Scan { range: Range::default(), limit, bytes: 0, order, projection }
}

#[test]
fn what_is_over_a_limit_is_refused_and_the_connection_goes_on() {
    let server = TestServer::with(|config| {
        config.limits.key_bytes = 10;
        config.limits.value_bytes = 100;
        config.limits.scan_entries = 50;
        config.limits.txn_operations = 3;
    });
    let client = &mut server.client();
    let (long_key, long_value) = ([b'k'; 11], [b'v'; 101]);

    assert_eq!(refused(client, &Get { key: &long_key }), Code::TooLarge);
    assert_eq!(refused(client, &put(&long_key, b"v")), Code::TooLarge);
    assert_eq!(refused(client, &put(b"k", &long_value)), Code::TooLarge);
    let compared = Put { condition: Condition::Value(&long_value), ..put(b"k", b"v") };
    assert_eq!(refused(client, &compared), Code::TooLarge);
    assert_eq!(refused(client, &scan(51)), Code::TooLarge);
    let range = Range { start: &[b'k'; 12], end: None };
    assert_eq!(refused(client, &Scan { range, ..scan(1) }), Code::TooLarge);
    assert_eq!(refused(client, &DeleteRange { range, limit: 1 }), Code::TooLarge);
    let watch =
        Watch { range, from: WatchFrom::Now, previous: false, delivery: Default::default() };
    assert_eq!(refused(client, &watch), Code::TooLarge);
    let get = TxnOp::Get(Get { key: b"k" });
    let txn = Txn { then: vec![get; 2], otherwise: vec![get; 2], ..Txn::default() };
    assert_eq!(refused(client, &txn), Code::TooLarge);
    let inner = Txn { then: vec![TxnOp::Put(put(b"k", &long_value))], ..Txn::default() };
    assert_eq!(refused(client, &inner), Code::TooLarge);

    assert_eq!(client.get(b"k"), None, "nothing of it was applied");
    client.put(&[b'k'; 10], &[b'v'; 100]);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    let client = &mut server.client();
    assert_eq!(refused(client, &Get { key: b"" }), Code::InvalidInput);
    let children = Children { prefix: b"", delimiter: b"", after: None, limit: 0 };
    assert_eq!(refused(client, &children), Code::InvalidInput);
    let inner = Txn { then: vec![TxnOp::Get(Get { key: b"" })], ..Txn::default() };
    assert_eq!(refused(client, &inner), Code::InvalidInput);
    let expiry = Expiry::After(EXPIRY_MS_MAX + 1);
    assert_eq!(refused(client, &Put { expiry, ..put(b"k", b"v") }), Code::InvalidInput);
    client.put(b"text", b"no number");
    let increment = Increment { key: b"text", by: 1, expiry: Expiry::Keep };
    assert_eq!(refused(client, &increment), Code::InvalidInput);
    let watch = |from| Watch {
        range: Range::default(),
        from,
        previous: false,
        delivery: Default::default(),
    };
    assert_eq!(refused(client, &watch(WatchFrom::Cursor(b"??"))), Code::InvalidInput);
    assert_eq!(client.get(b"k"), None);
}

#[test]
fn bodies_that_do_not_decode_are_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    let client = &mut server.client();
    let bodies: [&[u8]; 6] =
        [b"", b"\x05abc", b"\x01k-more", b"\xFF\xFF\xFF\xFF\x0F", b"\x80", &[0xFF; 64]];
    for kind in 0x10..=0x1A {
        for body in bodies {
            let decodes = tidekeep_protocol::op::Request::decode(kind, body).unwrap().is_ok();
            if decodes {
                continue;
            }
            client.send(&plain_frame(kind, 0, 3, body));
            let frame = client.answer();
            assert_eq!((frame.id, frame.code()), (3, Code::InvalidInput), "{kind:#x} {body:?}");
        }
    }
    client.is_well();
}

#[test]
fn unknown_kinds_and_required_extensions_are_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    let client = &mut server.client();
    // An operation of later days, a server's reply, a server's welcome, and nothing at all.
    for kind in [0x7F, 0x90, kind::WELCOME, kind::ERROR, kind::GOING_AWAY, 0x00, 0xFF] {
        client.send(&plain_frame(kind, 0, 5, b"anything"));
        let frame = client.answer();
        assert_eq!((frame.id, frame.code()), (5, Code::Unsupported), "{kind:#x}");
    }
    client.send(&plain_frame(GET, flag::MORE, 6, b"\x01k"));
    assert_eq!(client.answer().code(), Code::Unsupported);

    let extended = |tag: u8, data: &[u8]| {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, GET, 0, 7, &[(tag, data)], |out| out.extend(b"\x01k"));
        bytes
    };
    client.send(&extended(0xFE, b"x"));
    assert_eq!(client.answer().code(), Code::Unsupported);
    client.send(&extended(0x81, b"no number"));
    assert_eq!(client.answer().code(), Code::Unsupported);
    for skippable in [extended(0x02, b"x"), extended(0x01, b"?"), extended(0x81, &[0xFF; 4])] {
        client.send(&skippable);
        assert_eq!(client.answer().kind, GET | kind::REPLY);
    }
}

#[test]
fn bytes_that_are_no_frame_end_the_connection() {
    let server = TestServer::with(|config| config.limits.frame_bytes = 2 << 20);
    let mut bystander = server.client();
    let endings = [
        ((2 << 20) + 1_u32).to_le_bytes().to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        7_u32.to_le_bytes().to_vec(),
        // Extensions that run over the frame, and an entry that runs over the extensions.
        vec![8, 0, 0, 0, GET, 0, 9, 0, 1, 0, 0, 0],
        vec![11, 0, 0, 0, GET, 0, 3, 0, 1, 0, 0, 0, 0x02, 9, 0],
    ];
    let codes = [Code::TooLarge, Code::TooLarge, Code::Protocol, Code::Protocol, Code::Protocol];
    for (bytes, code) in endings.into_iter().zip(codes) {
        let mut client = server.client();
        client.send(&bytes);
        client.ends_with(code);
    }
    bystander.is_well();
}

#[test]
fn ids_that_are_zero_or_in_use_end_the_connection() {
    let server = TestServer::start();
    let mut zero = server.client();
    zero.ask(0, &Get { key: b"k" });
    zero.ends_with(Code::Protocol);

    let mut unknown = server.client();
    unknown.send(&plain_frame(0x7F, 0, 0, b""));
    unknown.ends_with(Code::Protocol);

    let mut twice = server.client();
    let mut bytes = request_frame(4, &Get { key: b"a" });
    bytes.extend(request_frame(4, &Get { key: b"b" }));
    twice.send(&bytes);
    let frames = [twice.answer(), twice.answer()];
    assert!(frames.iter().any(|frame| frame.id == 0 && frame.code() == Code::Protocol));
    twice.is_closed();

    let mut watching = server.client();
    let watch = Watch {
        range: Range::default(),
        from: WatchFrom::Now,
        previous: false,
        delivery: Default::default(),
    };
    watching.ask(4, &watch);
    watching.answer();
    watching.ask(4, &Get { key: b"k" });
    watching.ends_with(Code::Protocol);

    // A write that waits for the disk holds its id.
    let mut waiting = server.client();
    server.disk.hold_syncs(true);
    waiting.ask(4, &put(b"k", b"v"));
    waiting.ask(4, &Get { key: b"other" });
    waiting.ends_with(Code::Protocol);
    server.disk.hold_syncs(false);
    server.client().is_well();
}

#[test]
fn a_frame_that_is_cut_or_never_finished_ends_only_its_connection() {
    let server = TestServer::with(|config| config.frame_ms = 1000);
    let request = request_frame(1, &put(b"cut", b"value"));

    let mut cut = server.client();
    cut.send(&request[..request.len() - 1]);
    cut.end();
    cut.is_closed();

    let mut stuck = server.client();
    stuck.send(&request[..request.len() - 1]);
    stuck.ends_with(Code::Timeout);

    let mut well = server.client();
    for byte in &request {
        well.send(&[*byte]);
    }
    assert_eq!(well.answer().id, 1);
    assert_eq!(well.get(b"cut").as_deref(), Some(&b"value"[..]));
}

#[test]
fn hostile_bytes_never_hurt_others() {
    let server = TestServer::with(|config| config.frame_ms = 100);
    let mut bystander = server.client();
    let mut seed = 0x5EED_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..60 {
        let mut client = server.client();
        let mut bytes = request_frame(1, &put(b"key", b"value"));
        bytes.extend(request_frame(2, &scan(10)));
        for _ in 0..=round % 4 {
            let at = (random() % bytes.len() as u64) as usize;
            bytes[at] = random() as u8;
        }
        client.send(&bytes);
        client.end();
        while client.try_frame().is_some() {}
    }
    bystander.is_well();
}
