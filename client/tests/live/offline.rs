//! The offline file against the real server: what was queued is applied once and in the order of its
//! keys, whoever dies meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidekeep_client::{
    Client, Code, Condition, KeyRange, Mutation, Options, PutOptions, QueueInfo, ViewState,
};
use tidekeep_tests::{ServerProcess, port, within};

use crate::{LIMIT, Live};

/// Keys that the mutations are spread over.
const KEYS: u32 = 25;

async fn connect(address: &str, file: &Path) -> Client {
    let options = Options::default().offline(file);
    Client::lazy(&format!("tcp://{address}"), options).expect("the file is free")
}

async fn drained(client: &Client) {
    let mut queue = client.queue();
    let empty = queue.wait_for(|info| *info == QueueInfo::default());
    within("an empty queue", LIMIT, empty).await.expect("the client lives");
}

/// Queues the write with this number.
fn write(client: &Client, n: u32) -> Mutation {
    client.queue_put(format!("k/{:02}", n % KEYS), n.to_string(), PutOptions::default())
}

/// Whether the writes of all numbers below `total` were applied once, the last of each key last: each
/// made its key one version older. How many were applied.
async fn check(client: &Client, total: Option<u32>) -> u32 {
    let mut versions = Vec::new();
    for key in 0..KEYS {
        let entry = client.get(format!("k/{key:02}")).await.expect("a reply");
        versions.push(entry.as_ref().map_or(0, |entry| entry.version as u32));
        if let Some(entry) = entry {
            let last = (entry.version as u32 - 1) * KEYS + key;
            assert_eq!(entry.text(), Some(last.to_string().as_str()), "once, and in order");
        }
    }
    let applied = versions.iter().sum();
    let expected = (0..KEYS).map(|key| (applied + KEYS - 1 - key) / KEYS);
    assert!(versions.iter().copied().eq(expected), "none is missing: {versions:?}");
    assert!(total.is_none_or(|total| total == applied), "{applied} were applied");
    applied
}

#[tokio::test]
async fn server_that_is_killed_amid_500_queued_writes_applies_each_once_in_order() {
    let (data, port) = (tempfile::tempdir().unwrap(), port::free());
    let mut server = ServerProcess::start_on(port, data.path(), &[]);
    let file = data.path().join("offline");
    let client = connect(server.address(), &file).await;
    let mut mutations = Vec::new();
    for n in 0..500_u32 {
        mutations.push(write(&client, n));
        if n % 200 == 150 {
            let stored = mutations.last_mut().expect("one was made").queued();
            within("a stored mutation", LIMIT, stored).await.expect("it is stored");
            server.kill();
            server = ServerProcess::start_on(port, data.path(), &[]);
        }
    }
    for mutation in mutations {
        let settled = within("an end", LIMIT, mutation).await;
        settled.result.expect("it is applied");
    }
    drained(&client).await;
    check(&client, Some(500)).await;
    client.close().await;
    drop(client);
}

/// Tells the process that dies what to do: the server, its file, and the first number to write.
const WRITER: &str = "TIDEKEEP_OFFLINE_WRITER";

/// Queues writes and says how many are stored, until it is killed.
async fn write_on(arguments: &str) {
    let [address, file, from] = arguments.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{arguments} are not three words");
    };
    let client = connect(address, Path::new(file)).await;
    for n in from.parse::<u32>().expect("a number").. {
        write(&client, n).queued().await.expect("it is stored");
        println!("stored {n}");
    }
}

/// Runs the test below in a process of its own, as the client that dies.
fn writer(address: &str, file: &Path, from: u32) -> Child {
    let test =
        "offline::client_that_dies_again_and_again_applies_all_that_was_stored_once_in_order";
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(WRITER, format!("{address} {} {from}", file.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_dies_again_and_again_applies_all_that_was_stored_once_in_order() {
    if let Ok(arguments) = std::env::var(WRITER) {
        return write_on(&arguments).await;
    }
    let live = Live::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("offline");
    let mut next = 0;
    for round in 0..5_u32 {
        let mut child = writer(live.server.address(), &file, next);
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stored = None;
        for line in output.lines().map_while(Result::ok) {
            let Some((_, number)) = line.split_once("stored ") else { continue };
            stored = number.trim().parse::<u32>().ok();
            if stored.is_some_and(|number| number >= next + 30 + round * 7) {
                break;
            }
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it has died");
        // Whether what came behind the last line was stored shows only now.
        let client = connect(live.server.address(), &file).await;
        let touched = client.queue_put("mark", round.to_string(), PutOptions::default());
        within("an end", LIMIT, touched).await.result.expect("it is applied");
        drained(&client).await;
        let applied = check(&client, None).await;
        assert!(stored.is_some_and(|stored| stored < applied), "all that was stored is applied");
        next = applied;
        client.close().await;
    }
    assert!(next > 200, "{next} writes");
}

#[tokio::test]
async fn view_shows_writes_at_once_and_conflicts_with_the_servers_entry() {
    let (data, port) = (tempfile::tempdir().unwrap(), port::free());
    let address = format!("127.0.0.1:{port}");
    let client = connect(&address, &data.path().join("offline")).await;
    let mut view = client.view(&KeyRange::prefix(b"k"), &[]);
    let condition = Condition::Absent;
    let absent = PutOptions { condition, ..PutOptions::default() };
    let conflict = client.queue_put("k1", "mine", absent);
    let edit = client.queue_put("k2", "new", PutOptions::default());
    let shown = view.get("k1").expect("it shows");
    assert!(shown.optimistic && shown.entry.text() == Some("mine"));
    assert_eq!(view.state(), ViewState::Loading);

    let store = data.path().join("store");
    let server = ServerProcess::start_on(port::free(), &store, &[]);
    let other = Client::connect(server.address(), Options::default()).await.unwrap();
    other.put("k1", "theirs", PutOptions::default()).await.unwrap();
    other.close().await;
    assert!(server.terminate().success());
    let _server = ServerProcess::start_on(port, &store, &[]);

    let error = within("an end", LIMIT, conflict).await.result.expect_err("it was there");
    assert_eq!(error.code(), Code::Conflict);
    assert_eq!(error.current().and_then(|entry| entry.text()), Some("theirs"));
    within("an end", LIMIT, edit).await.result.expect("it is applied");
    while view.state() != ViewState::Fresh {
        within("a change", LIMIT, view.changed()).await.expect("the view lives");
    }
    let shown: BTreeMap<_, _> = view
        .entries(&KeyRange::all(), 10)
        .into_iter()
        .map(|it| (it.entry.key, (it.entry.value, it.optimistic)))
        .collect();
    let expected = [("k1", ("theirs", false)), ("k2", ("new", false))];
    let expected =
        expected.map(|(key, (value, optimistic))| (key.into(), (value.into(), optimistic)));
    assert_eq!(shown, expected.into());

    let saved = view.save().expect("it is complete");
    let again = client.view(&KeyRange::prefix(b"k"), &saved);
    assert_eq!(again.entries(&KeyRange::all(), 10).len(), 2, "it shows at once");
}
