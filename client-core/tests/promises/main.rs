//! What the client core promises, checked through its public door against a scripted server, in
//! virtual time: no test waits for anything.

mod allocations;
mod bounds;
mod calls;
mod dice;
mod difference;
mod endurance;
mod hostile;
mod leases;
mod link;
mod memory;
mod model;
mod once;
mod pair;
mod patch;
mod place;
mod queue;
mod resume;
mod rows;
mod views;
mod watches;
