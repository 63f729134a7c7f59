//! How far a long command has got, on standard error: a bar on a terminal, a line a second when it
//! was asked for elsewhere, nothing otherwise.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::note;

/// What a bar's length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Bytes of a file.
    Bytes(u64),
    /// Entries.
    Entries(u64),
    /// The end is not known.
    Unknown,
}

/// A progress display.
pub(crate) struct Progress {
    shown: Shown,
    begun: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines { next: Instant },
    Nothing,
}

impl Progress {
    /// Begins to show progress if a person is looking or `always` asks for it.
    pub(crate) fn start(length: Length, always: bool) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            Shown::Bar(bar(length))
        } else if always {
            Shown::Lines { next: Instant::now() + LINE_PAUSE }
        } else {
            Shown::Nothing
        };
        Self { shown, begun: Instant::now() }
    }

    /// A display that shows nothing.
    pub(crate) fn silent() -> Self {
        Self { shown: Shown::Nothing, begun: Instant::now() }
    }

    /// Moves to `position` of the length, with so many records done.
    pub(crate) fn set(&mut self, position: u64, done: u64) {
        let text = || format!("{}, {}/s", records(done), HumanCount(self.rate(done)));
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(text());
            }
            Shown::Lines { next } if Instant::now() >= *next => {
                note(text());
                self.shown = Shown::Lines { next: Instant::now() + LINE_PAUSE };
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    /// Moves to so many bytes of a length that is known better and better.
    pub(crate) fn bytes(&mut self, done: u64, total: u64) {
        let text = || format!("{} of {}", HumanBytes(done), HumanBytes(total));
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(text());
            }
            Shown::Lines { next } if Instant::now() >= *next => {
                note(text());
                self.shown = Shown::Lines { next: Instant::now() + LINE_PAUSE };
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    /// Says something without tearing the bar.
    pub(crate) fn say(&self, say: impl FnOnce()) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(say),
            Shown::Lines { .. } | Shown::Nothing => say(),
        }
    }

    /// Takes the bar away; what comes next is the summary.
    pub(crate) fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    /// How long it has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Records a second since the beginning.
    fn rate(&self, records: u64) -> u64 {
        (records as f64 / self.begun.elapsed().as_secs_f64().max(1e-3)) as u64
    }
}

/// How many records, in words.
pub(crate) fn records(count: u64) -> String {
    let noun = if count == 1 { "record" } else { "records" };
    format!("{} {noun}", HumanCount(count))
}

fn bar(length: Length) -> ProgressBar {
    let (total, template) = match length {
        Length::Bytes(total) => (Some(total), MEASURED),
        Length::Entries(total) => (Some(total), MEASURED),
        Length::Unknown => (None, UNMEASURED),
    };
    let target = ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND);
    let bar = ProgressBar::with_draw_target(total, target);
    // The templates are constants; were one wrong, the default style would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.enable_steady_tick(TICK);
    bar
}

const MEASURED: &str = "{bar:32.cyan} {percent:>3}%  {msg}  ETA {eta}";
const UNMEASURED: &str = "{spinner:.cyan} {msg}  {elapsed}";
const FRAMES_PER_SECOND: u8 = 10;
const TICK: Duration = Duration::from_millis(200);
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// A line on a terminal that says how fast something goes at the moment.
pub(crate) struct Pulse(Option<ProgressBar>);

impl Pulse {
    /// Begins to show it if a person is looking.
    pub(crate) fn start() -> Self {
        Self(std::io::stderr().is_terminal().then(|| bar(Length::Unknown)))
    }

    /// What was done in the last second.
    pub(crate) fn rate(&mut self, operations: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("{} operations/s", HumanCount(operations)));
        }
    }

    /// Takes the line away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
