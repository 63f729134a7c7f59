//! What becomes of a request that was sent when its answer may never come. All rules about sending
//! something twice are in this file. A write's number that the server remembers will one day
//! make its repetition safe; then only [`after_break`] changes.

use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::op::Class;

use crate::error::Error;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it again on the next connection.
    SendAgain,
    /// Settle it with this outcome.
    Fail(Outcome),
}

/// The connection broke after the request was sent and before its reply was whole.
pub(crate) fn after_break(class: Class) -> Verdict {
    match class {
        Class::Read | Class::Server | Class::Watch => Verdict::SendAgain,
        Class::Write => Verdict::Fail(Outcome::Unknown),
    }
}

/// The server refused the request. A server that goes away turns requests down that crossed its
/// notice on the way; nothing was applied, and the next server will take them.
pub(crate) fn after_refusal(error: &Error, leaving: bool) -> Verdict {
    let untouched = error.outcome == Outcome::NotApplied;
    if leaving && untouched && error.code == Code::Unavailable {
        Verdict::SendAgain
    } else {
        Verdict::Fail(error.outcome)
    }
}

/// What became of a request that is given up here, without a word from the server.
pub(crate) fn outcome_when_given_up(class: Class, sent: bool) -> Outcome {
    match class {
        Class::Write if sent => Outcome::Unknown,
        Class::Read | Class::Write | Class::Server | Class::Watch => Outcome::NotApplied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sent_write_leaves_its_outcome_open() {
        assert_eq!(after_break(Class::Read), Verdict::SendAgain);
        assert_eq!(after_break(Class::Server), Verdict::SendAgain);
        assert_eq!(after_break(Class::Write), Verdict::Fail(Outcome::Unknown));
        assert_eq!(outcome_when_given_up(Class::Write, true), Outcome::Unknown);
        assert_eq!(outcome_when_given_up(Class::Write, false), Outcome::NotApplied);
        assert_eq!(outcome_when_given_up(Class::Read, true), Outcome::NotApplied);
    }

    #[test]
    fn a_refusal_is_repeated_only_from_a_server_that_leaves_and_applied_nothing() {
        let refused = Error::new(Code::Unavailable, "stopping");
        assert_eq!(after_refusal(&refused, true), Verdict::SendAgain);
        assert_eq!(after_refusal(&refused, false), Verdict::Fail(Outcome::NotApplied));
        let unsure = refused.with_outcome(Outcome::Unknown);
        assert_eq!(after_refusal(&unsure, true), Verdict::Fail(Outcome::Unknown));
        let other = Error::new(Code::NoSpace, "full");
        assert_eq!(after_refusal(&other, true), Verdict::Fail(Outcome::NotApplied));
    }
}
