//! Keys that begin with what is typed, up to the next `/`, asked of the server while a person waits.

use std::time::Duration;

use tidekeep_client::{Client, Error, KeyRange, ScanOptions};
use tidekeep_protocol::range::{prefix_end, successor};
use tokio::runtime::Handle;

/// A way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The key, or what the keys share.
    pub(super) key: Vec<u8>,
    /// Whether keys go on behind it.
    pub(super) branch: bool,
}

/// Where candidates come from.
pub(crate) struct Keys(Source);

enum Source {
    Server {
        client: Option<Client>,
        runtime: Handle,
    },
    #[cfg(test)]
    Fixed(Vec<Candidate>),
}

impl Keys {
    /// Asks over this connection.
    pub(crate) fn new(client: Option<Client>, runtime: Handle) -> Self {
        Self(Source::Server { client, runtime })
    }

    #[cfg(test)]
    pub(super) fn fixed(keys: &[(&str, bool)]) -> Self {
        let candidate = |&(key, branch): &(&str, bool)| Candidate { key: key.into(), branch };
        Self(Source::Fixed(keys.iter().map(candidate).collect()))
    }

    pub(super) fn set_client(&mut self, new: Option<Client>) {
        match &mut self.0 {
            Source::Server { client, .. } => *client = new,
            #[cfg(test)]
            Source::Fixed(_) => {}
        }
    }

    /// The first candidates; none when the server does not answer at once.
    pub(super) fn beginning_with(&self, typed: &[u8]) -> Vec<Candidate> {
        match &self.0 {
            Source::Server { client: Some(client), runtime } => {
                let asking = tokio::time::timeout(PATIENCE, ask(client, typed));
                runtime.block_on(asking).ok().and_then(Result::ok).unwrap_or_default()
            }
            Source::Server { client: None, .. } => Vec::new(),
            #[cfg(test)]
            Source::Fixed(all) => {
                all.iter().filter(|candidate| candidate.key.starts_with(typed)).cloned().collect()
            }
        }
    }
}

/// Looks at one key of each branch and seeks past the branch: a branch of a million keys costs what
/// a single key does.
async fn ask(client: &Client, typed: &[u8]) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    let mut range = KeyRange::prefix(typed);
    while candidates.len() < CANDIDATES_MAX {
        let options = ScanOptions { limit: Some(1), keys_only: true, ..ScanOptions::default() };
        let Some(page) = client.scan(&range, options).page().await? else { break };
        let Some(entry) = page.first() else { break };
        let rest = entry.key.get(typed.len()..).unwrap_or_default();
        let candidate = match rest.iter().position(|&byte| byte == b'/') {
            Some(at) => {
                let key = entry.key.get(..=typed.len() + at).unwrap_or_default().to_vec();
                Candidate { key, branch: true }
            }
            None => Candidate { key: entry.key.to_vec(), branch: false },
        };
        let next = if candidate.branch {
            prefix_end(&candidate.key)
        } else {
            Some(successor(&candidate.key))
        };
        candidates.push(candidate);
        match next {
            Some(start) => range.start = start,
            None => break,
        }
    }
    Ok(candidates)
}

const CANDIDATES_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_millis(500);
