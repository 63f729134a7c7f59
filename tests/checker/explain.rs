//! A violation in words: the shortest beginning of the history that has no order, and in it the
//! calls around the place where every order ends.

use std::fmt;

use super::NODES;
use super::groups::Groups;
use super::history::{Call, End};
use super::partition::{self, Partition};
use super::search::{Found, Stuck, search};

/// Why a history has no order, or how far the search for one got.
pub struct Violation {
    what: String,
    state: String,
    before: Vec<Call>,
    next: Vec<(Call, String)>,
    open: Vec<Call>,
}

impl Violation {
    /// Two calls that contradict each other.
    pub(super) fn of_pair(what: &str, earlier: &Call, later: &Call) -> Self {
        Self {
            what: what.to_owned(),
            state: String::new(),
            before: vec![earlier.clone(), later.clone()],
            next: Vec::new(),
            open: Vec::new(),
        }
    }

    /// The calls that one of them had to be next in an order, and none could.
    pub fn stuck_calls(&self) -> impl Iterator<Item = &Call> {
        self.next.iter().map(|(call, _)| call)
    }
}

/// Explains a partition, by its number, of which it is known that it has no order.
pub(super) fn shortest(groups: &Groups, partitions: &[Partition], number: usize) -> Violation {
    let mut ends: Vec<u64> = partitions[number]
        .calls
        .iter()
        .filter_map(|call| match call.end {
            End::Answered(at, _) => Some(at),
            End::Unknown | End::Failed => None,
        })
        .collect();
    ends.sort_unstable();
    // A beginning of a history that has an order has one too.
    let (mut good, mut bad) = (0, ends.len() - 1);
    while good < bad {
        let middle = good + (bad - good) / 2;
        match search_beginning(groups, partitions, number, ends[middle]).1 {
            Found::None(_) => bad = middle,
            Found::Order { .. } | Found::GaveUp(_) => good = middle + 1,
        }
    }
    match search_beginning(groups, partitions, number, ends[bad]) {
        (shortest, Found::None(stuck)) => describe(groups, &shortest, &stuck),
        (_, Found::Order { .. } | Found::GaveUp(_)) => {
            unreachable!("it was searched before, in vain")
        }
    }
}

fn search_beginning(
    groups: &Groups,
    partitions: &[Partition],
    number: usize,
    tick: u64,
) -> (Partition, Found) {
    let mut begun: Vec<Partition> = partitions.iter().map(|it| beginning(it, tick)).collect();
    let found = search(groups, &begun[number], &partition::holes(groups, &begun), NODES);
    (begun.swap_remove(number), found)
}

/// What had happened by this tick; what had not been answered is open.
fn beginning(partition: &Partition, tick: u64) -> Partition {
    let begun = partition.calls.iter().filter(|call| call.invoked < tick);
    let cut = |call: &Call| match call.end {
        End::Answered(at, _) if at > tick => Call { end: End::Unknown, ..call.clone() },
        End::Answered(..) | End::Unknown | End::Failed => call.clone(),
    };
    Partition { keys: partition.keys.clone(), calls: begun.map(cut).collect() }
}

/// The calls around the farthest place that a search came to.
pub(super) fn describe(groups: &Groups, partition: &Partition, stuck: &Stuck) -> Violation {
    let calls = &partition.calls;
    let next = stuck.next.iter().map(|&index| {
        let call = calls[index].clone();
        let why = match &call.end {
            End::Answered(_, answer) => {
                let told = groups.told(&call.operation, answer);
                match stuck.state.answered(index as u32, &call.operation, answer, &told) {
                    Err(mismatch) => mismatch.to_string(),
                    Ok(_) => "possible itself, but then nothing else is".to_owned(),
                }
            }
            End::Unknown | End::Failed => String::new(),
        };
        (call, why)
    });
    let next: Vec<_> = next.collect();
    let keys = next.iter().fold(0, |keys, (call, _)| keys | call.operation.keys());
    let open = calls.iter().enumerate().filter(|(index, call)| {
        let touches = call.operation.keys() & keys != 0 && !call.operation.only_reads();
        call.end == End::Unknown && touches && !stuck.trail.contains(index)
    });
    Violation {
        what: format!(
            "keys {:?}: after {} of {} calls that happened, none of those that had to be next fits",
            partition.keys, stuck.ordered, stuck.answered
        ),
        state: stuck.state.to_string(),
        before: stuck.trail.iter().map(|&index| calls[index].clone()).collect(),
        open: open.map(|(_, call)| call.clone()).collect(),
        next,
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        self.before.iter().try_for_each(|call| writeln!(f, "    {call}"))?;
        if !self.state.is_empty() {
            writeln!(f, "  then: {}", self.state)?;
        }
        if !self.next.is_empty() {
            writeln!(f, "  could be next:")?;
        }
        self.next.iter().try_for_each(|(call, why)| writeln!(f, "    {call}\n        {why}"))?;
        if !self.open.is_empty() {
            writeln!(f, "  open, and of no help:")?;
        }
        self.open.iter().try_for_each(|call| writeln!(f, "    {call}"))
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
