//! Commands that are one native request each: what is asked, and what shape the reply takes. Nothing
//! is decided here that the request itself decides.

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::limits::{Bounded, EXPIRY_MS_MAX, Limits};
use tidekeep_protocol::op::txn::LIST_MAX;
use tidekeep_protocol::op::{Compare, Delete, Get, Increment, Put, Request, Touch, Txn, TxnOp};
use tidekeep_protocol::planted;

use super::args::Args;
use super::fail::{Fail, NOT_AN_INTEGER, SYNTAX};
use super::number;
use super::shape::{Shape, Ttl};
use super::subcommands;

/// A command as a native request.
pub(crate) struct Planned<'b> {
    pub(crate) request: Request<'b>,
    pub(crate) shape: Shape,
}

/// When a command is planned, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At(pub(crate) u64);

/// Plans a command.
pub(super) type Plan = for<'a, 'b> fn(Args<'a, 'b>, At) -> Result<Planned<'b>, Fail>;

impl<'b> Planned<'b> {
    fn new(request: Request<'b>, shape: Shape) -> Self {
        Self { request, shape }
    }

    fn get(key: &'b [u8], shape: Shape) -> Self {
        Self::new(Request::Get(Get { key }), shape)
    }

    fn put(put: Put<'b>, shape: Shape) -> Self {
        Self::new(Request::Put(put), shape)
    }

    fn txn(compares: Vec<Compare<'b>>, then: Vec<TxnOp<'b>>, shape: Shape) -> Self {
        Self::new(Request::Txn(Txn { compares, then, otherwise: Vec::new() }), shape)
    }

    /// Refuses what is over a limit. A command of many keys is bounded by what the log reads back,
    /// which is far more than a native client may send.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        match &self.request {
            Request::Txn(txn) => {
                let parts = txn.compares.len().max(txn.then.len());
                let most = limits.txn_operations.max(LIST_MAX as u32);
                Limits { txn_operations: most, ..*limits }.check_parts(parts)?;
                txn.compares.iter().try_for_each(|compare| compare.check(limits))?;
                txn.then.iter().try_for_each(|op| op.check(limits))
            }
            request => request.check(limits),
        }
    }
}

fn plain<'b>(key: &'b [u8], value: &'b [u8]) -> Put<'b> {
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    Put { key, value, condition, expiry, previous: false }
}

// Reading.

pub(super) fn get<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Value))
}

pub(super) fn mget<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(match args.len() {
        2 => Planned::get(args.get(1), Shape::OneValue),
        _ => Planned::txn(Vec::new(), gets(args), Shape::Values),
    })
}

pub(super) fn exists<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(match args.len() {
        2 => Planned::get(args.get(1), Shape::Found),
        _ => Planned::txn(Vec::new(), gets(args), Shape::CountFound),
    })
}

fn gets<'b>(args: Args<'_, 'b>) -> Vec<TxnOp<'b>> {
    args.from(1).map(|key| TxnOp::Get(Get { key })).collect()
}

pub(super) fn strlen<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Length))
}

pub(super) fn getrange<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let (start, end) = (integer(args.get(2))?, integer(args.get(3))?);
    Ok(Planned::get(args.get(1), Shape::Range(start, end)))
}

pub(super) fn kind<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Kind))
}

pub(super) fn ttl<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Ttl(Ttl::Seconds)))
}

pub(super) fn pttl<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Ttl(Ttl::Millis)))
}

pub(super) fn expiretime<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Ttl(Ttl::AtSeconds)))
}

pub(super) fn pexpiretime<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(Planned::get(args.get(1), Shape::Ttl(Ttl::AtMillis)))
}

/// `MEMORY USAGE key [SAMPLES count …]`.
pub(super) fn memory<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    subcommands::check("memory", args)?;
    for at in (3..args.len()).step_by(2) {
        if !args.is(at, "samples") || at + 1 == args.len() || integer(args.get(at + 1))? < 0 {
            return Err(SYNTAX);
        }
    }
    Ok(Planned::get(args.get(2), Shape::Memory))
}

// Setting.

