//! The network that clusters are tried on breaks as it says: in one direction, and by being slow.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tidekeep_tests::{Network, ServerProcess, binaries};

const PORT: u16 = 8_080;

/// A network of so many nodes, unless this machine does not let one be laid.
pub(crate) fn lay(nodes: usize) -> Option<Network> {
    match Network::lay(nodes) {
        Ok(network) => Some(network),
        Err(why) => {
            println!("skipped: no network of its own can be laid here: {why}");
            None
        }
    }
}

/// Whether a `tidekeep put` on one node gets an answer from the server on node 0, and how long it took.
fn put(network: &Network, from: usize, value: &str) -> (bool, Duration) {
    let start = Instant::now();
    let mut command = network.command(from, binaries::tidekeep());
    command.env("TIDEKEEP_SERVER", format!("{}:{PORT}", network.address(0)));
    command.args(["put", "key", value, "--timeout", "1s"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    (status.success(), start.elapsed())
}

/// A server alone on the network's first node.
fn serve(network: &Network, data: &Path) -> ServerProcess {
    let listen = format!("{}:{PORT}", network.address(0));
    let server = ServerProcess::command(data, &listen, &[]);
    let mut there = network.command(0, server.get_program());
    there.args(server.get_args());
    ServerProcess::spawn(there)
}

#[test]
fn a_way_is_cut_in_one_direction_and_mended() {
    let Some(network) = lay(3) else { return };
    let data = tempfile::tempdir().unwrap();
    let _server = serve(&network, data.path());
    assert!(put(&network, 1, "before").0);
    for (from, to) in [(1, 0), (0, 1)] {
        network.cut(from, to);
        assert!(!put(&network, 1, "cut").0, "an answer came though {from} to {to} is cut");
        assert!(put(&network, 2, "beside").0);
        network.mend();
        assert!(put(&network, 1, "mended").0);
    }
}

#[test]
fn a_slow_line_is_slow() {
    let Some(network) = lay(2) else { return };
    let data = tempfile::tempdir().unwrap();
    let _server = serve(&network, data.path());
    // What a megabit a second takes half a second for.
    let long = "x".repeat(60_000);
    network.slow(1);
    let (_, slow) = put(&network, 1, &long);
    network.mend();
    let (put, quick) = put(&network, 1, &long);
    assert!(put && slow > Duration::from_millis(200) && slow > quick, "{slow:?} and {quick:?}");
}
