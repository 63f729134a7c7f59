//! Clients: each asks for one thing after the other, of whatever node it thinks leads, and asks again with
//! the same number until it is answered.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::{Member, Read, WriteError};
use tidekeep_log::{Answer, Call, Reply};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, Increment, Put, Request};
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

use crate::node::Node;
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

    async fn increment(&mut self, key: u8) {
        self.sequence += 1;
        let since = self.oracle.begin_increment(key);
        loop {
            if let Some((node, member)) = self.ask() {
                let record = self.record(key, self.clock.shown_ms(node.skew_ms));
                let written = SimRuntime::timeout(PATIENCE, member.write(record)).await;
                match written {
                    Ok(Ok(answers)) => {
                        let value = value_of(&answers);
                        return self.oracle.incremented(key, since, value, self.clock.now_us());
                    }
                    Ok(Err(error)) => self.follow(&error),
                    Err(_) => self.at = self.random.usize(..),
                }
            }
            self.pause(1..80).await;
        }
    }

    async fn read(&mut self, key: u8) {
        let since = self.oracle.begin_read(key);
        loop {
            if let Some((_, member)) = self.ask() {
                match SimRuntime::timeout(PATIENCE, member.read(Read::Linearizable)).await {
                    Ok(Ok(())) => {
                        let value = counter(&member, key);
                        return self.oracle.read(key, since, value, self.clock.now_us());
                    }
                    Ok(Err(error)) => self.follow(&error),
                    Err(_) => self.at = self.random.usize(..),
                }
            }
            self.pause(1..80).await;
        }
    }

    /// The node that is asked now, if it runs.
    fn ask(&mut self) -> Option<(Arc<Node>, Arc<Member<SimRuntime>>)> {
        // Reads of followers, and what a client does that knows nothing yet.
        if self.random.u8(0..8) == 0 {
            self.at = self.random.usize(..);
        }
        let node = Arc::clone(&self.nodes[self.at % self.nodes.len()]);
        match node.member() {
            Some(member) => Some((node, member)),
            None => {
                self.at = self.random.usize(..);
                None
            }
        }
    }

    fn follow(&mut self, error: &WriteError) {
        let leader = match error {
            WriteError::NotLeader(Some((leader, _))) => {
                self.nodes.iter().position(|node| node.id == *leader)
            }
            WriteError::NotLeader(None) | WriteError::Unknown(_) => None,
            WriteError::TooLong { .. } => panic!("{error}"),
        };
        self.at = leader.unwrap_or_else(|| self.random.usize(..));
    }

    /// The record of the increment that is under way.
    fn record(&self, key: u8, now_ms: u64) -> Vec<u8> {
        let mut session = [0; 16];
        session[..8].copy_from_slice(&self.number.to_le_bytes());
        let mut record = Vec::new();
        record::begin(Stamp { now_ms, revision: 0 }, &mut record);
        record::push_session(SessionId(session), &mut record);
        let request = Request::Increment(Increment { key: &[key], by: 1, expiry: Expiry::Keep });
        let mut body = Vec::new();
        request.encode(&mut body);
        let number = Number { sequence: self.sequence, oldest: self.sequence };
        record::push_numbered(number, false, request.spec().kind, &body, &mut record);
        record
    }
}

/// The record of a put without a number.
pub(crate) fn plain_put(key: &str) -> Vec<u8> {
    put_of(key, b"value")
}

/// The same with a value.
pub(crate) fn put_of(key: &str, value: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    record::begin(Stamp { now_ms: 1, revision: 0 }, &mut record);
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    let put = Put { key: key.as_bytes(), value, condition, expiry, previous: false };
    record::push_decoded(&Request::Put(put), &mut record);
    record
}

fn value_of(answers: &[Answer]) -> i64 {
    match answers {
        [Ok(Reply::Increment(reply))] => reply.value,
        other => panic!("an increment was answered by {other:?}"),
    }
}

/// The value of a counter as a member has it.
pub(crate) fn counter(member: &Member<SimRuntime>, key: u8) -> i64 {
    let request = Request::Get(Get { key: &[key] });
    let mut answers: Vec<Answer> = Vec::new();
    member.replica().read(&[Call { request, body: None, number: None }], &mut answers);
    match &answers[..] {
        [Ok(Reply::Get(found))] => found.entry.as_ref().map_or(0, |entry| {
            let text = std::str::from_utf8(entry.value()).expect("a counter is text");
            text.parse().expect("a counter is a number")
        }),
        other => panic!("a get was answered by {other:?}"),
    }
}
