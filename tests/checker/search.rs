//! The search for an order, depth first, with a memory of every node that led nowhere.
//!
//! A node is what has been ordered and the state that it led to. What is ordered is kept as a prefix
//! of the answered calls and what lies beyond it, so that at a quiescent point a node is little more
//! than its state, and the past before it is forgotten.
//!
//! A call without an answer may come anywhere after its beginning, or nowhere. It is placed as late
//! as possible, right before an answered call on the same keys that would not fit without it. That
//! loses no order: between its place and that one nobody looks at what it did. If an answer shows a
//! value that it alone can have written, it certainly happened, and is searched like an answered one.
//! And it needs a revision of its own, between the last write to its keys and the answered call: mostly
//! there is none, so that there is nothing to try. In the groups where a transaction over groups is not
//! decided that holds for answered calls on the keys that it wrote there.
//!
//! An answered call that only looked, and fits, is next: whatever else could be is possible after it too.

use std::collections::HashSet;

use super::ceilings::{Ceilings, Of};
use super::evidence::Evidence;
use super::groups::{Group, Groups, Told};
use super::history::{Answer, Call, End, Operation};
use super::holes::Holes;
use super::model::{State, Written};
use super::partition::Partition;

/// How many of the calls that were ordered last are remembered for people.
const TRAIL: usize = 8;

/// What a search came to.
pub(super) enum Found {
    Order { nodes: usize },
    None(Stuck),
    GaveUp(Stuck),
}

/// The farthest that any order got.
pub(super) struct Stuck {
    /// The state there.
    pub(super) state: State,
    /// The calls ordered last, as indices into the partition's.
    pub(super) trail: Vec<usize>,
    /// The answered calls of which one had to be next.
    pub(super) next: Vec<usize>,
    /// How many answered calls had been ordered, and of how many.
    pub(super) ordered: usize,
    pub(super) answered: usize,
}

/// A call that certainly happened.
struct Answered<'a> {
    index: usize,
    call: &'a Call,
    /// The tick by which it had.
    at: u64,
    /// None if its answer was lost, but not that it changed something.
    answer: Option<&'a Answer>,
    /// What is known of its revisions.
    told: Vec<Told>,
    keys: u64,
}

/// A call that may have had an effect or not.
struct Open<'a> {
    index: usize,
    call: &'a Call,
    keys: u64,
    /// An earlier one that asks for the same: it is placed first.
    twin: Option<usize>,
    /// Where it is decided.
    home: Group,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Node {
    /// All answered calls before this one are ordered, and this one is not.
    prefix: usize,
    /// Of the answered calls after it, those that are: one bit for each.
    beyond: Vec<u64>,
    /// Of the open calls, those that are placed.
    placed: Vec<u64>,
    /// The answered call that must be next, and the open one placed before it.
    aim: Option<(usize, usize)>,
    /// Of the revisions that placed calls can have, those that are not for others.
    taken: Vec<(Group, u64)>,
    state: State,
}

#[derive(Clone, Copy)]
enum Choice {
    /// This answered call is next.
    Answered(usize),
    /// This open call is next, for the sake of an answered one.
    Open(usize, usize),
}

struct Frame {
    node: Node,
    choices: Vec<Choice>,
    /// The call that led here.
    index: usize,
}

struct Search<'a> {
    holes: &'a Holes,
    ceilings: Ceilings,
    answered: Vec<Answered<'a>>,
    open: Vec<Open<'a>>,
}

