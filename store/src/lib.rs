//! The meaning of Tidekeep's operations: a deterministic state machine over ordered, sharded
//! entries. Dry: `no_std`, no clock, no file, no thread, no randomness.
//!
//! The contract: *state' = apply(state, stamp, command)*. The same commands with the same stamps in
//! the same order give the same state, the same replies and the same changes, on every machine and
//! after every restart. Reads take the moment as an argument; an entry whose time, or whose lease's
//! time, is over is absent from then on, whether or not the command that removes it has come.
//!
//! | module | holds |
//! |---|---|
//! | [`entry`], [`leaf`], [`shard`] | what is kept: one allocation an entry, leaves shared with views, `index`, `leaves`, `fences` and `hints` to find them, `sorted` to lay many out, `digest` to compare them |
//! | [`shards`], [`fingerprint`] | which shard holds a key; the shards a command needs; keys as numbers |
//! | [`tables`], [`sessions`] | what is kept beside entries: answers to numbered writes, so that a retry is safe |
//! | [`intents`], [`holds`] | parts of transactions over groups, and their locks; who keeps all keys as they are |
//! | [`leases`] | times that clients keep renewing, and what goes when one is over |
//! | [`record`] | what is logged: stamp, revision, the requests' own bytes |
//! | [`apply`] | one command to a reply and its changes; `op/` has a file for each writing operation |
//! | [`step`] | what nodes of a cluster say to a group beside clients' requests |
//! | [`read`], [`moment`], [`approach`] | get, scan, children; when; and looking ahead for many |
//! | [`scratch`] | a few entries apart from the store, on which requests are tried by the same operations |
//! | [`change`], [`few`] | what watchers see |
//! | [`recent`], `block` | the recent changes, as bytes in a row |
//! | [`view`], [`snapshot`], [`history`] | a frozen cut of a range, and the bytes of a snapshot |
//! | [`reply`] | the answers, and their bytes on the wire |
#![no_std]

extern crate alloc;

mod access;
mod answered;
pub mod apply;
pub mod approach;
mod block;
pub mod change;
mod digest;
pub mod entry;
mod fences;
pub mod few;
pub mod fingerprint;
mod hints;
pub mod history;
pub mod holds;
mod index;
pub mod intents;
pub mod leaf;
pub mod leases;
mod leaves;
mod merge;
pub mod moment;
mod op;
pub mod read;
pub mod recent;
pub mod record;
pub mod reply;
pub mod scratch;
pub mod sessions;
pub mod shard;
pub mod shards;
pub mod snapshot;
mod sorted;
pub mod step;
pub mod tables;
pub mod view;
