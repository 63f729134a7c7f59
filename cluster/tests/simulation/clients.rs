//! Clients: each asks for one thing after the other, of one node or another, and asks again with the same
//! number until it is answered.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::Member;
use tidekeep_log::{Answer, Call, Numbered, Reply, collect};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Get, Increment, Request};
use tidekeep_protocol::session::{Number, SessionId};

use crate::node::{BEGAN_MS, Node};
use crate::oracle::Oracle;
use crate::run::{Clock, KEYS};

pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) oracle: Oracle,
    pub(crate) clock: Clock,
    pub(crate) random: fastrand::Rng,
    /// The node that it asks first.
    at: usize,
    sequence: u64,
}

/// Time that a client waits for an answer before it asks another node.
const PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    pub(crate) fn new(
        number: u64,
        nodes: &[Arc<Node>],
        oracle: &Oracle,
        clock: &Clock,
        seed: u64,
    ) -> Self {
        let (nodes, oracle, clock) = (nodes.to_vec(), oracle.clone(), clock.clone());
        let random = fastrand::Rng::with_seed(seed);
        Self { number, nodes, oracle, clock, random, at: 0, sequence: 0 }
    }

    /// Makes calls until the time is over.
    pub(crate) async fn work(mut self, until: Duration) {
        while self.clock.now() < until {
            let key = self.random.u8(0..KEYS);
            if self.random.u8(0..3) == 0 {
                self.read(key).await;
            } else {
                self.increment(key).await;
            }
            self.pause(0..60).await;
        }
    }

    /// Virtual time between two calls, or between two tries of one: the pace of the load. Nothing is waited for
    /// by it.
    async fn pause(&mut self, ms: Range<u64>) {
        SimRuntime::sleep(Duration::from_millis(self.random.u64(ms))).await;
    }

    /// Adds one to a counter, now and then with a look at it before and behind, none of which waits for another.
    async fn increment(&mut self, key: u8) {
        self.sequence += 1;
        let looks = self.random.u8(0..4) == 0;
        let since = self.oracle.begin_increment(key);
        let read_since = self.oracle.begin_read(key);
        let mut retry = false;
        loop {
            let name = [key];
            let number = Number { sequence: self.sequence, oldest: self.sequence };
            let number = Some(Numbered { session: self.session(), number, retry });
            let request = Request::Increment(Increment { key: &name, by: 1, expiry: Expiry::Keep });
            let increment = Call { number, ..Call::new(request) };
            let get = || Call::new(Request::Get(Get { key: &name }));
            let calls = if looks { vec![get(), increment, get()] } else { vec![increment] };
            match self.ask(&calls).await.as_deref() {
                Some([Ok(Reply::Increment(reply))]) => {
                    let (value, now_us) = (reply.value, self.clock.now_us());
                    return self.oracle.incremented(key, since, value, now_us);
                }
                Some([Ok(before), Ok(Reply::Increment(reply)), Ok(behind)]) => {
                    let (before, value, behind) =
                        (number_in(before), reply.value, number_in(behind));
                    let now_us = self.clock.now_us();
                    let shows = format!("client {} read {before}, {value}, {behind}", self.number);
                    // A copy that came before may have been the one that counted: the client's own. What nodes run
                    // again shows nothing of it in front of it.
                    assert!(before < value || retry, "{shows}");
                    assert!(before <= behind && value <= behind, "{shows}");
                    self.oracle.incremented(key, since, value, now_us);
                    return self.oracle.read(key, read_since, behind, now_us);
                }
                _ => {}
            }
            retry = true;
            self.pause(1..80).await;
        }
    }

    /// Reads a counter: as it is, as a leader's lease shows it, or as it was not too long ago.
    async fn read(&mut self, key: u8) {
        let freshness = match self.random.u32(0..6) {
            0 => Freshness::Lease,
            1 => Freshness::Within(self.random.u32(0..2_000)),
            _ => Freshness::Linearizable,
        };
        let name = [key];
        let call = Call { freshness, ..Call::new(Request::Get(Get { key: &name })) };
        let mut since = self.oracle.begin_read(key);
        loop {
            if let Freshness::Within(ms) = freshness {
                // A node may answer that was not asked before: it reckons from when it is.
                let us = self.clock.now_us().saturating_sub(u64::from(ms) * 1_000);
                since = self.oracle.begin_read_of(key, us);
            }
            if let Some([Ok(reply)]) = self.ask(std::slice::from_ref(&call)).await.as_deref() {
                let value = number_in(reply);
                return self.oracle.read(key, since, value, self.clock.now_us());
            }
            self.pause(1..80).await;
        }
    }

    /// Asks a node; none if it does not run, or says nothing for too long.
    async fn ask(&mut self, calls: &[Call<'_>]) -> Option<Vec<Answer>> {
        if self.random.u8(0..4) == 0 {
            self.at = self.random.usize(..);
        }
        let store = self.nodes[self.at % self.nodes.len()].store();
        // Read from a connection at once, or one after the other.
        let size = if self.random.bool() { calls.len() } else { 1 };
        let answers = match store {
            Some(store) => {
                let parts = join_all(calls.chunks(size).map(|part| collect(&*store, part)));
                SimRuntime::timeout(PATIENCE, parts).await.ok()
            }
            None => None,
        };
        let answers: Option<Result<Vec<_>, _>> = answers.map(|parts| parts.into_iter().collect());
        let answers = answers
            .and_then(Result::ok)
            .map(|parts| parts.concat())
            .filter(|it| it.iter().all(Result::is_ok));
        if answers.is_none() {
            self.at = self.random.usize(..);
        }
        answers
    }

    /// A session of this run: one from before it might have written and been forgotten.
    fn session(&self) -> SessionId {
        SessionId::new(BEGAN_MS, self.number.into())
    }
}

/// The value of a counter as a member has it.
pub(crate) fn counter(member: &Member<SimRuntime>, key: u8) -> i64 {
    let request = Request::Get(Get { key: &[key] });
    let mut answers: Vec<Answer> = Vec::new();
    member.replica().read(&[Call::new(request)], &mut answers);
    match &answers[..] {
        [Ok(reply)] => number_in(reply),
        other => panic!("a get was answered by {other:?}"),
    }
}

fn number_in(reply: &Reply) -> i64 {
    match reply {
        Reply::Get(found) => found.entry.as_ref().map_or(0, |entry| {
            let text = std::str::from_utf8(entry.value()).expect("a counter is text");
            text.parse().expect("a counter is a number")
        }),
        other => panic!("a get was answered by {other:?}"),
    }
}
