//! What the server is told: `args` are the raw flags and variables, `resolved` the checked
//! [`Config`] that everything else is made from.

pub mod args;
mod bytes;
mod origin;
mod resolved;

pub(crate) use origin::Authority;
pub use origin::Origin;
pub use resolved::{Budgets, Config, ConfigError};
