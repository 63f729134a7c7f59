//! What a verb is given: the global options, standard output, and the connection, which is opened
//! by the first verb that needs it.

use std::future::Future;

use tidekeep_client::{Client, Code, Error, Options, State};
use tidekeep_protocol::limits::Limits;
use tokio::runtime::Handle;

use crate::address;
use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::Reading;
use crate::output::{self, Out};

/// The surroundings of one command, or of one line of the shell.
pub(crate) struct Session {
    global: Global,
    out: Out,
    client: Option<Client>,
    runtime: Handle,
}

impl Session {
    /// A session that has not connected yet.
    pub(crate) fn new(global: Global, runtime: Handle) -> Self {
        let out = Out::new(global.output);
        Self { global, out, client: None, runtime }
    }

    /// The session for a line of the shell: its own options, the same connection.
    pub(crate) fn for_line(&self, global: Global) -> Self {
        let own = |client: &Client| client.with_timeout(global.timeout).with_reads(global.reads);
        let client = self.client.as_ref().map(own);
        Self { out: Out::new(global.output), global, client, runtime: self.runtime.clone() }
    }

    /// The connection, opened now if it is not yet.
    pub(crate) async fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = self.connect().await?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// A further connection of its own.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let url = self.address()?;
        let mut options = Options::default().timeout(self.global.timeout);
        options.config.backoff_max_ms = BACKOFF_MAX_MS;
        tracing::debug!(%url, "connecting");
        let connecting = Client::connect(&url, options);
        match tokio::time::timeout(self.global.timeout, connecting).await {
            Ok(Ok(client)) => {
                self.log_connection(&client);
                Ok(client.with_reads(self.global.reads))
            }
            Ok(Err(error)) => Err(unreachable(&url, &error)),
            Err(_) => {
                let message = format!("{url} did not answer within {:?}", self.global.timeout);
                Err(Failure::new(Code::Timeout, message).hint(WHERE_HINT))
            }
        }
    }

    /// With `-v`, tells who answered and every change of the connection.
    fn log_connection(&self, client: &Client) {
        if let Some(server) = client.server() {
            let software = &*server.software;
            let Limits { key_bytes, value_bytes, .. } = server.limits;
            tracing::debug!(software, server.version, key_bytes, value_bytes, "connected");
        }
        if self.global.verbose {
            let mut states = client.states();
            self.runtime.spawn(async move {
                while states.changed().await.is_ok() {
                    tracing::debug!("the connection is {}", states.borrow_and_update().name());
                }
            });
        }
    }

    /// The connection, if there is one by now.
    pub(crate) fn connected(&self) -> Option<Client> {
        self.client.clone()
    }

    /// Takes over the connection that a line of the shell has opened.
    pub(crate) fn adopt(&mut self, line: Self) {
        if self.client.is_none() {
            self.client = line.client;
        }
    }

    /// The shell's prompt: the server, and what is wrong with the connection if something is.
    pub(crate) fn prompt(&self, address: &str) -> String {
        let server = address.strip_prefix("tcp://").unwrap_or(address);
        match self.client.as_ref().map(Client::state) {
            Some(State::Ready) => format!("{server}> "),
            Some(state) => format!("{server} ({})> ", state.name()),
            None => format!("{server} (not connected)> "),
        }
    }

    /// The server's address as it is connected to.
    pub(crate) fn address(&self) -> Result<String, Failure> {
        address::resolve(self.global.server.as_deref())
    }

    /// The global options.
    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// How keys and values in arguments become bytes.
    pub(crate) fn reading(&self) -> Reading {
        self.global.reading()
    }

    /// Standard output.
    pub(crate) fn out(&mut self) -> &mut Out {
        &mut self.out
    }

    /// The runtime that drives the connection.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Ends the connection.
    pub(crate) async fn close(self) {
        if let Some(client) = self.client {
            client.close().await;
        }
    }
}

/// Flushes what was printed, tells a failure, and says what to end with.
pub(crate) fn settle(session: &mut Session, result: Result<Exit, Failure>) -> Exit {
    let flushed = session.out.flush();
    match result.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            output::report(&failure);
            failure.exit()
        }
    }
}

/// Runs `work` until Ctrl-C; `None` when that came first.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        // Without a handler the signal ends the process by itself, so nothing is lost on an error.
        Ok(()) = tokio::signal::ctrl_c() => None,
    }
}

fn unreachable(url: &str, error: &Error) -> Failure {
    match error.code() {
        Code::Network | Code::Timeout => {
            let message = format!("cannot reach {url}: {}", error.message());
            Failure::new(error.code(), message).hint(WHERE_HINT)
        }
        _ => Failure::from(error.clone()),
    }
}

const WHERE_HINT: &str = "start a server with `tidekeep-server`, or name another with --server";

/// The longest pause between two attempts to reconnect: somebody is watching this terminal.
const BACKOFF_MAX_MS: u32 = 2_000;
