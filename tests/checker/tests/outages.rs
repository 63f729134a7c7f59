//! Histories shaped like those of real clusters: the same load, and outages in which the calls of some
//! clients wait, are dropped, or are done late or while nobody hears of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use fastrand::Rng;
use tidekeep_tests::checker::{
    Answer, Before, Call, Did, Done, End, Groups, Load, Operation, Step,
};

use crate::several::Several;

const CLIENTS: usize = 6;
const DEADLINES_US: [u64; 3] = [250_000, 700_000, 1_500_000];
const PAUSE_US: u64 = 12_000;
const WAY_US: Range<u64> = 300..3_000;

/// Some clients reach nobody meanwhile.
struct Outage {
    during: Range<u64>,
    clients: [bool; CLIENTS],
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Invoke(usize),
    /// The store does this call.
    Do(usize),
    /// Its caller hears of it, or gives it up.
    End {
        call: usize,
        heard: bool,
    },
}

struct World {
    rng: Rng,
    outages: Vec<Outage>,
    store: Several,
    loads: Vec<Load>,
    calls: Vec<Call>,
    answers: Vec<Option<Answer>>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
}

/// A history that has an order, with so many outages.
pub(crate) fn history(outages: usize, seed: u64) -> Vec<Call> {
    make(outages, seed, Groups::default(), Load::new)
}

/// The same of a store of several groups.
pub(crate) fn history_over(groups: &Groups, outages: usize, seed: u64) -> Vec<Call> {
    make(outages, seed, groups.clone(), Load::over_groups)
}

fn make(outages: usize, seed: u64, groups: Groups, load: fn(u32, Rng) -> Load) -> Vec<Call> {
    let mut rng = Rng::with_seed(seed);
    let mut now = 0;
    let outages = (0..outages).map(|_| {
        let from = now + rng.u64(100_000..500_000);
        now = from + rng.u64(50_000..2_500_000);
        let all = rng.u32(..3) > 0;
        Outage { during: from..now, clients: [(); CLIENTS].map(|()| all || rng.bool()) }
    });
    let outages = outages.collect();
    let mut world = World {
        outages,
        loads: (0..CLIENTS).map(|name| load(name as u32, rng.fork())).collect(),
        store: Several::new(groups, rng.fork()),
        rng,
        calls: Vec::new(),
        answers: Vec::new(),
        events: (0..CLIENTS).map(|client| Reverse((0, Event::Invoke(client)))).collect(),
    };
    world.run(now + 500_000);
    world.calls
}

impl World {
    fn run(&mut self, end: u64) {
        let mut tick = 0;
        while let Some(Reverse((now, event))) = self.events.pop() {
            tick += 1;
            match event {
                Event::Invoke(client) if now < end => self.invoke(now, tick, client),
                Event::Invoke(_) => {}
                Event::Do(call) => {
                    self.answers[call] = self.store.run(&self.calls[call].operation);
                }
                Event::End { call, heard } => self.end(now, tick, call, heard),
            }
        }
    }

    fn invoke(&mut self, now: u64, tick: u64, client: usize) {
        let operation = self.loads[client].operation();
        let call = self.calls.len();
        let deadline = now + DEADLINES_US[client % DEADLINES_US.len()];
        self.calls.push(Call {
            client: client as u32,
            invoked: tick,
            operation,
            end: End::Unknown,
        });
        self.answers.push(None);
        let there = now + self.rng.u64(WAY_US);
        let done = match self.outage_at(there, client) {
            None => there,
            Some(until) if self.rng.bool() => until + self.rng.u64(WAY_US),
            Some(until) => self.rng.u64(there..until + WAY_US.end),
        };
        // Who still waits then asks again until it is done; of the others' calls some are lost.
        if done < deadline || self.rng.bool() {
            self.events.push(Reverse((done, Event::Do(call))));
        }
        let back = done + self.rng.u64(WAY_US);
        let back = self.outage_at(back, client).map_or(back, |until| until + WAY_US.end);
        let end = Event::End { call, heard: back < deadline };
        self.events.push(Reverse((back.min(deadline), end)));
    }

    fn outage_at(&self, at: u64, client: usize) -> Option<u64> {
        let hit = |it: &&Outage| it.clients[client] && it.during.contains(&at);
        self.outages.iter().find(hit).map(|it| it.during.end)
    }

    fn end(&mut self, now: u64, tick: u64, call: usize, heard: bool) {
        let client = self.calls[call].client as usize;
        if heard {
            self.store.finish();
            let Call { operation, end, .. } = &mut self.calls[call];
            *end = match self.answers[call].take().map(|answer| as_asked_for(operation, answer)) {
                None => End::Failed,
                Some(answer) => {
                    self.loads[client].look(operation, &answer);
                    End::Answered(tick, answer)
                }
            };
        }
        let pause = self.rng.u64(..PAUSE_US);
        self.events.push(Reverse((now + pause, Event::Invoke(client))));
    }
}

/// Most puts ask for no word of what was there before.
fn as_asked_for(operation: &Operation, answer: Answer) -> Answer {
    match (operation, &answer.done) {
        (Operation::One(Step::Put(_, value, _)), Done::One(Did::Written(_))) if value % 10 != 1 => {
            Answer { done: Done::One(Did::Written(Before::Unsaid)), ..answer }
        }
        _ => answer,
    }
}
