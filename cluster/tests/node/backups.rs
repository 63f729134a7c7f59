//! Backups of several groups, by any node: each is of one moment, although money moves between the groups while it
//! is taken, nodes die, and the node that is asked may have no replica of anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::NodeId;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Commit, Fed, Reply, backup};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{LeaseGrant, Put, Request};
use tidekeep_protocol::slot::{GroupCount, GroupId};
use tidekeep_store::leases::{self, PackedLease};
use tidekeep_store::snapshot::{self, Head};

use crate::cluster::{Cluster, simulate};
use crate::serving::{Served, ask, put, run};
use crate::transactions::{ACCOUNTS, BEGIN, Bank, CLIENTS, GROUPS, account, count_of};

/// Time for a backup to be whole, or told of that it is none.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the file of a backup holds.
pub(crate) struct Content {
    head: Head,
    leases: Vec<u64>,
    pub(crate) values: BTreeMap<String, Vec<u8>>,
}

impl Content {
    fn number(&self, key: &str) -> i64 {
        let value = self.values.get(key).map_or(&b"0"[..], Vec::as_slice);
        std::str::from_utf8(value).ok().and_then(|it| it.parse().ok()).expect("a number")
    }
}

/// Takes a backup whole; none if the node says that it cannot.
pub(crate) async fn take(store: &Served) -> Option<Content> {
    let taken = async {
        let mut backup = store.backup().await.ok()?;
        let (revision, keys, mut bytes) = (backup.revision(), backup.keys(), Vec::new());
        loop {
            match backup.read(1 << 16, &mut bytes).ok()? {
                Fed::More => {}
                // As a connection does, which polls for what comes next; `PATIENCE` bounds it.
                Fed::Later => SimRuntime::sleep(Duration::from_millis(1)).await,
                Fed::End => break,
            }
        }
        let content = content_of(&bytes);
        assert_eq!((content.head.revision, content.head.keys), (revision, keys));
        Some(content)
    };
    SimRuntime::timeout(PATIENCE, taken).await.expect("it comes to an end")
}

/// Reads a file, which is a good one.
fn content_of(bytes: &[u8]) -> Content {
    let file = FaultyDisk::new(1).create("backup").expect("there is none");
    file.write_at(bytes, 0).expect("there is room");
    backup::verify(&file, "backup").expect("it is whole");
    let (mut blocks, mut chunks) = (&bytes[64..], Vec::new());
    while let Some((start, rest)) = blocks.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([start[0], start[1], start[2], start[3]]) as usize;
        let Some((chunk, behind)) = rest.split_at_checked(length) else { break };
        chunks.push(chunk);
        blocks = behind;
    }
    let mut chunks = chunks.into_iter();
    let head = Head::decode(chunks.next().expect("a head")).expect("a head");
    let (mut sessions, mut leases, mut values) = (0, Vec::new(), BTreeMap::new());
    for chunk in chunks {
        if sessions < head.sessions {
            sessions += snapshot::items(chunk).count() as u64;
            continue;
        }
        if (leases.len() as u64) < head.leases {
            let packed = snapshot::items(chunk).map(|it| it.expect("a lease"));
            let packed = packed.map(|it| PackedLease::try_from(it).expect("a lease"));
            leases.extend(packed.map(|it| leases::number_of(&it)));
            continue;
        }
        for entry in snapshot::entries(chunk) {
            let entry = entry.expect("an entry");
            let key = String::from_utf8(entry.key().to_vec()).expect("text");
            let before = values.insert(key, entry.value().to_vec());
            assert!(before.is_none(), "each key but once");
        }
    }
    Content { head, leases, values }
}

