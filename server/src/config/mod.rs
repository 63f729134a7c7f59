//! What the server is told: `args` are the raw flags and variables, `resolved` the checked
//! [`Config`] that everything else is made from.

pub mod args;
mod bytes;
mod node;
mod origin;
mod resolved;

pub use node::NodeConfig;
pub(crate) use origin::Authority;
pub use origin::Origin;
pub(crate) use resolved::default::REPLICAS;
pub use resolved::{Budgets, Config, ConfigError};
