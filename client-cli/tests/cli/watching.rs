//! watch: a line an event, over restarts of the server.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tidekeep_tests::{ServerProcess, port};

use crate::store::{Store, command, run};

const LIMIT: Duration = Duration::from_secs(30);

/// A running `tidekeep watch`, its lines as they come.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command
            .arg("watch")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("the watch prints another line")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.line()).expect("each line is JSON")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args([name, &pid]).status().expect("kill runs");
        assert!(kill.success());
    }

    /// Ctrl-C: the exit code, and what it said.
    fn interrupt(mut self) -> (Option<i32>, String) {
        self.signal("-INT");
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("stderr is piped");
        stderr.read_to_string(&mut said).expect("what it says is text");
        (self.child.wait().expect("the child is ours").code(), said)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_change_is_a_line() {
    let store = Store::start(&[]);
    store.ok(&["put", "app/a", "before"]);
    store.ok(&["put", "other", "unseen"]);
    let watching = Watching::start(store.command(), &["app/", "--content", "--prev"]);
    assert_eq!(watching.line(), "1\tcontent\tapp/a\tbefore");
    store.ok(&["put", "app/a", "line\nend"]);
    assert_eq!(watching.line(), "3\tput\tapp/a\tline\\nend\t(was before)");
    store.ok(&["put", "other", "unseen"]);
    store.ok(&["delete", "app/a"]);
    assert_eq!(watching.line(), "5\tdelete\tapp/a\t(was line\\nend)");
    store.ok(&["put", "app/brief", "x", "--expires-at", "1000"]);
    let line = watching.line();
    assert!(line.starts_with("6\tput\tapp/brief\tx") || line.starts_with("6\texpire"), "{line}");
    assert_eq!(watching.interrupt(), (Some(0), String::new()));
}

#[test]
fn json_lines_say_everything() {
    let store = Store::start(&[]);
    store.ok(&["put", "k", "1"]);
    let watching = Watching::start(store.command(), &["--content", "-o", "json"]);
    assert_eq!(
        watching.json(),
        json!({"type": "content", "key": "k", "value": "1", "created": 1, "modified": 1, "version": 1})
    );
    let caught_up = watching.json();
    assert_eq!((&caught_up["type"], &caught_up["revision"]), (&json!("caught-up"), &json!(1)));
    store.ok(&["put", "k", "2"]);
    let mut put = watching.json();
    assert!(put["cursor"].take().is_string());
    assert_eq!(
        put,
        json!({"type": "put", "key": "k", "value": "2", "created": 1, "modified": 2, "version": 2,
               "revision": 2, "cursor": null})
    );
    store.ok(&["delete", "k"]);
    let mut delete = watching.json();
    assert!(delete["cursor"].take().is_string());
    assert_eq!(delete, json!({"type": "delete", "key": "k", "revision": 3, "cursor": null}));
}

#[test]
fn a_cursor_goes_on_where_an_earlier_watch_ended() {
    let store = Store::start(&[]);
    let watching = Watching::start(store.command(), &["-o", "json"]);
    let cursor = watching.json()["cursor"].as_str().unwrap().to_owned();
    drop(watching);
    store.ok(&["put", "k", "1"]);
    store.ok(&["put", "k", "2"]);
    let missed = store.ok(&["watch", "--since", &cursor, "-n", "2"]);
    assert_eq!(missed, "1\tput\tk\t1\n2\tput\tk\t2\n");
    let latest = store.ok(&["watch", "--since", &cursor, "--latest", "-n", "1"]);
    assert_eq!(latest, "2\tput\tk\t2\n");
    let wrong = store.run(&["watch", "--since", "no cursor!"]);
    assert_eq!(wrong.code, 2);
}

#[test]
fn a_cursor_may_begin_with_a_dash() {
    let store = Store::start(&[]);
    let of_another_store = "-6Gy77Dh6vAsAQA";
    let watching = Watching::start(store.command(), &["--since", of_another_store, "-o", "json"]);
    assert_eq!(watching.json()["type"], "reset");
}

#[test]
fn exact_means_the_key_alone_and_count_ends_the_watch() {
    let store = Store::start(&[]);
    let mut watching = Watching::start(store.command(), &["k", "--exact", "-n", "1", "-o", "json"]);
    assert_eq!(watching.json()["type"], "caught-up");
    store.ok(&["put", "k2", "unseen"]);
    store.ok(&["put", "k", "seen"]);
    assert_eq!(watching.json()["value"], "seen");
    assert_eq!(watching.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watch_outlives_its_server_without_a_gap_or_a_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let (data, port) = (folder.path().join("data"), port::free());
    let mut server = ServerProcess::start_on(port, &data, &[]);
    let address = server.address().to_owned();
    let put = |value: &str| run(command(&address).args(["put", "k", value]), b"");
    let watching = Watching::start(command(&address), &["-o", "json"]);
    assert_eq!(watching.json()["type"], "caught-up");
    let changes = |count: usize| {
        let lines = std::iter::repeat_with(|| watching.json());
        let puts = lines.filter(|line| line["type"] != "caught-up").take(count);
        puts.map(|line| line["value"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(put("before").code, 0);
    assert_eq!(changes(1), ["before"]);
    for round in ["one", "two"] {
        server.kill();
        server = ServerProcess::start_on(port, &data, &[]);
        assert_eq!(put(round).code, 0);
        assert_eq!(changes(1), [round]);
    }
    let (code, said) = watching.interrupt();
    assert_eq!(code, Some(0));
    assert!(said.contains("note: the connection is lost"), "{said}");
    let (again, missed) = ("note: connected again\n", "note: nothing was missed\n");
    assert_eq!((said.matches(again).count(), said.matches(missed).count()), (2, 2), "{said}");
}

/// What a watch that has seen one key prints and says when the server, while the watch was stopped, came
/// back and forgot what changed: up to and with the line that says that it has all.
fn over_a_gap(arguments: &[&str]) -> (Vec<Value>, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (data, port) = (folder.path().join("data"), port::free());
    let server = ServerProcess::start_on(port, &data, &[]);
    let address = server.address().to_owned();
    let put = |key: &str, value: &str| {
        assert_eq!(run(command(&address).args(["put", key, value]), b"").code, 0);
    };
    let watching = Watching::start(command(&address), &[arguments, &["-o", "json"]].concat());
    assert_eq!(watching.json()["type"], "caught-up");
    put("kept", "1");
    assert_eq!(watching.json()["type"], "put");
    watching.signal("-STOP");
    server.kill();
    let _server = ServerProcess::start_on(port, &data, &["--history-bytes", "65536"]);
    for number in 0..40 {
        put("big", &format!("{number:04000}"));
    }
    watching.signal("-CONT");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &Value| line["type"] != "caught-up") {
        lines.push(watching.json());
    }
    let (code, said) = watching.interrupt();
    assert_eq!(code, Some(0));
    assert!(said.contains("note: connected again\n"), "{said}");
    assert!(!said.contains("nothing was missed"), "{said}");
    (lines, said)
}

#[test]
fn a_difference_is_not_told_as_if_nothing_had_been_missed() {
    let (lines, said) = over_a_gap(&["--content"]);
    let [content, caught_up] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&content["type"], &content["key"]), (&json!("content"), &json!("big")));
    assert_eq!(caught_up["gap"], "difference");
    assert!(said.contains("note: changes were missed; what differs now was told\n"), "{said}");
}

#[test]
fn a_watch_that_begins_anew_says_so() {
    let (lines, said) = over_a_gap(&[]);
    assert_eq!(lines[0]["type"], "reset");
    assert_eq!(lines.last().unwrap()["gap"], "reset");
    assert!(said.contains("note: changes were missed for good"), "{said}");
}

#[test]
fn a_history_tells_each_version_newest_first() {
    let store = Store::start(&[]);
    for value in ["one", "two"] {
        store.run(&["put", "name", value]);
    }
    store.run(&["put", "other", "x"]);
    store.run(&["delete", "name"]);
    let told = store.run(&["history", "name"]);
    assert_eq!(told.text(), "4\tdelete\t\n2\tput\ttwo\n1\tput\tone\n");
    let told = store.run(&["history", "name", "-n", "1", "-o", "json"]);
    let line: Value = serde_json::from_str(told.text()).expect("a line of JSON");
    assert_eq!(line, json!({ "type": "delete", "revision": 4, "key": "name" }));
    assert_eq!(store.run(&["history", "nothing"]).code, 1);
}
