//! The recent changes: a row of blocks, bounded by bytes, the oldest forgotten first. Revisions follow each
//! other without a hole, so a position is found by subtraction.
//!
//! ```text
//! push ─▶ open block ─▶ full blocks … ─▶ forgotten: its memory is the next open block's,
//!                            │                      its shared entries go a few at a time
//!                            └─▶ runs: read without a lock, and by snapshots
//! ```

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;

use crate::block::{BLOCK_BYTES, Block};
use crate::change::Change;
use crate::entry::Entry;

/// Of all that may be remembered, the part that a block costs at most: so much is forgotten at once.
const BLOCK_PART: usize = 64;

/// Entries that are let go for want of memory beside those that make room for what comes, and blocks.
const WANT_ENTRIES: usize = 2048;
const WANT_BLOCKS: usize = 64;

/// The newest changes.
#[derive(Debug)]
pub struct Recent {
    /// The revision before the oldest change that is kept.
    oldest: u64,
    /// The newest revision.
    newest: u64,
    full: VecDeque<Full>,
    open: Block,
    /// What the full blocks cost and hold, in bytes.
    cost: usize,
    held: usize,
    going: Going,
    /// Events since something was last forgotten.
    came: usize,
    /// The memory of a block that was forgotten.
    spare: Option<Block>,
}

/// A block that takes no more changes.
#[derive(Debug, Clone)]
struct Full {
    /// The revision before its first change.
    before: u64,
    block: Arc<Block>,
}

/// Entries that a forgotten block shared. Were they let go all at once, what comes next would be written
/// to memory that is far away by then.
#[derive(Debug, Default)]
struct Going {
    entries: Vec<Entry>,
    /// What they hold together.
    held: usize,
}

impl Recent {
    /// Remembers what comes behind `revision`.
    pub fn new(revision: u64) -> Self {
        Self {
            oldest: revision,
            newest: revision,
            full: VecDeque::new(),
            open: Block::default(),
            cost: 0,
            held: 0,
            going: Going::default(),
            came: 0,
            spare: None,
        }
    }

    /// Changes after this revision are still known.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The revision of the last change.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// How many changes there are.
    pub fn count(&self) -> u64 {
        self.newest - self.oldest
    }

    /// What they cost, in bytes, as if nobody else had their entries.
    pub fn cost(&self) -> usize {
        self.cost + self.open.cost()
    }

    /// What they hold in memory that nothing else counts, in bytes. What the store has of them, it counts.
    pub fn held(&self) -> usize {
        self.held + self.open.held() + self.going.held
    }

    /// Adds the change that follows, in a row of which `cost_max` bytes are to be kept.
    pub fn push(&mut self, change: Change, cost_max: usize) {
        let Change { revision, at_ms, events } = change;
        debug_assert_eq!(revision, self.newest + 1, "there is no hole");
        self.came += events.len();
        self.open.push(at_ms, events, self.oldest);
        self.newest = revision;
        if self.open.own() >= BLOCK_BYTES || self.open.cost() >= cost_max / BLOCK_PART {
            self.seal();
        }
    }

    /// Forgets the oldest changes until the rest costs `cost_max` bytes at most and holds `held_max`, of
    /// that in steps. What nobody may have seen yet, being after `safe`, is kept whatever its size.
    pub fn forget(&mut self, safe: u64, cost_max: usize, held_max: usize) {
        let (mut entries, mut blocks) = (2 * core::mem::take(&mut self.came), 0);
        if self.held() > held_max {
            (entries, blocks) = (entries + WANT_ENTRIES, WANT_BLOCKS);
        }
        loop {
            entries -= self.going.let_go(entries);
            let wants = self.held() > held_max && self.going.entries.is_empty() && blocks > 0;
            if !(self.cost() > cost_max || wants) {
                return;
            }
            if self.full.is_empty() && self.open.len() > 0 {
                self.seal();
            }
            let next = self.full.get(1).map(|next| next.before);
            let last = next.unwrap_or(self.newest - self.open.len() as u64);
            let Some(Full { block, .. }) = self.full.pop_front_if(|_| last <= safe) else { return };
            self.oldest = last;
            self.cost -= block.cost();
            self.held -= block.held();
            blocks = blocks.saturating_sub(1);
            self.empty(block);
        }
    }

