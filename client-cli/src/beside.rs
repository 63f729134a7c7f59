//! A command that runs beside this process for as long as it may: it ends with all that it started.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep, timeout};

use crate::descendants::{self, Reach};
use crate::output::note;

/// How long what was asked to end has for it.
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait for what was killed when waiting protects nothing any more.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Between two looks at what has not ended: nothing tells when somebody else's child has.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the command came to its end.
pub(crate) enum Ended {
    Itself(ExitStatus),
    /// This process was asked to end, and has ended the command.
    Asked,
}

/// A running command.
pub(crate) struct Beside {
    child: Child,
    own: Option<u32>,
}

impl Beside {
    pub(crate) fn start(
        program: &OsString,
        arguments: &[OsString],
        (name, value): (&str, String),
    ) -> io::Result<Self> {
        descendants::adopt()?;
        let child =
            Command::new(program).args(arguments).env(name, value).kill_on_drop(true).spawn()?;
        let own = child.id();
        Ok(Self { child, own })
    }

    /// Waits until the command is done or this process is asked to end, and then until nothing of it
    /// is left.
    pub(crate) async fn run(&mut self) -> io::Result<Ended> {
        let mut children = unix::signal(SignalKind::child())?;
        let asked = asked_to_end();
        tokio::pin!(asked);
        loop {
            tokio::select! {
                ended = self.child.wait() => {
                    let ended = ended?;
                    if self.is_left(Reach::Session) {
                        note("the command is done; what it left running is ended");
                        self.end(Reach::Session).await;
                    }
                    return Ok(Ended::Itself(ended));
                }
                // The command gets the terminal's signal itself and decides.
                Ok(()) = tokio::signal::ctrl_c() => {}
                // Only this process gets this one. Without it the command must not go on.
                () = &mut asked => {
                    self.end(Reach::All).await;
                    return Ok(Ended::Asked);
                }
                Some(()) = children.recv() => descendants::reap(self.own),
            }
        }
    }

    /// Asks the processes to end, and makes them when that takes too long. However long it takes: what
    /// they need of this process must be theirs until they are gone.
    async fn end(&mut self, reach: Reach) {
        let until = Instant::now() + GRACE;
        self.signal(reach, Signal::TERM);
        // One that was stopped cannot act on it.
        self.signal(reach, Signal::CONT);
        while self.is_left(reach) {
            if Instant::now() >= until {
                self.signal(reach, Signal::KILL);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the command and all that it started at once.
    pub(crate) async fn kill(&mut self) {
        // More than once: between a look and a signal there may be new ones.
        let gone = timeout(KILL_WAIT, async {
            while self.is_left(Reach::All) {
                self.signal(Reach::All, Signal::KILL);
                sleep(LOOK_EVERY).await;
            }
        });
        if gone.await.is_err() {
            note("some of what the command started could not be killed");
        }
    }

    /// Sends a signal to all within reach: where the system does not list them, to the command alone.
    fn signal(&mut self, reach: Reach, signal: Signal) {
        if descendants::signal(reach, signal) == 0 && matches!(self.child.try_wait(), Ok(None)) {
            descendants::signal_one(self.own, signal);
        }
    }

    /// Whether there are processes that have not ended. Those that have are taken note of.
    fn is_left(&mut self, reach: Reach) -> bool {
        let child = matches!(self.child.try_wait(), Ok(None));
        // Counted first: what ends after that is found next time, and nothing stays behind as a zombie.
        let left = descendants::count(reach) > 0;
        descendants::reap(self.own.filter(|_| child));
        child || left
    }
}

/// Resolves when this process is asked to end by SIGTERM, as service managers do, or by SIGHUP, as a
/// terminal does that goes away.
pub(crate) async fn asked_to_end() {
    let hangup_was_ignored = ignores_hangup();
    let signals = (unix::signal(SignalKind::terminate()), unix::signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut hangup)) = signals else { return std::future::pending().await };
    tokio::select! {
        Some(()) = terminate.recv() => {}
        Some(()) = hangup.recv(), if !hangup_was_ignored => {}
        else => std::future::pending().await,
    }
}

/// Whether this process was started so that it outlives its terminal, as by nohup.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit is the signal with the number 1.
    ignored.is_some_and(|mask| mask & 1 != 0)
}
