//! `lock` and `elect`: hold a key that only one can hold, for as long as a command runs, or until
//! Ctrl-C.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Client, Code, Lock};
use tokio::process::{Child, Command};

use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, note};
use crate::session::{Session, until_interrupted};
use crate::time::duration;
use crate::verb::watch;

const LOCK_EXAMPLES: &str = "\
Waits until nobody holds NAME, then holds it: until the command is done, or until Ctrl-C without one.
Whoever holds it is seen under the key NAME. If the holder vanishes, the next one gets it after --ttl.

Examples:
  tidekeep lock jobs/nightly -- ./nightly.sh        only one machine runs it at a time
  tidekeep lock deploy --ttl 30s -- make deploy
  tidekeep lock jobs/nightly                        hold it by hand; Ctrl-C gives it on

TIDEKEEP_LOCK_FENCING in the command's environment grows from holder to holder: hand it to what the
lock protects, so that it can refuse a holder who has lost the lock without knowing. When the lock is
lost the command is killed, and the exit code is 8. Else it is the command's own.";

const ELECT_EXAMPLES: &str = "\
Waits until nobody leads under NAME, then leads with VALUE: until the command is done, or until Ctrl-C
without one. Everybody sees the leader as the value of the key NAME.

Examples:
  tidekeep elect leader node-1                      lead by hand; Ctrl-C steps back
  tidekeep elect leader node-1 -- ./lead.sh         run this while leading
  tidekeep elect leader --observe                   print each leader as it comes

Fencing, loss and exit codes are as `tidekeep lock --help` says.";

/// Hold a lock while a command runs
#[derive(Debug, Args)]
#[command(after_help = LOCK_EXAMPLES)]
pub(crate) struct LockArgs {
    /// The lock: a key that is there while somebody holds it
    #[arg(value_name = "NAME")]
    name: OsString,
    /// What others see as the key's value [default: the process's number]
    #[arg(long, value_name = "TEXT")]
    value: Option<OsString>,
    #[command(flatten)]
    holding: Holding,
}

/// Lead while a command runs, or see who leads
#[derive(Debug, Args)]
#[command(after_help = ELECT_EXAMPLES)]
pub(crate) struct ElectArgs {
    /// The election: a key whose value is the leader's
    #[arg(value_name = "NAME")]
    name: OsString,
    /// What everybody sees while this one leads
    #[arg(value_name = "VALUE", required_unless_present = "observe")]
    value: Option<OsString>,
    /// Print each leader as it comes, and do not stand
    #[arg(long, conflicts_with_all = ["value", "command"])]
    observe: bool,
    #[command(flatten)]
    holding: Holding,
}

#[derive(Debug, Args)]
struct Holding {
    /// How long it stays held after its holder has vanished: 200ms to 30d
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    ttl: Duration,
    /// The command to run while it is held, behind `--`
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<OsString>,
}

/// Runs the verb `lock`.
pub(crate) async fn run(args: LockArgs, session: &mut Session) -> Result<Exit, Failure> {
    let name = session.reading().key(&args.name)?;
    let value = match &args.value {
        Some(value) => session.reading().value(value)?,
        None => format!("process {}", std::process::id()).into_bytes(),
    };
    hold(&name, &value, &args.holding, session).await
}

/// Runs the verb `elect`.
pub(crate) async fn elect(args: ElectArgs, session: &mut Session) -> Result<Exit, Failure> {
    let name = session.reading().key(&args.name)?;
    match args.value {
        Some(value) => {
            let value = session.reading().value(&value)?;
            hold(&name, &value, &args.holding, session).await
        }
        None => watch::observe(&name, session).await,
    }
}

async fn hold(
    name: &[u8],
    value: &[u8],
    holding: &Holding,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let client: Client = session.client().await?;
    let waiting = client.lock(name, value, holding.ttl);
    let Some(lock) = until_interrupted(waiting).await else { return Ok(Exit::Interrupted) };
    let lock = lock?;
    print(session, name, &lock)?;
    let ended = match holding.command.split_first() {
        None => by_hand(&lock).await,
        Some((program, arguments)) => beside(program, arguments, &lock).await,
    };
    let outcome = match ended {
        Ok(exit) => Ok(exit),
        Err(End::Failed(failure)) => Err(failure),
        Err(End::Lost(reason)) => {
            return Err(Failure::lock_lost(&escape(name), reason.code(), reason.message()));
        }
    };
    match lock.release().await {
        Ok(true) => outcome,
        Ok(false) => {
            let reason = "its time was over before it was released";
            Err(Failure::lock_lost(&escape(name), Code::NotFound, reason))
        }
        // It ends by itself; what the command came to is worth more.
        Err(error) => {
            note(format_args!("the lock is not released, and ends after its ttl: {error}"));
            outcome
        }
    }
}

/// Why holding ended before its time.
enum End {
    Lost(tidekeep_client::Error),
    Failed(Failure),
}

async fn by_hand(lock: &Lock) -> Result<Exit, End> {
    tokio::select! {
        reason = lock.lost() => Err(End::Lost(reason)),
        Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        () = terminated() => Ok(Exit::Interrupted),
    }
}

/// Resolves when the process is asked to end by SIGTERM, as service managers do.
async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut signals) = signal(SignalKind::terminate()) {
            signals.recv().await;
            return;
        }
    }
    std::future::pending().await
}

async fn beside(program: &OsString, arguments: &[OsString], lock: &Lock) -> Result<Exit, End> {
    let started = Command::new(program)
        .args(arguments)
        .env("TIDEKEEP_LOCK_FENCING", lock.fencing().to_string())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| {
        let program = program.to_string_lossy();
        End::Failed(Failure::new(Code::InvalidInput, format!("cannot run {program}: {error}")))
    })?;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            reason = lock.lost() => {
                kill(&mut child).await;
                return Err(End::Lost(reason));
            }
            // The command gets the signal itself and decides; the lock is held until it is done.
            Ok(()) = tokio::signal::ctrl_c() => {}
            // Only this process gets this one. Without the lock the command must not go on.
            () = terminated() => {
                kill(&mut child).await;
                return Ok(Exit::Interrupted);
            }
        }
    };
    match ended {
        Ok(status) if status.success() => Ok(Exit::Done),
        Ok(status) => Err(End::Failed(command_failed(status))),
        Err(error) => Err(End::Failed(error.into())),
    }
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        note(format_args!("the command could not be killed: {error}"));
    }
}

/// The command has said what was wrong; its code is passed on.
fn command_failed(status: ExitStatus) -> Failure {
    // Ended by a signal, it has none.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
    Failure::Command(code)
}

fn print(session: &mut Session, name: &[u8], lock: &Lock) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Held {
        held: bool,
        fencing: u64,
    }
    let out = session.out();
    let fencing = lock.fencing();
    match out.format() {
        Format::Json => out.json(&Held { held: true, fencing })?,
        Format::Text => note(format_args!("holding \"{}\", fencing {fencing}", escape(name))),
        Format::Raw => {}
    }
    out.flush()
}
