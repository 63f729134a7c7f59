//! `lock` and `elect`: hold a key that only one can hold, for as long as a command runs, or until
//! Ctrl-C.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Client, Code, Lock};

use crate::beside::{Beside, Ended, asked_to_end};
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
lost the command is killed with all that it started, and the exit code is 8. Else it is the command's own.

On SIGTERM or SIGHUP the command and all that it started get SIGTERM, and SIGKILL after 10 seconds; the
lock is released when they are gone. What a command that is done left running is ended in the same way,
but for daemons that made a session of their own (setsid).";

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
        () = asked_to_end() => Ok(Exit::Interrupted),
    }
}

/// Runs the command; the lock is held until nothing of it is left.
async fn beside(program: &OsString, arguments: &[OsString], lock: &Lock) -> Result<Exit, End> {
    let fencing = ("TIDEKEEP_LOCK_FENCING", lock.fencing().to_string());
    let mut command = Beside::start(program, arguments, fencing).map_err(|error| {
        let program = program.to_string_lossy();
        End::Failed(Failure::new(Code::InvalidInput, format!("cannot run {program}: {error}")))
    })?;
    let ended = tokio::select! {
        ended = command.run() => ended,
        reason = lock.lost() => {
            command.kill().await;
            return Err(End::Lost(reason));
        }
    };
    match ended {
        Ok(Ended::Asked) => Ok(Exit::Interrupted),
        Ok(Ended::Itself(status)) if status.success() => Ok(Exit::Done),
        // The command has said what was wrong; its code is passed on. Ended by a signal, it has none.
        Ok(Ended::Itself(status)) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
            Err(End::Failed(Failure::Command(code)))
        }
        Err(error) => Err(End::Failed(error.into())),
    }
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
