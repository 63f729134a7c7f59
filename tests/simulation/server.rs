//! The server's lives: the real store on a disk in memory, and the conversations of those who are
//! connected. A life ends by a clean drain, by a power cut or by a failure of storage; the next one
//! begins with what the disk has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_log::clock::Clock;
use tidekeep_log::disk::faulty::{Crash, Fault, FaultyDisk, seeded};
use tidekeep_log::{Commit, Solo, SoloOptions, Standing, Upkeep};
use tidekeep_protocol::range::KeyRange;
use tidekeep_server::{Conversation, Host};

use crate::memory::Pressure;
use crate::plan::Plan;
use crate::world::{Event, World};

/// The server's time of day.
#[derive(Debug)]
struct WallClock(AtomicU64);

impl Clock for WallClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One run of the server's process.
struct Life {
    solo: Arc<Solo>,
    host: Arc<Host>,
    /// Whether a step of the log is scheduled.
    step_due: bool,
    draining: bool,
    failing: bool,
}

/// The machine that the server runs on.
pub(crate) struct Machine {
    disk: FaultyDisk,
    clock: Arc<WallClock>,
    life: Option<Life>,
    pub(crate) lives: u64,
    /// A call of the disk was told to fail in this life.
    faulty: bool,
    /// What else takes memory there.
    pub(crate) pressure: Pressure,
    /// How far the clock is off, and since when: the newest last.
    offsets: Vec<(u64, u64)>,
}

/// The time of day at virtual time 0, with room for a clock that goes back.
const START_MS: u64 = 1_700_000_000_000;

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: FaultyDisk::new(seed),
            clock: Arc::new(WallClock(AtomicU64::new(START_MS))),
            life: None,
            lives: 0,
            faulty: false,
            pressure: Pressure::default(),
            offsets: vec![(0, START_MS)],
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    pub(crate) fn tell_time(&self, now: u64) {
        let (_, offset) = self.offsets.last().expect("it begins with one");
        self.clock.0.store(now + offset, Ordering::Relaxed);
    }

    /// The time of day.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Moves the clock, which is from now on this much ahead of the beginning's.
    pub(crate) fn jump_to(&mut self, now: u64, ahead_ms: u64) {
        self.offsets.push((now, START_MS + ahead_ms));
        self.tell_time(now);
    }

    /// The earliest time of day since `from`.
    pub(crate) fn earliest_since(&self, from: u64, now: u64) -> u64 {
        let mut earliest = u64::MAX;
        for (since, offset) in self.offsets.iter().rev() {
            earliest = earliest.min((*since).max(from).min(now) + offset);
            if *since <= from {
                break;
            }
        }
        earliest
    }

    /// The latest time of day that anybody was ever told.
    pub(crate) fn latest(&self, now: u64) -> u64 {
        let ends = self.offsets.iter().skip(1).map(|(since, _)| *since).chain([now]);
        let latest = self.offsets.iter().zip(ends).map(|((_, offset), end)| end + offset);
        latest.max().unwrap_or(START_MS)
    }

    /// A client connects.
    pub(crate) fn accept(&self, now: u64) -> Option<Conversation> {
        let life = self.life.as_ref().filter(|life| !life.draining && !life.failing)?;
        Some(Conversation::begin(&life.host, now, self.wall_ms()))
    }

    fn open(&self, plan: &Plan, seed: u64) -> Result<Life, String> {
        let options = SoloOptions {
            limits: plan.limits,
            segment_bytes: plan.segment_bytes,
            history_bytes: plan.history_bytes,
            memory: self.pressure.options(plan.memory_bytes, plan.eviction),
            shards: 4,
            upkeep: Upkeep::Steps,
            ..SoloOptions::new(
                Arc::new(self.disk.clone()),
                Arc::clone(&self.clock) as _,
                seeded(seed),
            )
        };
        let solo = Arc::new(Solo::open(options).map_err(|why| why.to_string())?);
        let mut server_id = [0; 16];
        server_id[..8].copy_from_slice(&seed.to_le_bytes());
        let host = Host::new(&plan.server(), Arc::clone(&solo) as _, server_id);
        let (step_due, draining, failing) = (false, false, false);
        Ok(Life { solo, host: Arc::new(host), step_due, draining, failing })
    }
}

