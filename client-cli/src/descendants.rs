//! The processes that a command has started, however they came about, so that none of them goes on when
//! it must not. They stay in the terminal's foreground and get its signals, as a group of their own
//! would not: this process adopts those whose parent ends, and finds all of them by their parents.

use std::collections::HashMap;

use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitOptions};

/// Which of the processes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them.
    All,
    /// Not those that made a session of their own, as daemons do.
    Session,
}

/// What the system says about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    /// It has ended, and its parent has not asked how.
    ended: bool,
}

/// Makes processes whose parent ends children of this one, not of the system's first.
pub(crate) fn adopt() -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    process::set_child_subreaper(Some(process::getpid()))?;
    Ok(())
}

/// Sends a signal to one process.
pub(crate) fn signal_one(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by now.
        let _ = process::kill_process(pid, signal);
    }
}

/// Takes note of the end of adopted processes; `own` is a child that somebody else waits for.
pub(crate) fn reap(own: Option<u32>) {
    let this = process::getpid().as_raw_pid();
    let own = own.and_then(|pid| i32::try_from(pid).ok());
    for process in all() {
        if process.ended && process.parent == this && Some(process.pid) != own {
            // Without waiting; if it is gone already, so much the better.
            let _ = process::waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG);
        }
    }
}

/// Sends a signal to all that are within reach; how many there are.
pub(crate) fn signal(reach: Reach, signal: Signal) -> usize {
    let this = process::getpid();
    let running = running_below(&all(), this.as_raw_pid(), reach);
    for pid in &running {
        if let Some(pid) = Pid::from_raw(*pid) {
            // It may have ended by now; one that may not be signalled is waited for.
            let _ = process::kill_process(pid, signal);
        }
    }
    running.len()
}

/// How many are within reach.
pub(crate) fn count(reach: Reach) -> usize {
    running_below(&all(), process::getpid().as_raw_pid(), reach).len()
}

/// The descendants of `top` that have not ended, parents before children.
fn running_below(all: &[Process], top: i32, reach: Reach) -> Vec<i32> {
    let session = all.iter().find(|process| process.pid == top).map(|process| process.session);
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let (mut running, mut parents) = (Vec::new(), vec![top]);
    while let Some(parent) = parents.pop() {
        // Taken out, so that no process is looked at twice whatever the list says.
        for process in children.remove(&parent).unwrap_or_default() {
            parents.push(process.pid);
            let within = reach == Reach::All || Some(process.session) == session;
            if within && !process.ended {
                running.push(process.pid);
            }
        }
    }
    running
}

/// All processes that this one may see.
fn all() -> Vec<Process> {
    let Ok(listed) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbered = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbered
        .filter_map(|pid: i32| parse(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `/proc/…/stat`: number, name in brackets, state, parent, group, session.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    // The name may hold anything, brackets and spaces too.
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(&stat[behind_name..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, session, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        let read = parse(7, b"7 (a) Z 1) S 3 4 5 0 -1");
        assert_eq!(read, Some(Process { pid: 7, parent: 3, session: 5, ended: false }));
        assert!(parse(7, b"7 (sh) Z 3 4 5").is_some_and(|process| process.ended));
        assert_eq!(parse(7, b"7 (sh"), None);
    }

    #[test]
    fn descendants_are_found_through_parents_that_ended_and_those_of_others_are_not() {
        let row = |pid, parent, session, ended| Process { pid, parent, session, ended };
        let all = [
            row(1, 0, 1, false),
            row(10, 1, 10, false),
            row(13, 12, 10, false),
            row(11, 10, 10, false),
            row(12, 11, 10, true),
            row(14, 10, 14, false),
            row(20, 1, 10, false),
        ];
        let below = |reach| {
            let mut found = running_below(&all, 10, reach);
            found.sort_unstable();
            found
        };
        assert_eq!(below(Reach::All), [11, 13, 14]);
        assert_eq!(below(Reach::Session), [11, 13]);
    }
}
