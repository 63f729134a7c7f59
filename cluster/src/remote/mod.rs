//! Groups of which this node has no replica, as far as their changes and cuts are concerned: a node that
//! has one is asked for them.
//!
//! ```text
//! Feed ─▶ mirror: the recent changes, kept up by one long poll for all who follow ─▶ Link ─▶ holding ─▶ replica
//!           └─▶ fetched: a cut, chunk by chunk ───────────────────────────────────▶ Link ─▶ holding ─▶ replica
//! ```
//! Backups are made of cuts that are held and given the same way (`portions`), on every node.

mod fetched;
mod holding;
mod message;
mod mirror;
mod portions;

pub(crate) use holding::Holding;
pub(crate) use message::{Ask, FOLLOW, Piece, Told};
pub(crate) use mirror::Mirror;
