//! What the product promises, tried on the real programs: one module for each promise.

mod crash;
mod disk_full;
mod drain;
mod import;
mod live;
mod python;
mod refusal;
mod self_test;
