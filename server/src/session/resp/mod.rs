//! The second front of the store: Redis' protocol, without I/O. Bytes that arrived become commands;
//! a command is one native request, or a program over an overlay that becomes one, or it is about the
//! connection itself. What a write means is the store's alone.
//!
//! ```text
//! bytes ─▶ parser ─▶ machine ─┬─ plan ──▶ batch of native requests ──▶ commit ─▶ shape ─▶ bytes
//!                             ├─ program ─▶ overlay ─▶ one conditional request ─▶ commit
//!                             ├─ walk ──▶ scans, deletes of ranges
//!                             └─ local ─▶ bytes
//! ```
//! Commands of one connection run in their order, and are answered in it: one batch, program or walk
//! is under way at a time, with everything in it that had arrived.

mod args;
mod batch;
mod client;
mod commands;
mod config;
mod cursors;
mod describe;
mod encode;
mod fail;
mod fetched;
mod float;
mod glob;
mod house;
mod info;
mod inline;
mod keys;
mod listening;
mod local;
mod machine;
mod natural;
mod number;
mod overlay;
mod parser;
mod plan;
mod program;
mod running;
mod scan;
mod shape;
mod subcommands;
mod table;
mod taking;
mod transaction;
mod values;
mod watched;

pub(crate) use commands::ROWS;
pub(crate) use cursors::Cursors;
pub(crate) use glob::matches as matches_pattern;
pub(crate) use house::{Came, House, Wait};
pub(crate) use machine::{Counts as RespCounts, Resp};
