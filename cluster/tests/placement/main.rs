//! Where groups are placed and how they get there: targets within their bounds that move as little as they
//! may, and steps that never leave a group with fewer replicas than it should have.

mod balance;
mod detours;
mod figures;
mod nodes;
mod storms;
mod table;
mod targets;
mod world;
