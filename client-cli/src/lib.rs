//! `tidekeep`, the command line: reads the arguments, runs one verb, ends with its exit code.
//! `args.rs` lists the verbs, `verb/` holds a file for each. A library only so that what it reads
//! can be fuzzed; the program is `main.rs`.

mod address;
mod args;
mod backup_file;
mod bench;
mod beside;
mod columns;
mod descendants;
mod entry_text;
mod escape;
mod exit;
mod failure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod input;
mod json;
mod loader;
mod output;
mod progress;
mod range_args;
mod record;
mod selftest;
mod session;
mod shell;
mod time;
mod txn;
mod verb;
mod words;
mod write_args;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Global};
use crate::session::Session;

/// Runs the command line of this process to its exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli.global);
    let runtime = match verb::runtime(&cli.verb) {
        Ok(runtime) => runtime,
        Err(error) => {
            output::report(&error.into());
            return exit::Exit::Storage.into();
        }
    };
    let mut session = Session::new(cli.global, runtime.handle().clone());
    let result = runtime.block_on(verb::run(cli.verb, &mut session));
    let exit = session::settle(&mut session, result);
    runtime.block_on(session.close());
    // A thread that still reads standard input must not keep the process alive.
    runtime.shutdown_background();
    exit.into()
}

/// Sends log lines to standard error: warnings, or with `-v` all that the connection does.
fn start_log(global: &Global) {
    let level = if global.verbose { tracing::Level::DEBUG } else { tracing::Level::ERROR };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(output::errors_in_colour())
        .with_target(false)
        .init();
}
