//! What can go wrong, said the same way to everybody: a stable code, whether trying again can help,
//! and what became of the write.

use alloc::borrow::Cow;
use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal, $retryable:literal;)+) => {
        /// Why a request was refused or failed. Numbers are frozen; a client that meets an unknown
        /// one treats it as [`Code::Internal`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Code { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The code's number on the wire.
            pub fn number(self) -> u16 { self as u16 }

            /// The code with this number.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }

            /// The code's name, as it is shown to people and scripts.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Whether the same request may succeed later without a change.
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)+ }
            }
        }
    };
}

codes! {
    /// The request makes no sense as it is.
    InvalidInput = 1, "invalid-input", false;
    /// A key, value, frame, page or transaction is over a limit.
    TooLarge = 2, "too-large", false;
    /// What the request names is not there.
    NotFound = 3, "not-found", false;
    /// A condition did not hold.
    Conflict = 4, "conflict", false;
    /// The peer does not know this kind of message or this required extension.
    Unsupported = 5, "unsupported", false;
    /// The peer broke the protocol; the connection ends.
    Protocol = 6, "protocol", false;
    /// The two ends have no protocol version in common; the connection ends.
    Version = 7, "version", false;
    /// Who is asking may not do this.
    Forbidden = 8, "forbidden", false;
    /// Who is asking must say who they are.
    Unauthenticated = 9, "unauthenticated", false;
    /// The disk is full; reads and deletes still work.
    NoSpace = 10, "no-space", true;
    /// Too many requests at once.
    ResourceExhausted = 11, "resource-exhausted", true;
    /// The log or a snapshot failed; the server stops.
    Storage = 12, "storage", false;
    /// The peer could not be reached, or the connection broke.
    Network = 13, "network", true;
    /// The deadline passed.
    Timeout = 14, "timeout", true;
    /// The caller gave up.
    Cancelled = 15, "cancelled", false;
    /// The server is starting or stopping.
    Unavailable = 16, "unavailable", true;
    /// The watch's cursor is older than what the server remembers, or of another store.
    CursorTooOld = 17, "cursor-too-old", false;
    /// The watcher did not read fast enough and was cut; its last cursor still resumes.
    SlowReader = 18, "slow-reader", true;
    /// The client was closed.
    Closed = 19, "closed", false;
    /// A fault in the peer's program.
    Internal = 20, "internal", false;
    /// The memory limit is reached; reads, deletes and what frees memory still work.
    MemoryFull = 21, "memory-full", true;
    /// More requests or bytes a second than one connection may send.
    RateLimited = 22, "rate-limited", true;
    /// The server has as many connections as it takes.
    TooManyConnections = 23, "too-many-connections", true;
    /// The connection has as many watches as it may.
    TooManyWatches = 24, "too-many-watches", true;
    /// The connection holds more bytes at the server than it may.
    OverBudget = 25, "over-budget", true;
    /// The write may have been applied before, and the server no longer remembers.
    OutcomeUnknown = 26, "outcome-unknown", false;
    /// One revision changed more of a watch's range than the watch may be told of at once.
    ChangeTooLarge = 27, "change-too-large", false;
}

/// What became of the request's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing changed and nothing will.
    NotApplied,
    /// The change was made.
    Applied,
    /// It cannot be told whether the change was made.
    Unknown,
}

impl Outcome {
    /// The outcome with this number, which is that of its variant.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::NotApplied, Self::Applied, Self::Unknown].get(number as usize).copied()
    }

    /// The outcome's name, as it is shown to people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotApplied => "not-applied",
            Self::Applied => "applied",
            Self::Unknown => "unknown",
        }
    }
}

/// The body of an error frame. Its frame's id is the request's, or 0 for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// A [`Code`]'s number.
    pub code: u16,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// What became of the request.
    pub outcome: Outcome,
    /// How long to wait before trying again, in milliseconds; 0 when the server has no wish.
    pub retry_after_ms: u32,
    /// One sentence for people. Programs look at the code.
    pub message: &'a str,
}

/// A request that was turned down: nothing was done for it, or, with [`Code::OutcomeUnknown`],
/// nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// One sentence for people.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a sentence for people.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// The refusal as an error frame's body.
    pub fn body(&self) -> ErrorBody<'_> {
        let outcome = match self.code {
            Code::OutcomeUnknown => Outcome::Unknown,
            _ => Outcome::NotApplied,
        };
        ErrorBody {
            code: self.code.number(),
            retryable: self.code.retryable(),
            outcome,
            retry_after_ms: 0,
            message: &self.message,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.name())
    }
}

impl core::error::Error for Refusal {}
