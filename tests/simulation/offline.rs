//! What outlives a client: edits that go through its queue into a place, views that it saves, its death
//! and its next life.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::{Core, Error, Input, MutationId, State};

use crate::call::{If, What};
use crate::client::Client;
use crate::ledger::{Call, End};
use crate::place::Place;
use crate::reading::check_reply;
use crate::viewer::{Edits, Viewer};
use crate::world::{Event, World};

/// A time that does not come.
const NEVER: u64 = u64::MAX / 2;

/// The wall clock of clients at virtual time 0, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// An edit in a client's queue.
pub(crate) struct Queued {
    pub(crate) number: u64,
    /// The core said that its row is stored.
    stored: bool,
    /// It has settled in this life.
    pub(crate) settled: bool,
    /// It was taken back.
    discarded: bool,
    /// How it ended first.
    reply: Option<Vec<u8>>,
}

impl World {
    /// A client's process begins, in the place that an earlier one has left.
    pub(crate) fn new_life(&mut self, acts: u64, place: Option<Place>) -> Result<Client, String> {
        let core = Core::new(self.plan.client(), self.random.next());
        let clock_ms = self.random.below(1 << 40);
        self.lives += 1;
        let mut it = Client::new(core, clock_ms, acts, self.lives);
        if let Some(place) = place {
            let (now, rows) = (it.time(self.now), place.rows());
            let opened = it.core.open_queue(now, EPOCH_MS + self.now, &rows);
            opened.map_err(|why| format!("the rows are not read: {why:?}"))?;
            if it.core.queue_info().waiting > 0 {
                it.core.connect(now);
            }
            it.place = Some(place);
        }
        Ok(it)
    }

    /// The next process of a client, once the one before it has closed or died.
    pub(crate) fn next_life(&mut self, client: usize) -> Result<(), String> {
        let it = &mut self.clients[client];
        let (acts, place, queue) = (it.acts_left, it.place.take(), it.queue);
        let mutations = std::mem::take(&mut it.mutations);
        let has_place = place.is_some();
        let mut next = self.new_life(acts, place)?;
        if has_place {
            next.queue = queue;
        }
        for (id, queued) in mutations {
            let number = queued.number;
            if next.place.as_ref().is_some_and(|place| place.has(id)) {
                let queued = Queued { settled: false, discarded: false, ..queued };
                next.mutations.insert(id, queued);
            } else if !queued.settled {
                // Without a row it was never sent, but from a queue in memory.
                if queued.stored && !queued.discarded {
                    return Err(format!("edit {number} was stored, and is lost"));
                }
                let end = if has_place { End::NotApplied } else { End::Unknown };
                if self.ledger.call(number).end.is_none() {
                    self.ledger.end(number, end)?;
                }
            }
        }
        let left = next.core.queue_info().waiting;
        if left != next.mutations.len() {
            return Err(format!("{left} edits of {} are left", next.mutations.len()));
        }
        self.clients[client] = next;
        self.trace(format_args!("{client} begins again with {left} edits"));
        self.drive(client, None)
    }

    /// A client's process dies, and another one begins.
    pub(crate) fn die(&mut self, client: usize) -> Result<(), String> {
        self.deaths += 1;
        let reaches_the_disk = self.random.one_in(2);
        self.trace(format_args!("{client} dies, what it stores is durable: {reaches_the_disk}"));
        if self.random.one_in(2) {
            self.save_views(client);
        }
        let it = &mut self.clients[client];
        let open: Vec<u64> = std::mem::take(&mut it.calls).into_values().collect();
        if let Some(place) = &mut it.place {
            place.die(reaches_the_disk)?;
        }
        for number in open {
            self.ledger.end(number, End::Unknown)?;
        }
        if let Some(id) = self.clients[client].connection.take() {
            self.end_at_client(id);
        }
        self.next_life(client)
    }

