//! Properties of the store as its owner sees it: against a naive model, against itself when replayed
//! or spread otherwise, and against bytes that mean harm.

mod determinism;
mod group;
mod holds;
mod hostile;
mod model;
mod naive;
mod numbered;
mod recent;
mod revisions;
mod transactions;
mod wire;
