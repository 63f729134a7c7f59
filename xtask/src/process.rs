//! Child processes in three manners: `probe` asks and forgives, `quiet` keeps the output for the
//! case of failure, `loud` lets the child talk to the terminal. All steps run through these.

mod beside;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub(crate) use crate::process::beside::{Beside, Task, beside};

/// How many lines of a failed command's output are worth showing.
const TAIL_LINES: usize = 60;
const POLL: Duration = Duration::from_millis(20);
/// How long a child that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Standard output of a command that exits with 0; `None` when it fails or does not exist.
pub(crate) fn probe<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

/// Runs to the end with the output in `log`; fails with its last lines, or after `limit`.
pub(crate) fn quiet(command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let (out, err) = shared_log(log)?;
    finish(command, out, err, log, limit)
}

/// As `quiet`, but with standard output in a file of its own.
pub(crate) fn quiet_into(
    command: &mut Command,
    file: &Path,
    log: &Path,
    limit: Duration,
) -> Result<()> {
    let (out, err) = (create(file)?, create(log)?);
    finish(command, out, err, log, limit)
}

fn finish(command: &mut Command, out: File, err: File, log: &Path, limit: Duration) -> Result<()> {
    let line = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let Some(success) = wait_until(&mut child, Instant::now() + limit)? else {
        bail!("`{line}` did not end within {} s\n{}", limit.as_secs(), tail(log));
    };
    if !success {
        bail!("`{line}` failed\n{}", tail(log));
    }
    Ok(())
}

/// Runs to the end with the terminal's own output.
pub(crate) fn loud(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Turns this process into the command where the system can do that, so that signals and the exit
/// code are the command's own; elsewhere runs it to the end.
pub(crate) fn become_it(mut command: Command) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        let line = shown(&command);
        Err(command.exec()).with_context(|| format!("cannot start `{line}`"))
    }
    #[cfg(not(unix))]
    loud(&mut command)
}

/// The command as one could type it, without its environment.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Whether the child succeeded; `None` when the deadline came first and the child was ended.
fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<bool>> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= deadline {
            end(child);
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Asks the child to end, as a test runner then ends its tests too, and insists after a while.
fn end(child: &mut Child) {
    let asked = probe("kill", &["-TERM", &child.id().to_string()]).is_some();
    let patience = Instant::now() + PATIENCE;
    while asked && Instant::now() < patience && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(POLL);
    }
    // It may have ended by itself; either way it is gone after this.
    drop(child.kill());
    drop(child.wait());
}

/// A log file for both kinds of output.
fn shared_log(log: &Path) -> Result<(File, File)> {
    let out = create(log)?;
    let err = out.try_clone().context("cannot share a log file")?;
    Ok((out, err))
}

/// A new file, with its folder.
fn create(file: &Path) -> Result<File> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    File::create(file).with_context(|| format!("cannot write {}", file.display()))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Threads for each of so many servers that share this machine's cores.
pub(crate) fn threads_for_each(servers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / servers.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_shows_the_end_of_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("new/step.log");
        let error = quiet(&mut shell("seq 100; echo why >&2; exit 4"), &log, PATIENCE);
        let text = format!("{:#}", error.unwrap_err());
        assert!(text.ends_with("100\nwhy") && !text.contains("\n20\n"), "{text}");
        assert!(quiet(&mut shell("exit 0"), &log, PATIENCE).is_ok());
    }

    #[test]
    fn a_command_over_its_limit_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let limit = Duration::from_millis(50);
        let ended = quiet(&mut shell("exec sleep 60"), &folder.path().join("log"), limit);
        assert!(format!("{:#}", ended.unwrap_err()).contains("did not end"));
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn a_probe_forgives() {
        assert_eq!(probe("echo", &["tide"]).as_deref(), Some("tide\n"));
        assert_eq!(probe("false", &[] as &[&str]), None);
        assert_eq!(probe("no-such-program-anywhere", &["x"]), None);
    }

    #[test]
    fn standard_output_can_have_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("new/out"), folder.path().join("log"));
        quiet_into(&mut shell("echo out; echo err >&2"), &file, &log, PATIENCE).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "out\n");
        let failed = quiet_into(&mut shell("echo out; echo why >&2; false"), &file, &log, PATIENCE);
        let text = format!("{:#}", failed.unwrap_err());
        assert!(text.ends_with("why") && !text.contains("out\n"), "{text}");
    }
}
