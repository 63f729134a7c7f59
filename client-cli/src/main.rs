//! The program `tidekeep`; all of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidekeep_cli::run()
}
