//! What users do, and what befalls them: calls on few keys, watches, sleep, second thoughts; and
//! the troubles of networks, machines and disks.

use tidekeep_client_core::{CallId, Input, Resync, State, WatchRequest};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Delivery, Order};
use tidekeep_protocol::range::KeyRange;

use crate::call::{If, Part, What};
use crate::client::Client;
use crate::network::Way;
use crate::place::Place;
use crate::watcher::Watcher;
use crate::world::World;

impl World {
    /// A new client comes. Three of four have a place for what outlives them.
    pub(crate) fn new_client(&mut self, acts: u64) -> Result<Client, String> {
        let place = (!self.random.one_in(4)).then(Place::default);
        self.new_life(acts, place)
    }

    /// A client does something; whether it goes on doing things.
    pub(crate) fn act(&mut self, client: usize) -> Result<bool, String> {
        let it = &mut self.clients[client];
        if it.closed {
            let idle = it.place.as_ref().is_none_or(Place::is_idle);
            let closed = it.core.state() == State::Closed && it.calls.is_empty();
            if idle && closed && it.connection.is_none() && self.random.one_in(3) {
                self.next_life(client)?;
            }
            return Ok(true);
        }
        it.acts_left = it.acts_left.saturating_sub(1);
        let goes_on = it.acts_left > 0;
        if self.random.one_in(3) {
            return self.act_offline(client).map(|()| goes_on);
        }
        match self.random.below(100) {
            0..70 => {
                for _ in 0..self.random.between(1, 4) {
                    let what = self.any_call(client);
                    let timeout = *self.random.pick(&[None, Some(80), Some(700), Some(3_000)]);
                    self.make_call(client, what, timeout);
                }
            }
            70..80 => self.open_watch(client),
            80..84 => self.leave_watch(client),
            84..92 => self.pause_watch(client),
            92..95 => self.cancel_call(client),
            95..97 => {
                let ms = *self.random.pick(&[100, 2_000, 15_000, 120_000]);
                self.drive(client, None)?;
                self.sleep(client, ms);
                return Ok(goes_on);
            }
            97..99 => return self.drive(client, Some(Input::Woke)).map(|()| goes_on),
            _ => {
                self.trace(format_args!("{client} closes"));
                let it = &mut self.clients[client];
                it.closed = true;
                let time = it.time(self.now);
                it.core.close(time);
            }
        }
        self.drive(client, None)?;
        Ok(goes_on)
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.random.below(self.plan.keys);
        format!("{}/{number}", if number.is_multiple_of(2) { "a" } else { "b" }).into_bytes()
    }

    fn counter(&mut self) -> Vec<u8> {
        let number = self.random.below(1 + self.plan.keys / 3);
        format!("n/{number}").into_bytes()
    }

    pub(crate) fn range(&mut self) -> KeyRange {
        match self.random.below(5) {
            0 => KeyRange::all(),
            1 => KeyRange::prefix(b"a/"),
            2 => KeyRange::prefix(b"b/"),
            3 => KeyRange::prefix(b"n/"),
            _ => KeyRange::key(&self.key()),
        }
    }

    /// A value that no other call writes.
    fn value(&mut self, branch: &str) -> Vec<u8> {
        let bytes = match self.random.below(20) {
            0 => self.random.between(500, 2_000),
            1..4 => self.random.between(50, 300),
            _ => self.random.below(20),
        };
        let number = self.ledger.next_number();
        format!("{number}{branch}{}", ".".repeat(bytes as usize)).into_bytes()
    }

    fn condition(&mut self, client: usize, key: &[u8]) -> If {
        match self.random.below(10) {
            0 => If::Absent,
            1 => If::Present,
            2 => self.clients[client].known.get(key).map_or(If::Absent, |at| If::Revision(*at)),
            _ => If::Always,
        }
    }

    fn expiry(&mut self) -> Expiry {
        match self.random.below(16) {
            12.. => self.lease().map_or(Expiry::Never, Expiry::Lease),
            0 => Expiry::After(0),
            1 | 2 => Expiry::After(self.random.between(1, 4_000)),
            3 => Expiry::At(self.server.wall_ms() + self.random.below(3_000)),
            4 => Expiry::Keep,
            _ => Expiry::Never,
        }
    }

