//! Promises of [`tidekeep_log::Solo`], kept on a disk that fails on purpose: order, durability,
//! watches, expiry, snapshots, full disks. One module for each.

mod clock;
mod crash;
mod expiry;
mod numbered;
mod order;
mod reopen;
mod snapshots;
mod space;
mod steps;
mod visibility;
mod watch;
mod world;
