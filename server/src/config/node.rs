//! What a server is as a node of a cluster, and what it must not be beside that.

use std::num::NonZeroU16;
use std::time::Duration;

use tidekeep_log::Durability;

use super::args::Cluster;
use super::resolved::{Config, ConfigError, default};

/// What a server is as a node of a cluster.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// `HOST:PORT` to listen on for other nodes; none: where it did before.
    pub listen: Option<String>,
    /// Where other nodes find it; none: where it listens.
    pub address: Option<String>,
    /// Where clients find it; none: where it listens for them.
    pub client_address: Option<String>,
    /// What fails together with it.
    pub zone: String,
    /// How much it should hold beside the others.
    pub weight: NonZeroU16,
    /// Time after which a node that does not answer is replaced.
    pub replace_after: Duration,
    /// How it becomes a node, if it is none yet.
    pub becomes: Option<Cluster>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: None,
            address: None,
            client_address: None,
            zone: "default".into(),
            weight: NonZeroU16::MIN.saturating_add(99),
            replace_after: Duration::from_secs(default::REPLACE_AFTER_S),
            becomes: None,
        }
    }
}

impl Config {
    /// Holds what a node of a cluster needs against what was asked for.
    pub(super) fn check_node(&self) -> Result<(), ConfigError> {
        match self.node.becomes {
            None => Ok(()),
            Some(_) if self.node.listen.is_none() => Err(ConfigError::new(
                "a node of a cluster needs an address for the other nodes: give --node-listen",
            )),
            Some(_) => self.fits_a_cluster(),
        }
    }

    /// Whether a node of a cluster can run so.
    ///
    /// # Errors
    /// What cannot be, in words for who typed it.
    pub(crate) fn fits_a_cluster(&self) -> Result<(), ConfigError> {
        if self.durability != Durability::Always {
            return Err(ConfigError::new(
                "a node of a cluster writes with --durability always: what it has told the others must be on its disk",
            ));
        }
        if self.memory.limit_bytes > 0 {
            return Err(ConfigError::new(
                "--max-memory is for a server alone: the nodes of a cluster would refuse different writes",
            ));
        }
        Ok(())
    }
}
