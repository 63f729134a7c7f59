//! Leases: how they are kept alive by calls of the core's own, and how their loss is told.

use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{LeaseKeepAlive, Operation};
use tidekeep_protocol::plain;

use crate::core::calling::too_many_calls;
use crate::core::{Core, closed};
use crate::error::Error;
use crate::leases::Due;
use crate::output::Output;
use crate::time::Millis;
use crate::timers::Timer;

impl Core {
    /// Keeps a lease alive until [`Core::forget_lease`], over all connections: asks the server for
    /// its whole time again whenever a third of it is over. `since` is the moment at which the call
    /// was made that granted it. Its loss is told once, with [`Output::LeaseLost`]: when the server
    /// no longer knows the lease, or when `ttl_ms` have passed without an answer.
    pub fn keep_lease(&mut self, now: Millis, lease: u64, ttl_ms: u64, since: Millis) {
        self.connect(now);
        if self.closing {
            self.outputs.push_back(Output::LeaseLost { lease, error: closed() });
            return;
        }
        self.forget_lease(now, lease);
        self.leases.keep(lease, ttl_ms, since);
        self.keep_leases();
    }

    /// Keeps a lease no longer. It ends by itself unless it is revoked.
    pub fn forget_lease(&mut self, now: Millis, lease: u64) {
        self.advance_to(now);
        if let Some(kept) = self.leases.take(Some(lease)) {
            self.drop_keep_alive(kept.call());
        }
    }

    /// Does what is due for leases, and sets the time for what is due next.
    pub(crate) fn keep_leases(&mut self) {
        while let Some(due) = self.leases.take_due(self.now) {
            match due {
                Due::KeepAlive(place, deadline) => {
                    let asked = self.keep_alive(self.leases.lease(place), deadline);
                    self.leases.asked(place, self.now, asked);
                }
                Due::Lost(kept) => {
                    self.drop_keep_alive(kept.call());
                    let lease = kept.lease;
                    self.outputs.push_back(Output::LeaseLost { lease, error: kept.why() });
                }
            }
        }
        self.timers.set(Timer::Leases, self.leases.earliest());
    }

    pub(super) fn lose_leases(&mut self, error: &Error) {
        while let Some(kept) = self.leases.take(None) {
            self.drop_keep_alive(kept.call());
            let (lease, error) = (kept.lease, error.clone());
            self.outputs.push_back(Output::LeaseLost { lease, error });
        }
    }

    fn keep_alive(&mut self, lease: u64, deadline: Millis) -> Result<u32, Error> {
        let spec = LeaseKeepAlive::SPEC;
        self.admit_call(spec.class)?;
        let inserted = self.calls.insert(spec.kind, spec.class, deadline, Freshness::Linearizable);
        let id = inserted.ok_or_else(too_many_calls)?;
        plain::push_number(self.calls.body(id), lease);
        self.calls.count_body(id);
        self.timers.bring_forward(Timer::Calls, deadline);
        Ok(id)
    }

    /// Nobody waits for this keep-alive any more.
    fn drop_keep_alive(&mut self, call: Option<u32>) {
        let settled = call.and_then(|id| self.calls.settle(id, &mut self.joining));
        if settled.is_some_and(|settled| settled.sent) {
            self.cancel_on_server(call);
        }
    }
}