    fn any_call(&mut self, client: usize) -> What {
        let previous = self.random.one_in(2);
        match self.random.below(125) {
            0..2 => What::Ping,
            2..20 => match self.random.one_in(3) {
                true => What::Get { key: self.counter() },
                false => What::Get { key: self.key() },
            },
            20..30 => {
                let limit = *self.random.pick(&[0, 0, 1, 3, 5]);
                let order = *self.random.pick(&[Order::Ascending, Order::Descending]);
                What::Scan { range: self.range(), limit, order }
            }
            30..60 => {
                let key = self.key();
                let condition = self.condition(client, &key);
                What::Put {
                    value: self.value(":"),
                    condition,
                    expiry: self.expiry(),
                    previous,
                    key,
                }
            }
            60..70 => {
                let key = if self.random.one_in(4) { self.counter() } else { self.key() };
                What::Delete { condition: self.condition(client, &key), previous, key }
            }
            70..82 => {
                let expiry = if self.random.one_in(6) { self.expiry() } else { Expiry::Keep };
                What::Increment { key: self.counter(), expiry }
            }
            82..88 => {
                let key = self.key();
                let mut at = self.server.wall_ms() + self.random.between(200, 6_000);
                while !self.ledger.is_new_end(at) {
                    at += 1;
                }
                What::Touch { condition: self.condition(client, &key), at, key }
            }
            88..100 => self.any_txn(client),
            100..102 => What::Children {
                prefix: self.random.pick(&[&b""[..], b"a/", b"n/", b"c"]).to_vec(),
                limit: *self.random.pick(&[0, 1, 2, 5]),
            },
            102..104 => {
                What::DeleteRange { range: self.range(), limit: *self.random.pick(&[0, 1, 2, 3]) }
            }
            _ => self.any_lease_call(),
        }
    }

    /// A write that can go through a queue.
    pub(crate) fn any_edit(&mut self, client: usize) -> What {
        let previous = false;
        let counter = self.random.one_in(4);
        let key = if counter { self.counter() } else { self.key() };
        // Made upon what shows, mostly.
        let condition = match self.random.below(3) {
            0 => self.seen(client, &key).map_or(If::Absent, If::Revision),
            _ => self.condition(client, &key),
        };
        let expiry = *self.random.pick(&[Expiry::Never, Expiry::Keep, Expiry::After(2_500)]);
        match (counter, self.random.below(4)) {
            (_, 0) => What::Delete { key, condition, previous },
            (true, _) => What::Increment { key, expiry: Expiry::Keep },
            (false, _) => What::Put { value: self.value(":"), condition, expiry, previous, key },
        }
    }

    /// A lease that somebody was told of, and that mostly lives.
    fn lease(&mut self) -> Option<u64> {
        let now_ms = (!self.random.one_in(6)).then(|| self.server.wall_ms());
        let newest = self.history.leases.newest(now_ms);
        (!newest.is_empty()).then(|| *self.random.pick(&newest))
    }

    fn any_lease_call(&mut self) -> What {
        match (self.random.below(10), self.lease()) {
            (0 | 1, _) => What::Leases { limit: *self.random.pick(&[0, 1, 3]) },
            (2, Some(lease)) => What::Revoke { lease },
            (3..8, Some(lease)) => What::KeepAlive { lease },
            _ => What::Grant { ttl_ms: *self.random.pick(&[200, 1_000, 2_500, 6_000]) },
        }
    }

    fn any_txn(&mut self, client: usize) -> What {
        let key = self.key();
        let compare = self.random.one_in(2).then(|| {
            let condition = *self.random.pick(&[If::Absent, If::Present]);
            (key.clone(), condition)
        });
        let known = self.clients[client].known.get(&key).copied();
        let compare = match known.filter(|_| self.random.one_in(4)) {
            Some(revision) => Some((key, If::Revision(revision))),
            None => compare,
        };
        let otherwise = if self.random.one_in(2) { Vec::new() } else { self.parts("o") };
        What::Txn { compare, then: self.parts("t"), otherwise }
    }

