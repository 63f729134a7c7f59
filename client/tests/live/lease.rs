//! A lease that is kept alive outlives its time and its server, and its end is told.

use std::time::{Duration, Instant};

use tidekeep_client::protocol::op::{LeaseGrant, LeaseReply, LeaseRevoke};
use tidekeep_client::{Client, Code, Options};
use tidekeep_tests::{ServerProcess, port, within};

use crate::LIMIT;

const TTL: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_lease_lives_until_it_is_revoked() {
    let data = tempfile::tempdir().expect("a directory");
    let port = port::free();
    let mut server = ServerProcess::start_on(port, data.path(), &[]);
    let client = Client::connect(server.address(), Options::default()).await.expect("greeted");
    let asked = Instant::now();
    let grant = LeaseGrant { ttl_ms: TTL.as_millis() as u64 };
    let reply = within("a lease", LIMIT, client.call(&grant)).await.expect("it is granted");
    let LeaseReply { lease, .. } = reply.decode().expect("a reply");
    let mut kept = client.keep_lease(lease, TTL, asked);
    server.kill();
    server = ServerProcess::start_on(port, data.path(), &[]);
    let early = tokio::time::timeout(TTL + Duration::from_secs(1), kept.lost()).await;
    assert!(early.is_err(), "{early:?}");
    let revoke = LeaseRevoke { lease };
    within("an answer", LIMIT, client.call(&revoke)).await.expect("it is revoked");
    let why = within("the loss", TTL, kept.lost()).await;
    assert_eq!(why.code(), Code::NotFound);
    drop(server);
}
