//! What histories add up to: none of them without an order.

use tidekeep_tests::checker::{self, Call, End, Verdict};

#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) histories: u64,
    pub(crate) operations: u64,
    pub(crate) faults: u64,
    unknown: u64,
    nodes: usize,
    /// Histories of which the checker could not say whether they have an order.
    pub(crate) undecided: u64,
}

impl Sum {
    /// Checks a history; panics if it has no order.
    pub(crate) async fn of(seed: u64, history: Vec<Call>, faults: u64) -> Self {
        let unknown = history.iter().filter(|call| call.end == End::Unknown).count() as u64;
        let operations = history.len() as u64;
        let sum = Self { histories: 1, operations, faults, unknown, ..Self::default() };
        match tokio::task::spawn_blocking(move || checker::check(&history)).await.unwrap() {
            Verdict::Linearizable { nodes } => Self { nodes, ..sum },
            Verdict::Violation(violation) => panic!("history {seed} has no order: {violation}"),
            Verdict::Undecided(open) => {
                println!("history {seed} could not be decided: {open}");
                Self { undecided: 1, ..sum }
            }
        }
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.faults += other.faults;
        self.unknown += other.unknown;
        self.nodes += other.nodes;
        self.undecided += other.undecided;
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { histories, operations, faults, unknown, nodes, undecided } = self;
        write!(f, "histories: {histories}, operations: {operations}, faults: {faults}, ")?;
        write!(f, "unknown: {unknown}, violations: 0, undecided: {undecided} ")?;
        write!(f, "({nodes} nodes searched)")
    }
}
