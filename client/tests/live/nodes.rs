//! Several addresses: the client finds one that answers, and goes on with another when that one is gone.

use tidekeep_client::{Client, Options, PutOptions};
use tidekeep_tests::{ServerProcess, port, within};

use crate::LIMIT;

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_gone() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) =
        (ServerProcess::start(first.path(), &[]), ServerProcess::start(second.path(), &[]));
    let urls = format!("127.0.0.1:{},{},{}", port::free(), first.address(), second.address());
    let connecting = Client::connect(&urls, Options::default());
    let client = within("a connection", LIMIT, connecting).await.expect("two of three answer");
    let put = client.put("who", "first", PutOptions::default());
    within("a put", LIMIT, put).await.expect("the first one is there");
    first.kill();
    let get = client.get("who");
    let found = within("a get", LIMIT, get).await.expect("the second one is there");
    assert!(found.is_none(), "it is another store, which only a test would list beside the first");
}
