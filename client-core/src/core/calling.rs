//! Calls: how they come in, how they settle without the server, and how they are given up.

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::Class;
use tidekeep_protocol::planted;

use crate::calls::{SLOTS_MAX, Stage};
use crate::config::CallOptions;
use crate::core::{Core, closed, too_large_to_send};
use crate::error::Error;
use crate::link::Phase;
use crate::outbox::Control;
use crate::output::{CallId, Output};
use crate::replay;
use crate::time::Millis;
use crate::timers::Timer;

impl Core {
    /// Takes a slot for a call whose body is then written, or refuses the call. Apart from the
    /// encoding, which is another for every operation, so that this exists once.
    #[inline(never)]
    pub(super) fn begin_call(
        &mut self,
        now: Millis,
        kind: u8,
        class: Class,
        checked: Result<(), Refusal>,
        options: CallOptions,
    ) -> Result<u32, CallId> {
        self.connect(now);
        let admitted = checked.map_err(Error::from).and_then(|()| self.admit_call(class));
        let deadline = self.now.after(options.timeout_ms.unwrap_or(self.config.timeout_ms));
        match admitted.map(|()| self.calls.insert(kind, class, deadline, options.freshness)) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(self.refuse(too_many_calls())),
            Err(error) => Err(self.refuse(error)),
        }
    }

    pub(super) fn admit_call(&self, class: Class) -> Result<(), Error> {
        if self.closing {
            return Err(closed());
        }
        if class == Class::Watch {
            return Err(Error::told(Code::InvalidInput, "a watch is no call"));
        }
        if let Some(error) = &self.link.turned_away {
            return Err(error.clone());
        }
        if self.config.fails_fast() && self.link.phase != Phase::Ready {
            return Err(Error::told(Code::Network, "not connected"));
        }
        if self.calls.live() >= (self.config.queue_calls as usize).min(SLOTS_MAX) {
            return Err(too_many_calls());
        }
        Ok(())
    }

    /// The call's body is written: holds its length against the bounds.
    #[inline(never)]
    pub(super) fn end_call(&mut self, id: u32) -> CallId {
        self.calls.count_body(id);
        let Some(call) = self.calls.find(id) else { return CallId(id) };
        let (frame_bytes, deadline) = (call.frame_bytes(), call.deadline);
        self.timers.bring_forward(Timer::Calls, deadline);
        let too_large = self.link.limits().is_some_and(|l| frame_bytes > l.frame_bytes as usize);
        if too_large {
            self.fail(id, too_large_to_send());
        } else if self.calls.bytes() > self.config.queue_bytes {
            let message = "too many bytes of requests wait for their replies";
            self.fail(id, Error::told(Code::ResourceExhausted, message));
        }
        CallId(id)
    }

    pub(super) fn refuse(&mut self, error: Error) -> CallId {
        let call = CallId(self.calls.refused_id());
        self.outputs.push_back(Output::Failed { call, error });
        call
    }

    /// Settles a call with this error.
    pub(crate) fn fail(&mut self, id: u32, error: Error) {
        if self.calls.settle(id, &mut self.joining).is_some() {
            self.tell_failed(id, error);
        }
    }

    /// Tells the driver of a call that has failed, unless the core made it itself.
    fn tell_failed(&mut self, id: u32, error: Error) {
        if self.leases.failed(id, self.now, &error) {
            self.timers.set(Timer::Leases, self.now);
        } else if let Some(at) = self.queue.of_call(id) {
            self.fail_mutation(at, error);
        } else {
            self.outputs.push_back(Output::Failed { call: CallId(id), error });
        }
    }

    /// Settles a call of which the server has not said what became of it, and tells the server if
    /// that waits for nothing but to answer it.
    pub(crate) fn give_up(&mut self, id: u32, error: Error) {
        if let Some(settled) = self.calls.settle(id, &mut self.joining) {
            let outcome = replay::outcome_when_given_up(settled.class, settled.doubtful);
            self.tell_failed(id, error.with_outcome(outcome));
            self.cancel_on_server(settled.sent.then_some(id));
        }
    }

    pub(super) fn fail_queued(&mut self, error: &Error) {
        let mut from = 0;
        while let Some((slot, id)) = self.calls.next_where(from, |call| call.stage != Stage::Sent) {
            self.give_up(id, error.clone());
            from = slot + 1;
        }
    }

    /// Gives up what is past its deadline, and lets go what has rested.
    pub(super) fn expire_calls(&mut self) {
        let (now, mut from) = (self.now, 0);
        while let Some((slot, id)) = self.calls.next_where(from, |call| {
            call.deadline <= now
                && !(call.stage == Stage::Sent && planted::is_awake("deadline-forgotten"))
        }) {
            let message = if self.link.phase == Phase::Ready {
                "the deadline passed"
            } else {
                "the deadline passed while there was no connection"
            };
            self.give_up(id, Error::told(Code::Timeout, message));
            from = slot + 1;
        }
        self.calls.queue_rested(now);
        self.timers.set(Timer::Calls, self.calls.earliest_due());
    }

    pub(super) fn cancel_on_server(&mut self, sent: Option<u32>) {
        if let Some(id) = sent
            && self.link.listening()
        {
            self.outbox.push(Control::Cancel(id));
        }
    }
}

pub(super) fn too_many_calls() -> Error {
    Error::told(Code::ResourceExhausted, "too many calls wait for their replies")
}