/// Takes backups by a node, whenever it runs, as long as the bank is open, and until one is whole: one must be soon
/// after all is mended.
pub(crate) async fn back_up(bank: Arc<Bank>, node: NodeId) {
    let (mut whole, mut failed) = (0, 0);
    while SimInstant::now() < bank.end || (whole == 0 && SimInstant::now() < bank.end + PATIENCE) {
        let Some(store) = bank.cluster.machine(node).store() else {
            // A poll until the node runs again, or the bank is closed.
            SimRuntime::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let confirmed = *bank.confirmed.lock();
        match take(&store).await {
            Some(content) => {
                check(&content, confirmed);
                whole += 1;
            }
            None => failed += 1,
        }
        drop(store);
        // The pace of the load: whoever backs up without end lets nobody write.
        SimRuntime::sleep(Duration::from_millis(300)).await;
    }
    bank.tell(&format!("{node}: {whole} backups, {failed} that failed"));
    assert!(whole > 0, "none was whole");
}

/// No money is on its way in it, and nothing is missing that was confirmed before it began.
fn check(content: &Content, confirmed: [i64; CLIENTS]) {
    let money: i64 = (0..ACCOUNTS).map(|number| content.number(&account(number))).sum();
    assert_eq!(money, ACCOUNTS as i64 * BEGIN, "{:?}", content.values);
    for (client, confirmed) in confirmed.into_iter().enumerate() {
        let seen = content.number(&count_of(client));
        assert!(seen >= confirmed, "{client} was told of {confirmed}, {seen} are in it");
    }
}

#[test]
fn backups_at_all_nodes_are_of_one_moment_while_money_moves() {
    simulate(81, async {
        let mut random = fastrand::Rng::with_seed(81);
        let bank = Bank::open(5, GROUPS, Duration::from_secs(8), false).await;
        let mut tasks = Vec::new();
        for client in 0..CLIENTS {
            tasks.push(SimRuntime::spawn(Arc::clone(&bank).transfer(client, random.fork())));
        }
        for node in 1..=5 {
            tasks.push(SimRuntime::spawn(back_up(Arc::clone(&bank), NodeId(node))));
        }
        for task in tasks {
            task.await.expect("nothing fails");
        }
        let moved: i64 = bank.confirmed.lock().iter().sum();
        assert!(moved > 50, "hardly anything was moved: {moved}");
        let content = take(&bank.cluster.store(NodeId(1))).await.expect("all nodes run");
        assert_eq!(content.head.sessions, 0, "each group knows only its part of them");
    });
}

#[test]
fn a_lease_is_in_it_with_its_keys_and_no_younger_revision_is_given_again() {
    simulate(82, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        cluster.sweep().await;
        let store = cluster.store(NodeId(2));
        let Reply::Lease(lease) =
            ask(&store, Request::LeaseGrant(LeaseGrant { ttl_ms: 60_000 })).await
        else {
            panic!("a lease");
        };
        let keys: Vec<String> = (0..40).map(|number| format!("leased-{number}")).collect();
        for key in &keys {
            let (condition, expiry) = (Condition::Always, Expiry::Lease(lease.lease));
            let (key, value) = (key.as_bytes(), &b"here"[..]);
            ask(&store, Request::Put(Put { key, value, condition, expiry, previous: false })).await;
        }
        for node in 1..=5 {
            let content = take(&cluster.store(NodeId(node))).await.expect("all nodes run");
            assert_eq!(content.leases, [lease.lease]);
            assert!(keys.iter().all(|key| content.values.contains_key(key)));
            assert!(content.head.revision >= lease.lease, "{:?}", content.head);
        }
    });
}

#[test]
fn a_node_without_a_replica_of_the_only_group_gives_a_backup_too() {
    simulate(83, async {
        let cluster = Cluster::serving(5, 1).await;
        let stores: Vec<_> = (1..=5).map(|id| cluster.store(NodeId(id))).collect();
        let without = stores.iter().filter(|store| store.node().member(GroupId(0)).is_none());
        assert_eq!(without.count(), 2);
        for (number, store) in stores.iter().enumerate() {
            ask(store, put(format!("key-{number}").as_bytes(), b"value")).await;
            let content = take(store).await.expect("all nodes run");
            for number in 0..=number {
                assert!(content.values.contains_key(&format!("key-{number}")));
            }
        }
    });
}

/// Puts a key, again and again until somebody says that it is there.
async fn insist(store: &Served, key: &str) {
    while let Err(refusal) = &run(store, &[put(key.as_bytes(), b"value")]).await[0] {
        let goes_on = matches!(refusal.code, Code::Unavailable | Code::OutcomeUnknown);
        assert!(goes_on, "{refusal}");
    }
}

#[test]
fn writes_go_on_after_a_node_that_held_them_up_has_died() {
    simulate(84, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        let (dies, other) = (NodeId(5), cluster.store(NodeId(1)));
        for after_ms in [1, 3, 5, 8] {
            let machine = cluster.machine(dies);
            let begun = cluster.store(dies).backup();
            // How far a backup is when its node dies, in virtual time. Nothing is waited for.
            SimRuntime::sleep(Duration::from_millis(after_ms)).await;
            machine.crash().await;
            drop(begun);
            let began = SimInstant::now();
            let groups = GroupCount::new(GROUPS).expect("so many").groups();
            let keys: Vec<String> = groups.map(|group| format!("after-{}", group.0)).collect();
            join_all(keys.iter().map(|key| insist(&other, key))).await;
            let waited = SimInstant::now() - began;
            assert!(waited < Duration::from_secs(8), "they waited for {waited:?}");
            machine.start().await;
            cluster.rest().await;
        }
    });
}
