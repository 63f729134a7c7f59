//! The native client against the real server, as a process of its own, over TCP and WebSocket: what
//! the verbs mean, and what a client lives through when the server is killed and started again.

mod gap;
mod nodes;
mod offline;
mod restart;
mod verbs;

use std::time::Duration;

use tempfile::TempDir;
use tidekeep_client::{Client, Options};
use tidekeep_tests::{ServerProcess, within};

/// Longest that any test waits for anything.
const LIMIT: Duration = Duration::from_secs(30);

/// A server on a directory of its own.
struct Live {
    server: ServerProcess,
    _data: TempDir,
}

impl Live {
    fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        Self { server: ServerProcess::start(data.path(), &[]), _data: data }
    }

    /// A client for each way in.
    async fn clients(&self) -> [Client; 2] {
        let connect = async |scheme: &str| {
            let url = format!("{scheme}://{}", self.server.address());
            let connecting = Client::connect(&url, Options::default());
            within("a connection", LIMIT, connecting).await.expect("the server greets")
        };
        [connect("tcp").await, connect("http").await]
    }
}