    /// Does something with the queue or a view.
    pub(crate) fn act_offline(&mut self, client: usize) -> Result<(), String> {
        match self.random.below(20) {
            0..12 => {
                for _ in 0..self.random.between(1, 4) {
                    let what = self.any_edit(client);
                    self.queue_edit(client, what);
                }
            }
            12..16 => self.open_view(client),
            16 => self.leave_view(client),
            17 => self.save_views(client),
            _ => self.take_back(client),
        }
        self.drive(client, None)
    }

    /// The revision of a key that a client sees, if it looks at it.
    pub(crate) fn seen(&self, client: usize, key: &[u8]) -> Option<u64> {
        self.clients[client].viewers.iter().find_map(|viewer| viewer.known(key))
    }

    fn queue_edit(&mut self, client: usize, what: What) {
        let number = self.ledger.next_number();
        let it = &mut self.clients[client];
        let key = what.edit().map(|(key, _)| key);
        let same = |queued: &Queued| {
            let other = self.ledger.call(queued.number).what.edit();
            !queued.settled && other.map(|(key, _)| key) == key
        };
        let behind = it.mutations.values().any(same);
        let time = it.time(self.now);
        let MutationId(id) = what.enqueue(&mut it.core, time, number);
        let queued =
            Queued { number, stored: false, settled: false, discarded: false, reply: None };
        let queue = Some(it.queue);
        it.mutations.insert(id, queued);
        self.edits += 1;
        self.trace(format_args!("{client}: edit {number} {what:?} as {id}"));
        self.ledger.add(Call {
            client,
            what,
            made_at: self.now,
            deadline: NEVER,
            floor: self.shown,
            queue,
            behind,
            end: None,
            made: None,
        });
    }

    fn take_back(&mut self, client: usize) {
        let it = &self.clients[client];
        let open: Vec<u64> =
            it.mutations.iter().filter(|(_, it)| !it.settled).map(|(id, _)| *id).collect();
        if open.is_empty() {
            return;
        }
        let id = *self.random.pick(&open);
        let it = &mut self.clients[client];
        let time = it.time(self.now);
        let taken = it.core.discard(time, MutationId(id));
        if let Some(queued) = it.mutations.get_mut(&id) {
            queued.discarded |= taken;
            let number = queued.number;
            self.trace(format_args!("{client}: edit {number} is taken back: {taken}"));
        }
    }

    fn open_view(&mut self, client: usize) {
        if self.clients[client].viewers.len() >= 3 {
            return self.leave_view(client);
        }
        let range = self.range();
        let fresh = self.random.one_in(4);
        let it = &mut self.clients[client];
        let saved = it.place.as_ref().filter(|_| !fresh).map(|place| place.load(&range));
        let time = it.time(self.now);
        let view = it.core.view(time, range.clone(), &saved.unwrap_or_default());
        it.viewers.push(Viewer::new(view, range));
        self.trace(format_args!("{client}: view {view:?}"));
    }

    fn leave_view(&mut self, client: usize) {
        let count = self.clients[client].viewers.len() as u64;
        if count > 0 {
            self.save_views(client);
            let place = self.random.below(count) as usize;
            let it = &mut self.clients[client];
            let time = it.time(self.now);
            let viewer = it.viewers.swap_remove(place);
            it.core.unwatch(time, viewer.view);
        }
    }

    fn save_views(&mut self, client: usize) {
        let Client { core, place, viewers, .. } = &mut self.clients[client];
        let Some(place) = place else { return };
        for viewer in viewers {
            let mut copy = Vec::new();
            if core.save_view(viewer.view, &mut copy) {
                place.save(&viewer.range, copy);
            }
        }
    }

