//! The verbs, a file for each, and the one place that runs them.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::args::Verb;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod incr;
pub(crate) mod lease;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod ping;
pub(crate) mod put;
pub(crate) mod sessions;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod touch;
pub(crate) mod txn;
pub(crate) mod watch;

/// The runtime that suits the verb: one thread, which starts fastest, unless the connection has to
/// go on while the verb's own thread is busy.
pub(crate) fn runtime(verb: &Verb) -> io::Result<Runtime> {
    match verb {
        Verb::Shell(_) | Verb::Import(_) | Verb::Export(_) | Verb::Backup(_) => {
            Builder::new_multi_thread().worker_threads(1).enable_all().build()
        }
        _ => Builder::new_current_thread().enable_all().build(),
    }
}

/// Whether the verb ends in its own way on Ctrl-C: with a summary, or after cleaning up.
pub(crate) fn minds_interrupt(verb: &Verb) -> bool {
    match verb {
        Verb::Lock(_)
        | Verb::Elect(_)
        | Verb::Watch(_)
        | Verb::Import(_)
        | Verb::Ping(_)
        | Verb::Test(_)
        | Verb::Bench(_) => true,
        Verb::Get(_)
        | Verb::Put(_)
        | Verb::Delete(_)
        | Verb::List(_)
        | Verb::History(_)
        | Verb::Touch(_)
        | Verb::Incr(_)
        | Verb::Lease(_)
        | Verb::Txn(_)
        | Verb::Export(_)
        | Verb::Backup(_)
        | Verb::Status(_)
        | Verb::Sessions(_)
        | Verb::Cluster(_)
        | Verb::Shell(_)
        | Verb::Completions(_) => false,
    }
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Get(args) => get::run(args, session).await,
        Verb::Put(args) => put::run(args, session).await,
        Verb::Delete(args) => delete::run(args, session).await,
        Verb::List(args) => list::run(args, session).await,
        Verb::Watch(args) => watch::run(args, session).await,
        Verb::History(args) => history::run(args, session).await,
        Verb::Touch(args) => touch::run(args, session).await,
        Verb::Incr(args) => incr::run(args, session).await,
        Verb::Lock(args) => lock::run(args, session).await,
        Verb::Elect(args) => lock::elect(args, session).await,
        Verb::Lease(args) => lease::run(args, session).await,
        Verb::Txn(args) => txn::run(args, session).await,
        Verb::Import(args) => import::run(args, session).await,
        Verb::Export(args) => export::run(args, session).await,
        Verb::Backup(args) => backup::run(args, session).await,
        Verb::Ping(args) => ping::run(args, session).await,
        Verb::Status(args) => status::run(args, session).await,
        Verb::Sessions(args) => sessions::run(args, session).await,
        Verb::Cluster(args) => cluster::run(args, session).await,
        Verb::Test(args) => test::run(args, session).await,
        Verb::Bench(args) => bench::run(args, session).await,
        Verb::Shell(args) => shell::run(args, session).await,
        Verb::Completions(args) => completions::run(args, session),
    }
}
