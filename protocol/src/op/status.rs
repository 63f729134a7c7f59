//! `status`: what the server says of itself, as named figures that can grow without a new protocol.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Asks for the server's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status;

/// The server's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply<'a> {
    /// Name and version of the server's software.
    pub software: &'a str,
    /// When an acknowledged write is safe: `always`, `interval` or `none`.
    pub durability: &'a str,
    /// Figures by name, such as `keys`, `revision`, `memory_bytes`, `connections`, `uptime_ms`.
    #[serde(borrow)]
    pub figures: Vec<Figure<'a>>,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure<'a> {
    /// What it counts, with its unit last.
    pub name: &'a str,
    /// The number.
    pub value: u64,
}

impl Bounded for Status {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        Ok(())
    }
}
