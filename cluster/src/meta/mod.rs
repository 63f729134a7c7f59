//! What the cluster knows of itself: its nodes, its table of groups, its join tokens. It is kept in a group of
//! its own, the meta group, whose state is an ordinary replica with the keys of [`keys`] and the values of
//! `values`. [`View`] reads it, [`Edit`] changes it under the condition that it is as it was read, and
//! [`rules`] says which changes there are.
//!
//! ```text
//! Replica ─▶ View ─▶ rules ─▶ Edit ─▶ record ─▶ Member::write ─▶ Edit::outcome
//! ```
//! Nothing here reads a clock or talks to anyone.

mod edit;
pub mod keys;
mod numbering;
pub mod rules;
mod values;
mod view;

pub use edit::{Edit, EditError};
pub use numbering::Numbering;
pub use values::{BadValue, ClusterRecord, NodeRecord, NodeState, SplitRecord, TokenRecord};
pub use view::{View, ViewError};

/// The meta group's number among the groups of a node's log; data groups count from 0.
pub const META_GROUP: u32 = u32::MAX;
