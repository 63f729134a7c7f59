//! What a group keeps beside its entries. Commands read and change it as they do entries, and it is
//! saved with them.

use crate::sessions::Sessions;

/// The state that is no entry.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// What clients wrote under numbers, and the answers.
    pub sessions: Sessions,
}
