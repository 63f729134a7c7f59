//! What goes wrong: nodes that die and come back, ways that are cut, disks that hang or fail, leaders
//! that hand over, nodes that leave the group and join it again.

use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::{NodeId, PeerAddress};
use tidekeep_log::disk::faulty::Crash;

use crate::node::Node;
use crate::run::Clock;
use crate::simulated::wire::Wire;

pub(crate) struct Faults {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) wire: Wire,
    pub(crate) clock: Clock,
    pub(crate) random: fastrand::Rng,
    /// Whether what happens is printed.
    pub(crate) told: bool,
}

impl Faults {
    /// Lets things go wrong until the time is over, and then mends them.
    pub(crate) async fn strike(mut self, until: Duration) {
        while self.clock.now() < until {
            // The pace at which things go wrong, in virtual time. Nothing is waited for by it.
            SimRuntime::sleep(Duration::from_millis(self.random.u64(50..1_500))).await;
            self.restart_stopped().await;
            let node = Arc::clone(&self.nodes[self.random.usize(..self.nodes.len())]);
            match self.random.u8(0..14) {
                0..=2 => self.crash(&node).await,
                3 => self.isolate(node.id),
                4 => self.split(),
                5 => self.cut_one_way(node.id),
                6 => self.bridge(),
                7 => {
                    self.tell("the network is whole");
                    self.wire.heal();
                }
                8 | 9 => {
                    self.tell(&format!("{} writes a snapshot", node.id));
                    node.snapshot();
                }
                10 => self.hold_disk(&node).await,
                11 => {
                    self.tell(&format!("{}: a disk call fails soon", node.id));
                    node.fail_disk(self.random.u64(1..20));
                }
                12 => self.hand_over().await,
                _ => self.replace(node.id).await,
            }
        }
        self.wire.heal();
        self.nodes.iter().for_each(|node| node.mend_disk());
        self.tell("all is mended");
    }

    fn tell(&self, what: &str) {
        if self.told {
            println!("{:>9} us: {what}", self.clock.now_us());
        }
    }

    fn how(&mut self) -> Crash {
        Crash::ALL[self.random.usize(..Crash::ALL.len())]
    }

    async fn crash(&mut self, node: &Arc<Node>) {
        let how = self.how();
        self.tell(&format!("{} crashes: {how:?}", node.id));
        node.crash(how).await;
        SimRuntime::sleep(Duration::from_millis(self.random.u64(1..1_500))).await;
        self.tell(&format!("{} starts", node.id));
        node.start().await;
    }

    /// A node whose disk has failed ends its process; whoever watches over it starts it again.
    async fn restart_stopped(&mut self) {
        for node in self.nodes.clone() {
            if node.has_stopped() {
                self.crash(&node).await;
            }
        }
    }

    fn isolate(&mut self, one: NodeId) {
        self.tell(&format!("{one} is alone"));
        for other in self.ids().filter(|&other| other != one) {
            self.wire.cut(one, other);
            self.wire.cut(other, one);
        }
    }

    /// Two halves that do not hear each other.
    fn split(&mut self) {
        let (here, there): (Vec<_>, Vec<_>) =
            self.nodes.iter().map(|node| node.id).partition(|_| self.random.bool());
        self.tell(&format!("{here:?} and {there:?} are apart"));
        for &one in &here {
            for &other in &there {
                self.wire.cut(one, other);
                self.wire.cut(other, one);
            }
        }
    }

    fn cut_one_way(&mut self, to: NodeId) {
        self.tell(&format!("nothing comes to {to}"));
        for from in self.ids().filter(|&from| from != to) {
            self.wire.cut(from, to);
        }
    }

    /// Two halves that only one node of each hears.
    fn bridge(&mut self) {
        let bridge = self.nodes[self.random.usize(..self.nodes.len())].id;
        let others: Vec<_> = self.ids().filter(|&other| other != bridge).collect();
        let (here, there) = others.split_at(others.len() / 2);
        self.tell(&format!("{here:?} and {there:?} hear {bridge} alone"));
        for &one in here {
            for &other in there {
                self.wire.cut(one, other);
                self.wire.cut(other, one);
            }
        }
    }

    async fn hold_disk(&mut self, node: &Arc<Node>) {
        self.tell(&format!("the disk of {} hangs", node.id));
        node.hold_disk(true);
        SimRuntime::sleep(Duration::from_millis(self.random.u64(10..2_000))).await;
        node.hold_disk(false);
    }

    async fn hand_over(&mut self) {
        let to = self.nodes[self.random.usize(..self.nodes.len())].id;
        for member in self.nodes.iter().filter_map(|node| node.member()) {
            if member.standing().leads {
                self.tell(&format!("{to} is to lead"));
                // It may have stopped, or lead no more.
                let _ = member.transfer(to).await;
            }
        }
    }

    /// Takes a node out of the group and lets it join again, as far as the group allows it now.
    async fn replace(&mut self, id: NodeId) {
        let Some(leader) = self.leader() else { return };
        if leader.standing().leader == Some(id) || leader.standing().voters.len() < 3 {
            return;
        }
        self.tell(&format!("{id} leaves and joins"));
        let limit = Duration::from_secs(3);
        let _ = SimRuntime::timeout(limit, leader.remove(id)).await;
        let end = self.clock.now() + limit;
        while self.clock.now() < end {
            SimRuntime::sleep(Duration::from_millis(50)).await;
            let Some(leader) = self.leader() else { continue };
            let standing = leader.standing();
            if standing.voters.contains(&id) {
                return;
            }
            let step = async {
                if standing.learners.contains(&id) {
                    leader.promote(id).await
                } else {
                    leader.add_learner(id, PeerAddress::default()).await
                }
            };
            let _ = SimRuntime::timeout(limit, step).await;
        }
    }

    fn leader(&self) -> Option<Arc<tidekeep_cluster::Member<SimRuntime>>> {
        self.nodes.iter().filter_map(|node| node.member()).find(|member| member.standing().leads)
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        self.nodes.iter().map(|node| node.id).collect::<Vec<_>>().into_iter()
    }
}
