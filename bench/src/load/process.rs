//! What the system says of a process: the CPU time that all its threads took.

use std::fs;

/// Clock ticks of /proc in a second: the same on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU time, user's and system's, of a process; `None` where there is no such process.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// This process' own.
pub fn own_cpu_seconds() -> f64 {
    cpu_seconds(std::process::id()).unwrap_or(0.0)
}

/// `utime` and `stime` are fields 14 and 15; the second field is a name that may hold anything.
fn parse(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_moves_nothing() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 8 9 20 0 4 0";
        assert_eq!(parse(stat), Some(1.75));
        assert_eq!(parse("7 (a) S 1"), None);
        assert!(own_cpu_seconds() >= 0.0);
    }
}
