//! Which nodes hold which group: the table that says so ([`Table`]), where the groups should be
//! ([`target`]), and the single steps between the two ([`Step`], chosen by [`crate::balance`]).
//! Nothing here reads a clock, draws a random number or talks to anyone.
//!
//! ```text
//! nodes ─▶ shares ─┐
//! groups ─▶ scores ┴▶ assignment ─▶ Target ─┐
//!                         ▲                 ├▶ balance::next_steps ─▶ Step ─▶ Table::apply
//! Table (replicated) ─────┴─────────────────┘                                    │
//!   ▲────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The table is what counts: a node serves what the table says. The target is worked out from it anew
//! whenever nodes come, leave or change, and only ever a step of the balancer moves anything.

mod flow;
mod score;
mod share;
mod table;
mod target;

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

pub use self::share::{Share, shares};
pub use self::table::{
    Change, MalformedTable, REPLICAS_MAX, Row, Step, StepRefused, TABLE_BYTES_MAX, Table,
    TableRefused,
};
pub use self::target::{Candidate, Goal, NODES_MAX, Target, TargetRefused, target};

/// Names a node for good: ids are given from 1 on, and never to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

/// A node as far as placement is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// What fails together: a rack, a room, a data centre. Nodes that share no zone with another
    /// have names of their own here.
    pub zone: String,
    /// How much it should hold beside the other nodes: twice the weight, twice the replicas.
    pub weight: NonZeroU16,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}
