//! One client's conversation, without I/O: bytes that arrived become a batch of requests, replies
//! become bytes to send. Dry by rule: no socket, no runtime, no clock; time is an argument.
//!
//! ```text
//! bytes ─▶ machine ─▶ batch ─▶ (service runs it) ─▶ answers ─▶ outbox ─▶ bytes
//!              └─ control frames ───────────────────────────────▶ │
//!                 watch ◀─ changes of the commit (pulled as there is room) ─▶ │
//! ```

mod answering;
mod answers;
mod batch;
mod content;
#[cfg(test)]
mod groups_tests;
mod handshake;
mod incoming;
mod latest;
#[cfg(test)]
mod latest_tests;
mod machine;
mod outbox;
mod outgoing;
mod positions;
mod rate;
mod resp;
#[cfg(test)]
mod split_tests;
mod tally;
#[cfg(test)]
mod tests;
mod timing;
mod waiting;
mod watch;
mod watch_message;
mod watches;
#[cfg(test)]
mod watches_tests;

pub(crate) use batch::{Batch, Ticket};
pub(crate) use content::Content;
pub(crate) use handshake::{Greeting, Settings};
pub(crate) use machine::{Ending, Session, turn_away};
pub(crate) use positions::Due;
pub(crate) use resp::{Came, Cursors, House, ROWS, Resp, RespCounts, Wait, matches_pattern};
pub(crate) use tally::{OPERATION_COUNT, Tally};
pub(crate) use timing::{Millis, SLOWEST_BYTES_PER_MS};
pub(crate) use watches::WatchStart;
