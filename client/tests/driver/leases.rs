//! What a holder of a lease is told: by the server that it is over, by the clock that nobody said
//! otherwise; and that it is kept alive meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tidekeep_client::protocol::error::{Code, ErrorBody, Outcome};
use tidekeep_client::protocol::frame::{self, kind};
use tidekeep_client::protocol::op::{LeaseReply, Request};

use crate::script::{Script, Way, reply, soon};

const TTL: Duration = Duration::from_millis(600);
const REPLY: LeaseReply = LeaseReply { revision: 7, lease: 7, ttl_ms: 600, expires_at: 0 };

/// Grants a lease, and keeps it alive so many times; then does with a request as `after` says.
async fn script(times: u32, after: fn(u32) -> Vec<u8>) -> (Script, Arc<AtomicU32>) {
    let kept = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&kept);
    let script = Script::start(Way::Tcp, move |id, request| match request {
        Request::LeaseGrant(_) => reply(0x1B, id, &REPLY),
        Request::LeaseKeepAlive(_) if count.fetch_add(1, Ordering::Relaxed) < times => {
            reply(0x1C, id, &REPLY)
        }
        _ => after(id),
    });
    (script.await, kept)
}

fn not_found(id: u32) -> Vec<u8> {
    let body = ErrorBody {
        code: Code::NotFound.number(),
        retryable: false,
        outcome: Outcome::NotApplied,
        retry_after_ms: 0,
        message: "there is no such lease",
    };
    let mut out = Vec::new();
    frame::write_value(&mut out, kind::ERROR, id, &body);
    out
}

#[tokio::test]
async fn a_holder_is_told_when_the_server_says_that_the_lease_is_over() {
    let (mut script, kept) = script(3, not_found).await;
    let lease = soon(script.connect().await.lease(TTL)).await.expect("a lease");
    assert_eq!((lease.id(), lease.ttl()), (7, TTL));
    assert_eq!(soon(lease.lost()).await.code(), Code::NotFound);
    assert_eq!(kept.load(Ordering::Relaxed), 4, "kept alive three times before");
    assert_eq!(soon(lease.revoke()).await, Ok(false), "it was over");
}

#[tokio::test]
async fn a_holder_is_told_when_its_time_has_passed_without_a_word() {
    let (mut script, _) = script(0, |_| Vec::new()).await;
    let client = script.connect().await;
    let asked = Instant::now();
    let lease = soon(client.lease(TTL)).await.expect("a lease");
    let reason = soon(lease.lost()).await;
    assert_eq!(reason.code(), Code::Timeout);
    // A tenth is left for a server whose clock was set.
    assert!(asked.elapsed() >= TTL * 9 / 10, "not before its time: {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_holder_is_told_when_its_client_is_closed() {
    let (mut script, _) = script(u32::MAX, |_| Vec::new()).await;
    let client = script.connect().await;
    let lease = soon(client.lease(TTL)).await.expect("a lease");
    soon(client.close()).await;
    assert_eq!(soon(lease.lost()).await.code(), Code::Closed);
    let late = soon(client.lease(TTL)).await.expect_err("it is closed");
    assert_eq!(late.code(), Code::Closed);
}

#[tokio::test]
async fn a_lease_that_was_dropped_is_kept_alive_no_longer() {
    let (mut others, others_kept) = script(u32::MAX, |_| Vec::new()).await;
    let (mut script, kept) = script(u32::MAX, |_| Vec::new()).await;
    let client = script.connect().await;
    let lease = soon(client.lease(TTL)).await.expect("a lease");
    let other = others.connect().await;
    let held = soon(other.lease(TTL)).await.expect("a lease");
    drop(lease);
    let before = kept.load(Ordering::Relaxed);
    // While another client's lease is kept alive three times, this one's would have been due as well.
    soon(async {
        while others_kept.load(Ordering::Relaxed) < 3 {
            other.ping().await.expect("the other client lives");
        }
    })
    .await;
    drop(held);
    soon(client.ping()).await.expect("the client lives on");
    assert_eq!(kept.load(Ordering::Relaxed), before);
}
