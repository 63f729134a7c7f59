//! One seed's world: the queue of what happens when, in virtual time, and whether all promises hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::{self, Write};
use std::sync::Arc;

use tidekeep_client_core::Input;

use crate::client::Client;
use crate::history::History;
use crate::ledger::Ledger;
use crate::network::{Connection, Way, Woken};
use crate::plan::Plan;
use crate::random::Random;
use crate::server::Machine;

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A client does something.
    Act(usize),
    /// A client's timer.
    Tick(usize),
    /// A client's machine wakes up.
    Wake(usize),
    /// What a client's life gave to be stored is stored, or cannot be.
    Stored(usize, u64),
    /// The server has been asked for a connection.
    Dialled(u32),
    /// Bytes may have arrived.
    Arrive(u32, Way),
    ServerLost(u32),
    ClientLost(u32),
    /// A conversation's timer.
    Run(u32),
    /// Work of the store in one of the server's lives.
    Step(u64),
    Expire(u64),
    Snapshot(u64),
    /// The process of this life ends.
    Exit(u64),
    DrainOver(u64),
    /// The next life begins.
    Start,
    Trouble,
    /// Troubles are over.
    Calm,
    /// A look at what must hold at any time.
    Look,
}

/// A world.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: BTreeMap<u32, Connection>,
    pub(crate) next_connection: u32,
    pub(crate) woken: Arc<Woken>,
    pub(crate) server: Machine,
    pub(crate) history: History,
    pub(crate) ledger: Ledger,
    /// The newest revision that any reply has shown.
    pub(crate) shown: u64,
    pub(crate) breaks: u64,
    pub(crate) restarts: u64,
    pub(crate) failures: BTreeMap<(&'static str, &'static str), u64>,
    /// Processes of clients that have begun.
    pub(crate) lives: u64,
    pub(crate) deaths: u64,
    pub(crate) edits: u64,
    pub(crate) conflicts: u64,
    pub(crate) patches: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    trace: Trace,
    seen: u64,
    line: String,
}

/// What becomes of everything that is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Nothing: to write it down costs a quarter of a world's time.
    Off,
    /// A hash, by which two runs of a seed are held against each other.
    Hash,
    /// The same, and text for who replays a seed.
    Print,
}

/// What a world has to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) calls: u64,
    pub(crate) breaks: u64,
    pub(crate) restarts: u64,
    pub(crate) virtual_ms: u64,
    pub(crate) revisions: u64,
    pub(crate) watch_messages: u64,
    /// Leases that ended with keys, or were revoked.
    pub(crate) leases: u64,
    /// Keys that went to make room.
    pub(crate) evicted: u64,
    /// Edits that went through queues, and how many of them met a condition that did not hold.
    pub(crate) edits: u64,
    pub(crate) conflicts: u64,
    /// Processes of clients that died.
    pub(crate) deaths: u64,
    /// Patches that views were told.
    pub(crate) patches: u64,
    /// How calls failed: code, outcome and how often.
    pub(crate) failures: BTreeMap<(&'static str, &'static str), u64>,
    /// The hash of all that was seen, if it was traced.
    pub(crate) trace: u64,
}

/// A promise that was broken, and when.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) at: u64,
    pub(crate) why: String,
}