    /// The changes after `after`, which is known, up to and with `through`: as many as cost `cost` bytes
    /// together, more or less, and one at least if there is one.
    pub fn run(&self, after: u64, through: u64, cost: usize) -> Run {
        let through = through.min(self.newest);
        let mut run = Run { after: after.max(self.oldest), blocks: Vec::new(), through };
        if run.after >= through {
            run.through = run.after;
            return run;
        }
        let first = self.full.partition_point(|full| full.before <= run.after).saturating_sub(1);
        let mut left = cost;
        for full in self.full.range(first..) {
            if full.before >= through {
                return run;
            }
            if left == 0 && !run.blocks.is_empty() {
                run.through = full.before;
                return run;
            }
            let passed = run.after.saturating_sub(full.before) as usize;
            let count = full.block.len();
            if passed >= count {
                continue;
            }
            left = left.saturating_sub(full.block.cost() / count * (count - passed));
            run.blocks.push(full.clone());
        }
        let before = self.newest - self.open.len() as u64;
        if before < through {
            if left == 0 && !run.blocks.is_empty() {
                run.through = before;
                return run;
            }
            // Others may not see it while it is written to, so that a part is copied.
            let before_part = run.after.max(before);
            let part = self.open.part((before_part - before) as usize, (through - before) as usize);
            run.blocks.push(Full { before: before_part, block: Arc::new(part) });
        }
        run
    }

    /// All changes up to and with `through`.
    pub fn all(&self, through: u64) -> Run {
        self.run(self.oldest, through, usize::MAX)
    }

    /// Makes the open block a full one.
    fn seal(&mut self) {
        let next = self.spare.take().unwrap_or_else(|| self.open.like());
        let block = core::mem::replace(&mut self.open, next).seal();
        self.cost += block.cost();
        self.held += block.held();
        self.full.push_back(Full { before: self.newest - block.len() as u64, block });
    }

    /// Makes a forgotten block's memory free for the next, unless someone still reads it.
    fn empty(&mut self, block: Arc<Block>) {
        let held = block.held();
        let Some(block) = Arc::into_inner(block) else { return };
        let own = block.own();
        let (entries, empty) = block.empty();
        self.spare = empty;
        self.going.let_go(usize::MAX);
        self.going = Going { entries, held: held - own };
    }
}

impl Going {
    /// Lets some go, and looks at them together first: the less there is to do for each, the more of them
    /// a core waits for at once. All lines of those whose memory becomes free are looked at, since what is
    /// written next will be put there. How many went.
    fn let_go(&mut self, most: usize) -> usize {
        if self.entries.is_empty() {
            return 0;
        }
        let some = self.entries.drain(self.entries.len().saturating_sub(most)..);
        let heads = some.as_slice().iter().fold(0, |sum, entry| sum ^ entry.owners());
        let free = some.as_slice().iter().filter(|entry| entry.owners() == 1);
        black_box(free.fold(heads, |sum, entry| sum ^ entry.look()));
        let count = some.as_slice().len();
        drop(some);
        if self.entries.is_empty() {
            *self = Self::default();
        }
        count
    }
}

/// Changes that follow each other, to be read while others come and go.
#[derive(Debug, Clone)]
pub struct Run {
    after: u64,
    blocks: Vec<Full>,
    through: u64,
}

impl Run {
    /// The revision of the last change, or before the first one if there is none.
    pub fn through(&self) -> u64 {
        self.through
    }

    /// The changes, oldest first, made anew of their bytes.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let all = self.blocks.iter().flat_map(|Full { before, block }| {
            let passed = self.after.saturating_sub(*before);
            block.changes(passed as usize, before + passed + 1)
        });
        all.take_while(|change| change.revision <= self.through)
    }
}
