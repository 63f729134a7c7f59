//! Tidekeep's client as a state machine without I/O. Bytes, time and randomness come in as
//! arguments; bytes to send, replies and the next deadline come out. The same machine runs under
//! tokio (`tidekeep-client`) and in a page (`tidekeep-client-web`); a driver only moves bytes.
//!
//! ```text
//!   connect, call, watch … ─▶ ┌──────┐ ─▶ transmit(buffer)   bytes for the server
//!   handle(now, Input)     ─▶ │ Core │ ─▶ Drain::next()      replies, events, open, close
//!                             └──────┘ ─▶ wait()             when to come back with a tick
//! ```
//!
//! A driver in one page:
//!
//! ```
//! use tidekeep_client_core::{CallOptions, Config, Core, Input, Millis, Output};
//! use tidekeep_client_core::protocol::op::Get;
//!
//! let mut core = Core::new(Config::default(), 7);
//! let call = core.call(Millis(0), &Get { key: b"name" }, CallOptions::default());
//! let mut buffer = Vec::new();
//!
//! let mut drain = core.drain();
//! while let Some(output) = drain.next() {
//!     match output {
//!         Output::Open => println!("open a transport, then say Input::Opened"),
//!         Output::Close => println!("drop the transport"),
//!         Output::Reply { call, body, .. } => println!("{call:?} has {} bytes", body.len()),
//!         Output::Failed { call, error } => println!("{call:?}: {error}"),
//!         Output::Watch { .. } | Output::WatchReset { .. } | Output::WatchFailed { .. } => {}
//!         Output::LeaseLost { .. } | Output::State(_) | Output::LinkDown(_) => {}
//!         _ => println!("of views and the queue: docs/design-client.md"),
//!     }
//! }
//! drop(drain);
//!
//! core.handle(Millis(1), Input::Opened);
//! while core.transmit(&mut buffer, 64 * 1024) {
//!     // send the buffer; over WebSocket as one message
//!     buffer.clear();
//! }
//! let come_back_at = core.wait();
//! # assert!(come_back_at.is_some());
//! # let _ = call;
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `core` | [`Core`]: the public calls; in its folder what the parts do together |
//! | `drain` | [`Drain`]: from arrived bytes to outputs |
//! | `link` | the connection's life: idle, opening, greeting, ready, leaving, resting |
//! | `calls`, `replay` | requests until they settle; what may be sent again after a break |
//! | `session` | the numbers by which a server knows a write that it has seen |
//! | `watch`, `difference` | subscriptions that outlive connections; what a gap in one has changed |
//! | `mutations` | writes that show at once, are stored, and outlive the process |
//! | `leases` | leases that are kept alive, and when they are lost |
//! | `receive` | frames out of any slices of the stream, chunks joined within bounds |
//! | `text` | what a server says in words |
//! | `outbox`, `timers`, `backoff`, `rng` | control frames, reasons to wake, waiting before a retry |
#![no_std]

extern crate alloc;

mod backoff;
mod calls;
mod config;
mod core;
mod difference;
mod drain;
mod error;
mod leases;
mod link;
mod mutations;
mod outbox;
mod output;
mod receive;
mod replay;
mod rng;
mod session;
mod text;
mod time;
mod timers;
mod watch;

pub use tidekeep_protocol as protocol;

pub use crate::config::{CallOptions, Config, Queue};
pub use crate::core::Core;
pub use crate::drain::Drain;
pub use crate::error::{Error, Failure, Unopened};
pub use crate::link::ServerInfo;
pub use crate::output::{CallId, Input, MutationId, Output, QueueInfo, State, WatchId};
pub use crate::text::Text;
pub use crate::time::Millis;
pub use crate::watch::{Resync, WatchRequest};
