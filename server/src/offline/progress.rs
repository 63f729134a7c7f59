//! How far long work is, on standard error: one line that is written over on a terminal, a line
//! every few seconds elsewhere, nothing for what takes no time.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tidekeep_log::offline::Progress;

const PATIENCE: Duration = Duration::from_millis(500);
const ON_TERMINAL: Duration = Duration::from_millis(100);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// The display.
pub(super) struct Display {
    next: Instant,
    terminal: bool,
    shown: bool,
}

impl Default for Display {
    fn default() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { next: Instant::now() + PATIENCE, terminal, shown: false }
    }
}

impl Display {
    /// Shows where the work is, unless it has just done so.
    pub(super) fn show(&mut self, progress: Progress<'_>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + if self.terminal { ON_TERMINAL } else { ELSEWHERE };
        let Progress { doing, file, done, total } = progress;
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100).min(100);
        let mut stderr = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = match self.terminal {
            true => write!(stderr, "\r\x1b[K{percent:3} % {doing} {file}"),
            false => writeln!(stderr, "{percent} % {doing} {file}"),
        };
        let _ = stderr.flush();
        self.shown = true;
    }

    /// Clears the line.
    pub(super) fn end(&mut self) {
        if self.shown && self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
