//! A client: the real core, a driver that moves its bytes unless the machine sleeps, and a user who
//! remembers every call and every watch.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::{CallId, CallOptions, Core, Error, Input, Millis, Output, WatchId};

use crate::call::What;
use crate::ledger::Call;
use crate::network::Way;
use crate::offline::Mutations;
use crate::place::Place;
use crate::reading::{Wall, check_reply};
use crate::viewer::Viewer;
use crate::watcher::Watcher;
use crate::world::{Event, World};

/// One client.
pub(crate) struct Client {
    pub(crate) core: Core,
    /// What its clock shows at virtual time 0.
    clock_ms: u64,
    pub(crate) connection: Option<u32>,
    asleep: bool,
    wakes_at: u64,
    pub(crate) woke_at: u64,
    /// What happened while it slept.
    missed: Vec<Event>,
    /// When its timer fires; 0 if it does not.
    armed: u64,
    /// Numbers of its open calls.
    pub(crate) calls: BTreeMap<u32, u64>,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) closed: bool,
    pub(crate) acts_left: u64,
    /// The last revision that it knows of keys.
    pub(crate) known: BTreeMap<Vec<u8>, u64>,
    /// Which of all processes of clients this is.
    pub(crate) life: u64,
    /// Whose edits have an order: those of one place, or of one life without one.
    pub(crate) queue: u64,
    /// What outlives it.
    pub(crate) place: Option<Place>,
    /// Edits that were not forgotten.
    pub(crate) mutations: Mutations,
    pub(crate) viewers: Vec<Viewer>,
}

impl Client {
    pub(crate) fn new(core: Core, clock_ms: u64, acts_left: u64, life: u64) -> Self {
        Self {
            core,
            clock_ms,
            connection: None,
            asleep: false,
            wakes_at: 0,
            woke_at: 0,
            missed: Vec::new(),
            armed: 0,
            calls: BTreeMap::new(),
            watchers: Vec::new(),
            closed: false,
            acts_left,
            known: BTreeMap::new(),
            life,
            queue: life,
            place: None,
            mutations: Mutations::new(),
            viewers: Vec::new(),
        }
    }

    /// What its clock shows.
    pub(crate) fn time(&self, now: u64) -> Millis {
        Millis(self.clock_ms + now)
    }

    pub(crate) fn sleeps(&self) -> bool {
        self.asleep
    }

    /// Keeps an event for when it is awake again.
    pub(crate) fn miss(&mut self, event: Event) {
        self.missed.push(event);
    }
}

/// An output of the core, owned.
enum Seen {
    Open,
    Close,
    Reply(CallId, Vec<u8>),
    Failed(CallId, Error),
    Reset(WatchId),
    Watch(WatchId, Vec<u8>),
    WatchFailed(WatchId, Error),
    Patch(WatchId, Vec<u8>),
    Store(Vec<u8>),
    EditStored(u64),
    EditSettled(u64, Result<Vec<u8>, Error>),
}

fn own(output: Output<'_>) -> Option<Seen> {
    Some(match output {
        Output::Open => Seen::Open,
        Output::Close => Seen::Close,
        Output::State(_) | Output::LinkDown(_) | Output::LeaseLost { .. } | Output::Queue(_) => {
            return None;
        }
        Output::View { view, body } => Seen::Patch(view, body.to_vec()),
        Output::Store { batch } => Seen::Store(batch.to_vec()),
        Output::Queued { mutation } => Seen::EditStored(mutation.0),
        Output::Settled { mutation, result, .. } => Seen::EditSettled(mutation.0, result),
        Output::Reply { call, body, .. } => Seen::Reply(call, body.to_vec()),
        Output::Failed { call, error } => Seen::Failed(call, error),
        Output::WatchReset { watch } => Seen::Reset(watch),
        Output::Watch { watch, body } => Seen::Watch(watch, body.to_vec()),
        Output::WatchFailed { watch, error } => Seen::WatchFailed(watch, error),
    })
}

/// How late a timer may be.
const SLACK_MS: u64 = 2;