pub(super) fn set<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    let mut put = plain(args.get(1), args.get(2));
    if args.len() == 3 {
        return Ok(Planned::put(put, Shape::Done));
    }
    let mut end = None;
    let mut word = 3;
    while word < args.len() {
        let next = word + 1 < args.len();
        if args.is(word, "nx") && put.condition == Condition::Always {
            put.condition = Condition::Absent;
        } else if args.is(word, "xx") && put.condition == Condition::Always {
            put.condition = Condition::Present;
        } else if args.is(word, "ifeq") && put.condition == Condition::Always && next {
            put.condition = Condition::Value(args.get(word + 1));
            word += 1;
        } else if args.is(word, "nx") && put.condition == Condition::Absent
            || args.is(word, "xx") && put.condition == Condition::Present
        {
            // Said twice.
        } else if args.is(word, "get") {
            put.previous = true;
        } else if args.is(word, "keepttl") && end.is_none() {
            put.expiry = Expiry::Keep;
        } else if let Some(unit) = Unit::of(args, word)
            && end.is_none_or(|(before, _)| before == unit)
            && put.expiry == Expiry::Never
            && next
        {
            // Of one that is said twice, the last counts.
            end = Some((unit, args.get(word + 1)));
            word += 1;
        } else {
            return Err(SYNTAX);
        }
        word += 1;
    }
    if let Some((unit, text)) = end {
        put.expiry = unit.expiry(text, "set", at)?;
    }
    if put.expiry == Expiry::Keep && planted::is_awake("keepttl-lost") {
        put.expiry = Expiry::Never;
    }
    let shape = if put.previous { Shape::Old } else { Shape::Done };
    Ok(Planned::put(put, shape))
}

pub(super) fn setnx<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let put = Put { condition: Condition::Absent, ..plain(args.get(1), args.get(2)) };
    Ok(Planned::put(put, Shape::Applied))
}

pub(super) fn setex<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    let expiry = Unit::Seconds.expiry(args.get(2), "setex", at)?;
    Ok(Planned::put(Put { expiry, ..plain(args.get(1), args.get(3)) }, Shape::Done))
}

pub(super) fn psetex<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    let expiry = Unit::Millis.expiry(args.get(2), "psetex", at)?;
    Ok(Planned::put(Put { expiry, ..plain(args.get(1), args.get(3)) }, Shape::Done))
}

pub(super) fn getset<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let put = Put { previous: true, ..plain(args.get(1), args.get(2)) };
    Ok(Planned::put(put, Shape::Old))
}

pub(super) fn mset<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(match args.len() {
        3 => Planned::put(plain(args.get(1), args.get(2)), Shape::Done),
        _ => Planned::txn(Vec::new(), puts(args, "mset")?, Shape::AllDone),
    })
}

pub(super) fn msetnx<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let puts = puts(args, "msetnx")?;
    let keys = args.from(1).step_by(2);
    let compares = keys.map(|key| Compare { key, condition: Condition::Absent }).collect();
    Ok(Planned::txn(compares, puts, Shape::Succeeded))
}

fn puts<'b>(args: Args<'_, 'b>, command: &str) -> Result<Vec<TxnOp<'b>>, Fail> {
    if args.len().is_multiple_of(2) {
        return Err(Fail::arity(command));
    }
    let pairs = (1..args.len()).step_by(2);
    Ok(pairs.map(|at| TxnOp::Put(plain(args.get(at), args.get(at + 1)))).collect())
}

// Counting.

pub(super) fn incr<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(increment(args, 1))
}

pub(super) fn decr<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(increment(args, -1))
}

pub(super) fn incrby<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    Ok(increment(args, integer(args.get(2))?))
}

pub(super) fn decrby<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let by = integer(args.get(2))?.checked_neg();
    Ok(increment(args, by.ok_or(Fail::known("ERR decrement would overflow"))?))
}

fn increment<'b>(args: Args<'_, 'b>, by: i64) -> Planned<'b> {
    let increment = Increment { key: args.get(1), by, expiry: Expiry::Keep };
    Planned::new(Request::Increment(increment), Shape::Number)
}

// Removing.

pub(super) fn del<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let delete = |key| Delete { key, condition: Condition::Always, previous: false };
    Ok(match args.len() {
        2 => Planned::new(Request::Delete(delete(args.get(1))), Shape::Applied),
        _ => {
            let deletes = args.from(1).map(|key| TxnOp::Delete(delete(key))).collect();
            Planned::txn(Vec::new(), deletes, Shape::CountApplied)
        }
    })
}

pub(super) fn delifeq<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let (key, condition) = (args.get(1), Condition::Value(args.get(2)));
    let delete = Delete { key, condition, previous: false };
    Ok(Planned::new(Request::Delete(delete), Shape::Applied))
}

