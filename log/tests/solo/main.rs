//! Promises of [`tidekeep_log::Solo`], kept on a disk that fails on purpose: order, durability,
//! watches, expiry, leases, snapshots, full disks. One module for each.

mod clock;
mod compaction;
mod crash;
mod cuts;
mod errors;
mod expiry;
mod formats;
mod in_memory;
mod interval;
mod leases;
mod ledger;
mod memory;
mod numbered;
mod order;
mod reopen;
mod repair;
mod restore;
mod snapshots;
mod space;
mod steps;
mod strays;
mod verify;
mod visibility;
mod watch;
mod world;
