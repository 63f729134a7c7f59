//! A change made anywhere is seen by a running `tidekeep watch` at once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tidekeep_tests::{ServerProcess, command, port, tidekeep};

const LIMIT: Duration = Duration::from_secs(20);

/// A running `tidekeep watch --output json`, its lines as they come.
struct Watching {
    child: Child,
    lines: Receiver<serde_json::Value>,
}

impl Watching {
    fn start(address: &str, arguments: &[&str]) -> Self {
        let mut child = command::command(address)
            .args(["watch", "--output", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command line's program starts");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("each line is JSON");
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line whose `type` is one of `types`.
    fn next(&self, types: &[&str]) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(LIMIT).expect("the watch goes on");
            if types.contains(&line["type"].as_str().unwrap_or_default()) {
                return line;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_put_in_one_terminal_is_printed_by_a_watch_in_another() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    assert_eq!(tidekeep(server.address(), &["put", "name", "before"], b"").code, 0);
    let watching = Watching::start(server.address(), &["--content"]);
    assert_eq!(watching.next(&["content"])["value"], "before");
    watching.next(&["caught-up"]);

    assert_eq!(tidekeep(server.address(), &["put", "name", "John Doe"], b"").code, 0);
    let put = watching.next(&["put", "delete", "expire"]);
    assert_eq!((&put["key"], &put["value"]), (&"name".into(), &"John Doe".into()));

    assert_eq!(tidekeep(server.address(), &["delete", "name"], b"").code, 0);
    assert_eq!(watching.next(&["put", "delete", "expire"])["type"], "delete");

    assert_eq!(tidekeep(server.address(), &["put", "name", "brief", "--ttl", "50ms"], b"").code, 0);
    assert_eq!(watching.next(&["put", "delete", "expire"])["type"], "put");
    assert_eq!(watching.next(&["put", "delete", "expire"])["type"], "expire");
}

#[test]
fn a_watch_goes_on_by_itself_when_the_server_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let port = port::free();
    let server = ServerProcess::start_on(port, data.path(), &[]);
    let watching = Watching::start(server.address(), &["--content"]);
    watching.next(&["caught-up"]);

    let mut server = Some(server);
    for round in 0..3 {
        let current = server.take().expect("a server runs");
        let value = format!("round {round}");
        assert_eq!(tidekeep(current.address(), &["put", "name", &value], b"").code, 0);
        current.kill();
        server = Some(ServerProcess::start_on(port, data.path(), &[]));
        assert_eq!(watching.next(&["put", "content", "reset"])["value"], *value);
    }
}
