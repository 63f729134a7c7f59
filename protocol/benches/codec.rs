//! What a request and its reply cost in the codec alone: nanoseconds for each step of a get, a put
//! and a page of a scan. `cargo bench -p tidekeep-protocol`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::entry::{Entry, Meta, Stored};
use tidekeep_protocol::frame::{self, Frame};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{
    Get, GetReply, Operation, Put, Request, ScanReply, WriteReply, WriteStatus,
};

const KEY: &[u8] = b"users/0000012345";
const VALUE: &[u8] = &[b'v'; 100];
const META: Meta = Meta {
    created: 1_234_567,
    modified: 2_345_678,
    version: 12,
    expires_at: Some(1 << 41),
    lease: None,
};
const STORED: Stored<'static> = Stored { meta: META, value: VALUE };
const LIMITS: Limits = Limits::DEFAULT;

const ROUND: Duration = Duration::from_millis(100);
const ROUNDS: usize = 7;

fn main() {
    let get = Get { key: KEY };
    exchange("get", &get, &GetReply { revision: 2_345_678, entry: Some(STORED) });

    let (condition, expiry) = (Condition::Revision(2_345_678), Expiry::After(60_000));
    let put = Put { key: KEY, value: VALUE, condition, expiry, previous: false };
    let applied = WriteReply { revision: 2_345_678, status: WriteStatus::Applied, entry: None };
    exchange("put", &put, &applied);

    let entries = vec![Entry { key: KEY, stored: STORED }; 100];
    let page = ScanReply { revision: 2_345_678, count: 100, more: true, entries };
    let mut out = Vec::new();
    report("scan: 100 entries encode", || {
        out.clear();
        frame::write_value(&mut out, 0x93, 7, &page);
    });
    report("scan: 100 entries decode", || {
        black_box(codec::decode::<ScanReply<'_>>(black_box(&out[frame::HEADER_BYTES..]))).ok();
    });
}

/// Times the four steps that a request and its reply take, as client and server take them.
fn exchange<O: Operation>(name: &str, request: &O, reply: &O::Reply<'_>) {
    let kind = O::SPEC.kind;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    report(&format!("{name}: request encode"), || {
        asked.clear();
        frame::write_value(&mut asked, kind, 7, black_box(request));
    });
    report(&format!("{name}: request decode and check"), || {
        let frame = whole(black_box(&asked));
        let request = Request::decode(frame.kind, frame.body).expect("a kind").expect("a body");
        black_box(request.check(&LIMITS)).expect("within the limits");
        black_box(request);
    });
    report(&format!("{name}: reply encode"), || {
        answered.clear();
        frame::write_value(&mut answered, kind | frame::kind::REPLY, 7, black_box(reply));
    });
    report(&format!("{name}: reply decode"), || {
        let body = whole(black_box(&answered)).body;
        black_box(codec::decode::<O::Reply<'_>>(body)).expect("a body");
    });
}

fn whole(bytes: &[u8]) -> Frame<'_> {
    Frame::decode(bytes, LIMITS.frame_bytes).expect("a frame").expect("a whole one").0
}

/// Prints the fastest of some rounds: what disturbs a round only makes it slower.
fn report(name: &str, mut step: impl FnMut()) {
    let mut fastest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (start, mut steps) = (Instant::now(), 0_u32);
        while start.elapsed() < ROUND {
            for _ in 0..1000 {
                step();
            }
            steps += 1000;
        }
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / f64::from(steps));
    }
    println!("{name:<32} {fastest:>8.1} ns");
}