/// Looks for an order of a partition's calls; gives up after so many nodes.
pub(super) fn search(groups: &Groups, partition: &Partition, holes: &Holes, nodes: usize) -> Found {
    let search = Search::new(groups, partition, holes);
    let root = Node {
        prefix: 0,
        beyond: Vec::new(),
        placed: Vec::new(),
        aim: None,
        taken: Vec::new(),
        state: State::empty(groups, partition.keys.iter().copied()),
    };
    let mut seen = HashSet::new();
    let mut best: Option<Stuck> = None;
    let mut stack = vec![search.frame(root, usize::MAX)];
    while let Some(frame) = stack.last_mut() {
        let ordered = frame.node.prefix + ones(&frame.node.beyond);
        if ordered == search.answered.len() {
            return Found::Order { nodes: seen.len() };
        }
        let Some(choice) = frame.choices.pop() else {
            if best.as_ref().is_none_or(|best| ordered > best.ordered) {
                best = Some(search.stuck(&stack, ordered));
            }
            stack.pop();
            continue;
        };
        if let Some((node, index)) = search.follow(&frame.node, choice)
            && seen.insert(node.clone())
        {
            if seen.len() > nodes {
                let stuck = search.stuck(&stack, ordered);
                return Found::GaveUp(best.unwrap_or(stuck));
            }
            stack.push(search.frame(node, index));
        }
    }
    Found::None(best.expect("a search that found nothing got stuck somewhere"))
}

impl<'a> Search<'a> {
    fn new(groups: &Groups, partition: &'a Partition, holes: &'a Holes) -> Self {
        let mut answered = Vec::new();
        let mut open: Vec<Open<'_>> = Vec::new();
        let evidence = Evidence::of(&partition.calls);
        for (index, call) in partition.calls.iter().enumerate() {
            let keys = call.operation.keys();
            match &call.end {
                End::Answered(at, answer) => {
                    let (answer, told) = (Some(answer), groups.told(&call.operation, answer));
                    answered.push(Answered { index, call, at: *at, answer, told, keys });
                }
                End::Unknown if !call.operation.only_reads() => {
                    let home = groups.home(&call.operation);
                    if let Some((key, revision, at)) = evidence.of_call(&call.operation) {
                        let group = groups.of(key);
                        let exact = group == home;
                        let told = vec![Told { group, revision, changed: true, exact }];
                        answered.push(Answered { index, call, at, answer: None, told, keys });
                        continue;
                    }
                    let same = |other: &Open<'_>| other.call.operation == call.operation;
                    let twin = open.iter().rposition(same);
                    open.push(Open { index, call, keys, twin, home });
                }
                End::Unknown | End::Failed => {}
            }
        }
        let calls: Vec<(&[Told], u64)> =
            answered.iter().map(|it| (&it.told[..], it.keys)).collect();
        let ceilings = Ceilings::of(|key| groups.of(key), &calls);
        Self { holes, ceilings, answered, open }
    }

    fn frame(&self, node: Node, index: usize) -> Frame {
        let choices = self.choices(&node);
        Frame { node, choices, index }
    }

    /// What may come next, the likeliest last.
    fn choices(&self, node: &Node) -> Vec<Choice> {
        let (candidates, end) = self.candidates(node);
        if node.aim.is_none()
            && let Some(&it) = candidates.iter().find(|it| self.only_looks(node, **it))
        {
            return vec![Choice::Answered(it)];
        }
        let mut choices = Vec::new();
        for &candidate in candidates.iter().rev() {
            if node.aim.is_some_and(|(aim, _)| aim != candidate) {
                continue;
            }
            let fits = self.run(node, candidate).is_some();
            let relevant = self.reach(node, self.answered[candidate].keys);
            for (number, open) in self.open.iter().enumerate().rev() {
                // What fits may still need, before it, a transaction whose other keys are seen later;
                // and what has no answer fits whatever it adds to.
                let silent = self.answered[candidate].answer.is_none();
                let worth = !fits || silent || open.keys.count_ones() > 1;
                if worth && open.keys & relevant != 0 && self.may_place(node, number, end) {
                    choices.push(Choice::Open(number, candidate));
                }
            }
        }
        let direct = candidates.iter().rev().filter(|&&it| node.aim.is_none_or(|aim| aim.0 == it));
        choices.extend(direct.map(|&it| Choice::Answered(it)));
        choices
    }

