//! How a connection ends, whatever is spoken over it: what is logged and counted of it, and whether it
//! is owed its last bytes and a goodbye.

use std::io;
use std::time::Duration;

use tidekeep_protocol::error::Code;
use tracing::{debug, info};

use crate::observe::Metrics;
use crate::session::Ending;

/// How long a connection that ends may take to get its last bytes out.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a connection ended.
pub(super) enum End {
    /// The session says so.
    Session(Ending),
    /// The client has said all, and has been answered.
    Client,
    /// The socket broke.
    Socket(io::Error),
}

impl End {
    /// Logs and counts the end of the connection to `peer`; the code to say goodbye with, if it is to be
    /// said.
    pub(super) fn note(self, peer: &str, metrics: &Metrics) -> Option<Code> {
        let code = match self {
            Self::Socket(error) => {
                debug!(%error, peer, "a connection broke");
                return None;
            }
            Self::Client => Code::Closed,
            Self::Session(ending) if !ending.flush => {
                info!(code = ending.code.name(), peer, "a connection was cut");
                metrics.ended(ending.code);
                return None;
            }
            Self::Session(ending) => ending.code,
        };
        if code != Code::Closed && code != Code::Unavailable {
            debug!(code = code.name(), peer, "a connection was refused");
            metrics.ended(code);
        }
        Some(code)
    }
}
