//! Leases that are kept alive. The holder must stop before the server gives away what it holds: so a
//! lease counts for nine tenths of its time from when a keep-alive that was answered was made, which
//! is before the server can have seen it. A machine that slept finds its lease lost when it wakes: at
//! once if its clock has counted the sleep, else with the answer to the next keep-alive.

use alloc::vec::Vec;

use tidekeep_protocol::error::Code;

use crate::error::Error;
use crate::time::Millis;

/// A keep-alive is sent when one of so many parts of the time is over.
const PARTS: u64 = 3;

/// One of so many parts of a lease's time is not counted on: where the server's clock was set forward,
/// its time goes by a tenth faster until both agree.
const PARTS_SPARED: u64 = 10;

/// After a refusal that need not last, the next one is sent when one of so many is over.
const PARTS_REFUSED: u64 = 10;

/// One lease.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) lease: u64,
    ttl_ms: u64,
    /// From when its time counts.
    since: Millis,
    /// When the next keep-alive is due.
    next: Millis,
    /// The keep-alive on its way, and when it was made.
    call: Option<(u32, Millis)>,
    /// Why the last one failed.
    refused: Option<Error>,
}

/// What is to be done for a lease now.
#[derive(Debug)]
pub(crate) enum Due {
    /// A keep-alive, at this place, with this deadline.
    KeepAlive(usize, Millis),
    /// It is over, and taken out.
    Lost(Kept),
}

/// All leases that are kept.
#[derive(Debug, Default)]
pub(crate) struct Leases(Vec<Kept>);

impl Leases {
    /// Keeps a lease from now on, whose time counts since `since`.
    pub(crate) fn keep(&mut self, lease: u64, ttl_ms: u64, since: Millis) {
        let next = later(since, ttl_ms / PARTS);
        self.0.push(Kept { lease, ttl_ms, since, next, call: None, refused: None });
    }

    /// Takes a lease out; any if none is named.
    pub(crate) fn take(&mut self, lease: Option<u64>) -> Option<Kept> {
        let named = |kept: &Kept| lease.is_none_or(|lease| kept.lease == lease);
        let place = self.0.iter().position(named)?;
        Some(self.0.swap_remove(place))
    }

    /// What is due, one at a time.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<Due> {
        if let Some(place) = self.0.iter().position(|kept| kept.end() <= now) {
            return Some(Due::Lost(self.0.swap_remove(place)));
        }
        let due = |kept: &Kept| kept.call.is_none() && kept.next <= now;
        let place = self.0.iter().position(due)?;
        Some(Due::KeepAlive(place, self.0[place].end()))
    }

    /// When something is due next.
    pub(crate) fn earliest(&self) -> Millis {
        let mut earliest = Millis::NEVER;
        for kept in &self.0 {
            earliest = earliest.min(kept.end());
            if kept.call.is_none() {
                earliest = earliest.min(kept.next);
            }
        }
        earliest
    }

    pub(crate) fn lease(&self, place: usize) -> u64 {
        self.0[place].lease
    }

    /// The keep-alive was made at `now` as this call, or could not be.
    pub(crate) fn asked(&mut self, place: usize, now: Millis, call: Result<u32, Error>) {
        let kept = &mut self.0[place];
        match call {
            Ok(id) => kept.call = Some((id, now)),
            Err(error) => kept.refuse(now, error),
        }
    }

    /// A call succeeded; whether it was a keep-alive.
    pub(crate) fn answered(&mut self, call: u32) -> bool {
        let Some(kept) = self.of_call(call) else { return false };
        if let Some((_, made)) = kept.call.take() {
            (kept.since, kept.refused) = (made, None);
            kept.next = later(made, kept.ttl_ms / PARTS);
        }
        true
    }

    /// A call failed; whether it was a keep-alive. What names the lease as gone makes it due now.
    pub(crate) fn failed(&mut self, call: u32, now: Millis, error: &Error) -> bool {
        let Some(kept) = self.of_call(call) else { return false };
        if error.code == Code::NotFound {
            kept.ttl_ms = 0;
        }
        kept.refuse(now, error.clone());
        true
    }

    fn of_call(&mut self, call: u32) -> Option<&mut Kept> {
        self.0.iter_mut().find(|kept| kept.call() == Some(call))
    }
}

impl Kept {
    /// The call of the keep-alive on its way.
    pub(crate) fn call(&self) -> Option<u32> {
        self.call.map(|(id, _)| id)
    }

    /// Why it is lost.
    pub(crate) fn why(self) -> Error {
        let late = || Error::told(Code::Timeout, "the lease was not kept alive in time");
        self.refused.unwrap_or_else(late)
    }

    fn end(&self) -> Millis {
        later(self.since, self.ttl_ms - self.ttl_ms / PARTS_SPARED)
    }

    fn refuse(&mut self, now: Millis, error: Error) {
        let wait_ms = u64::from(error.retry_after_ms).max(self.ttl_ms / PARTS_REFUSED).max(1);
        (self.call, self.refused, self.next) = (None, Some(error), later(now, wait_ms));
    }
}

fn later(at: Millis, ms: u64) -> Millis {
    Millis(at.0.saturating_add(ms))
}