impl World {
    /// Gives a core what happened, and does what it wants done.
    pub(crate) fn drive(&mut self, client: usize, input: Option<Input<'_>>) -> Result<(), String> {
        let it = &mut self.clients[client];
        let now = it.time(self.now);
        let mut drain = match input {
            Some(input) => it.core.handle(now, input),
            None => it.core.drain(),
        };
        let mut seen = Vec::new();
        while let Some(output) = drain.next() {
            seen.extend(own(output));
        }
        drop(drain);
        for seen in seen {
            self.see(client, seen).map_err(|why| format!("client {client}: {why}"))?;
        }
        self.check_views(client).map_err(|why| format!("client {client}: {why}"))?;
        self.transmit(client);
        self.arm(client);
        Ok(())
    }

    fn transmit(&mut self, client: usize) {
        while let Some(id) = self.clients[client].connection {
            let room = self.room_up(id);
            if room == 0 {
                return;
            }
            let most = room.min(self.random.between(64, 8_000) as usize);
            let mut bytes = Vec::new();
            if !self.clients[client].core.transmit(&mut bytes, most) {
                return;
            }
            self.send(id, Way::Up, &bytes);
        }
    }

    fn arm(&mut self, client: usize) {
        let now = self.now;
        let it = &mut self.clients[client];
        let Some(wait) = it.core.wait() else { return };
        let at = wait.0.saturating_sub(it.clock_ms).max(now + 1);
        if it.armed <= now || at < it.armed {
            it.armed = at;
            self.schedule(at, Event::Tick(client));
        }
    }

    fn see(&mut self, client: usize, seen: Seen) -> Result<(), String> {
        match seen {
            Seen::Open => self.dial(client),
            Seen::Close => {
                if let Some(id) = self.clients[client].connection.take() {
                    self.end_at_client(id);
                }
            }
            Seen::Reply(call, body) => {
                let number = self.take_call(client, call)?;
                let wall = self.wall_since(self.ledger.call(number).made_at);
                let (ledger, history) = (&mut self.ledger, &mut self.history);
                let shown = check_reply(ledger, history, number, &body, wall)?;
                self.shown = self.shown.max(shown);
                self.note_known(client, number, shown);
                self.trace(format_args!("{client}: call {number} replied at {shown}"));
            }
            Seen::Failed(call, error) => {
                let number = self.take_call(client, call)?;
                self.trace(format_args!("{client}: call {number} failed: {error}"));
                *self.failures.entry((error.code.name(), error.outcome.name())).or_default() += 1;
                let what = &self.ledger.call(number).what;
                if error.code == Code::NotFound {
                    let wall = self.wall_since(self.ledger.call(number).made_at);
                    self.history.check_gone(what, wall)?;
                }
                if error.code == Code::MemoryFull {
                    self.check_memory_full(what, self.ledger.call(number).made_at)?;
                }
                if error.outcome == Outcome::NotApplied {
                    self.history.leases.decided(what);
                }
                self.ledger.fail(number, &error)?;
            }
            Seen::Reset(watch) => {
                self.trace(format_args!("{client}: watch {watch:?} begins anew"));
                self.watcher(client, watch)?.reset();
            }
            Seen::Watch(watch, body) => {
                self.trace(format_args!("{client}: watch {watch:?} is told {body:?}"));
                let wall = self.wall_since(0);
                let watchers = &mut self.clients[client].watchers;
                let watcher = watchers.iter_mut().find(|watcher| watcher.watch == watch);
                let watcher = watcher.ok_or_else(|| format!("no watch {watch:?}"))?;
                let taken = watcher.take(&body, &self.history, wall);
                taken.map_err(|why| format!("watch {watch:?}: {why}"))?;
            }
            Seen::Patch(view, body) => {
                let mut viewers = self.clients[client].viewers.iter_mut();
                let viewer = viewers.find(|viewer| viewer.view == view);
                viewer.ok_or_else(|| format!("no view {view:?}"))?.take(&body)?;
                self.patches += 1;
                self.trace(format_args!("{client}: view {view:?} is told {body:?}"));
            }
            Seen::Store(batch) => self.store(client, batch)?,
            Seen::EditStored(mutation) => self.edit_stored(client, mutation)?,
            Seen::EditSettled(mutation, result) => {
                self.edit_settled(client, mutation, result)?;
                self.clients[client].viewers.iter_mut().for_each(|it| it.stirred = true);
            }
            Seen::WatchFailed(watch, error) => {
                self.trace(format_args!("{client}: watch {watch:?} failed: {error}"));
                let is_view = self.clients[client].viewers.iter().any(|it| it.view == watch);
                let allowed = match error.code {
                    Code::TooLarge => is_view && self.plan.view_bytes < 1 << 20,
                    Code::Closed => self.clients[client].closed,
                    Code::Storage => true,
                    _ => false,
                };
                if !allowed {
                    return Err(format!("watch {watch:?} failed: {error}"));
                }
                self.clients[client].watchers.retain(|watcher| watcher.watch != watch);
                self.clients[client].viewers.retain(|viewer| viewer.view != watch);
            }
        }
        Ok(())
    }

