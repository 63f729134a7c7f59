//! Whole nodes in one thread and in virtual time: clusters that are founded, grow, shrink, and lose nodes,
//! their coordinators, or all power at once. What must hold at the end is in `cluster`: every group has the
//! replicas that it should, all of which are equal, and nobody keeps what he should not.

mod asked;
mod backups;
mod cluster;
mod dividing;
mod failing;
mod filling;
mod given_again;
mod growing;
mod idle;
mod leases;
mod leaving;
mod machine;
mod moving;
mod narrow;
mod operators;
mod ordered;
mod seeds;
mod serving;
mod silent;
#[path = "../simulated/mod.rs"]
mod simulated;
mod sizes;
mod splitting;
mod storms;
mod transactions;
mod watching;