    /// The answered calls of which one must be next, those that ended first before others; and the tick at
    /// which the first of them had.
    fn candidates(&self, node: &Node) -> (Vec<usize>, u64) {
        let mut end = u64::MAX;
        let mut candidates = Vec::new();
        for (number, answered) in self.answered.iter().enumerate().skip(node.prefix) {
            if answered.call.invoked > end {
                break;
            }
            if !node.has_ordered(number) {
                end = end.min(answered.at);
                candidates.push(number);
            }
        }
        candidates.retain(|&it| self.answered[it].call.invoked <= end);
        // What takes a group past the ceiling of another cannot come before it.
        let ceilings: Vec<(usize, Group, u64)> = candidates
            .iter()
            .flat_map(|&it| {
                self.answered[it].told.iter().map(move |told| (it, told.group, told.ceiling()))
            })
            .collect();
        let passes = |it: usize, told: &Told| {
            ceilings.iter().any(|&(other, group, ceiling)| {
                other != it && group == told.group && told.exact && told.revision > ceiling
            })
        };
        candidates.retain(|&it| !self.answered[it].told.iter().any(|told| passes(it, told)));
        candidates.sort_by_key(|&it| (self.answered[it].told.is_empty(), self.answered[it].at));
        (candidates, end)
    }

    fn may_place(&self, node: &Node, number: usize, end: u64) -> bool {
        let open = &self.open[number];
        if open.call.invoked > end || bit(&node.placed, number) {
            return false;
        }
        if open.twin.is_some_and(|twin| !bit(&node.placed, twin)) {
            return false;
        }
        // A write that is overwritten before anybody looks need not have been.
        let overwrites = |last: usize| {
            let Operation::One(step) = &open.call.operation else { return false };
            step.is_blind() && self.open[last].keys == open.keys
        };
        !node.aim.is_some_and(|(_, last)| overwrites(last))
    }

    /// Keys that can come to matter to these, by way of open transactions.
    fn reach(&self, node: &Node, keys: u64) -> u64 {
        let mut reach = keys;
        loop {
            let joined = |(number, open): (usize, &Open<'_>)| {
                let joins = open.keys & reach != 0 && !bit(&node.placed, number);
                if joins { open.keys } else { 0 }
            };
            let wider = self.open.iter().enumerate().map(joined).fold(reach, |all, it| all | it);
            if wider == reach {
                return reach;
            }
            reach = wider;
        }
    }

    fn run(&self, node: &Node, number: usize) -> Option<State> {
        let Answered { index, call, answer, told, .. } = &self.answered[number];
        let (index, operation) = (*index as u32, &call.operation);
        match answer {
            Some(answer) => node.state.answered(index, operation, answer, told).ok(),
            None => node.state.seen(index, operation, told),
        }
    }

    /// Whether an answered call fits and changes nothing, neither keys nor what is known of them, and lets
    /// everything else that is to come be possible after it.
    fn only_looks(&self, node: &Node, number: usize) -> bool {
        let told = &self.answered[number].told;
        let Some(next) = self.run(node, number).filter(|next| next.holds_like(&node.state)) else {
            return false;
        };
        let lowest = |it: &Told| self.ceiling(node, Some(number), Of::Group(it.group));
        told.iter().all(|it| next.revision(it.group) <= lowest(it))
    }

    /// The lowest ceiling of the answered calls that are to come, except for one.
    fn ceiling(&self, node: &Node, except: Option<usize>, of: Of) -> u64 {
        let known = (node.prefix + 1 + 64 * node.beyond.len()).min(self.answered.len());
        let open = (node.prefix..known).filter(|it| !node.has_ordered(*it) && except != Some(*it));
        let ceilings = open.map(|it| of.ceiling(&self.answered[it].told, self.answered[it].keys));
        // One beyond those is never excepted wrongly: its own ceiling is no lower than what it takes.
        ceilings.fold(self.ceilings.from(known, of), u64::min)
    }