pub(super) fn getdel<'b>(args: Args<'_, 'b>, _: At) -> Result<Planned<'b>, Fail> {
    let delete = Delete { key: args.get(1), condition: Condition::Always, previous: true };
    Ok(Planned::new(Request::Delete(delete), Shape::Old))
}

// Ending.

pub(super) fn expire<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    end(args, Unit::Seconds, "expire", at)
}

pub(super) fn pexpire<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    end(args, Unit::Millis, "pexpire", at)
}

pub(super) fn expireat<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    end(args, Unit::AtSeconds, "expireat", at)
}

pub(super) fn pexpireat<'b>(args: Args<'_, 'b>, at: At) -> Result<Planned<'b>, Fail> {
    end(args, Unit::AtMillis, "pexpireat", at)
}

fn end<'b>(args: Args<'_, 'b>, unit: Unit, command: &str, at: At) -> Result<Planned<'b>, Fail> {
    let ends_at = unit.moment(args.get(2), command, at)?;
    Ok(end_at(args.get(1), ends_at, unit, at))
}

/// Has a key end at a moment; one that is over is a delete.
pub(super) fn end_at(key: &[u8], ends_at: i64, unit: Unit, at: At) -> Planned<'_> {
    let condition = Condition::Always;
    let left = ends_at.saturating_sub_unsigned(at.0);
    if left <= 0 {
        let delete = Delete { key, condition, previous: false };
        return Planned::new(Request::Delete(delete), Shape::Applied);
    }
    let expiry = match unit {
        Unit::Seconds | Unit::Millis => Expiry::After(bounded(left)),
        Unit::AtSeconds | Unit::AtMillis => Expiry::At(bounded(ends_at)),
    };
    Planned::new(Request::Touch(Touch { key, expiry, condition }), Shape::Applied)
}

/// How a time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    AtSeconds,
    AtMillis,
}

impl Unit {
    /// The unit that an option names.
    pub(super) fn of(args: Args<'_, '_>, at: usize) -> Option<Self> {
        [("ex", Self::Seconds), ("px", Self::Millis)]
            .into_iter()
            .chain([("exat", Self::AtSeconds), ("pxat", Self::AtMillis)])
            .find_map(|(word, unit)| args.is(at, word).then_some(unit))
    }

    fn millis(self, text: &[u8], command: &str) -> Result<i64, Fail> {
        let number = integer(text)?;
        match self {
            Self::Seconds | Self::AtSeconds => {
                number.checked_mul(1000).ok_or_else(|| Fail::expire(command))
            }
            Self::Millis | Self::AtMillis => Ok(number),
        }
    }

    /// The end of a key that is set: in the future, or at a time that may be over already.
    pub(super) fn expiry(self, text: &[u8], command: &str, at: At) -> Result<Expiry, Fail> {
        let millis = self.millis(text, command)?;
        if millis <= 0 || self.moment(text, command, at)? <= 0 {
            return Err(Fail::expire(command));
        }
        Ok(match self {
            Self::Seconds | Self::Millis => Expiry::After(bounded(millis)),
            Self::AtSeconds | Self::AtMillis => Expiry::At(bounded(millis)),
        })
    }

    /// The moment that a time means, in milliseconds since the Unix epoch.
    pub(super) fn moment(self, text: &[u8], command: &str, at: At) -> Result<i64, Fail> {
        let millis = self.millis(text, command)?;
        match self {
            Self::Seconds | Self::Millis => {
                millis.checked_add_unsigned(at.0).ok_or_else(|| Fail::expire(command))
            }
            Self::AtSeconds | Self::AtMillis => Ok(millis),
        }
    }
}

/// A time that the store can keep: ends in more than 142,000 years are all the same.
fn bounded(millis: i64) -> u64 {
    millis.unsigned_abs().min(EXPIRY_MS_MAX)
}

/// Reads the number of a database: there is one.
pub(super) fn database(text: &[u8]) -> Result<(), Fail> {
    match i32::try_from(integer(text)?) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Fail::known("ERR DB index is out of range")),
        Err(_) => Err(Fail::known(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        )),
    }
}

/// Reads a whole number.
pub(super) fn integer(text: &[u8]) -> Result<i64, Fail> {
    number::integer(text).ok_or(NOT_AN_INTEGER)
}