    /// A client's core gave a batch to be stored.
    pub(crate) fn store(&mut self, client: usize, batch: Vec<u8>) -> Result<(), String> {
        let most = match self.clients[client].place.as_ref() {
            Some(place) if self.now < place.slow_until => 4_000,
            _ => self.plan.store_ms,
        };
        let at = self.now + self.random.between(0, most);
        let it = &mut self.clients[client];
        // Whoever has closed listens to its core no more.
        if it.core.state() == State::Closed {
            return Ok(());
        }
        let place = it.place.as_mut().ok_or("a queue in memory stores something")?;
        place.take(batch)?;
        let life = it.life;
        self.schedule(at, Event::Stored(client, life));
        Ok(())
    }

    /// A batch has met its end.
    pub(crate) fn stored(&mut self, client: usize, life: u64) -> Result<(), String> {
        let now = self.now;
        let it = &mut self.clients[client];
        let Some(place) = it.place.as_mut().filter(|_| it.life == life) else { return Ok(()) };
        let Some(durable) = place.store(now)? else { return Ok(()) };
        if it.core.state() == State::Closed {
            return Ok(());
        }
        self.trace(format_args!("{client}: a batch is stored: {durable}"));
        let told = if durable { Input::Stored } else { Input::StoreFailed("no room") };
        self.drive(client, Some(told))
    }

    pub(crate) fn edit_stored(&mut self, client: usize, id: u64) -> Result<(), String> {
        let it = &mut self.clients[client];
        let queued = it.mutations.get_mut(&id).ok_or("an unknown edit is stored")?;
        queued.stored = true;
        match it.place.as_ref().is_some_and(|place| place.has(id)) {
            true => Ok(()),
            false => Err(format!("edit {} has no row", queued.number)),
        }
    }

    /// An edit has settled.
    pub(crate) fn edit_settled(
        &mut self,
        client: usize,
        id: u64,
        result: Result<Vec<u8>, Error>,
    ) -> Result<(), String> {
        let it = &mut self.clients[client];
        let queued = it.mutations.get_mut(&id).ok_or("an unknown edit settles")?;
        let number = queued.number;
        if std::mem::replace(&mut queued.settled, true) {
            return Err(format!("edit {number} settles twice"));
        }
        let before = queued.reply.clone();
        let body = match result {
            Ok(body) => body,
            Err(error) => return self.edit_failed(client, id, &error),
        };
        queued.reply = Some(body.clone());
        if let Some(before) = before {
            // An earlier life was told, and died before it had forgotten it.
            return match before == body {
                true => Ok(()),
                false => Err(format!("edit {number} is answered otherwise than before")),
            };
        }
        let wall = self.wall_since(self.ledger.call(number).made_at);
        let shown = check_reply(&mut self.ledger, &mut self.history, number, &body, wall)?;
        self.shown = self.shown.max(shown);
        let call = self.ledger.call(number);
        let refused = matches!(call.end, Some(End::Replied(None)));
        self.conflicts += u64::from(refused && call.what.edit().is_some_and(is_conditional));
        self.trace(format_args!("{client}: edit {number} replied at {shown}"));
        Ok(())
    }

    fn edit_failed(&mut self, client: usize, id: u64, error: &Error) -> Result<(), String> {
        let it = &self.clients[client];
        let queued = &it.mutations[&id];
        let (number, answered) = (queued.number, queued.reply.is_some());
        let failed = it.place.as_ref().is_some_and(|place| place.failures > 0);
        let untouched = error.outcome == Outcome::NotApplied;
        let allowed = match error.code {
            // It could not be stored, or this life could not.
            Code::Storage => untouched && failed && !queued.stored,
            Code::ResourceExhausted => untouched && self.plan.mutations < 100,
            Code::Unavailable => untouched && it.core.queue_info().held,
            // While the queue is held, also what was perhaps sent can be taken back.
            Code::Cancelled => queued.discarded,
            Code::Closed => it.closed && !queued.stored,
            _ => false,
        };
        self.trace(format_args!("{client}: edit {number} failed: {error}"));
        *self.failures.entry((error.code.name(), error.outcome.name())).or_default() += 1;
        if !allowed {
            return Err(format!("edit {number} failed: {error}, {}", error.outcome.name()));
        }
        if answered {
            // An earlier life was told. This one cannot ask again, and must not deny it.
            return match error.outcome {
                Outcome::Unknown => Ok(()),
                _ => Err(format!("edit {number} was answered before, and now: {error}")),
            };
        }
        self.ledger.fail(number, error)
    }

