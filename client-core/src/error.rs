//! Why a call, a watch or a connection failed, in the protocol's terms: a stable code, whether the
//! same again can help, and what became of the request.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use tidekeep_protocol::error::{Code, ErrorBody, Outcome, Refusal};

/// A failure that settles a call or ends a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Why.
    pub code: Code,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// What became of the request.
    pub outcome: Outcome,
    /// How long to wait before trying again, in milliseconds; 0 when the server has no wish.
    pub retry_after_ms: u32,
    /// One sentence for people. Programs look at the code.
    pub message: Cow<'static, str>,
}

impl Error {
    /// A failure of which it is known that nothing was applied.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let retryable = code.retryable();
        Self { code, retryable, outcome: Outcome::NotApplied, retry_after_ms: 0, message }
    }

    /// The same failure with what became of the request.
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// What the server said. A code that this client does not know is `internal`.
    pub(crate) fn from_body(body: &ErrorBody<'_>) -> Self {
        Self {
            code: Code::from_number(body.code).unwrap_or(Code::Internal),
            retryable: body.retryable,
            outcome: body.outcome,
            retry_after_ms: body.retry_after_ms,
            message: Cow::Owned(String::from(body.message)),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        f.write_str(" (")?;
        f.write_str(self.code.name())?;
        f.write_str(")")
    }
}

impl core::error::Error for Error {}
