//! The peers of Tidekeep: how several nodes keep one store. Consensus is openraft's, and only `raft/` names
//! it; where groups are placed, what travels between nodes and what lies on their disks is here.
//!
//! ```text
//! calls ─▶ record ─▶ Member ─▶ openraft ─▶ journal (one log for all groups of a node) ─▶ disk
//!                                 │  └──▶ peers, through Link
//!                                 └──▶ ordered ─▶ Replica (store's apply) ─▶ answers
//! ```
//!
//! Time, tasks and chance come from the runtime that a [`Member`] is made with, the network from [`Link`],
//! the disk from [`tidekeep_log::disk::Disk`]: a whole cluster runs in one thread under a seed.

pub mod balance;
mod link;
pub mod meta;
pub mod node;
pub mod operator;
pub mod peer;
pub mod placement;
mod raft;
mod remote;
mod replicated;
mod store;
mod transaction;

pub use link::{Lane, Link, LinkFuture, PeerAddress, Unreachable};
pub use placement::NodeId;
pub use raft::{
    Audit, Beside, Config, Cut, Instant, Journal, JournalOptions, Member, MembershipError, Opened,
    Proposed, ReadPolicy, Runtime, Standing, TokioRuntime, Types, WriteError,
};
pub use replicated::{FORWARD, Replicated, ReplicatedOptions};
pub use store::Store;
