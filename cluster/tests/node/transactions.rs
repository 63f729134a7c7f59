//! Transactions over groups on whole nodes: money moves between accounts of different groups while nodes crash,
//! are cut off and lose messages. Clients ask again under their number, at other nodes.
//!
//! `TIDEKEEP_NODE_SEEDS=300 cargo nextest run -p tidekeep-cluster -E 'test(money)'` runs that many seeds;
//! `TIDEKEEP_NODE_SEED=17` runs one, and prints what happens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use parking_lot::Mutex;
use tidekeep_cluster::NodeId;
use tidekeep_cluster::node::ClusterStatus;
use tidekeep_log::{Answer, Call, Numbered, Reply, collect};
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{
    Compare, DeleteRange, Get, Increment, Order, Projection, Put, Request, Scan, Txn, TxnOp,
    TxnReply, TxnResult,
};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::backups::back_up;
use crate::cluster::{Cluster, simulate};
use crate::seeds;
use crate::serving::{Served, ask, put, run, value_of};

/// Seeds of the everyday run.
const SEEDS: u64 = 3;

pub(crate) const ACCOUNTS: usize = 8;
pub(crate) const CLIENTS: usize = 4;
pub(crate) const GROUPS: u16 = 4;
pub(crate) const BEGIN: i64 = 100;

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(40);

/// How long a client waits for an answer before it asks another node.
const PATIENCE: Duration = Duration::from_secs(4);

pub(crate) fn account(number: usize) -> String {
    format!("account-{number}")
}

pub(crate) fn count_of(client: usize) -> String {
    format!("transfers-of-{client}")
}

fn increment(key: &str, by: i64) -> Increment<'_> {
    Increment { key: key.as_bytes(), by, expiry: Expiry::Never }
}

#[test]
fn money_moves_between_groups_once_and_whole_whatever_fails() {
    seeds::each(SEEDS, |seed, told| storm(seed, told, GROUPS));
}

/// What all clients know, and what they have seen.
pub(crate) struct Bank {
    pub(crate) cluster: Cluster,
    told: bool,
    pub(crate) end: SimInstant,
    /// The transfers of each client that were confirmed.
    pub(crate) confirmed: Mutex<[i64; CLIENTS]>,
    reads: Mutex<u64>,
}

#[test]
fn money_moves_once_and_whole_while_one_group_becomes_several_whatever_fails() {
    seeds::each(SEEDS, |seed, told| storm(seed, told, 1));
}

/// Money moves in a store that begins with so many groups, and has [`GROUPS`] of them in the end.
fn storm(seed: u64, told: bool, groups: u16) {
    simulate(seed, async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let bank = Bank::open(random.u64(3..=5), groups, TROUBLE, told).await;
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let moving = Arc::clone(&bank).transfer(client, random.fork());
            clients.push(SimRuntime::spawn(moving));
        }
        let node = NodeId(random.u64(1..=bank.cluster.machines().len() as u64));
        clients.push(SimRuntime::spawn(back_up(Arc::clone(&bank), node)));
        clients.push(SimRuntime::spawn(Arc::clone(&bank).audit(random.fork())));
        let (mut strikes, begins) = (random.fork(), random.u64(..15_000));
        let splitting = async {
            if groups != GROUPS {
                bank.split(Duration::from_millis(begins)).await;
            }
        };
        join(bank.strike(&mut strikes), splitting).await;
        for client in clients {
            client.await.expect("a client ends");
        }
        bank.cluster.rest().await;
        bank.check().await;
    });
}

fn group_of(key: &[u8]) -> GroupId {
    GroupCount::new(GROUPS).expect("so many").group_of(slot_of(key))
}

/// A request whose keys and values live as long as the test needs them.
type Asked<'a> = (Request<'a>, Option<Numbered>);

impl Bank {
    /// One with so many nodes, whose clients are at work for so long.
    pub(crate) async fn open(nodes: u64, groups: u16, lasts: Duration, told: bool) -> Arc<Self> {
        let cluster = Cluster::serving(nodes, groups).await;
        cluster.sweep().await;
        let store = cluster.store(NodeId(1));
        for number in 0..ACCOUNTS {
            ask(&store, Request::Increment(increment(&account(number), BEGIN))).await;
        }
        drop(store);
        let groups: std::collections::BTreeSet<_> =
            (0..ACCOUNTS).map(|number| group_of(account(number).as_bytes())).collect();
        assert!(groups.len() > 2, "the accounts are in {groups:?}");
        let end = SimInstant::now() + lasts;
        let (confirmed, reads) = (Mutex::default(), Mutex::default());
        Arc::new(Self { cluster, told, end, confirmed, reads })
    }

