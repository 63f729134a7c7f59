//! Locks as scripts and terminals have them, on real processes: a holder that dies or is stopped, and
//! a server that dies under it.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tidekeep_tests::{ServerProcess, command, eventually, port, tidekeep};

const LIMIT: Duration = Duration::from_secs(30);

/// A `tidekeep lock` whose command writes its fencing number into a file and then sleeps.
struct Holder {
    child: Child,
}

impl Holder {
    fn start(address: &str, ttl: &str, file: &Path) -> Self {
        Self::run(address, ttl, &format!("{}; exec sleep 30", tell_fencing(file)))
    }

    /// One whose command leaves two others running: their numbers are in `kids`.
    fn with_children(address: &str, ttl: &str, file: &Path, kids: &Path) -> Self {
        let kids = kids.display();
        let start = format!("sleep 777 & echo $! > {kids}; setsid sleep 778 & echo $! >> {kids}");
        Self::run(address, ttl, &format!("{start}; {}; sleep 779; true", tell_fencing(file)))
    }

    fn run(address: &str, ttl: &str, script: &str) -> Self {
        let child = command::command(address)
            .args(["lock", "job", "--ttl", ttl, "--", "sh", "-c", script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command line's program starts");
        Self { child }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; the exit code.
    fn code(&mut self) -> Option<i32> {
        let ended = || self.child.try_wait().unwrap();
        eventually("the holder's end", LIMIT, ended).code()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shell's words that write the fencing number into a file, which then is whole.
fn tell_fencing(file: &Path) -> String {
    let file = file.display();
    format!("echo $TIDEKEEP_LOCK_FENCING > {file}.new; mv {file}.new {file}")
}

/// Those of the processes whose numbers are in the file that are there.
fn alive(kids: &Path) -> Vec<String> {
    let kids = std::fs::read_to_string(kids).unwrap();
    let there = |pid: &&str| Path::new("/proc").join(pid).exists();
    kids.lines().filter(there).map(str::to_owned).collect()
}

/// The number that a holder's command has written.
fn fencing(file: &Path) -> u64 {
    let read = || std::fs::read_to_string(file).ok()?.trim().parse().ok();
    eventually("the lock is held", LIMIT, read)
}

fn json(address: &str, arguments: &[&str]) -> serde_json::Value {
    let run = tidekeep(address, &[arguments, &["--output", "json"]].concat(), b"");
    serde_json::from_slice(&run.stdout).expect("it prints JSON")
}

#[test]
fn a_lock_passes_on_after_its_holder_was_killed_and_its_number_grows() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let (one, two) = (data.path().join("one"), data.path().join("two"));
    let mut first = Holder::start(server.address(), "1s", &one);
    let held = fencing(&one);
    let _second = Holder::start(server.address(), "1s", &two);
    eventually("the second waits", LIMIT, || {
        let run = tidekeep(server.address(), &["lease", "list", "--output", "raw"], b"");
        (run.text().lines().count() == 2).then_some(())
    });
    assert!(!two.exists());
    let killed = Instant::now();
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(fencing(&two) > held);
    // Not before the lease could have ended: a third of its time may have passed at most.
    assert!(killed.elapsed() > Duration::from_millis(500), "{:?}", killed.elapsed());
}

#[test]
fn a_command_that_is_done_gives_the_lock_on_at_once_with_its_exit_code() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let run = |script: &str| {
        let arguments = ["lock", "job", "--ttl", "10m", "--", "sh", "-c", script];
        tidekeep(server.address(), &arguments, b"")
    };
    assert_eq!(run("exit 0").code, 0);
    assert_eq!(run("exit 42").code, 42);
    assert_eq!(run("test $TIDEKEEP_LOCK_FENCING -gt 1").code, 0);
    assert_eq!(tidekeep(server.address(), &["get", "job"], b"").code, 1);
    assert_eq!(tidekeep(server.address(), &["lease", "list"], b"").text(), "");
}

#[test]
fn a_holder_that_is_asked_to_end_ends_its_command_and_gives_the_lock_on() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let (one, two) = (data.path().join("one"), data.path().join("two"));
    let mut first = Holder::start(server.address(), "10m", &one);
    let held = fencing(&one);
    first.signal("TERM");
    assert_eq!(first.code(), Some(130));
    let _second = Holder::start(server.address(), "10m", &two);
    assert!(fencing(&two) > held);
}

#[test]
fn a_holder_that_was_stopped_for_too_long_is_told_and_its_command_ended() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let (one, two) = (data.path().join("one"), data.path().join("two"));
    let mut first = Holder::start(server.address(), "1s", &one);
    let held = fencing(&one);
    first.signal("STOP");
    let _second = Holder::start(server.address(), "1s", &two);
    assert!(fencing(&two) > held);
    first.signal("CONT");
    assert_eq!(first.code(), Some(8));
}

#[test]
fn nothing_that_the_command_started_outlives_the_loss_of_the_lock() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let (one, kids) = (data.path().join("one"), data.path().join("kids"));
    let mut holder = Holder::with_children(server.address(), "1s", &one, &kids);
    fencing(&one);
    assert_eq!(alive(&kids).len(), 2);
    server.signal("STOP");
    let code = holder.code();
    server.signal("CONT");
    assert_eq!(code, Some(8));
    assert_eq!(alive(&kids), [] as [&str; 0]);
}