/// How long everybody may take to come to rest once troubles are over.
const REST_MS: u64 = 90_000;

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(seed, &mut random);
        let disk_seed = random.next();
        Self {
            random,
            now: 0,
            clients: Vec::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            woken: Arc::default(),
            server: Machine::new(disk_seed),
            history: History::default(),
            ledger: Ledger::default(),
            shown: 0,
            breaks: 0,
            restarts: 0,
            failures: BTreeMap::new(),
            lives: 0,
            deaths: 0,
            edits: 0,
            conflicts: 0,
            patches: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            trace,
            seen: 0xcbf2_9ce4_8422_2325,
            line: String::new(),
            plan,
        }
    }

    /// Lives through it.
    pub(crate) fn run(mut self) -> Result<Report, Violation> {
        let outcome = self.live();
        outcome.map_err(|why| Violation { at: self.now, why })?;
        let watchers = self.clients.iter().flat_map(|client| &client.watchers);
        Ok(Report {
            calls: self.ledger.next_number() - 1,
            breaks: self.breaks,
            restarts: self.restarts,
            virtual_ms: self.now,
            revisions: self.history.revision(),
            watch_messages: watchers.map(|watcher| watcher.messages).sum(),
            leases: self.history.leases.ended(),
            evicted: self.history.evicted,
            edits: self.edits,
            conflicts: self.conflicts,
            deaths: self.deaths,
            patches: self.patches,
            failures: std::mem::take(&mut self.failures),
            trace: self.seen,
        })
    }

    fn live(&mut self) -> Result<(), String> {
        self.trace(format_args!("{:?}", self.plan.clone()));
        for client in 0..self.plan.clients {
            let it = self.new_client(self.plan.acts)?;
            self.clients.push(it);
            let at = self.random.below(self.plan.act_gap_ms);
            self.schedule(at, Event::Act(client));
        }
        self.schedule(0, Event::Start);
        self.schedule(self.plan.trouble_gap_ms, Event::Trouble);
        self.schedule(self.plan.calm_at_ms, Event::Calm);
        self.schedule(500, Event::Look);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            self.server.tell_time(at);
            if event == Event::Look && self.look()? {
                return self.finish();
            }
            self.happen(event)?;
            for id in self.woken.take() {
                self.run_conversation(id)?;
            }
            self.finish_drain()?;
        }
        Err("nothing happens any more".to_owned())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if let Some(client) = self.client_of(event)
            && self.clients[client].sleeps()
        {
            self.clients[client].miss(event);
            return Ok(());
        }
        match event {
            Event::Act(client) => self.act_and_go_on(client)?,
            Event::Tick(client) => self.drive(client, Some(Input::Tick))?,
            Event::Wake(client) => self.wake(client)?,
            Event::Stored(client, life) => self.stored(client, life)?,
            Event::Dialled(id) => self.dialled(id)?,
            Event::Arrive(id, Way::Up) => self.arrive_at_server(id)?,
            Event::Arrive(id, Way::Down) => self.arrive_at_client(id)?,
            Event::ServerLost(id) => self.server_lost(id),
            Event::ClientLost(id) => self.client_lost(id, "the connection broke")?,
            Event::Run(id) => self.run_conversation(id)?,
            Event::Step(life) if self.lives(life) => self.step()?,
            Event::Expire(life) if self.lives(life) => self.expire()?,
            Event::Snapshot(life) if self.lives(life) => self.snapshot()?,
            Event::Exit(life) if self.lives(life) => self.end_life(None)?,
            Event::DrainOver(life) if self.lives(life) => self.close_store()?,
            Event::Start if !self.server.is_up() => self.start()?,
            Event::Trouble if self.now < self.plan.calm_at_ms => {
                let at = self.now + self.random.between(1, 2 * self.plan.trouble_gap_ms);
                self.schedule(at, Event::Trouble);
                self.trouble()?;
            }
            Event::Calm => self.calm()?,
            Event::Look => self.schedule(self.now + 500, Event::Look),
            _ => {}
        }
        Ok(())
    }

    fn act_and_go_on(&mut self, client: usize) -> Result<(), String> {
        if self.now < self.plan.calm_at_ms && self.act(client)? {
            let at = self.now + self.random.below(self.plan.act_gap_ms);
            self.schedule(at, Event::Act(client));
        }
        Ok(())
    }

    /// The client whose machine must be awake for this.
    fn client_of(&self, event: Event) -> Option<usize> {
        let holder = |id: u32| {
            let connection = self.connections.get(&id)?;
            connection.client_there.then_some(connection.client)
        };
        match event {
            Event::Act(client) | Event::Tick(client) | Event::Stored(client, _) => Some(client),
            Event::Dialled(id) | Event::Arrive(id, Way::Down) | Event::ClientLost(id) => holder(id),
            _ => None,
        }
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at.max(self.now), self.scheduled, event)));
    }

    /// From here on nothing goes wrong any more, and nobody asks for anything new.
    fn calm(&mut self) -> Result<(), String> {
        self.trace(format_args!("calm"));
        self.spare_disk();
        self.relieve();
        for client in 0..self.clients.len() {
            self.rouse(client);
            if let Some(place) = &mut self.clients[client].place {
                (place.fails_until, place.slow_until) = (0, 0);
            }
            self.resume_watches(client);
            if !self.clients[client].sleeps() {
                self.drive(client, None)?;
            }
        }
        Ok(())
    }

    /// Looks at what must hold at any time; whether everybody has come to rest.
    fn look(&mut self) -> Result<bool, String> {
        self.check_deadlines()?;
        if self.now < self.plan.calm_at_ms + 1_000 {
            return Ok(false);
        }
        self.revive()?;
        let behind = self.clients.iter().position(|client| {
            let complete = client.watchers.iter().all(|it| it.is_complete(&self.history));
            !client.calls.is_empty() || !complete || !self.is_done_offline(client)
        });
        if self.now > self.plan.calm_at_ms + REST_MS {
            let offline = behind.map(|client| self.check_offline(&self.clients[client]));
            let up = self.server.is_up();
            return Err(format!("no rest: client {behind:?}, {offline:?}, up: {up}"));
        }
        Ok(behind.is_none() && self.server.is_up() && self.is_quiet())
    }

    /// Everybody is at rest: what they were told is what there is, now and after a last power cut.
    fn finish(&mut self) -> Result<(), String> {
        self.ledger.settle(&self.history)?;
        let wall = self.wall_since(0);
        for (number, client) in self.clients.iter().enumerate() {
            self.check_offline(client).map_err(|why| format!("client {number}: {why}"))?;
            for watcher in &client.watchers {
                let end = watcher.check_end(&self.history, wall);
                end.map_err(|why| format!("client {number}, watch {:?}: {why}", watcher.watch))?;
            }
        }
        self.check_content()?;
        self.close_store()?;
        self.start()?;
        self.check_content()
    }

    /// Notes what was seen.
    pub(crate) fn trace(&mut self, what: fmt::Arguments<'_>) {
        if self.trace == Trace::Off {
            return;
        }
        self.line.clear();
        write!(self.line, "{} {what}", self.now).expect("a string takes everything");
        self.seen = hash(self.seen, self.line.as_bytes());
        if self.trace == Trace::Print {
            println!("{}", self.line);
        }
    }

    /// Notes bytes that the server sent.
    pub(crate) fn trace_bytes(&mut self, id: u32, bytes: &[u8]) {
        if self.trace != Trace::Off {
            self.seen = hash(hash(self.seen, &id.to_le_bytes()), bytes);
        }
    }
}

/// FNV-1a.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
