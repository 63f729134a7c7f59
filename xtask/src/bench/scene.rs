//! What can be measured at once: a load on several servers, or one of the special scenes. Rows name
//! the scenes that they need; one that several rows need is measured once.

use crate::bench::cluster;
use crate::bench::server::Durability;
use crate::bench::throughput::Arm;

/// A load that several servers are put under.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) id: &'static str,
    pub(super) operation: &'static str,
    pub(super) pipeline: u32,
    pub(super) value_bytes: u32,
    pub(super) durability: Durability,
}

/// What rows need measured; rows may share one.
#[derive(Debug, Clone)]
pub(super) enum Scene {
    Throughput(&'static Workload, Vec<Arm>),
    Memory,
    Connections,
    Curve,
    /// The store with ten million entries, and what is done with it.
    Many(Vec<Part>),
    /// Several nodes that keep one store.
    Cluster(Vec<cluster::Part>),
    /// What the npm package weighs.
    Sizes,
    /// How quick it is.
    Rates,
}

/// What is measured on the large store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Start,
    Snapshot,
    Expiry,
}

impl Part {
    /// In the names of series.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Snapshot => "snapshot",
            Self::Expiry => "expiry",
        }
    }

    /// What it compares.
    pub(super) fn sides(self) -> [&'static str; 2] {
        match self {
            Self::Start => ["redis", "tidekeep"],
            Self::Snapshot | Self::Expiry => ["before", "during"],
        }
    }
}

impl Scene {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Throughput(load, _) => load.id.to_owned(),
            Self::Memory => "memory".into(),
            Self::Connections => "connections".into(),
            Self::Curve => "keys".into(),
            Self::Many(_) => "ten million entries".into(),
            Self::Cluster(_) => "cluster".into(),
            Self::Sizes => "sizes".into(),
            Self::Rates => "rates".into(),
        }
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.name() == other.name()
    }

    /// Takes over what the other one of the same name measures.
    pub(super) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Throughput(_, arms), Self::Throughput(_, more)) => {
                arms.extend(more);
                arms.sort();
                arms.dedup();
            }
            (Self::Many(parts), Self::Many(more)) => parts.extend(more),
            (Self::Cluster(parts), Self::Cluster(more)) => parts.extend(more),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_of_one_name_are_measured_together() {
        static LOAD: Workload = Workload {
            id: "get-16",
            operation: "get",
            pipeline: 16,
            value_bytes: 64,
            durability: Durability::None,
        };
        let mut scene = Scene::Throughput(&LOAD, vec![Arm::Native, Arm::Bare]);
        let other = Scene::Throughput(&LOAD, vec![Arm::Redis, Arm::Native]);
        assert!(scene.is_like(&other) && !scene.is_like(&Scene::Memory));
        scene.merge(&other);
        let Scene::Throughput(_, arms) = scene else { unreachable!() };
        assert_eq!(arms, [Arm::Redis, Arm::Native, Arm::Bare]);
    }
}
