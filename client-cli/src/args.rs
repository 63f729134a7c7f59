//! The command line as clap reads it: the global options and the one list of verbs.

use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use tidekeep_client::Freshness;

use crate::exit;
use crate::input::Reading;
use crate::output::Format;
use crate::time::duration;
use crate::verb;

/// Tidekeep's command line: a key-value store with live watches, on one port.
#[derive(Debug, Parser)]
#[command(
    name = "tidekeep",
    version,
    propagate_version = false,
    after_help = format!("{EXAMPLES}\n\n{}", exit::TABLE),
    disable_help_subcommand = true,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server: HOST:PORT, tcp://HOST:PORT, ws://HOST:PORT/ws or http://HOST:PORT; several nodes
    /// of a cluster with commas between them
    /// [default: KV_HOST:KV_PORT, else 127.0.0.1:8080]
    #[arg(long, short, global = true, value_name = "URL", env = "TIDEKEEP_SERVER")]
    #[arg(hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// What results look like: text for people, json for programs (one object a line), raw for
    /// exactly the bytes
    #[arg(long, short, global = true, value_name = "FORMAT", default_value = "text")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: Format,
    /// How long a request may take
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = duration)]
    pub(crate) timeout: Duration,
    /// How new what is read must be in a cluster: `newest`; `lease`, as new while the nodes' clocks run
    /// alike, without asking a quorum; or a duration, as 500ms, for what any node knows to be no older
    #[arg(long, global = true, value_name = "FRESHNESS", default_value = "newest")]
    #[arg(value_parser = freshness)]
    pub(crate) reads: Freshness,
    /// Keys and values in arguments have escapes: \n \t \xNN \\
    #[arg(long, short, global = true)]
    escaped: bool,
    /// Says on standard error what the connection does
    #[arg(long, short, global = true, env = "KV_VERBOSE", hide_env_values = true)]
    #[arg(action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) verbose: bool,
}

impl Global {
    /// How keys and values in arguments become bytes.
    pub(crate) fn reading(&self) -> Reading {
        if self.escaped { Reading::Escaped } else { Reading::Exact }
    }

    /// Takes what a line of the shell does not say from the shell's own options. The server is
    /// always the shell's.
    pub(crate) fn inherit(&mut self, shell: &Self, given: &[&str]) {
        let said = |name| given.contains(&name);
        self.server.clone_from(&shell.server);
        if !said("output") {
            self.output = shell.output;
        }
        if !said("timeout") {
            self.timeout = shell.timeout;
        }
        if !said("reads") {
            self.reads = shell.reads;
        }
        self.escaped |= shell.escaped;
        self.verbose |= shell.verbose;
    }
}

/// Every verb. Each has its file in `verb/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Get(verb::get::GetArgs),
    Put(verb::put::PutArgs),
    Delete(verb::delete::DeleteArgs),
    List(verb::list::ListArgs),
    Watch(verb::watch::WatchArgs),
    History(verb::history::HistoryArgs),
    Touch(verb::touch::TouchArgs),
    Incr(verb::incr::IncrArgs),
    Txn(verb::txn::TxnArgs),
    Lease(verb::lease::LeaseArgs),
    Lock(verb::lock::LockArgs),
    Elect(verb::lock::ElectArgs),
    Import(verb::import::ImportArgs),
    Export(verb::export::ExportArgs),
    Backup(verb::backup::BackupArgs),
    Ping(verb::ping::PingArgs),
    Status(verb::status::StatusArgs),
    Sessions(verb::sessions::SessionsArgs),
    Cluster(verb::cluster::ClusterArgs),
    Test(verb::test::TestArgs),
    Bench(verb::bench::BenchArgs),
    Shell(verb::shell::ShellArgs),
    Completions(verb::completions::CompletionsArgs),
}

fn freshness(text: &str) -> Result<Freshness, String> {
    match text {
        "newest" => Ok(Freshness::Linearizable),
        "lease" => Ok(Freshness::Lease),
        text => {
            let most = duration(text)
                .map_err(|_| "it is none of newest, lease, or a duration as 500ms")?;
            let ms = u32::try_from(most.as_millis()).map_err(|_| "it is more than 49 days")?;
            Ok(Freshness::Within(ms))
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  tidekeep put name \"John Doe\"        set a key
  tidekeep get name                    print its value and nothing else
  tidekeep watch --content             print what is there, then every change
  tidekeep list app/ --keys-only       the keys that begin with app/
  tidekeep import packages.jsonl       load a file of JSON lines
  tidekeep shell                       the same verbs, interactively

`tidekeep VERB --help` shows a verb's options and examples.";
