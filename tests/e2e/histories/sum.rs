//! What histories add up to: none of them without an order.

use tidekeep_tests::checker::{self, Call, End, Groups, Verdict};

#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) histories: u64,
    pub(crate) operations: u64,
    /// Answered transactions over groups.
    pub(crate) over_groups: u64,
    pub(crate) faults: u64,
    unknown: u64,
    nodes: usize,
    /// Histories of which the checker could not say whether they have an order.
    pub(crate) undecided: u64,
}

impl Sum {
    /// Checks a history; panics if it has no order.
    pub(crate) async fn of(seed: u64, groups: Groups, history: Vec<Call>, faults: u64) -> Self {
        let unknown = history.iter().filter(|call| call.end == End::Unknown).count() as u64;
        let operations = history.len() as u64;
        let over_groups = history.iter().filter(|call| {
            matches!(call.end, End::Answered(..)) && groups.touched(&call.operation).len() > 1
        });
        let over_groups = over_groups.count() as u64;
        let sum =
            Self { histories: 1, operations, over_groups, faults, unknown, ..Self::default() };
        let check = move || checker::check_over(&groups, &history);
        match tokio::task::spawn_blocking(check).await.unwrap() {
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
        self.over_groups += other.over_groups;
        self.faults += other.faults;
        self.unknown += other.unknown;
        self.nodes += other.nodes;
        self.undecided += other.undecided;
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { histories, operations, over_groups, faults, unknown, nodes, undecided } = self;
        write!(f, "histories: {histories}, operations: {operations}, ")?;
        if *over_groups > 0 {
            write!(f, "transactions over groups: {over_groups}, ")?;
        }
        write!(f, "faults: {faults}, ")?;
        write!(f, "unknown: {unknown}, violations: 0, undecided: {undecided} ")?;
        write!(f, "({nodes} nodes searched)")
    }
}
