//! What the process ends with: one number per class of outcome, the same table for scripts, for
//! `--help` and for the code.

use std::process::ExitCode;

use tidekeep_protocol::error::Code;

/// How a command ended. The numbers are part of the command line's promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// What the command names is not there.
    NotFound,
    /// The command or its input makes no sense as it is.
    Invalid,
    /// A condition did not hold; nothing changed.
    Conflict,
    /// The store is full, or something is over a limit.
    Limit,
    /// The server could not be reached in time, or the connection broke.
    Network,
    /// The server does not do this, or not for this client.
    Refused,
    /// The server's storage or its program failed.
    Storage,
    /// A lock was lost while its command ran.
    LockLost,
    /// Ctrl-C, as shells report it.
    Interrupted,
    /// What a command that was run under a lock ended with.
    Command(u8),
}

/// The table as `--help` prints it.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  not found
    2  usage or invalid input
    3  condition failed
    4  no space, or over a limit
    5  network or timeout
    6  refused by the server
    7  storage failed
    8  a lock was lost
  130  interrupted";

impl Exit {
    /// The number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotFound => 1,
            Self::Invalid => 2,
            Self::Conflict => 3,
            Self::Limit => 4,
            Self::Network => 5,
            Self::Refused => 6,
            Self::Storage => 7,
            Self::LockLost => 8,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }

    /// The class that an error of this code belongs to.
    pub(crate) fn of(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::InvalidInput => Self::Invalid,
            Code::Conflict => Self::Conflict,
            Code::TooLarge
            | Code::NoSpace
            | Code::ResourceExhausted
            | Code::MemoryFull
            | Code::RateLimited
            | Code::TooManyConnections
            | Code::TooManyWatches
            | Code::OverBudget
            | Code::ChangeTooLarge => Self::Limit,
            Code::Network
            | Code::Timeout
            | Code::Cancelled
            | Code::Unavailable
            | Code::SlowReader
            | Code::Closed
            | Code::OutcomeUnknown => Self::Network,
            Code::Unsupported
            | Code::Protocol
            | Code::Version
            | Code::Forbidden
            | Code::Unauthenticated
            | Code::CursorTooOld => Self::Refused,
            Code::Storage | Code::Internal => Self::Storage,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_number_in_the_table() {
        let all = [
            Exit::Done,
            Exit::NotFound,
            Exit::Invalid,
            Exit::Conflict,
            Exit::Limit,
            Exit::Network,
            Exit::Refused,
            Exit::Storage,
            Exit::LockLost,
            Exit::Interrupted,
        ];
        let rows = TABLE.lines().skip(1);
        let numbers: Vec<&str> = rows.filter_map(|row| row.split_whitespace().next()).collect();
        assert_eq!(numbers, all.map(|exit| exit.number().to_string()));
    }

    #[test]
    fn no_error_ends_as_done() {
        for &code in Code::ALL {
            assert_ne!(Exit::of(code), Exit::Done, "{}", code.name());
        }
    }
}
