//! A node as a whole: its log, its part in the meta group and in each data group that the table gives it
//! (`running`, `following`), what other nodes ask of it (`serving`, `control`), how a cluster begins and
//! grows (`founding`, `joining`, `gate`), the coordinator that moves replicas to where they should be
//! (`coordinator`, `hearing`, `reconcile`, `voters`, `steps`), the beat of all its groups (`beating`), what it
//! does about a disk that hangs (`watchdog`), and what an operator may ask for (`admin`, `commands`, `status`).
//!
//! ```text
//! peers ─▶ serve ─┬─▶ a member of a group
//!                 ├─▶ control: reports, steps, operators' commands
//!                 └─▶ Forward: clients' commands for a group
//! meta replica ─▶ following: addresses, which groups are here
//! meta leader  ─▶ coordinator: reports ─▶ target ─▶ step at a group's leader ─▶ table
//! ```
//!
//! The first four bytes of a request say whom it is for, little-endian:
//!
//! ```text
//! 0 and up          the member of a data group     0x8000_0000 | group   commands for a group
//! 0xFFFF_FFFF       the member of the meta group   0xFFFF_FFFE           the node itself
//! ```

mod admin;
mod beating;
mod commands;
mod control;
mod coordinator;
mod directory;
mod filling;
mod following;
mod founding;
mod gate;
mod hearing;
mod joining;
mod leaving;
mod options;
mod reconcile;
mod running;
mod serving;
mod splitting;
mod status;
mod steps;
mod voters;
mod watchdog;

pub use admin::AdminError;
pub use founding::FoundingError;
pub use gate::Gate;
pub use joining::Admitted;
pub use options::{NodeOptions, Timing};
pub use running::{Life, Node};
pub use serving::{Forward, Forwarded};
pub use status::{ClusterStatus, GroupStatus, NodeStatus, ReplicaStatus};
