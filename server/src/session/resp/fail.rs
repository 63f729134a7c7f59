//! What a command is told that cannot be done, in Redis' own words where Redis has them: clients look
//! at the first word, and some at the sentence.

use std::borrow::Cow;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::increment;

/// An error reply, without its leading minus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fail(Cow<'static, [u8]>);

pub(super) const SYNTAX: Fail = Fail::known("ERR syntax error");
pub(super) const NOT_AN_INTEGER: Fail = Fail::known("ERR value is not an integer or out of range");
pub(super) const NOT_A_FLOAT: Fail = Fail::known("ERR value is not a valid float");
pub(super) const OVERFLOW: Fail = Fail::known("ERR increment or decrement would overflow");
pub(super) const NO_SUCH_KEY: Fail = Fail::known("ERR no such key");
pub(super) const NOT_IN_MULTI: Fail = Fail::known("ERR Command not allowed inside a transaction");

impl Fail {
    /// An error that is known here.
    pub(super) const fn known(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// An error with something of the client's in it.
    pub(super) fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// The wrong number of words for a command.
    pub(super) fn arity(name: &str) -> Self {
        Self::new(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// A command that is not there.
    pub(super) fn unknown(args: super::args::Args<'_, '_>) -> Self {
        const SHOWN: usize = 128;
        let mut text = b"ERR unknown command '".to_vec();
        let shown = |word: &[u8]| word[..word.len().min(SHOWN)].to_vec();
        text.extend(shown(args.get(0)));
        text.extend_from_slice(b"', with args beginning with: ");
        let start = text.len();
        for word in args.from(1) {
            if text.len() - start >= SHOWN {
                break;
            }
            let left = SHOWN - (text.len() - start);
            text.push(b'\'');
            text.extend_from_slice(&word[..word.len().min(left)]);
            text.extend_from_slice(b"' ");
        }
        Self(Cow::Owned(text))
    }

    /// A subcommand that is not there.
    pub(super) fn subcommand(command: &str, word: &[u8]) -> Self {
        let word = String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
        let command = command.to_ascii_uppercase();
        Self::new(format!("ERR unknown subcommand '{word}'. Try {command} HELP."))
    }

    /// The same of an `EXEC`, whose transaction is over with it.
    pub(super) fn discarding(self) -> Self {
        let why = self.0.strip_prefix(b"ERR ").unwrap_or(&self.0);
        Self::new([b"EXECABORT Transaction discarded because of: ", why].concat())
    }

    /// A time that makes no sense.
    pub(super) fn expire(command: &str) -> Self {
        Self::new(format!("ERR invalid expire time in '{command}' command"))
    }

    /// The reply's text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Refusal> for Fail {
    fn from(refusal: &Refusal) -> Self {
        match refusal.code {
            Code::InvalidInput if refusal.message == increment::NOT_A_NUMBER => NOT_AN_INTEGER,
            Code::InvalidInput if refusal.message == increment::OUT_OF_RANGE => OVERFLOW,
            Code::MemoryFull => {
                Self::known("OOM command not allowed when used memory > 'maxmemory'.")
            }
            Code::NoSpace => Self::new(format!("MISCONF {}", refusal.message)),
            _ => Self::new(format!("ERR {}", refusal.message)),
        }
    }
}