    /// Looks at every view of a client in which something may have changed.
    pub(crate) fn check_views(&mut self, client: usize) -> Result<(), String> {
        let it = &self.clients[client];
        if !it.viewers.iter().any(|viewer| viewer.stirred) {
            return Ok(());
        }
        let wall = self.wall_since(0);
        let Client { core, viewers, mutations, .. } = &mut self.clients[client];
        let mut edits = Edits::new();
        if !core.queue_info().held {
            for queued in mutations.values().filter(|it| !it.settled && !it.discarded) {
                let what = &self.ledger.call(queued.number).what;
                if let Some((key, _)) = what.edit() {
                    edits.insert(key.to_vec(), what);
                }
            }
        }
        for viewer in viewers.iter_mut().filter(|viewer| viewer.stirred) {
            let view = viewer.view;
            let checked = viewer.check(core, &edits, &self.history, wall);
            checked.map_err(|why| format!("view {view:?}: {why}"))?;
        }
        Ok(())
    }

    /// Once nothing goes wrong any more: clients whose queues cannot go on as they are begin again.
    pub(crate) fn revive(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            let it = &self.clients[client];
            let Some(place) = it.place.as_ref().filter(|_| !it.sleeps()) else { continue };
            let closed = it.core.state() == State::Closed && place.is_idle();
            if closed && it.connection.is_none() && it.calls.is_empty() && place.mutations() > 0 {
                self.next_life(client)?;
                self.open_view(client);
                self.drive(client, None)?;
            } else if it.core.queue_info().held {
                self.die(client)?;
            }
        }
        Ok(())
    }

    /// Whether a client has nothing left to do offline, and sees all there is.
    pub(crate) fn is_done_offline(&self, client: &Client) -> bool {
        let wall = self.wall_since(0);
        let kept = client.place.as_ref().map_or(0, Place::mutations);
        client.core.queue_info().waiting == 0
            && kept == 0
            && client.place.as_ref().is_none_or(Place::is_idle)
            && client.viewers.iter().all(|it| it.check_end(&self.history, wall).is_ok())
    }

    /// At the end: every edit has settled, and views show what the store holds.
    pub(crate) fn check_offline(&self, client: &Client) -> Result<(), String> {
        if let Some((_, open)) = client.mutations.iter().find(|(_, it)| !it.settled) {
            return Err(format!("edit {} has no end", open.number));
        }
        let wall = self.wall_since(0);
        for viewer in &client.viewers {
            let end = viewer.check_end(&self.history, wall);
            end.map_err(|why| format!("view {:?}: {why}", viewer.view))?;
        }
        Ok(())
    }

    /// Storage fails, is slow, or a process dies.
    pub(crate) fn trouble_offline(&mut self) -> Result<(), String> {
        let client = self.random.below(self.clients.len() as u64) as usize;
        let until = self.now + self.random.between(200, 8_000);
        let what = self.random.below(4);
        if self.clients[client].sleeps() || what > 1 {
            if !self.clients[client].closed && !self.clients[client].sleeps() {
                return self.die(client);
            }
            return Ok(());
        }
        if let Some(place) = &mut self.clients[client].place {
            match what {
                0 => place.fails_until = until,
                _ => place.slow_until = until,
            }
            self.trace(format_args!("{client}: storage is out of order: {what}"));
        }
        Ok(())
    }
}

fn is_conditional((_, condition): (&[u8], If)) -> bool {
    condition != If::Always
}

/// Edits of a client by the id that its core gave them.
pub(crate) type Mutations = BTreeMap<u64, Queued>;
