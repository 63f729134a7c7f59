//! The link: what its changes mean for calls and watches, and what each timer does.

use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::Class;
use tidekeep_protocol::session::SessionId;

use crate::calls::{Call, Stage};
use crate::core::{Core, closed, too_large_to_send};
use crate::error::Error;
use crate::link::Phase;
use crate::outbox::Control;
use crate::output::Output;
use crate::replay::{self, Verdict};
use crate::time::Millis;
use crate::timers::Timer;

impl Core {
    pub(super) fn advance_to(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    pub(super) fn open(&mut self) {
        self.link.rested();
        self.link.open(self.now, &self.config, &mut self.timers);
        self.outputs.push_back(Output::Open);
        self.show_state();
    }

    pub(crate) fn show_state(&mut self) {
        let state = self.link.state();
        if state != self.shown {
            self.shown = state;
            self.outputs.push_back(Output::State(state));
        }
    }

    /// The server has greeted with this session, if it knows sessions. In another one than before it
    /// would take a write that is sent again for a new one.
    pub(crate) fn begin_session(&mut self, session: Option<SessionId>, incarnation: u64) {
        let given = session.map(|session| (session, incarnation));
        if given.as_ref() == self.calls.session.known() {
            return;
        }
        let mut from = 0;
        while let Some((slot, id)) = self.calls.next_where(from, |call| call.sequence > 0) {
            match self.calls.find(id) {
                Some(call) if !call.doubtful => call.sequence = 0,
                _ => self.fail(id, replay::forgotten()),
            }
            from = slot + 1;
        }
        self.calls.session.begin(given);
    }

    /// The server has greeted: everything that waited may go.
    pub(crate) fn ready(&mut self) {
        self.show_state();
        let limit = self.link.limits().map_or(usize::MAX, |limits| limits.frame_bytes as usize);
        let mut from = 0;
        let too_long = |call: &Call| call.frame_bytes() > limit;
        while let Some((slot, id)) = self.calls.next_where(from, too_long) {
            self.give_up(id, too_large_to_send());
            from = slot + 1;
        }
        let mut from = 0;
        while let Some(slot) = self.watches.next(from) {
            self.subscribe(slot);
            from = slot + 1;
        }
    }

    pub(super) fn transport_closed(&mut self, why: &str) {
        if !self.link.attached() {
            return;
        }
        let message = if why.is_empty() { "the connection ended" } else { why };
        self.end_link(Error::told(Code::Network, message));
    }

    /// The core gives the transport up: it is dead, the server leaves or broke the protocol.
    pub(crate) fn break_off(&mut self, error: Error) {
        self.outputs.push_back(Output::Close);
        self.end_link(error);
    }

    pub(super) fn end_link(&mut self, error: Error) {
        self.receive.clear();
        self.outbox.clear();
        self.watches.detach_all(&mut self.joining);
        self.link.rest(self.now, &error, &self.config, &mut self.timers);
        self.recall_mutations();
        self.settle_broken(&error);
        self.outputs.push_back(Output::LinkDown(error.clone()));
        if self.closing {
            self.fail_queued(&closed());
            self.finish();
        } else if self.link.turned_away.is_some() || self.config.fails_fast() {
            self.fail_queued(&error);
        }
        self.show_state();
    }

    /// What was sent is either to be sent again or settled with its outcome.
    pub(super) fn settle_broken(&mut self, error: &Error) {
        let mut from = 0;
        while let Some((slot, id)) = self.calls.next_where(from, |call| call.stage == Stage::Sent) {
            let (class, numbered) = match self.calls.find(id) {
                Some(call) => (call.class, call.sequence > 0),
                None => (Class::Read, false),
            };
            match replay::after_break(class, numbered) {
                Verdict::SendAgain | Verdict::SendLater => {
                    self.calls.queue_broken(id, &mut self.joining);
                }
                Verdict::Fail(outcome) => {
                    let message = error.message.clone();
                    self.fail(id, Error::repeated(Code::Network, message).with_outcome(outcome));
                }
            }
            from = slot + 1;
        }
    }

    pub(super) fn finish(&mut self) {
        if self.link.attached() {
            self.outputs.push_back(Output::Close);
        }
        self.receive.clear();
        self.outbox.clear();
        self.timers.clear_all();
        self.leave_queue();
        self.link.phase = Phase::Closed;
        self.show_state();
    }

    pub(super) fn tick(&mut self) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Reconnect => self.open(),
                Timer::Attempt => {
                    let error = Error::told(Code::Network, "the server did not answer in time");
                    self.break_off(error);
                }
                Timer::Heartbeat => self.heartbeat_due(),
                Timer::Stable => self.link.stable(),
                Timer::Calls => self.expire_calls(),
                Timer::Watches => self.retry_watches(),
                Timer::Leases => self.keep_leases(),
                Timer::Rows => (self.queue.resting, self.queue.stirred) = (false, true),
                Timer::Close => {
                    self.recall_mutations();
                    while let Some((_, id)) = self.calls.next_where(0, |_| true) {
                        self.give_up(id, closed());
                    }
                    self.finish();
                }
            }
        }
    }

    pub(super) fn heartbeat_due(&mut self) {
        if self.link.probe(self.now, None, &mut self.timers) {
            self.outbox.push(Control::Ping);
        } else {
            let error = Error::told(Code::Network, "the server fell silent");
            self.break_off(error);
        }
    }

    pub(super) fn woke(&mut self) {
        if self.link.may_hurry() {
            self.timers.set(Timer::Reconnect, self.now);
        } else if self.link.limits().is_some() {
            let patience_ms = Some(self.config.woke_probe_ms);
            if self.link.probe(self.now, patience_ms, &mut self.timers) {
                self.outbox.push(Control::Ping);
            }
        }
        self.tick();
    }

    /// A leaving server is left, and a closing core closes, once no call waits for it. The drain
    /// asks this when there is nothing else to give out, so nothing borrowed is lost with the link.
    pub(crate) fn part_when_done(&mut self) {
        if self.closing && self.link.phase != Phase::Closed && self.calls.live() == 0 {
            self.finish();
        } else if self.link.phase == Phase::Leaving && self.calls.sent() == 0 {
            self.break_off(Error::told(Code::Unavailable, "the server goes away"));
        }
    }
}