    pub(crate) fn tell(&self, what: &str) {
        if self.told {
            println!("{what}");
        }
    }

    /// Some node that serves.
    async fn some_store(&self, random: &mut fastrand::Rng) -> Arc<Served> {
        loop {
            let running: Vec<_> =
                self.cluster.machines().iter().filter_map(|machine| machine.store()).collect();
            if let Some(store) = random.choice(&running) {
                return Arc::clone(store);
            }
            SimRuntime::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks one node after the other until one of them says what came of it.
    async fn insist(&self, random: &mut fastrand::Rng, asked: Asked<'_>) -> Reply {
        let (request, mut number) = asked;
        let began = SimInstant::now();
        loop {
            let store = self.some_store(random).await;
            let call = Call { number, ..Call::new(request.clone()) };
            let answers = collect(&*store, &[call]);
            drop(store);
            // Who is silent has died, or hears nobody.
            if let Ok(Ok(mut answers)) = SimRuntime::timeout(PATIENCE, answers).await {
                match answers.pop().expect("an answer") {
                    Ok(reply) => return reply,
                    Err(refusal) => assert!(
                        matches!(refusal.code, Code::Unavailable | Code::OutcomeUnknown),
                        "{refusal}"
                    ),
                }
            }
            assert!(
                SimInstant::now() - began < Duration::from_secs(200),
                "nobody answers {request:?}"
            );
            if let Some(number) = &mut number {
                number.retry = true;
            }
            SimRuntime::sleep(Duration::from_millis(random.u64(1..100))).await;
        }
    }

    /// Moves money from account to account.
    pub(crate) async fn transfer(self: Arc<Self>, client: usize, mut random: fastrand::Rng) {
        let session = SessionId::new(1, client as u128 + 1);
        let count = count_of(client);
        let (mut sequence, mut moved) = (0, 0);
        while SimInstant::now() < self.end {
            sequence += 1;
            let number = Number { sequence, oldest: sequence };
            let number = Some(Numbered { session, number, retry: false });
            let (from, to) = (account(random.usize(..ACCOUNTS)), account(random.usize(..ACCOUNTS)));
            if random.u8(..4) == 0 {
                // A key alone, in the way of transactions.
                let single = Request::Increment(increment(&from, 0));
                self.insist(&mut random, (single, number)).await;
                continue;
            }
            let amount = random.i64(1..20);
            let absent = Compare { key: b"closed", condition: Condition::Absent };
            let txn = Txn {
                compares: vec![absent],
                then: vec![
                    TxnOp::Increment(increment(&from, -amount)),
                    TxnOp::Increment(increment(&count, 1)),
                    TxnOp::Increment(increment(&to, amount)),
                ],
                otherwise: vec![],
            };
            moved += 1;
            let done = self.insist(&mut random, (Request::Txn(txn), number)).await;
            // As it is sent: what a group remembers of an earlier try is encoded already.
            let mut body = Vec::new();
            done.encode(&mut body);
            let done: TxnReply<'_> = codec::decode(&body).expect("a reply");
            assert!(done.succeeded);
            let Some(TxnResult::Increment(counted)) = done.results.get(1) else {
                panic!("{done:?}");
            };
            assert_eq!(counted.value, moved, "a transfer was made twice, or not at all");
            self.confirmed.lock()[client] = moved;
            if random.u8(..3) == 0 {
                let get = Request::Get(Get { key: count.as_bytes() });
                let got = self.insist(&mut random, (get, None)).await;
                assert_eq!(value_of(&got), Some(moved.to_string().as_bytes()), "of {client}");
            }
            SimRuntime::sleep(Duration::from_millis(random.u64(..60))).await;
        }
    }

    /// Reads all accounts at once, over and over: no money is on its way.
    async fn audit(self: Arc<Self>, mut random: fastrand::Rng) {
        while SimInstant::now() < self.end {
            let confirmed = *self.confirmed.lock();
            let keys: Vec<String> =
                (0..ACCOUNTS).map(account).chain((0..CLIENTS).map(count_of)).collect();
            let numbers = self.read(&mut random, &keys).await;
            assert_eq!(numbers[..ACCOUNTS].iter().sum::<i64>(), ACCOUNTS as i64 * BEGIN);
            for (client, (seen, confirmed)) in numbers[ACCOUNTS..].iter().zip(confirmed).enumerate()
            {
                assert!(*seen >= confirmed, "{client} was told of {confirmed}, {seen} are seen");
            }
            *self.reads.lock() += 1;
            SimRuntime::sleep(Duration::from_millis(random.u64(..200))).await;
        }
    }

    /// The numbers of keys, at one moment.
    async fn read(&self, random: &mut fastrand::Rng, keys: &[String]) -> Vec<i64> {
        let then = keys.iter().map(|key| TxnOp::Get(Get { key: key.as_bytes() })).collect();
        let txn = Txn { then, ..Txn::default() };
        let Reply::Txn(done) = self.insist(random, (Request::Txn(txn), None)).await else {
            panic!("a transaction");
        };
        let number = |reply: &Reply| {
            let value = value_of(reply).unwrap_or(b"0");
            std::str::from_utf8(value).ok().and_then(|it| it.parse().ok()).expect("a number")
        };
        done.results.iter().map(number).collect()
    }

    /// Splits the only group, as soon as that may be after so long.
    async fn split(&self, after: Duration) {
        SimRuntime::sleep(after).await;
        let groups = GroupCount::new(GROUPS).expect("so many");
        self.cluster
            .eventually("it is split", || async { self.cluster.any().split(groups).await.ok() })
            .await;
        self.tell("it is to be split");
        let done = |status: &ClusterStatus| status.groups.len() == usize::from(GROUPS);
        self.cluster.until("the status shows the groups", done).await;
        self.tell("it is split");
    }

    async fn strike(&self, random: &mut fastrand::Rng) {
        let lost = [0, 0, 3][random.usize(..3)];
        self.cluster.wire.lose(lost);
        while SimInstant::now() < self.end {
            // The pace at which things go wrong, in virtual time. Nothing is waited for by it.
            SimRuntime::sleep(Duration::from_millis(random.u64(1_000..10_000))).await;
            let count = self.cluster.machines().len() as u64;
            let one = NodeId(random.u64(1..=count));
            match random.u8(..8) {
                0..=3 => {
                    self.tell(&format!("{one} crashes"));
                    let machine = self.cluster.machine(one);
                    machine.crash().await;
                    SimRuntime::sleep(Duration::from_millis(random.u64(10..3_000))).await;
                    machine.start().await;
                    self.tell(&format!("{one} starts"));
                }
                4 | 5 => {
                    self.tell(&format!("{one} is cut off"));
                    for other in self.cluster.machines() {
                        self.cluster.wire.cut(one, other.id);
                        self.cluster.wire.cut(other.id, one);
                    }
                    SimRuntime::sleep(Duration::from_millis(random.u64(100..6_000))).await;
                    self.cluster.wire.heal();
                }
                6 => {
                    let group = GroupId(random.u16(..GROUPS));
                    self.tell(&format!("{group} is to be led by {one}"));
                    // It may have no replica.
                    let _ = self.cluster.any().transfer(group, one).await;
                }
                _ => {
                    self.tell(&format!("{one} writes a snapshot"));
                    self.cluster.machine(one).snapshot();
                }
            }
        }
        self.tell("all is mended");
        self.cluster.wire.heal();
        self.cluster.wire.lose(0);
    }

    /// All that was confirmed is there, once, and nothing is locked any more.
    async fn check(&self) {
        let mut random = fastrand::Rng::with_seed(1);
        let keys: Vec<String> =
            (0..CLIENTS).map(count_of).chain((0..ACCOUNTS).map(account)).collect();
        let numbers = self.read(&mut random, &keys).await;
        assert_eq!(numbers[..CLIENTS], *self.confirmed.lock());
        assert_eq!(numbers[CLIENTS..].iter().sum::<i64>(), ACCOUNTS as i64 * BEGIN);
        let (moved, reads) = (numbers[..CLIENTS].iter().sum::<i64>(), *self.reads.lock());
        self.tell(&format!("{moved} transfers, {reads} reads"));
        assert!(moved > 20 && reads > 2, "hardly anything happened: {moved}, {reads}");
        self.cluster
            .eventually("nothing is locked", || async {
                let nodes = self.cluster.machines().into_iter().filter_map(|it| it.node());
                let mut members = nodes.flat_map(|node| {
                    let groups = GroupCount::new(GROUPS).expect("so many").groups();
                    groups.filter_map(|group| node.member(group)).collect::<Vec<_>>()
                });
                let free = members.all(|member| {
                    let (prepared, decided) = member.replica().left_behind(u64::MAX);
                    prepared.is_empty() && decided.is_empty()
                });
                free.then_some(())
            })
            .await;
    }
}

/// A key of each group.
fn keys_of_groups() -> Vec<Vec<u8>> {
    let groups = GroupCount::new(GROUPS).expect("so many");
    let mut numbers = (0..).map(|number: u32| format!("k/{number}").into_bytes());
    let key = |group| numbers.find(|key| groups.group_of(slot_of(key)) == group);
    groups.groups().filter_map(key).collect()
}

#[test]
fn a_transaction_over_groups_means_what_one_in_a_group_does() {
    simulate(71, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        let (here, there) = (cluster.store(NodeId(2)), cluster.store(NodeId(4)));
        let keys = keys_of_groups();
        let put_op = |key, value, condition| {
            TxnOp::Put(Put { key, value, condition, expiry: Expiry::Never, previous: false })
        };
        let txn = Txn {
            compares: vec![
                Compare { key: &keys[0], condition: Condition::Absent },
                Compare { key: &keys[3], condition: Condition::Absent },
            ],
            then: vec![
                put_op(&keys[3], b"three", Condition::Always),
                put_op(&keys[1], b"one", Condition::Absent),
                TxnOp::Get(Get { key: &keys[3] }),
                TxnOp::Get(Get { key: &keys[2] }),
            ],
            otherwise: vec![TxnOp::Get(Get { key: &keys[3] }), TxnOp::Get(Get { key: &keys[1] })],
        };
        let Reply::Txn(first) = ask(&here, Request::Txn(txn.clone())).await else { panic!() };
        assert!(first.succeeded && first.results.len() == 4);
        assert_eq!(value_of(&first.results[2]), Some(&b"three"[..]), "it sees its own writes");
        assert_eq!(value_of(&first.results[3]), None);
        // Not all compares hold any more, so no group runs the first list.
        let Reply::Txn(second) = ask(&there, Request::Txn(txn)).await else { panic!() };
        assert!(!second.succeeded);
        assert_eq!(value_of(&second.results[0]), Some(&b"three"[..]));
        assert_eq!(value_of(&second.results[1]), Some(&b"one"[..]));
        // One operation that cannot be done undoes all; the first of them says why.
        let refused = Txn {
            then: vec![
                put_op(&keys[0], b"zero", Condition::Always),
                TxnOp::Increment(Increment { key: &keys[3], by: 1, expiry: Expiry::Never }),
                put_op(&keys[1], b"again", Condition::Absent),
            ],
            ..Txn::default()
        };
        let answers = run(&here, &[Request::Txn(refused)]).await;
        let code = |answer: &Answer| answer.as_ref().map_err(|refusal| refusal.code).map(drop);
        assert_eq!(code(&answers[0]), Err(Code::InvalidInput));
        let got = ask(&there, Request::Get(Get { key: &keys[0] })).await;
        assert_eq!(value_of(&got), None);
        // A range is deleted in all groups.
        let range = KeyRange::prefix(b"k/");
        let delete = DeleteRange { range: range.as_range(), limit: 0 };
        let Reply::DeleteRange(deleted) = ask(&here, Request::DeleteRange(delete)).await else {
            panic!()
        };
        assert_eq!((deleted.deleted, deleted.more), (2, false));
        let (order, projection) = (Order::Ascending, Projection::Full);
        let scan = Scan { range: range.as_range(), limit: 0, bytes: 0, order, projection };
        let Reply::Scan(left) = ask(&there, Request::Scan(scan)).await else { panic!() };
        assert_eq!(left.entries.len(), 0);
    });
}

#[test]
fn a_number_is_decided_once_whichever_node_is_asked() {
    simulate(72, async {
        let cluster = Cluster::serving(3, GROUPS).await;
        let keys = keys_of_groups();
        let count = |key| TxnOp::Increment(Increment { key, by: 1, expiry: Expiry::Never });
        let then = keys.iter().map(|key| count(&key[..])).collect();
        let txn = Txn { then, ..Txn::default() };
        let session = SessionId::new(1, 5);
        let mut answers = Vec::new();
        for (id, retry) in [(1, false), (2, true), (3, true), (2, true)] {
            let number = Number { sequence: 1, oldest: 1 };
            let number = Some(Numbered { session, number, retry });
            let call = Call { number, ..Call::new(Request::Txn(txn.clone())) };
            answers
                .push(collect(&*cluster.store(NodeId(id)), &[call]).await.expect("no disk fails"));
        }
        answers.dedup();
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        let Ok(Reply::Txn(done)) = &answer[0] else { panic!("{answer:?}") };
        let once = |reply: &Reply| matches!(reply, Reply::Increment(it) if it.value == 1);
        assert!(done.results.len() == keys.len() && done.results.iter().all(once), "{done:?}");
        ask(&cluster.store(NodeId(1)), put(b"free", b"of locks")).await;
    });
}
