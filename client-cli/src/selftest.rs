//! The checks of `tidekeep test`: every operation against the live server, each on keys of its own
//! below a throw-away prefix.

use std::future::Future;
use std::pin::Pin;

use tidekeep_client::{Client, Entry, Error, KeyRange};

use crate::escape::escape;
use crate::exit::Exit;

mod conditions;
mod limits;
mod ranges;
mod times;
mod txns;
mod values;
mod watches;

/// One check.
pub(crate) struct Check {
    /// What it shows, for people.
    pub(crate) name: &'static str,
    /// Runs it.
    pub(crate) run: for<'a> fn(&'a Probe) -> Running<'a>,
}

/// A check under way.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Wrong>> + 'a>>;

macro_rules! checks {
    ($($name:literal => $path:path,)+) => {
        /// Every check, in the order in which they run.
        pub(crate) const CHECKS: &[Check] =
            &[$(Check { name: $name, run: |probe| Box::pin($path(probe)) }),+];
    };
}

checks! {
    "ping" => values::ping,
    "status" => values::status,
    "put, get, overwrite, delete" => values::life_of_a_key,
    "any bytes as key and value" => values::any_bytes,
    "a large value" => values::large,
    "increment" => values::increment,
    "put only if absent or present" => conditions::existence,
    "put only if the revision or value is known" => conditions::content,
    "delete only if unchanged" => conditions::delete,
    "scan: order, pages, reverse, keys only, count" => ranges::scan,
    "children of a prefix" => ranges::children,
    "delete a range" => ranges::delete_range,
    "a key ends by its time to live" => times::ttl,
    "touch moves and removes the end" => times::touch,
    "transaction: then, else" => txns::branches,
    "transaction: all or nothing" => txns::all_or_nothing,
    "watch: content, then changes in order" => watches::content_and_changes,
    "watch: resume by cursor" => watches::resume,
    "limits on keys and values" => limits::refused,
}

/// Where a check works.
pub(crate) struct Probe {
    /// The connection.
    pub(crate) client: Client,
    prefix: String,
}

impl Probe {
    /// The keys of one check.
    pub(crate) fn new(client: Client, prefix: String) -> Self {
        Self { client, prefix }
    }

    /// A key of this check.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// All keys of this check.
    pub(crate) fn range(&self) -> KeyRange {
        KeyRange::prefix(self.prefix.as_bytes())
    }
}

/// Why a check failed.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// For people.
    pub(crate) message: String,
    /// The class of it.
    pub(crate) exit: Exit,
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        let message = format!("{} ({})", error.message(), error.code().name());
        Self { message, exit: Exit::of(error.code()) }
    }
}

/// Holds what the server said against what it should have said.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), Wrong> {
    if got == wanted {
        return Ok(());
    }
    let message = format!("{what}: the server says {got:?} instead of {wanted:?}");
    Err(Wrong { message, exit: Exit::Storage })
}

fn expect_that(holds: bool, what: &str) -> Result<(), Wrong> {
    if holds {
        return Ok(());
    }
    Err(Wrong { message: format!("it does not hold that {what}"), exit: Exit::Storage })
}

/// The error that a call must end with.
fn expect_error<T>(
    what: &str,
    result: Result<T, Error>,
    code: tidekeep_client::Code,
) -> Result<Error, Wrong> {
    match result {
        Err(error) if error.code() == code => Ok(error),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Wrong {
            message: format!("{what}: accepted instead of refused as {}", code.name()),
            exit: Exit::Storage,
        }),
    }
}

/// An entry's value as text, for comparing and for messages.
fn text(entry: Option<&Entry>) -> Option<String> {
    entry.map(|entry| escape(&entry.value))
}