impl World {
    /// The process starts.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let seed = self.random.next();
        self.server.lives += 1;
        if self.now < self.plan.calm_at_ms && self.random.one_in(5) {
            let call = self.server.disk.calls() + self.random.between(0, 12);
            self.server.disk.cut_after(call);
        }
        match self.server.open(&self.plan, seed) {
            Ok(life) => self.server.life = Some(life),
            Err(why) if self.server.disk.is_off() => {
                self.trace(format_args!("power fails while the server starts: {why}"));
                return self.end_life(None);
            }
            Err(why) => return Err(format!("the store does not open: {why}")),
        }
        let life = self.server.lives;
        self.trace(format_args!("life {life} begins"));
        self.check_recovered()?;
        self.ingest()?;
        self.check_disk()?;
        self.schedule(self.now + 50, Event::Expire(life));
        let at = self.now + self.random.between(500, 6_000);
        self.schedule(at, Event::Snapshot(life));
        self.touch_store();
        Ok(())
    }

    /// What was told as safe is there, unchanged, and nothing else is in between.
    fn check_recovered(&self) -> Result<(), String> {
        let Some(life) = &self.server.life else { return Ok(()) };
        let (found, known) = (life.solo.feed().revision(), self.history.revision());
        if found < known {
            return Err(format!("revision {known} was shown, but only {found} is left"));
        }
        for behind in [200, 20, 2] {
            let after = known.saturating_sub(behind);
            let Ok(again) = life.solo.feed().changes(after, usize::MAX) else { continue };
            for change in again.changes.iter().filter(|change| change.revision <= known) {
                if self.history.change(change.revision) != Some(change) {
                    return Err(format!("revision {} has become {change:?}", change.revision));
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// Holds the store's content against its history.
    pub(crate) fn check_content(&self) -> Result<(), String> {
        let Some(life) = &self.server.life else { return Ok(()) };
        let pending = life.solo.feed().view(&KeyRange::all());
        let Ok(Ok(view)) = pending.into_ready() else {
            return Err("the content cannot be read at rest".to_owned());
        };
        let found: Vec<_> = view.entries().cloned().collect();
        let mut found: Vec<_> = found.iter().collect();
        found.sort();
        let expected = self.history.content(&KeyRange::all(), view.revision());
        if view.revision() != self.history.revision() || found != expected {
            return Err(format!("the store holds {found:?}, its history says {expected:?}"));
        }
        Ok(())
    }

    /// Takes in what is safe now.
    pub(crate) fn ingest(&mut self) -> Result<(), String> {
        let Some(life) = &self.server.life else { return Ok(()) };
        let solo = Arc::clone(&life.solo);
        loop {
            let found = solo.feed().changes(self.history.revision(), 1 << 20);
            let found = found.map_err(|why| format!("changes that are not known: {why}"))?;
            if found.changes.is_empty() {
                return Ok(());
            }
            for change in &found.changes {
                self.trace(format_args!("safe: {change:?}"));
                self.check_eviction(change)?;
                self.ledger.explain(change, &self.history)?;
                self.history.push(change)?;
            }
        }
    }

    /// Something may have been appended: the log is to work on it in its time.
    pub(crate) fn touch_store(&mut self) {
        let stuck = self.now < self.plan.calm_at_ms && self.random.one_in(300);
        let delay = self.random.between(0, if stuck { 3_000 } else { self.plan.sync_ms });
        let number = self.server.lives;
        let Some(life) = &mut self.server.life else { return };
        if !life.step_due {
            life.step_due = true;
            self.schedule(self.now + delay, Event::Step(number));
        }
    }

    /// The log does a piece of its work.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let Some(life) = &mut self.server.life else { return Ok(()) };
        life.step_due = false;
        let worked = life.solo.step();
        self.ingest()?;
        if worked {
            self.touch_store();
        }
        self.check_disk()
    }

    /// What has expired is removed.
    pub(crate) fn expire(&mut self) -> Result<(), String> {
        let Some(life) = &self.server.life else { return Ok(()) };
        // Without room or after a failure, the next time is another try.
        let _ = life.solo.expire();
        let at = self.now + self.random.between(20, 150);
        self.schedule(at, Event::Expire(self.server.lives));
        self.touch_store();
        Ok(())
    }

    pub(crate) fn snapshot(&mut self) -> Result<(), String> {
        let Some(life) = &self.server.life else { return Ok(()) };
        let done = life.solo.snapshot();
        self.trace(format_args!("a snapshot: {}", done.is_ok()));
        self.ingest()?;
        let at = self.now + self.random.between(500, 6_000);
        self.schedule(at, Event::Snapshot(self.server.lives));
        self.check_disk()
    }

    /// Whether the disk has failed or the power has gone.
    fn check_disk(&mut self) -> Result<(), String> {
        if self.server.disk.is_off() {
            return self.end_life(None);
        }
        let delay = self.random.between(0, 60);
        let number = self.server.lives;
        let Some(life) = &mut self.server.life else { return Ok(()) };
        if let Standing::Failed(why) = life.solo.standing()
            && !life.failing
        {
            life.failing = true;
            if !self.server.faulty {
                return Err(format!("storage failed by itself: {why}"));
            }
            self.trace(format_args!("storage fails: {why}"));
            self.schedule(self.now + delay, Event::Exit(number));
        }
        Ok(())
    }

    /// The process ends as it stands, and another one starts after a while. Without a choice, what
    /// the disk has not synced meets any fate.
    pub(crate) fn end_life(&mut self, crash: Option<Crash>) -> Result<(), String> {
        let crash = crash.unwrap_or_else(|| *self.random.pick(&Crash::ALL));
        let life = self.server.lives;
        self.trace(format_args!("life {life} ends: {crash:?}"));
        self.restarts += 1;
        let off = self.server.disk.calls();
        self.server.disk.cut_after(off);
        let left = self.server.disk.crash(crash);
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            // A machine without power says no goodbye.
            if self.random.one_in(3) {
                self.server_lost(id);
            } else {
                self.end_at_server(id);
            }
        }
        self.server.life = None;
        self.server.disk = left;
        self.server.faulty = false;
        let at = self.now + self.random.between(1, 2_500);
        self.schedule(at, Event::Start);
        Ok(())
    }

    /// The server is told to stop.
    pub(crate) fn drain(&mut self) -> Result<(), String> {
        let number = self.server.lives;
        let Some(life) = &mut self.server.life else { return Ok(()) };
        if life.draining || life.failing {
            return Ok(());
        }
        life.draining = true;
        self.trace(format_args!("life {number} drains"));
        self.schedule(self.now + 4_000, Event::DrainOver(number));
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            let after_ms = self.random.between(0, 2_000) as u32;
            let now = self.now;
            if let Some(connection) = self.connections.get_mut(&id)
                && let Some(conversation) = &mut connection.conversation
            {
                conversation.go_away(now, after_ms);
                self.run_conversation(id)?;
            }
        }
        self.finish_drain()
    }

    /// Once nobody is connected any more, a stopping server closes its store.
    pub(crate) fn finish_drain(&mut self) -> Result<(), String> {
        let draining = self.server.life.as_ref().is_some_and(|life| life.draining);
        let busy = self.connections.values().any(|it| it.conversation.is_some());
        if draining && !busy { self.close_store() } else { Ok(()) }
    }

    /// Closes the store cleanly: nothing may depend on what is not synced.
    pub(crate) fn close_store(&mut self) -> Result<(), String> {
        let Some(life) = &self.server.life else { return Ok(()) };
        let closed = life.solo.close();
        self.ingest()?;
        if self.server.disk.is_off() {
            return self.end_life(None);
        }
        match closed {
            Ok(()) => self.end_life(Some(Crash::Drop)),
            Err(_) if self.server.faulty => self.end_life(None),
            Err(why) => Err(format!("the store does not close: {why}")),
        }
    }

    /// The power goes, now or in the middle of a call of the disk to come.
    pub(crate) fn cut_power(&mut self) -> Result<(), String> {
        if !self.server.is_up() {
            return Ok(());
        }
        let calls = self.random.below(8);
        self.server.disk.cut_after(self.server.disk.calls() + calls);
        self.check_disk()
    }

    /// A call of the disk is going to fail.
    pub(crate) fn spoil_disk(&mut self) {
        let fault = *self.random.pick(&[Fault::Io, Fault::Short]);
        let call = self.server.disk.calls() + self.random.between(1, 10);
        if self.server.is_up() {
            self.trace(format_args!("a call of the disk is going to fail: {fault:?}"));
            self.server.disk.fail_call(call, fault);
            self.server.faulty = true;
        }
    }

    /// Whether this is the life that runs.
    pub(crate) fn lives(&self, number: u64) -> bool {
        self.server.life.is_some() && self.server.lives == number
    }

    /// Whether nothing is left that is not safe, and nothing is about to expire.
    pub(crate) fn is_quiet(&self) -> bool {
        let Some(life) = &self.server.life else { return false };
        let soon = self.server.wall_ms() + 60_000;
        let ends = |entry: &tidekeep_log::Entry| {
            entry.lease().is_some() || entry.expires_at().is_some_and(|at| at < soon)
        };
        let mut leases = 0;
        life.solo.figures(&mut |name, figure| {
            leases += if name == "leases" { figure } else { 0 };
        });
        let content = self.history.content(&KeyRange::all(), self.history.revision());
        let safe = life.solo.feed().view(&KeyRange::all()).into_ready().is_ok();
        safe && leases == 0
            && !life.draining
            && !life.failing
            && !content.iter().any(|entry| ends(entry))
    }

    /// Lets a disk that was to fail work again.
    pub(crate) fn spare_disk(&mut self) {
        if self.server.is_up() {
            self.server.disk.restart();
        }
        self.server.disk.fail_call(0, Fault::Io);
    }
}
