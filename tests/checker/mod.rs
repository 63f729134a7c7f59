//! A linearizability checker: does one order of all calls exist, each between its beginning and its
//! end, in which a plain map would have given the same answers?
//!
//! The search is that of Wing and Gong with Lowe's memory of what was tried. Keys that no
//! transaction joins are checked apart. The answers' revisions are part of the model: they grow along
//! the order, and two writes never share one. Of a store of several groups that holds in each of them by
//! itself, while there is one order of all calls.
//!
//! | file | holds |
//! |---|---|
//! | `history` | [`Operation`], [`Answer`], [`Call`], and the [`Recorder`] that clients write to |
//! | `groups` | which group a key is of, and what answers say of each group's revisions |
//! | `load` | [`Load`]: what clients of histories ask for |
//! | `model` | the map that calls run on, one after the other |
//! | `partition` | which keys must be checked together |
//! | `holes` | the revisions that such calls can have |
//! | `evidence` | which calls without an answer certainly happened |
//! | `ceilings` | the revisions that calls to come leave to those before them |
//! | `search` | the search for an order |
//! | `order` | revisions against real time, over all keys |
//! | `explain` | the calls around a violation, in words |

mod ceilings;
mod evidence;
mod explain;
mod groups;
mod history;
mod holes;
mod load;
mod model;
mod order;
mod partition;
mod search;

pub use explain::Violation;
pub use groups::{Group, Groups};
pub use history::{
    Answer, Before, Call, Condition, Did, Done, End, Entry, Key, Operation, Recorder, Step, Value,
};
pub use load::Load;

/// Nodes of one search. Histories of real processes need about one for each call; a search that
/// needs this many is given up and said to be undecided.
const NODES: usize = 1_000_000;

/// What a history turned out to be.
#[derive(Debug)]
pub enum Verdict {
    /// An order exists. How many nodes the searches took.
    Linearizable {
        /// Nodes of all searches.
        nodes: usize,
    },
    /// There is none.
    Violation(Box<Violation>),
    /// The search was given up, after it had come so far.
    Undecided(Box<Violation>),
}

impl Verdict {
    /// Whether an order was found.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Linearizable { .. })
    }
}

/// Checks a history of calls on a store that was empty before the first of them, and has one group.
pub fn check(history: &[Call]) -> Verdict {
    check_over(&Groups::default(), history)
}

/// The same of a store of several groups.
pub fn check_over(groups: &Groups, history: &[Call]) -> Verdict {
    if let Some(violation) = order::violation(groups, history) {
        return Verdict::Violation(Box::new(violation));
    }
    let mut nodes = 0;
    let partitions = partition::split(history);
    let holes = partition::holes(groups, &partitions);
    for (number, partition) in partitions.iter().enumerate() {
        match search::search(groups, partition, &holes, NODES) {
            search::Found::Order { nodes: more } => nodes += more,
            search::Found::None(_) => {
                return Verdict::Violation(Box::new(explain::shortest(
                    groups,
                    &partitions,
                    number,
                )));
            }
            search::Found::GaveUp(stuck) => {
                return Verdict::Undecided(Box::new(explain::describe(groups, partition, &stuck)));
            }
        }
    }
    Verdict::Linearizable { nodes }
}
