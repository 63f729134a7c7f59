//! `tidekeep-server`: flags, a server, signals, an exit code. Or, with a command, work on a data
//! directory that no server runs on.

mod offline;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tidekeep_server::config::Config;
use tidekeep_server::config::args::{Args, Command};
use tidekeep_server::{Server, StartError, Stopped};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::error;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Entries come and go in every size for as long as the server runs: size classes keep that quick and
/// the memory together. docs/benchmarks.md says what it gave.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What the process ends with; `--help` lists them.
mod exit {
    pub(crate) const DRAINED: u8 = 0;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const DATA_DIRECTORY: u8 = 3;
    pub(crate) const DAMAGED: u8 = 4;
    pub(crate) const CANNOT_LISTEN: u8 = 5;
    pub(crate) const NOT_TAKEN: u8 = 6;
    pub(crate) const STORAGE_FAILED: u8 = 7;
    pub(crate) const REMOVED: u8 = 8;
    /// As a shell reports a process that a signal ended.
    pub(crate) const IMPATIENT: u8 = 130;
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Offline(command)) = &args.command {
        return offline::run(command).into();
    }
    let config = match Config::resolve(args) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return exit::USAGE.into();
        }
    };
    start_log(config.verbose);
    let runtime = match serving_threads(config.threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start threads");
            return exit::CANNOT_LISTEN.into();
        }
    };
    let code = runtime.block_on(run(config));
    // Connections that were cut need not be waited for: everything is on disk.
    runtime.shutdown_background();
    code.into()
}

/// So many threads, or one for each core.
fn serving_threads(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("serving").enable_all().build()
}

async fn run(config: Config) -> u8 {
    let signals =
        signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "cannot listen for signals");
            return exit::CANNOT_LISTEN;
        }
    };
    let running = match Server::start(config).await {
        Ok(running) => running,
        Err(error) => {
            eprintln!("error: {error}");
            return start_code(&error);
        }
    };
    announce(&format!("listening on http://{}", running.address()));
    let stopper = running.stopper();
    let mut stopped = std::pin::pin!(running.wait());
    tokio::select! {
        stopped = &mut stopped => return stop_code(&stopped),
        () = either(&mut terminate, &mut interrupt) => stopper.stop(),
    }
    tokio::select! {
        stopped = &mut stopped => stop_code(&stopped),
        () = either(&mut terminate, &mut interrupt) => exit::IMPATIENT,
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The one line on standard output. Whoever started the server may have closed it; it serves all
/// the same.
fn announce(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn start_code(error: &StartError) -> u8 {
    match error {
        StartError::Listen { .. } => exit::CANNOT_LISTEN,
        StartError::Open(error) => offline::code(error),
        StartError::Config(_) => exit::USAGE,
        StartError::Node(error) if error.is_refusal() => exit::NOT_TAKEN,
        StartError::Node(error) if error.is_damage() => exit::DAMAGED,
        StartError::Node(_) => exit::DATA_DIRECTORY,
    }
}

fn stop_code(stopped: &Stopped) -> u8 {
    match stopped {
        Stopped::Drained => exit::DRAINED,
        Stopped::StorageFailed(reason) => {
            eprintln!("error: storage failed: {reason}");
            exit::STORAGE_FAILED
        }
        Stopped::Removed => {
            eprintln!("error: this node was removed from its cluster; its data can be deleted");
            exit::REMOVED
        }
    }
}

fn start_log(verbose: bool) {
    let level = if verbose { tracing::Level::DEBUG } else { tracing::Level::INFO };
    // The engine tells every step of an election: what concerns who runs a cluster, its status says.
    let levels = Targets::new().with_default(level).with_target("openraft", tracing::Level::ERROR);
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_filter(levels);
    tracing_subscriber::registry().with(lines).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_serve_as_are_asked_for() {
        let cores = std::thread::available_parallelism().expect("the system knows its cores").get();
        for (asked, expected) in [(0, cores), (1, 1), (3, 3)] {
            let runtime = serving_threads(asked).expect("threads can be started");
            assert_eq!(runtime.metrics().num_workers(), expected, "{asked}");
        }
    }
}
