//! Commands that go on at the lowest priority while other work is waited for.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::process::{POLL, end, probe, shared_log};

/// A command, where its output goes, and what it makes.
pub(crate) struct Task {
    pub(crate) command: Command,
    pub(crate) log: PathBuf,
    pub(crate) makes: &'static str,
}

/// Commands that go on beside other work, one after the other, each whatever became of the one before it.
/// Dropped, it ends the one that runs, and begins no other.
pub(crate) struct Beside {
    over: Arc<AtomicBool>,
    running: Running,
    thread: Option<JoinHandle<()>>,
}

/// The process of the command that runs, which is not reaped while this is locked, and what it makes.
type Running = Arc<Mutex<Option<(u32, &'static str)>>>;

impl Beside {
    /// Somebody waits for what makes this: if that runs, what it starts from now on goes on like any other
    /// work. On a machine with other work the lowest priority may be none at all. Where nobody may raise one, it goes on as it is.
    pub(crate) fn hurry(&self, what: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((process, makes)) = *running
            && makes == what
        {
            drop(fs::write(format!("/proc/{process}/autogroup"), "0"));
            probe("renice", &["-n", "0", "-g", &process.to_string()]);
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What went wrong beside goes wrong again where it is waited for, and is told there.
            drop(thread.join());
        }
    }
}

/// Runs commands at the lowest priority.
pub(crate) fn beside(tasks: Vec<Task>) -> Beside {
    let over = Arc::new(AtomicBool::new(false));
    let running = Running::default();
    let (stop, shown) = (Arc::clone(&over), Arc::clone(&running));
    let thread = thread::spawn(move || {
        for task in tasks {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            run(task, &stop, &shown);
        }
    });
    Beside { over, running, thread: Some(thread) }
}

fn run(task: Task, stop: &AtomicBool, running: &Running) {
    let Ok((out, err)) = shared_log(&task.log) else { return };
    let spawned = lowest(&task.command).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let Ok(mut child) = spawned else { return };
    let lock = || running.lock().unwrap_or_else(PoisonError::into_inner);
    *lock() = Some((child.id(), task.makes));
    loop {
        let mut running = lock();
        if stop.load(Ordering::Relaxed) {
            end(&mut child);
        }
        if !matches!(child.try_wait(), Ok(None)) {
            *running = None;
            return;
        }
        drop(running);
        thread::sleep(POLL);
    }
}

/// Where Linux groups processes by their sessions, it shares the processors among the groups first, and a
/// browser is in one of its own: what is nice must be so in a group of its own, which is nice too.
const NICE_SESSION: &str =
    "{ echo 19 > /proc/self/autogroup; } 2> /dev/null; exec nice -n 19 \"$@\"";

/// A command at the lowest priority, which ends with its parent.
fn lowest(command: &Command) -> Command {
    let grouped = probe("setpriv", &["--pdeathsig", "TERM", "setsid", "true"]).is_some();
    let mut nice = Command::new(if grouped { "setpriv" } else { "nice" });
    if grouped {
        nice.args(["--pdeathsig", "TERM", "setsid", "sh", "-c", NICE_SESSION, "sh"]);
    } else {
        nice.args(["-n", "19"]);
    }
    nice.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        nice.current_dir(folder);
    }
    nice
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process::tests::shell;

    fn task(command: Command, log: &Path) -> Task {
        Task { command, log: log.to_owned(), makes: "something" }
    }

    fn wait_for(log: &Path, expected: impl Fn(&str) -> bool) {
        let began = Instant::now();
        let said = || fs::read_to_string(log).unwrap_or_default();
        while !expected(&said()) {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", said());
            thread::sleep(POLL);
        }
    }

    #[test]
    fn what_goes_on_beside_is_nice_and_ends_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("beside.log");
        let mut script = shell("nice; echo \"$FLAVOUR\"; exec sleep 600");
        script.env("FLAVOUR", "sweet");
        let began = Instant::now();
        let never = folder.path().join("never.log");
        let beside = beside(vec![task(script, &log), task(shell("true"), &never)]);
        wait_for(&log, |said| said == "19\nsweet\n");
        drop(beside);
        assert!(began.elapsed() < Duration::from_secs(300));
        assert!(!never.exists());
    }

    #[test]
    fn the_session_of_what_goes_on_beside_is_nice_too() {
        let group = Path::new("/proc/self/autogroup");
        if !group.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("beside.log");
        let _beside = beside(vec![task(shell("cat /proc/self/autogroup"), &log)]);
        wait_for(&log, |said| said.ends_with("nice 19\n"));
        let ours = fs::read_to_string(group).unwrap();
        assert_ne!(fs::read_to_string(log).unwrap().split(' ').next(), ours.split(' ').next());
    }

    #[test]
    fn one_goes_on_beside_after_the_other_even_if_that_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let log = |name| folder.path().join(name);
        let mut last = shell("cat first; echo 2");
        last.current_dir(folder.path());
        let tasks = vec![
            task(shell("echo 1; exit 1"), &log("first")),
            task(Command::new("no-such-program-anywhere"), &log("second")),
            task(last, &log("third")),
        ];
        let _beside = beside(tasks);
        wait_for(&log("third"), |said| said == "1\n2\n");
    }

    #[test]
    fn what_is_waited_for_goes_on_like_any_other_work() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("beside.log");
        // Where nobody may raise a priority, there is nothing to see.
        if probe("nice", &["-n", "1", "sh", "-c", "renice -n 0 $$"]).is_none() {
            return;
        }
        let script = "until test \"$(nice)\" = 0; do echo slow; sleep 0.1; done";
        let beside = beside(vec![task(shell(&format!("echo slow; {script}; echo done")), &log)]);
        wait_for(&log, |said| said.starts_with("slow"));
        beside.hurry("something else");
        beside.hurry("something");
        wait_for(&log, |said| said.ends_with("done\n"));
    }
}
