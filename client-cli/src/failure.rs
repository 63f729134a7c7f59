//! Why a command did not do what it was asked: one line that says what happened, with the code,
//! and a hint that says what to do now.

use std::fmt::Write as _;
use std::io;

use tidekeep_client::{Code, Error, Outcome};

use crate::escape::escape;
use crate::exit::Exit;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Told to the person, with an exit code of its class.
    Told {
        /// The class.
        exit: Exit,
        /// The error's stable name.
        code: &'static str,
        /// What happened, in one sentence without a full stop.
        message: String,
        /// What to do now.
        hint: Option<String>,
    },
    /// Everything has been said already; only the exit code is left.
    Said(Exit),
    /// A command that was run has failed with this code, and has said why.
    Command(u8),
    /// Nobody reads the output any more, as behind `| head`: no failure at all.
    OutputClosed,
}

impl Failure {
    /// A failure of one of the protocol's classes.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Told { exit: Exit::of(code), code: code.name(), message: message.into(), hint: None }
    }

    /// The command or its input makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidInput, message)
    }

    /// There is no such key.
    pub(crate) fn no_key(key: &[u8]) -> Self {
        Self::new(Code::NotFound, format!("there is no key \"{}\"", escape(key)))
    }

    /// A lock was lost while it was held.
    pub(crate) fn lock_lost(name: &str, code: Code, reason: &str) -> Self {
        Self::Told {
            exit: Exit::LockLost,
            code: code.name(),
            message: format!("the lock \"{name}\" was lost: {reason}"),
            hint: Some("somebody else may hold it by now; give it a longer --ttl".to_owned()),
        }
    }

    /// Says what to do now.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Told { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Puts words before the message, such as where the input is wrong.
    pub(crate) fn at(mut self, place: impl std::fmt::Display) -> Self {
        if let Self::Told { message, .. } = &mut self {
            *message = format!("{place}: {message}");
        }
        self
    }

    /// The number to end with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Told { exit, .. } | Self::Said(exit) => *exit,
            Self::Command(code) => Exit::Command(*code),
            Self::OutputClosed => Exit::Done,
        }
    }

    /// The lines for standard error; none when there is nothing to say.
    pub(crate) fn text(&self, styles: &Styles) -> String {
        let Self::Told { code, message, hint, .. } = self else { return String::new() };
        let (error, note) = (styles.error, styles.note);
        let mut text = format!("{error}error:{error:#} {message} ({code})\n");
        if let Some(hint) = hint {
            let _ = writeln!(text, "{note}hint:{note:#} {hint}");
        }
        text
    }
}

/// How the two words at the beginning of the lines look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Styles {
    /// `error:`.
    pub(crate) error: anstyle::Style,
    /// `hint:` and notes.
    pub(crate) note: anstyle::Style,
}

impl Styles {
    /// In colour, for a terminal.
    pub(crate) const COLOUR: Self = Self {
        error: anstyle::AnsiColor::Red.on_default().bold(),
        note: anstyle::AnsiColor::Cyan.on_default(),
    };
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Told {
            exit: Exit::Storage,
            code: "output",
            message: format!("the output cannot be written: {error}"),
            hint: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(error.code(), error.message());
        match hint_for(error.code(), error.outcome()) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What to do about an error of this code.
fn hint_for(code: Code, outcome: Outcome) -> Option<&'static str> {
    if outcome == Outcome::Unknown {
        return Some("whether the change was made is not known; read the key before you try again");
    }
    Some(match code {
        Code::TooLarge => "the limit is the server's; `tidekeep-server --help` names its options",
        Code::NoSpace => "reads and deletes still work; free space on the server's disk",
        Code::ResourceExhausted | Code::TooManyConnections | Code::RateLimited => {
            "the server is at a limit; try again in a moment"
        }
        Code::MemoryFull => {
            "reads and deletes still work; delete, or raise --max-memory of the server"
        }
        Code::TooManyWatches => "end a watch, or use another connection",
        Code::OverBudget => "read faster, ask for less at once, or raise the server's budget",
        Code::Timeout => "give it longer with --timeout, or look at the server's log",
        Code::Unavailable => "the server is starting or stopping; try again in a moment",
        Code::Storage => "the server's log says what failed on its disk",
        Code::Version | Code::Unsupported => {
            "this program and the server are of different versions; update the older one"
        }
        Code::ChangeTooLarge => {
            "begin again with --content, or raise --watch-budget-bytes of the server"
        }
        Code::CursorTooOld => "begin again without --since; --content prints what is there",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_a_hint() {
        let failure = Failure::invalid("that is no number").at("line 3").hint("write 3");
        assert_eq!(
            failure.text(&Styles::default()),
            "error: line 3: that is no number (invalid-input)\nhint: write 3\n"
        );
        assert_eq!(failure.exit(), Exit::Invalid);
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.text(&Styles::default()), "");
        assert_eq!(failure.exit(), Exit::Done);
    }

    #[test]
    fn a_key_in_a_message_cannot_move_the_cursor() {
        let text = Failure::no_key(b"\x1b[2J").text(&Styles::default());
        assert_eq!(text, "error: there is no key \"\\x1b[2J\" (not-found)\n");
    }
}