    /// Operations on different keys, at least one of which bears the call's mark.
    fn parts(&mut self, branch: &str) -> Vec<Part> {
        let mut keys = vec![self.key()];
        for _ in 0..self.random.below(4) {
            let key = self.key();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut parts = Vec::new();
        for (place, key) in keys.into_iter().enumerate() {
            parts.push(match self.random.below(4) {
                _ if place == 0 => Part::Put { value: self.value(branch), key },
                0 => Part::Delete { key },
                1 => Part::Get { key },
                _ => Part::Put { value: self.value(branch), key },
            });
        }
        if self.random.one_in(2) {
            parts.push(Part::Increment { key: self.counter() });
        }
        parts
    }

    // Watches.

    fn open_watch(&mut self, client: usize) {
        if self.clients[client].watchers.len() >= 4 {
            return self.leave_watch(client);
        }
        let (range, content) = (self.range(), !self.random.one_in(4));
        let previous = self.random.one_in(3);
        let (time, floor) = (self.clients[client].time(self.now), self.shown);
        let resync = *self.random.pick(&[Resync::Difference, Resync::Reset]);
        let watched = range.clone();
        let latest = self.random.one_in(4);
        let delivery = if latest { Delivery::Latest } else { Delivery::Every };
        let request =
            WatchRequest { range: watched, content, previous, resync, delivery, cursor: None };
        let it = &mut self.clients[client];
        let watch = it.core.watch(time, request);
        let tracks = content && resync == Resync::Difference;
        let watcher = Watcher::new(watch, range, content, previous, tracks);
        it.watchers.push(watcher.after(floor).conflated(latest));
        self.trace(format_args!("{client}: watch {watch:?}, content {content}"));
    }

    /// Ends a watch; half of the time another one goes on where it was.
    fn leave_watch(&mut self, client: usize) {
        let count = self.clients[client].watchers.len() as u64;
        if count == 0 {
            return;
        }
        let (place, again) = (self.random.below(count) as usize, self.random.one_in(2));
        let it = &mut self.clients[client];
        let time = it.time(self.now);
        let watcher = it.watchers.swap_remove(place);
        it.core.unwatch(time, watcher.watch);
        let ended = watcher.watch;
        if again && let Some(cursor) = watcher.cursor.clone() {
            let (range, previous) = (watcher.range.clone(), watcher.previous);
            let request = WatchRequest {
                range,
                content: true,
                previous,
                delivery: watcher.delivery(),
                cursor: Some(cursor),
                ..Default::default()
            };
            let watch = it.core.watch(time, request);
            it.watchers.push(watcher.resumed(watch));
            self.trace(format_args!("{client}: watch {watch:?} instead of {ended:?}"));
        }
    }

    fn pause_watch(&mut self, client: usize) {
        let count = self.clients[client].watchers.len() as u64;
        if count == 0 {
            return;
        }
        let place = self.random.below(count) as usize;
        let it = &mut self.clients[client];
        let time = it.time(self.now);
        let watcher = &mut it.watchers[place];
        watcher.paused = !watcher.paused;
        match watcher.paused {
            true => it.core.pause(time, watcher.watch),
            false => it.core.resume(time, watcher.watch),
        }
        let (watch, paused) = (watcher.watch, watcher.paused);
        self.trace(format_args!("{client}: watch {watch:?} paused: {paused}"));
    }

    /// Lets every watch of a client go on.
    pub(crate) fn resume_watches(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let time = it.time(self.now);
        for watcher in &mut it.watchers {
            if std::mem::take(&mut watcher.paused) {
                it.core.resume(time, watcher.watch);
            }
        }
    }

    fn cancel_call(&mut self, client: usize) {
        let ids: Vec<u32> = self.clients[client].calls.keys().copied().collect();
        if !ids.is_empty() {
            let id = *self.random.pick(&ids);
            let it = &mut self.clients[client];
            let time = it.time(self.now);
            it.core.cancel(time, CallId(id));
        }
    }

    // Troubles.

    /// Something goes wrong.
    pub(crate) fn trouble(&mut self) -> Result<(), String> {
        if self.random.one_in(4) {
            return self.trouble_offline();
        }
        match self.random.below(if self.plan.memory_bytes > 0 { 115 } else { 100 }) {
            100.. => self.squeeze(),
            0..45 => {
                let ids: Vec<u32> = self.connections.keys().copied().collect();
                if ids.is_empty() {
                    return Ok(());
                }
                let id = *self.random.pick(&ids);
                let way = *self.random.pick(&[Way::Up, Way::Down]);
                let most = *self.random.pick(&[1, 60, 1_000]);
                let bytes = self.random.below(most) as usize;
                self.cut_after(id, way, bytes);
            }
            45..55 => {
                let ids: Vec<u32> = self.connections.keys().copied().collect();
                for id in ids {
                    if self.random.one_in(2) {
                        self.break_connection(id);
                    }
                }
            }
            55..70 => {
                let client = self.random.below(self.clients.len() as u64) as usize;
                let ms = *self.random.pick(&[50, 1_000, 8_000, 60_000]);
                self.sleep(client, ms);
            }
            70..82 => return self.cut_power(),
            82..90 => return self.drain(),
            90..94 => self.spoil_disk(),
            94..97 if self.server.is_up() => return self.end_life(Some(KILLED)),
            _ => {
                let offset = self.random.below(40_000);
                self.trace(format_args!("the server's clock is now {offset} ms ahead"));
                self.server.jump_to(self.now, offset);
            }
        }
        Ok(())
    }
}

/// What is left when only the process was killed: everything that it wrote.
const KILLED: tidekeep_log::disk::faulty::Crash = tidekeep_log::disk::faulty::Crash::Keep;