#[test]
fn whoever_gets_the_lock_next_finds_nothing_of_the_command_before() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let path = |name: &str| data.path().join(name);
    let (one, kids) = (path("one"), path("kids"));
    let mut first = Holder::with_children(server.address(), "10m", &one, &kids);
    fencing(&one);
    assert_eq!(alive(&kids).len(), 2);
    let (found, two) = (path("found"), path("two"));
    let look = format!("for pid in $(cat {}); do ls -d /proc/$pid; done", kids.display());
    let script = format!("({look}) > {} 2> /dev/null; {}", found.display(), tell_fencing(&two));
    let mut second = Holder::run(server.address(), "10m", &script);
    first.signal("TERM");
    fencing(&two);
    assert_eq!(std::fs::read_to_string(found).unwrap(), "");
    assert_eq!((first.code(), second.code()), (Some(130), Some(0)));
}

#[test]
fn a_command_that_is_done_leaves_nothing_running_without_the_lock() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let kids = data.path().join("kids");
    let script = format!("sleep 777 > /dev/null & echo $! > {}; exit 3", kids.display());
    let mut holder = Holder::run(server.address(), "10m", &script);
    assert_eq!(holder.code(), Some(3));
    assert_eq!(alive(&kids), [] as [&str; 0]);
}

#[test]
fn a_command_is_asked_to_end_before_it_is_made_to() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    let (one, bye) = (data.path().join("one"), data.path().join("bye"));
    let on_term = format!("trap 'echo bye > {}; exit 0' TERM", bye.display());
    let script = format!("{on_term}; {}; while :; do sleep 0.05; done", tell_fencing(&one));
    let mut holder = Holder::run(server.address(), "10m", &script);
    fencing(&one);
    holder.signal("TERM");
    assert_eq!(holder.code(), Some(130));
    assert_eq!(std::fs::read_to_string(bye).unwrap(), "bye\n");
}

#[test]
fn a_server_that_was_killed_neither_cuts_nor_renews_a_lease() {
    let data = tempfile::tempdir().unwrap();
    let port = port::free();
    let server = ServerProcess::start_on(port, data.path(), &[]);
    let grant = json(server.address(), &["lease", "grant", "8s"]);
    let (lease, ends) = (grant["lease"].to_string(), grant["expires_at"].as_u64().unwrap());
    let put = ["put", "here", "yes", "--lease", &lease];
    assert_eq!(tidekeep(server.address(), &put, b"").code, 0);
    server.kill();
    let server = ServerProcess::start_on(port, data.path(), &[]);
    let listed = json(server.address(), &["lease", "list"]);
    assert_eq!((&listed["expires_at"], &listed["keys"]), (&ends.into(), &1.into()));
    assert_eq!(tidekeep(server.address(), &["get", "here"], b"").code, 0);
    eventually("the key is gone", LIMIT, || {
        (tidekeep(server.address(), &["get", "here"], b"").code == 1).then_some(())
    });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(u64::try_from(now.as_millis()).unwrap() >= ends, "it is there until its time");
    assert_eq!(tidekeep(server.address(), &["lease", "keep-alive", &lease], b"").code, 1);
}

#[test]
fn a_lock_is_held_over_a_restart_of_the_server() {
    let data = tempfile::tempdir().unwrap();
    let port = port::free();
    let server = ServerProcess::start_on(port, data.path(), &[]);
    let one = data.path().join("one");
    let mut holder = Holder::start(server.address(), "20s", &one);
    let held = fencing(&one);
    server.kill();
    let server = ServerProcess::start_on(port, data.path(), &[]);
    let before = json(server.address(), &["lease", "list"])["expires_at"].as_u64().unwrap();
    eventually("it is kept alive again", LIMIT, || {
        let now = json(server.address(), &["lease", "list"])["expires_at"].as_u64()?;
        (now > before).then_some(())
    });
    assert_eq!(json(server.address(), &["get", "job"])["created"], held);
    assert_eq!(holder.child.try_wait().unwrap(), None);
}
