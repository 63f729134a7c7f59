//! `shell`: the same verbs, a line each, with history and completion.

use std::io::{BufRead, IsTerminal};

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::args::{Cli, Global, Verb};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::argument;
use crate::output::{note, report};
use crate::session::{self, Session, until_interrupted};
use crate::shell::{Keys, ShellHelper, history};
use crate::words;

const EXAMPLES: &str = "\
Examples:
  tidekeep shell                    on the default server
  tidekeep shell < commands.txt     run the lines of a file; the exit code is the last line's

Inside: the verbs as on the command line, without `tidekeep`. Tab completes verbs, options and keys.
\"Double quotes\" read \\n \\t \\xNN, 'single quotes' take everything as it stands, # begins a comment.
Ctrl-C ends a watch or clears the line; Ctrl-D or `exit` leaves.";

/// Type commands interactively
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShellArgs {
    /// Keep no history of what is typed
    #[arg(long)]
    no_history: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: ShellArgs, session: &mut Session) -> Result<Exit, Failure> {
    let address = session.address()?;
    if let Err(failure) = session.client().await {
        // The shell may be opened before the server is: each line tries again.
        report(&failure);
    }
    if std::io::stdin().is_terminal() {
        interactive(&args, &address, session).await
    } else {
        script(session).await
    }
}

/// Runs the lines of standard input; a line of its own for each command.
async fn script(session: &mut Session) -> Result<Exit, Failure> {
    let mut last = Exit::Done;
    loop {
        let mut line = Vec::new();
        // Locked for one line at a time: a value given as `-` reads what follows.
        let read = std::io::stdin().lock().read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(&error))? == 0 || leaves(&line) {
            return Ok(last);
        }
        last = run_line(&line, session).await.unwrap_or(last);
    }
}

async fn interactive(
    args: &ShellArgs,
    address: &str,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let mut editor = editor(session)?;
    let history = history::path().filter(|_| !args.no_history);
    if let Some(path) = &history {
        // A first start has no history yet.
        let _ = editor.load_history(path);
    }
    note("`--help` lists the verbs, Tab completes, Ctrl-D leaves");
    let exit = type_lines(&mut editor, address, session).await;
    if let Some(path) = &history
        && let Err(error) = history::save(&mut editor, path)
    {
        note(format_args!("the history cannot be kept in {}: {error}", path.display()));
    }
    exit
}

type ShellEditor = Editor<ShellHelper, FileHistory>;

fn editor(session: &Session) -> Result<ShellEditor, Failure> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .history_ignore_space(true)
        .build();
    let history = FileHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)
        .map_err(|error| Failure::invalid(format!("the terminal cannot be used: {error}")))?;
    let keys = Keys::new(session.connected(), session.runtime().clone());
    editor.set_helper(Some(ShellHelper::new(keys)));
    Ok(editor)
}

async fn type_lines(
    editor: &mut ShellEditor,
    address: &str,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let mut last = Exit::Done;
    loop {
        let prompt = session.prompt(address);
        // The connection goes on on the runtime's other thread while this one waits for a person.
        let line = tokio::task::block_in_place(|| editor.readline(&prompt));
        match line {
            Ok(line) if leaves(line.as_bytes()) => return Ok(last),
            Ok(line) => last = run_line(line.as_bytes(), session).await.unwrap_or(last),
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(last),
            Err(error) => return Err(unreadable(&error)),
        }
        if let Some(helper) = editor.helper_mut() {
            helper.set_client(session.connected());
        }
    }
}

fn leaves(line: &[u8]) -> bool {
    matches!(line.trim_ascii(), b"exit" | b"quit")
}

fn unreadable(error: &impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("the input cannot be read: {error}"))
}

/// Runs one line; `None` when there is nothing on it.
async fn run_line(line: &[u8], session: &mut Session) -> Option<Exit> {
    let words = match words::split(line) {
        Ok(words) if words.is_empty() => return None,
        Ok(words) => words,
        Err(error) => {
            let failure = Failure::invalid(error.to_string());
            report(&failure);
            return Some(failure.exit());
        }
    };
    let cli = match parse(words, session.global()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return Some(if error.use_stderr() { Exit::Invalid } else { Exit::Done });
        }
    };
    let mut inner = session.for_line(cli.global);
    let minds_interrupt = crate::verb::minds_interrupt(&cli.verb);
    let running = Box::pin(verb_of_line(cli.verb, &mut inner));
    let result = if minds_interrupt {
        running.await
    } else {
        until_interrupted(running).await.unwrap_or(Err(Failure::Said(Exit::Interrupted)))
    };
    let exit = session::settle(&mut inner, result);
    session.adopt(inner);
    Some(exit)
}

async fn verb_of_line(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Shell(_) => Err(Failure::invalid("this is the shell already")),
        verb => crate::verb::run(verb, session).await,
    }
}

/// Reads a line as the command line would, with the shell's own options as defaults.
fn parse(words: Vec<Vec<u8>>, defaults: &Global) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().no_binary_name(true);
    let mut matches = command.try_get_matches_from_mut(words.into_iter().map(argument))?;
    let given: Vec<&str> = ["output", "timeout"]
        .into_iter()
        .filter(|name| matches.value_source(name) == Some(ValueSource::CommandLine))
        .collect();
    let mut cli = Cli::from_arg_matches_mut(&mut matches)?;
    cli.global.inherit(defaults, &given);
    Ok(cli)
}
