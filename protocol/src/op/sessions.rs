//! `sessions`: who is connected to the server, a page at a time, and how many sessions of numbered
//! writes it remembers. Its names are those of the JSON that scripts read, too.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Asks for a page of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// The last connection of the page before; 0 for the first page.
    pub after: u64,
    /// Most connections in the page; 0 leaves it to the server, which may give fewer in any case.
    pub limit: u32,
}

/// One page of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsReply<'a> {
    /// The node of a cluster whose connections these are; none of a server that runs alone.
    pub node: Option<u64>,
    /// How many connections are open now.
    pub connections: u64,
    /// How many clients' numbered writes would be known again; they outlive connections.
    pub remembered: u64,
    /// Whether there are connections behind this page.
    pub more: bool,
    /// The connections, oldest first.
    #[serde(borrow)]
    pub sessions: Vec<Connected<'a>>,
}

/// A connection as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected<'a> {
    /// Its number, which no other connection of this run of the server has; later ones are greater.
    pub id: u64,
    /// How it is connected: `tcp`, `websocket`, `http` or `resp`.
    pub transport: &'a str,
    /// Where it comes from: address and port; empty if that is not known.
    pub address: &'a str,
    /// What the client calls itself, cut where it is long; empty if it has not said.
    pub client: &'a str,
    /// Since when it is open, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// How long ago the server heard of it, in milliseconds.
    pub idle_ms: u64,
    /// When its session of numbered writes was made, in milliseconds since the Unix epoch; none if
    /// it has none. The session's name is its holder's secret.
    pub session_since_ms: Option<u64>,
    /// Watches that it has open.
    pub watches: u64,
    /// Requests of it that are not answered.
    pub calls: u64,
    /// Bytes that the server holds for it.
    pub buffer_bytes: u64,
    /// Bytes that came from it.
    pub received_bytes: u64,
    /// Bytes that it was sent.
    pub sent_bytes: u64,
}

impl Bounded for Sessions {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_page(self.limit)
    }
}
