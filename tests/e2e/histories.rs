//! Clients do what they like on a few keys while their server is killed, stopped, cut off, slowed
//! down and filled up; afterwards the checker looks for an order in which a plain map would have
//! given the same answers.
//!
//! `TIDEKEEP_HISTORIES` says how many histories, 10 unless it does; `TIDEKEEP_HISTORY_SEED` makes
//! one again, as far as real processes let it.

pub(crate) mod clients;
mod nemesis;
pub(crate) mod sum;

use std::sync::Arc;
use std::time::Duration;

use tidekeep_tests::checker::{self, Call, Groups, Recorder, Verdict};
use tidekeep_tests::{Proxy, ServerProcess, port, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::clients::{Doubt, Worker};
use self::nemesis::Nemesis;
use self::sum::Sum;
use crate::small_disk::SmallDisk;

const HISTORIES: u64 = 10;
/// Histories that are made side by side: most of their time is waiting.
const AT_ONCE: usize = 4;
const CLIENTS: u32 = 6;
const LIMIT: Duration = Duration::from_secs(60);
/// The folder on the small disk.
const DATA: &str = "data";
/// Segments of which some fit on the disk.
type Arguments = [&'static str; 4];
const SAFE: Arguments = ["--durability", "always", "--segment-bytes", "5242880"];
const UNSAFE: Arguments = ["--durability", "none", "--segment-bytes", "5242880"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_of_real_processes_have_an_order() {
    make("", "TIDEKEEP_HISTORIES", HISTORIES, AT_ONCE, history).await;
}

/// Makes as many histories as a variable says, or `usual`, so many at once, and tells what came of them.
pub(crate) async fn make<F>(
    what: &str,
    variable: &str,
    usual: u64,
    at_once: usize,
    history: impl Fn(u64) -> F,
) where
    F: Future<Output = Sum> + Send + 'static,
{
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("TIDEKEEP_HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number(variable).unwrap_or(usual),
    };
    let mut sum = Sum::default();
    let mut running = JoinSet::new();
    for seed in seeds {
        if running.len() == at_once {
            sum += running.join_next().await.expect("there are some").unwrap();
        }
        running.spawn(history(seed));
    }
    while let Some(done) = running.join_next().await {
        sum += done.unwrap();
    }
    println!("suite: {what}{sum}");
    assert!(sum.operations > 100 * sum.histories, "too little happened: {sum}");
    assert!(sum.faults >= 10 * sum.histories, "too little broke: {sum}");
    assert_eq!(sum.undecided, 0, "the checker could not say whether there is an order: {sum}");
}

/// The same, of a server that may lose what it has acknowledged: that is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_that_a_server_may_lose_are_missed() {
    for seed in 0..HISTORIES {
        let (history, _) = record(seed, UNSAFE, Doubt::AtLoss).await;
        if let Verdict::Violation(violation) = checker::check(&history) {
            return println!("history {seed} has no order: {violation}");
        }
    }
    panic!("{HISTORIES} histories with kills, and no lost write was missed");
}

/// Makes a history and checks it.
async fn history(seed: u64) -> Sum {
    let (history, faults) = record(seed, SAFE, Doubt::AtDeadline).await;
    Sum::of(seed, Groups::default(), history, faults).await
}

/// Lets clients and nemesis loose on a new server, and collects what the clients were told.
async fn record(seed: u64, arguments: Arguments, doubt: Doubt) -> (Vec<Call>, u64) {
    let disk = SmallDisk::mount();
    let port = port::kept();
    let server = ServerProcess::start_on(port, &disk.path().join(DATA), &arguments);
    let upstream = server.address().to_owned();
    let proxies = [
        Proxy::start(&upstream, 3 * seed).await,
        Proxy::start(&upstream, 3 * seed + 1).await,
        Proxy::start(&upstream, 3 * seed + 2).await,
    ];
    let recorder = Arc::new(Recorder::default());
    let (stop, stopped) = watch::channel(false);
    let mut running = Vec::new();
    for name in 0..CLIENTS {
        // One client has a way to the server that never breaks by itself.
        let address = match name {
            0 => format!("tcp://{upstream}"),
            1..=3 => format!("tcp://{}", proxies[name as usize - 1].address()),
            _ => format!("ws://{}", proxies[name as usize - 4].address()),
        };
        let worker =
            Worker::new(name, seed, &address, Arc::clone(&recorder), doubt, Groups::default());
        running.push(tokio::spawn(worker.work_until(stopped.clone())));
    }
    let nemesis = Nemesis::new(seed, server, arguments, &disk, &proxies);
    let faults = nemesis.rage().await;
    stop.send_replace(true);
    for worker in running {
        within("a client to come to its end", LIMIT, worker).await.unwrap();
    }
    let recorder = Arc::into_inner(recorder).expect("the clients are gone");
    (recorder.into_history(), faults)
}
