//! One run: a cluster is founded, clients work while things go wrong, all is mended, and everyone must
//! come to the same state with every call answered.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::iter::Sum;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, FutureExt, join_all, select};
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::{Member, NodeId, PeerAddress};
use tidekeep_log::disk::faulty::Crash;

use crate::clients::{Client, counter};
use crate::faults::Faults;
use crate::node::Node;
use crate::oracle::Oracle;
use crate::simulated::wire::Wire;

/// Keys that the clients share.
pub(crate) const KEYS: u8 = 3;

/// Time in which everyone must have come to the same state once all is mended.
const SETTLING: Duration = Duration::from_secs(60);

/// Time between two looks at all members.
const LOOK: Duration = Duration::from_millis(20);

/// What a run is to be.
pub(crate) struct Plan {
    seed: u64,
    nodes: u64,
    clients: u64,
    /// Of a thousand messages, how many are lost.
    lost: u32,
    /// How long things go wrong.
    trouble: Duration,
    told: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            seed,
            nodes: [3, 3, 5, 7][random.usize(..4)],
            clients: random.u64(2..6),
            lost: [0, 0, 5, 30][random.usize(..4)],
            trouble: Duration::from_secs(random.u64(5..25)),
            told: false,
        }
    }

    /// The same, and what happens is printed.
    pub(crate) fn told(self) -> Self {
        Self { told: true, ..self }
    }
}

/// What came of a run, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) leaders: u64,
    pub(crate) calls: u64,
    pub(crate) virtual_ms: u64,
    trace: u64,
}

impl Sum for Outcome {
    fn sum<I: Iterator<Item = Self>>(outcomes: I) -> Self {
        outcomes.fold(Self::default(), |sum, one| Self {
            leaders: sum.leaders + one.leaders,
            calls: sum.calls + one.calls,
            virtual_ms: sum.virtual_ms + one.virtual_ms,
            trace: sum.trace ^ one.trace,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leaders, calls, virtual_ms, .. } = self;
        write!(f, "{leaders} leaders, {calls} calls, {} virtual s", virtual_ms / 1_000)
    }
}

/// Virtual time.
#[derive(Clone)]
pub(crate) struct Clock(pub(crate) SimInstant);

impl Clock {
    pub(crate) fn now(&self) -> Duration {
        SimInstant::now() - self.0
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.now().as_micros() as u64
    }
}

pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut runtime = SimRuntime::with_seed(plan.seed);
    if plan.told {
        println!("seed {}: {} nodes, {} clients", plan.seed, plan.nodes, plan.clients);
    }
    let lived =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(live(plan))));
    let (outcome, members) = lived.unwrap_or_else(|panic| {
        eprintln!("TIDEKEEP_CLUSTER_SEED={} repeats it", plan.seed);
        std::panic::resume_unwind(panic)
    });
    drop(runtime);
    let left = members.iter().filter(|member| member.strong_count() > 0).count();
    assert_eq!(left, 0, "seed {}: members that have stopped stay in memory", plan.seed);
    outcome
}

