//! `txn`: compares, then one of two lists of operations, all at once or not at all.

use std::ffi::OsString;
use std::fs::File;

use clap::Args;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::read_all;
use crate::session::Session;
use crate::txn::{Script, results};

const EXAMPLES: &str = "\
Examples:
  tidekeep txn 'if lock absent' 'then put lock me --ttl 10s' 'else get lock'
  tidekeep txn 'incr from --by -5' 'incr to --by 5'       both or neither
  tidekeep txn < transfer.txn                             a clause a line, # begins a comment
  tidekeep txn --file transfer.json

The language, a clause a line or an argument:
  if KEY absent | if KEY present | if KEY revision N | if KEY value VALUE
  then STEP            runs if every `if` holds; `then` may be left out
  else STEP            runs if one of them does not
where STEP is a verb with its options:
  get KEY
  put KEY VALUE        --ttl --expires-at --keep-ttl --if-absent --if-present --if-revision
                       --if-value --prev
  delete KEY           --if-... --prev
  delete --prefix P    as many keys as the server removes at once, 10,000 by default
  touch KEY            --ttl --expires-at --persist --if-...
  incr KEY             --by N --ttl --expires-at
Words are parted by spaces; \"double quotes\" hold them together and read \\n \\t \\xNN, 'single quotes'
take everything as it stands. Steps see the effects of those before them. A step's own condition that
does not hold undoes the whole transaction.

As JSON (a script that begins with a brace):
  {\"if\": [{\"key\": \"lock\", \"absent\": true}],
   \"then\": [{\"put\": {\"key\": \"lock\", \"value\": \"me\", \"ttl_ms\": 10000}}],
   \"else\": [{\"get\": {\"key\": \"lock\"}}]}
  if: absent, present, revision, value; steps: get, put, delete (key or prefix), touch, incr;
  key_base64 and value_base64 for bytes that are no text.

Prints a line for each step that ran; -o raw prints the values of `get` alone.
Exit code 3 when an `if` does not hold, whether or not there is an else.";

/// Run several operations at once or not at all
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TxnArgs {
    /// The clauses; standard input is read when there are none
    #[arg(value_name = "CLAUSE", conflicts_with = "file")]
    clauses: Vec<OsString>,
    /// Read the clauses or JSON from a file, - for standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<OsString>,
}

/// Runs the verb.
pub(crate) async fn run(args: TxnArgs, session: &mut Session) -> Result<Exit, Failure> {
    let reading = session.reading();
    let script = if args.clauses.is_empty() {
        Script::parse(&read(args.file.as_ref())?, reading)?
    } else {
        let clauses = args.clauses.iter().map(|clause| clause.as_encoded_bytes());
        Script::from_clauses(clauses, reading)?
    };
    let done = session.client().await?.txn(script.to_txn()).await?;
    results::print(&script, &done, session.out())
}

fn read(file: Option<&OsString>) -> Result<Vec<u8>, Failure> {
    match file {
        Some(path) if path != "-" => {
            let name = path.to_string_lossy();
            let file = File::open(path)
                .map_err(|error| Failure::invalid(format!("{name} cannot be read: {error}")))?;
            read_all(file, &name)
        }
        _ => read_all(std::io::stdin().lock(), "standard input"),
    }
}
