//! The door of Tidekeep: one port on which browsers, terminals and services read, write and watch
//! the same data.
//!
//! ```text
//! socket ─▶ edge (who is there, bytes) ─▶ session (frames, batches; dry) ─▶ service (by class)
//!                                                                              │
//!        ◀─ edge (one write) ◀─────────── session (outbox, watches) ◀── tidekeep_log::Commit
//! ```
//! `conversation` is the same without sockets and runtime: bytes and time in, bytes out.
//! `member` makes a server a node of a cluster. `config` says how a server runs, `observe` what it says of itself, `drain` how it ends.

mod clock;
pub mod config;
mod conversation;
mod drain;
mod edge;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod member;
mod observe;
mod resp_conversation;
mod server;
mod service;
mod session;

pub use conversation::{Conversation, Host, Parting};
pub use member::NodeError;
pub use resp_conversation::RespConversation;
pub use server::{Running, Server, StartError, Stopped, Stopper};
