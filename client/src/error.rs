//! Why something failed, for a caller who wants to decide what to do now.

use std::fmt;
use std::time::Duration;

use tidekeep_client_core as core_client;
use tidekeep_protocol::codec::Malformed;
use tidekeep_protocol::error::{Code, Outcome};

use crate::entry::Entry;

/// A call, a watch or an attempt to connect failed.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

#[derive(Clone, PartialEq, Eq)]
struct Failure {
    cause: core_client::Error,
    current: Option<Entry>,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        core_client::Error::new(code, message).into()
    }

    pub(crate) fn conflict(current: Option<Entry>) -> Self {
        let message = match current {
            Some(_) => "the condition did not hold: the key has another entry",
            None => "the condition did not hold",
        };
        let cause = core_client::Error::new(Code::Conflict, message);
        Self(Box::new(Failure { cause, current }))
    }

    /// Why. Stable; the same names in every client, in the command line and in metrics.
    pub fn code(&self) -> Code {
        self.0.cause.code
    }

    /// Whether the same call may succeed later without a change.
    pub fn retryable(&self) -> bool {
        self.0.cause.retryable
    }

    /// What became of a write. Of a read it says nothing that matters: it changes nothing.
    pub fn outcome(&self) -> Outcome {
        self.0.cause.outcome
    }

    /// How long the server asks to wait before trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.cause.retry_after_ms {
            0 => None,
            ms => Some(Duration::from_millis(ms.into())),
        }
    }

    /// One sentence for people. Programs look at the code.
    pub fn message(&self) -> &str {
        &self.0.cause.message
    }

    /// With [`Code::Conflict`]: the entry that stood in the way of a put or a delete, if there is
    /// one.
    pub fn current(&self) -> Option<&Entry> {
        self.0.current.as_ref()
    }
}

impl From<core_client::Error> for Error {
    fn from(cause: core_client::Error) -> Self {
        Self(Box::new(Failure { cause, current: None }))
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        let cause = core_client::Error::new(Code::Protocol, "the server's reply is malformed");
        cause.with_outcome(Outcome::Unknown).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.cause.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.code().name())
            .field("retryable", &self.retryable())
            .field("outcome", &self.outcome().name())
            .field("retry_after", &self.retry_after())
            .field("message", &self.message())
            .field("current", &self.current())
            .finish()
    }
}

impl std::error::Error for Error {}
