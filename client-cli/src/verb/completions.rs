//! `completions`: a script that teaches a shell this program's verbs and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep completions bash > ~/.local/share/bash-completion/completions/tidekeep
  tidekeep completions zsh > ~/.zfunc/_tidekeep      with ~/.zfunc in fpath
  tidekeep completions fish > ~/.config/fish/completions/tidekeep.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Runs the verb.
pub(crate) fn run(args: CompletionsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidekeep", &mut script);
    session.out().bytes(&script)?;
    Ok(Exit::Done)
}
