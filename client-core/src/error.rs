//! Why a call, a watch or a connection failed, in the protocol's terms: a stable code, whether the
//! same again can help, and what became of the request.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;
use core::ops::{Deref, DerefMut};

use tidekeep_protocol::error::{Code, Outcome, Refusal};
use tidekeep_protocol::plain::Reader;

use crate::text::Text;

/// A failure that settles a call or ends a watch. It is one pointer to what it tells: results and outputs
/// that may bear one are moved all the time, which takes a page's code for every word of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

/// What an [`Error`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub code: Code,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// What became of the request.
    pub outcome: Outcome,
    /// How long to wait before trying again, in milliseconds; 0 when the server has no wish.
    pub retry_after_ms: u32,
    /// One sentence for people. Programs look at the code.
    pub message: Text,
}

impl Error {
    /// A failure of which it is known that nothing was applied.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::repeated(code, message.into().into())
    }

    /// A failure with a sentence for people, which most of them are made with. Not inlined: it is
    /// written in very many places, and none of them is hot.
    #[inline(never)]
    pub(crate) fn told(code: Code, message: &str) -> Self {
        Self::repeated(code, Text::from_bytes(message.as_bytes()))
    }

    /// A failure with a sentence that was told before.
    #[inline]
    pub(crate) fn repeated(code: Code, message: Text) -> Self {
        let retryable = code.retryable();
        let outcome = Outcome::NotApplied;
        Self(Box::new(Failure { code, retryable, outcome, retry_after_ms: 0, message }))
    }

    /// The same failure with what became of the request.
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// What the server said, in the body of an error frame ([`tidekeep_protocol::error::ErrorBody`]).
    /// A code that this client does not know is `internal`.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut from = Reader::new(body);
        let number = from.small().try_into().ok()?;
        let error = Self(Box::new(Failure {
            code: Code::from_number(number).unwrap_or(Code::Internal),
            retryable: from.flag(),
            outcome: Outcome::from_number(from.small())?,
            retry_after_ms: from.small(),
            message: Text::from_bytes(from.bytes()),
        }));
        from.end(error)
    }
}

impl Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

/// Why a queue was not opened: a page says so in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unopened {
    /// Something else was asked for before.
    Late,
    /// The rows are none that this version reads.
    Unreadable,
}

impl From<Unopened> for Error {
    fn from(why: Unopened) -> Self {
        match why {
            Unopened::Late => {
                Self::told(Code::InvalidInput, "the queue is opened before anything else")
            }
            Unopened::Unreadable => {
                Self::told(Code::Unsupported, "the stored rows are of no known version")
            }
        }
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use tidekeep_protocol::codec;
    use tidekeep_protocol::error::ErrorBody;

    #[test]
    fn what_the_server_said_is_read_as_it_is_written() {
        for outcome in [Outcome::NotApplied, Outcome::Applied, Outcome::Unknown] {
            let (code, retryable, message) = (Code::NoSpace.number(), true, "the disk is full é");
            let said = ErrorBody { code, retryable, outcome, retry_after_ms: 300, message };
            let mut body = Vec::new();
            codec::encode(&said, &mut body);
            let error = Error::read(&body).unwrap();
            assert_eq!(
                (error.code, error.retryable, error.outcome),
                (Code::NoSpace, true, outcome)
            );
            assert_eq!((error.retry_after_ms, &*error.message), (300, message));
            for length in 0..body.len() {
                assert_eq!(Error::read(&body[..length]), None);
            }
            body.push(0);
            assert_eq!(Error::read(&body), None);
        }
        assert_eq!(Error::read(&[99, 0, 0, 0, 0]).unwrap().code, Code::Internal);
        assert_eq!(Error::read(&[1, 0, 3, 0, 0]), None, "no such outcome");
    }
}
