//! The peers of Tidekeep: how several nodes keep one store. Consensus is openraft's, and only `raft/` names
//! it; where groups are placed, what travels between nodes and what lies on their disks is here.

pub mod balance;
pub mod placement;