/// What came of it, and the members that there were at the end.
async fn live(plan: &Plan) -> (Outcome, Vec<Weak<Member<SimRuntime>>>) {
    let clock = Clock(SimInstant::now());
    let mut random = fastrand::Rng::with_seed(plan.seed ^ 0x5EED);
    let wire = Wire::new(random.u64(..));
    wire.lose(plan.lost);
    let nodes = found(plan.nodes, &wire, &mut random).await;

    let oracle = Oracle::default();
    let mut watching = SimRuntime::spawn(watch(nodes.clone(), oracle.clone()));
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| Client::new(number, &nodes, &oracle, &clock, random.u64(..)))
        .map(|client| SimRuntime::spawn(client.work(plan.trouble)))
        .collect();
    let faults = Faults {
        nodes: nodes.clone(),
        wire,
        clock: clock.clone(),
        random: random.fork(),
        told: plan.told,
    };
    faults.strike(plan.trouble).await;
    let calm = pin!(async {
        let answered = SimRuntime::timeout(SETTLING, join_all(clients)).await;
        let answered = answered
            .unwrap_or_else(|_| panic!("not all calls are answered: {}", standings(&nodes)));
        answered.into_iter().for_each(|client| client.expect("a client failed"));
        settle(&nodes).await
    });
    // A disk call that failed before all was mended may be noticed behind that.
    let values = match select(calm, pin!(keep(&nodes))).await {
        Either::Left((values, _)) => values,
        Either::Right((never, _)) => match never {},
    };
    oracle.end(&values);
    // It ends by itself only where it has seen what must not be.
    if let Some(seen) = (&mut watching).now_or_never() {
        let Ok(never) = seen.map_err(|violation| panic!("{violation}"));
        match never {}
    }
    let members = nodes.iter().filter_map(|node| node.member()).map(|it| Arc::downgrade(&it));
    let members = members.collect();
    for node in &nodes {
        node.crash(Crash::Keep).await;
    }
    let (leaders, calls, trace) = oracle.tally();
    let virtual_ms = clock.now().as_millis() as u64;
    (Outcome { leaders, calls, virtual_ms, trace }, members)
}

/// Starts nodes and founds a group of them.
pub(crate) async fn found(count: u64, wire: &Wire, random: &mut fastrand::Rng) -> Vec<Arc<Node>> {
    let nodes: Vec<_> = (1..=count)
        .map(|id| Node::new(NodeId(id), random.u64(..), random.i64(-5_000..5_000), wire.clone()))
        .collect();
    for node in &nodes {
        node.start().await;
    }
    let members = nodes.iter().map(|node| (node.id, PeerAddress::default())).collect();
    let first = nodes[0].member().expect("it was just started");
    first.found(members).await.expect("nobody has founded the group before");
    nodes
}

/// Looks at all members again and again.
async fn watch(nodes: Vec<Arc<Node>>, oracle: Oracle) -> Infallible {
    loop {
        for node in &nodes {
            if let Some(member) = node.member() {
                oracle.look(node.id, &member.standing(), member.audit());
            }
        }
        SimRuntime::sleep(LOOK).await;
    }
}

/// Starts nodes again that have stopped by themselves.
async fn keep(nodes: &[Arc<Node>]) -> Infallible {
    loop {
        for node in nodes.iter().filter(|node| node.has_stopped()) {
            node.crash(Crash::Drop).await;
            node.start().await;
        }
        SimRuntime::sleep(LOOK).await;
    }
}

/// Waits until all voters have applied the same; gives the counters.
pub(crate) async fn settle(nodes: &[Arc<Node>]) -> BTreeMap<u8, i64> {
    let settled = SimRuntime::timeout(SETTLING, async {
        loop {
            let members: Vec<_> = nodes.iter().filter_map(|node| node.member()).collect();
            let leader = members.iter().find(|member| member.standing().leads);
            if let Some(leader) = leader {
                let standing = leader.standing();
                let whole = standing.voters.iter().all(|&voter| {
                    let node = nodes.iter().find(|node| node.id == voter);
                    let member = node.and_then(|node| node.member());
                    member.is_some_and(|member| {
                        member.standing().applied == standing.last
                            && member.audit() == leader.audit()
                    })
                });
                if whole {
                    return (0..KEYS).map(|key| (key, counter(leader, key))).collect();
                }
            }
            SimRuntime::sleep(LOOK).await;
        }
    });
    settled.await.unwrap_or_else(|_| panic!("not all have the same state: {}", standings(nodes)))
}

/// How everyone stands, a minute after all was mended.
fn standings(nodes: &[Arc<Node>]) -> String {
    let one = |node: &Arc<Node>| match node.member() {
        Some(member) => format!("{}: {:?}, {:?}", node.id, member.standing(), member.audit()),
        None => format!("{} does not run", node.id),
    };
    nodes.iter().map(one).collect::<Vec<_>>().join("\n")
}