    /// Whether an open call that wrote this has a revision for it before all that is to come; and takes it.
    fn take(&self, node: &mut Node, open: &Open<'_>, written: &Written) -> bool {
        let Written { group, keys, after } = *written;
        let is_home = open.home == group;
        // A part elsewhere is done for certain only before whoever looks at what it did.
        let of = if is_home { Of::Group(group) } else { Of::Keys(group, keys) };
        let ceiling = self.ceiling(node, None, of);
        let after = after.max(self.holes.newest_before(group, open.call.invoked));
        match is_home {
            true => node.take(self.holes, group, after, ceiling),
            false => self.holes.first_after(group, after, &[]) <= ceiling,
        }
    }

    /// The node that a choice leads to, if it is possible, and the call that was chosen.
    fn follow(&self, node: &Node, choice: Choice) -> Option<(Node, usize)> {
        match choice {
            Choice::Answered(number) => {
                let state = self.run(node, number)?;
                let mut next = Node { aim: None, state, ..node.clone() };
                next.order(number);
                next.taken.retain(|&(group, it)| it > next.state.settled(group));
                Some((next, self.answered[number].index))
            }
            Choice::Open(number, aim) => {
                let open = &self.open[number];
                let (index, operation) = (open.index, &open.call.operation);
                let (state, written) = node.state.unanswered(index as u32, operation)?;
                let mut next = Node { aim: Some((aim, number)), state, ..node.clone() };
                set(&mut next.placed, number);
                let fits = written.iter().all(|it| self.take(&mut next, open, it));
                fits.then_some((next, index))
            }
        }
    }

    fn stuck(&self, stack: &[Frame], ordered: usize) -> Stuck {
        let top = &stack[stack.len() - 1];
        let trail = stack[1..].iter().rev().take(TRAIL).map(|frame| frame.index);
        let (next, _) = self.candidates(&top.node);
        Stuck {
            state: top.node.state.clone(),
            trail: trail.collect::<Vec<_>>().into_iter().rev().collect(),
            next: next.into_iter().map(|number| self.answered[number].index).collect(),
            ordered,
            answered: self.answered.len(),
        }
    }
}

impl Node {
    fn has_ordered(&self, number: usize) -> bool {
        number > self.prefix && bit(&self.beyond, number - self.prefix - 1) || number < self.prefix
    }

    /// Orders an answered call, and moves the prefix on when it was the one there.
    fn order(&mut self, number: usize) {
        if number > self.prefix {
            set(&mut self.beyond, number - self.prefix - 1);
            return;
        }
        let run = 1 + self.leading_ones();
        self.prefix += run;
        self.shift(run);
    }

    /// Takes the first revision that a call can have which comes after one and not after another; false if
    /// there is none. Who is placed later may have later ones, so the first is the best choice.
    fn take(&mut self, holes: &Holes, group: Group, after: u64, ceiling: u64) -> bool {
        if ceiling < u64::MAX {
            let hole = holes.first_after(group, after, &self.taken);
            if hole > ceiling {
                return false;
            }
            let place = self.taken.partition_point(|&it| it < (group, hole));
            self.taken.insert(place, (group, hole));
        }
        true
    }

    fn leading_ones(&self) -> usize {
        let full = self.beyond.iter().take_while(|&&word| word == u64::MAX).count();
        let partial = self.beyond.get(full).map_or(0, |word| word.trailing_ones() as usize);
        64 * full + partial
    }

    /// Forgets the first `by` bits of `beyond`.
    fn shift(&mut self, by: usize) {
        let old = std::mem::take(&mut self.beyond);
        for number in by..64 * old.len() {
            if bit(&old, number) {
                set(&mut self.beyond, number - by);
            }
        }
    }
}

fn bit(words: &[u64], number: usize) -> bool {
    words.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
}

fn set(words: &mut Vec<u64>, number: usize) {
    if words.len() <= number / 64 {
        words.resize(number / 64 + 1, 0);
    }
    words[number / 64] |= 1 << (number % 64);
}

fn ones(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}
