//! What becomes of a request that was sent when its answer may never come. All rules about sending
//! something twice are in this file. A write may be sent again if it bears a number by which the
//! server knows it: one that was applied is then answered from memory, and never applied twice.

use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::op::Class;

use crate::error::Error;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it again, on this connection or the next one.
    SendAgain,
    /// Send it again when it has waited for a while.
    SendLater,
    /// Settle it with this outcome.
    Fail(Outcome),
}

/// The connection broke after the request was sent and before its reply was whole. `numbered` says
/// whether the server knows the request when it comes again.
pub(crate) fn after_break(class: Class, numbered: bool) -> Verdict {
    match class {
        Class::Read | Class::Server | Class::Watch => Verdict::SendAgain,
        Class::Write if numbered => Verdict::SendAgain,
        Class::Write => Verdict::Fail(Outcome::Unknown),
    }
}

/// The server refused the request; `doubtful` says whether an earlier copy may have been applied. A
/// server that goes away turns requests down that crossed its notice on the way; nothing was
/// applied, and the next server will take them. What hinders a copy, as a rate limit or a failed disk
/// does, says nothing of the one before it: that is known only where the write itself was looked at,
/// so what hinders it only for now is waited for.
pub(crate) fn after_refusal(error: &Error, leaving: bool, doubtful: bool) -> Verdict {
    let untouched = error.outcome == Outcome::NotApplied;
    if leaving && untouched && error.code == Code::Unavailable {
        Verdict::SendAgain
    } else if error.code == Code::OutcomeUnknown {
        Verdict::Fail(Outcome::Unknown)
    } else if doubtful && untouched && !is_decision(error.code) {
        if error.retryable { Verdict::SendLater } else { Verdict::Fail(Outcome::Unknown) }
    } else {
        Verdict::Fail(error.outcome)
    }
}

/// Whether a server that refuses a numbered write with this code would have given the first copy's
/// answer if that had been applied, or would have refused the first copy just the same.
fn is_decision(code: Code) -> bool {
    matches!(code, Code::InvalidInput | Code::NotFound | Code::Conflict | Code::Unsupported)
}

/// What became of a request that is given up here, without a word from the server. `doubtful` says
/// whether a copy was sent.
pub(crate) fn outcome_when_given_up(class: Class, doubtful: bool) -> Outcome {
    match class {
        Class::Write if doubtful => Outcome::Unknown,
        Class::Read | Class::Write | Class::Server | Class::Watch => Outcome::NotApplied,
    }
}

/// Why a write cannot be sent again to a server that has given another session: it would take it for
/// a new one.
pub(crate) fn forgotten() -> Error {
    let message = "the server cannot tell any more whether the write was applied";
    Error::told(Code::OutcomeUnknown, message).with_outcome(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sent_write_without_a_number_leaves_its_outcome_open() {
        for numbered in [false, true] {
            assert_eq!(after_break(Class::Read, numbered), Verdict::SendAgain);
            assert_eq!(after_break(Class::Server, numbered), Verdict::SendAgain);
        }
        assert_eq!(after_break(Class::Write, true), Verdict::SendAgain);
        assert_eq!(after_break(Class::Write, false), Verdict::Fail(Outcome::Unknown));
        assert_eq!(outcome_when_given_up(Class::Write, true), Outcome::Unknown);
        assert_eq!(outcome_when_given_up(Class::Write, false), Outcome::NotApplied);
        assert_eq!(outcome_when_given_up(Class::Read, true), Outcome::NotApplied);
    }

    #[test]
    fn a_refusal_is_repeated_only_from_a_server_that_leaves_and_applied_nothing() {
        let refused = Error::new(Code::Unavailable, "stopping");
        for doubtful in [false, true] {
            assert_eq!(after_refusal(&refused, true, doubtful), Verdict::SendAgain);
        }
        assert_eq!(after_refusal(&refused, false, false), Verdict::Fail(Outcome::NotApplied));
        let unsure = refused.with_outcome(Outcome::Unknown);
        assert_eq!(after_refusal(&unsure, true, false), Verdict::Fail(Outcome::Unknown));
        let other = Error::new(Code::NoSpace, "full");
        assert_eq!(after_refusal(&other, true, false), Verdict::Fail(Outcome::NotApplied));
    }

    #[test]
    fn a_copy_that_was_not_looked_at_says_nothing_of_the_one_before_it() {
        for code in [Code::Storage, Code::TooLarge, Code::Forbidden, Code::Internal] {
            let hindered = Error::new(code, "not now");
            assert_eq!(after_refusal(&hindered, false, true), Verdict::Fail(Outcome::Unknown));
            assert_eq!(after_refusal(&hindered, false, false), Verdict::Fail(Outcome::NotApplied));
        }
        for code in [Code::RateLimited, Code::MemoryFull, Code::NoSpace, Code::Unavailable] {
            let passing = Error::new(code, "not now");
            assert_eq!(after_refusal(&passing, false, true), Verdict::SendLater);
            assert_eq!(after_refusal(&passing, false, false), Verdict::Fail(Outcome::NotApplied));
        }
        let lasting = Error::new(Code::InvalidInput, "no");
        assert_eq!(after_refusal(&lasting, false, true), Verdict::Fail(Outcome::NotApplied));
        let unknown = Error::new(Code::OutcomeUnknown, "forgotten");
        assert_eq!(after_refusal(&unknown, false, false), Verdict::Fail(Outcome::Unknown));
    }
}
