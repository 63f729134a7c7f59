//! Watches: how they come in, and how they are put on a connection.

use tidekeep_protocol::error::Code;

use crate::calls::SLOTS_MAX;
use crate::core::{Core, closed, too_large_to_send};
use crate::error::Error;
use crate::link::Phase;
use crate::output::{Output, WatchId};
use crate::timers::Timer;
use crate::watch::{self, Begin, WatchRequest};

impl Core {
    pub(super) fn admit_watch(&self, request: &WatchRequest) -> Result<(), Error> {
        if self.closing {
            return Err(closed());
        }
        let limits = self.link.limits();
        let most = limits.map_or(u32::MAX, |limits| limits.watches).min(self.config.watches);
        if self.watches.live() >= (most as usize).min(SLOTS_MAX) {
            return Err(Error::told(Code::TooManyWatches, "too many watches"));
        }
        let most = limits.map_or(u32::MAX, |limits| limits.frame_bytes) as usize;
        if watch::request_bytes_max(request) > most {
            return Err(too_large_to_send());
        }
        Ok(())
    }

    /// Puts a watch on the connection, if there is one.
    pub(crate) fn subscribe(&mut self, slot: usize) {
        if self.link.phase != Phase::Ready {
            return;
        }
        let incarnation = self.link.server.as_ref().map_or(0, |server| server.incarnation);
        match self.watches.subscribe(slot, incarnation) {
            Begin::Plain => {}
            Begin::Reset => {
                let watch = WatchId(self.watches.id(slot));
                self.outputs.push_back(Output::WatchReset { watch });
            }
        }
    }

    /// Ends a watch here and on the server, and tells its consumer why.
    pub(crate) fn end_watch(&mut self, slot: usize, error: Error) {
        let watch = WatchId(self.watches.id(slot));
        self.drop_watch(slot);
        self.outputs.push_back(Output::WatchFailed { watch, error });
    }

    /// Ends a watch here and on the server.
    pub(super) fn drop_watch(&mut self, slot: usize) {
        let sent = self.watches.remove(slot, &mut self.joining);
        self.cancel_on_server(sent);
    }

    /// Takes a watch off the server.
    pub(crate) fn detach_watch(&mut self, slot: usize) {
        let sent = self.watches.detach(slot, &mut self.joining);
        self.cancel_on_server(sent);
    }

    pub(super) fn retry_watches(&mut self) {
        while let Some(slot) = self.watches.take_due(self.now) {
            self.subscribe(slot);
        }
        self.timers.set(Timer::Watches, self.watches.earliest_retry());
    }
}