    fn watcher(&mut self, client: usize, watch: WatchId) -> Result<&mut Watcher, String> {
        let mut watchers = self.clients[client].watchers.iter_mut();
        let found = watchers.find(|watcher| watcher.watch == watch);
        found.ok_or_else(|| format!("no watch {watch:?}"))
    }

    /// The times that the server's clock may have shown since a moment.
    pub(crate) fn wall_since(&self, from: u64) -> Wall {
        let earliest_ms = self.server.earliest_since(from, self.now);
        Wall { earliest_ms, latest_ms: self.server.latest(self.now) }
    }

    /// A call ends, which it may do once, and in time unless its machine slept.
    fn take_call(&mut self, client: usize, call: CallId) -> Result<u64, String> {
        let it = &mut self.clients[client];
        let number = it.calls.remove(&call.0).ok_or_else(|| format!("{call:?} is not open"))?;
        let deadline = self.ledger.call(number).deadline.max(it.woke_at);
        if self.now > deadline + SLACK_MS {
            return Err(format!("call {number} ended {} ms late", self.now - deadline));
        }
        Ok(number)
    }

    fn note_known(&mut self, client: usize, number: u64, shown: u64) {
        if let What::Get { key } | What::Put { key, .. } = &self.ledger.call(number).what {
            self.clients[client].known.insert(key.clone(), shown);
        }
    }

    /// Makes a call.
    pub(crate) fn make_call(&mut self, client: usize, what: What, timeout_ms: Option<u32>) {
        let number = self.ledger.next_number();
        let it = &mut self.clients[client];
        let time = it.time(self.now);
        let id = what.make(
            &mut it.core,
            time,
            number,
            CallOptions { timeout_ms, ..CallOptions::default() },
        );
        it.calls.insert(id.0, number);
        let patience = u64::from(timeout_ms.unwrap_or(self.plan.client().timeout_ms));
        self.trace(format_args!("{client}: call {number} {what:?} within {patience} ms"));
        self.history.leases.asked(&what);
        self.ledger.add(Call {
            client,
            what,
            made_at: self.now,
            deadline: self.now + patience,
            floor: self.shown,
            queue: None,
            behind: false,
            end: None,
            made: None,
        });
    }

    /// A client's machine falls asleep.
    pub(crate) fn sleep(&mut self, client: usize, ms: u64) {
        if !self.clients[client].asleep {
            self.trace(format_args!("{client} sleeps for {ms} ms"));
            self.clients[client].asleep = true;
            self.clients[client].wakes_at = self.now + ms;
            self.schedule(self.now + ms, Event::Wake(client));
        }
    }

    /// A client's machine wakes up, with or without a word to the core.
    pub(crate) fn wake(&mut self, client: usize) -> Result<(), String> {
        let told = self.random.one_in(2);
        let it = &mut self.clients[client];
        if !it.asleep || self.now < it.wakes_at {
            return Ok(());
        }
        it.asleep = false;
        it.woke_at = self.now;
        for event in std::mem::take(&mut it.missed) {
            self.schedule(self.now, event);
        }
        self.drive(client, Some(if told { Input::Woke } else { Input::Tick }))
    }

    /// Ends a sleep early.
    pub(crate) fn rouse(&mut self, client: usize) {
        let now = self.now;
        let it = &mut self.clients[client];
        if it.asleep {
            it.wakes_at = now;
            self.schedule(now, Event::Wake(client));
        }
    }

    /// No awake client has a call whose time is over.
    pub(crate) fn check_deadlines(&self) -> Result<(), String> {
        let late = |deadline: u64, client: usize| {
            let it = &self.clients[client];
            let due = deadline.max(it.woke_at) + SLACK_MS;
            !it.asleep && self.now > due
        };
        match self.ledger.open().find(|(_, call)| late(call.deadline, call.client)) {
            Some((number, call)) => Err(format!("call {number} hangs: {call:?}")),
            None => Ok(()),
        }
    }
}
