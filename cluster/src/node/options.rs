//! How a node is made, and how patient it is.

use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::clock::Clock;

use crate::balance::{GRACE_MS_DEFAULT, MOVES_MAX_DEFAULT};
use crate::link::Link;
use crate::meta::rules::Introduction;
use crate::peer::ClusterId;
use crate::placement::NodeId;
use crate::raft::{Config, Opened};

/// How a node is made.
pub struct NodeOptions {
    /// Its id.
    pub id: NodeId,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// What it says of itself. Zone and weight count when it joins; later an operator sets them.
    pub is: Introduction,
    /// Its log.
    pub opened: Opened,
    /// The way to the other nodes.
    pub link: Arc<dyn Link>,
    /// Where the numbers of states that it sends begin; must not repeat after a restart.
    pub transfers: u64,
    /// The time of day, for what is ordered.
    pub clock: Arc<dyn Clock>,
    /// How members are made; node and group are filled in.
    pub member: Config,
    /// Bytes of entries that all groups together keep in memory, for nodes that lag behind: whoever lags
    /// further is sent a whole state.
    pub entries_bytes: usize,
    /// How patient it is.
    pub timing: Timing,
}

/// How patient a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Time between two looks at what the meta group says.
    pub follow: Duration,
    /// Time between two looks of the coordinator at all nodes; within it they have to answer.
    pub look: Duration,
    /// A node that has not answered for so long is down. Several looks, so that a lost message is no death.
    pub down: Duration,
    /// A node that has been down for so long is given up: its replicas are made anew elsewhere. Longer than a
    /// restart of the machine takes.
    pub grace: Duration,
    /// Time that one step of a group may take, and one change of the meta group.
    pub step: Duration,
    /// A call to the disk that takes so long makes the node let others lead. Longer than any sync of a
    /// disk that works.
    pub hang: Duration,
    /// How many groups move at once. More of them take more of the network and the disks from clients.
    pub moves_max: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            follow: Duration::from_millis(100),
            look: Duration::from_secs(1),
            down: Duration::from_secs(4),
            grace: Duration::from_millis(GRACE_MS_DEFAULT),
            step: Duration::from_secs(10),
            hang: Duration::from_secs(2),
            moves_max: MOVES_MAX_DEFAULT,
        }
    }
}
