//! The queue: how mutations come in, are stored, sent and settled. docs/design-client.md draws the
//! states that one goes through.

use alloc::boxed::Box;
use alloc::vec::Vec;

use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Class, Increment, Operation};
use tidekeep_protocol::plain::Reader;
use tidekeep_protocol::planted;

use crate::calls::Stage;
use crate::core::{Core, closed, too_large_to_send};
use crate::drain::MALFORMED;
use crate::error::{Error, Unopened};
use crate::link::Phase;
use crate::mutations::{Mutation, Mutations, Stored, Word, Writing};
use crate::output::{MutationId, Output, QueueInfo};
use crate::replay;
use crate::time::Millis;
use crate::timers::Timer;

/// How long a failed batch rests.
const REST_MS: u32 = 1_000;

/// What an id counts for each millisecond of the wall clock.
const IDS_PER_MS: u64 = 1024;

/// How a write was decided, as its reply says it.
const APPLIED: u64 = 0;
const REFUSED: u64 = 2;

impl Core {
    /// Gives the core what was stored of the queue, before anything else is asked of it; from then
    /// on its rows are stored. `epoch_ms` is the wall clock's time.
    pub fn open_queue(&mut self, now: Millis, epoch_ms: u64, rows: &[u8]) -> Result<(), Unopened> {
        self.advance_to(now);
        let queue = &mut self.queue;
        if self.link.phase != Phase::Idle || queue.durable || !queue.list.is_empty() {
            return Err(Unopened::Late);
        }
        if queue.read(rows).is_none() {
            queue.list.clear();
            (queue.store, queue.session) = (None, None);
            return Err(Unopened::Unreadable);
        }
        queue.durable = true;
        queue.epoch_ms = epoch_ms.saturating_sub(self.now.0);
        queue.stirred = true;
        if let Some(session) = queue.session {
            queue.life += 1;
            (queue.head_dirty, queue.opening) = (true, true);
            self.calls.session.resume(session, u64::from(queue.life) << 32);
            for mutation in queue.list.iter().filter(|it| it.sequence > 0) {
                self.calls.session.note(mutation.sequence);
            }
        }
        Ok(())
    }

    /// Queues a put, delete or increment, encoded as for a call. It shows at once in the views of its
    /// key. Its end comes as [`Output::Settled`], also if it is refused here.
    pub fn enqueue(&mut self, now: Millis, kind: u8, body: &[u8]) -> MutationId {
        self.connect(now);
        let made = self.queue.epoch_ms.saturating_add(self.now.0).saturating_mul(IDS_PER_MS);
        let id = made.max(self.queue.last_id + 1);
        self.queue.last_id = id;
        let (mut key, mut refused) = (Vec::new(), None);
        if let Some(mut mutation) = Mutation::new(id, kind, body) {
            match self.admit_mutation(mutation.bytes()) {
                Ok(()) => {
                    mutation.base = self.base_of(&mutation);
                    let at = self.queue.insert(mutation);
                    (self.queue.stirred, self.queue.resting) = (true, false);
                    self.show_mutation(at);
                    return MutationId(id);
                }
                Err(error) => {
                    key = mutation.key;
                    refused = Some(error);
                }
            }
        }
        let not_taken = || Error::told(Code::InvalidInput, "this cannot be queued");
        let result = Err(refused.unwrap_or_else(not_taken));
        let mutation = MutationId(id);
        self.outputs.push_back(Output::Settled { mutation, kind, key, result });
        mutation
    }

    /// Takes a mutation back that was surely never sent, or any while the queue is held: it settles
    /// with `cancelled`. Whether it could be.
    pub fn discard(&mut self, now: Millis, mutation: MutationId) -> bool {
        self.advance_to(now);
        let mut found = self.queue.list.iter();
        let Some(at) = found.position(|it| it.id == mutation.0 && !it.settled) else {
            return false;
        };
        let Mutation { sequence, doubtful, .. } = self.queue.list[at];
        if sequence > 0 && !self.queue.held {
            return false;
        }
        let outcome = if doubtful { Outcome::Unknown } else { Outcome::NotApplied };
        // A process that dies before the row is gone would find it, and send it.
        let mutation = &mut self.queue.list[at];
        (mutation.settled, mutation.taken) = (true, Some(outcome));
        mutation.dirty = mutation.stored;
        self.queue.stirred = true;
        self.show_mutation(at);
        if !self.queue.list[at].stored && self.queue.list[at].writing == Writing::Nothing {
            self.tell_taken(at);
        }
        true
    }

    /// A mutation that was taken back has no row any more.
    fn tell_taken(&mut self, at: usize) {
        let Mutation { id, kind, taken, key, .. } = &mut self.queue.list[at];
        if let Some(outcome) = taken.take() {
            let (mutation, kind, key) = (MutationId(*id), *kind, key.to_vec());
            let error = Error::told(Code::Cancelled, "the caller took it back");
            let result = Err(error.with_outcome(outcome));
            self.outputs.push_back(Output::Settled { mutation, kind, key, result });
        }
    }

    /// Appends the rows of all mutations that have not settled, stored or not, in the order of keys,
    /// and of each key in that in which they were made.
    pub fn mutations(&self, out: &mut Vec<u8>) {
        self.queue.list.iter().filter(|it| !it.settled).for_each(|it| it.push_row(out));
    }

    /// How full the queue is.
    pub fn queue_info(&self) -> QueueInfo {
        self.queue.info()
    }

    fn admit_mutation(&self, bytes: usize) -> Result<(), Error> {
        if self.closing {
            return Err(closed());
        }
        if self.queue.broken {
            return Err(Error::told(Code::Storage, "the queue cannot be stored"));
        }
        if self.queue.held {
            return Err(Error::told(Code::Unavailable, "the queue belongs to another store"));
        }
        let info = self.queue.info();
        let full = info.waiting >= self.config.mutations
            || info.bytes.saturating_add(bytes) > self.config.mutation_bytes;
        if full {
            return Err(Error::told(Code::ResourceExhausted, "the queue is full"));
        }
        let limits = self.link.limits();
        if limits.is_some_and(|it| bytes > it.frame_bytes as usize) {
            return Err(too_large_to_send());
        }
        Ok(())
    }

    /// The revision upon which a mutation is made: that of its condition, or what shows.
    fn base_of(&self, mutation: &Mutation) -> u64 {
        mutation.condition().unwrap_or_else(|| {
            let shown = self.beneath(self.queue.list.len(), &mutation.key);
            shown.and_then(|it| Stored::read(&it).map(|it| it.modified)).unwrap_or_default()
        })
    }

    /// What the server has of a key as far as is known, without the mutations from `at` on.
    fn beneath(&self, at: usize, key: &[u8]) -> Option<Vec<u8>> {
        let first = self.queue.from(key);
        let mut from = 0;
        while let Some(slot) = self.watches.next_view_of(from, key) {
            let view = self.watches.id(slot);
            for mutation in self.queue.list[first..at].iter().rev() {
                if *mutation.key == *key
                    && let Some(word) = mutation.word_for(view)
                {
                    return word.entry.clone();
                }
            }
            if let Some(stored) = self.stored_in(slot, key) {
                return Some(stored.to_vec());
            }
            from = slot + 1;
        }
        None
    }

    /// What a view has of a key.
    fn stored_in(&self, slot: usize, key: &[u8]) -> Option<&[u8]> {
        self.watches.view(slot)?.1.stored(key)
    }

    /// Lets everything in the queue go on that can, and takes what is to be stored.
    pub(crate) fn pump_queue(&mut self) -> Option<Vec<u8>> {
        while core::mem::take(&mut self.queue.stirred) {
            if self.link.phase == Phase::Ready && !self.closing {
                if self.queue.held && self.queue.info().waiting == 0 {
                    self.meet_store();
                }
                if !self.queue.held {
                    self.number_mutations();
                    self.send_mutations();
                }
            }
            if !self.queue.outstanding && !self.queue.resting {
                let batch = self.queue.batch();
                self.queue.outstanding = !batch.is_empty();
                self.queue.failing &= self.queue.outstanding || self.queue.broken;
                if self.queue.durable && self.queue.outstanding {
                    self.queue.stirred = true;
                    return Some(batch);
                }
                if self.queue.outstanding {
                    self.rows_stored();
                }
            }
            self.queue.forget_done();
            let info = self.queue.info();
            if info != self.queue.told {
                self.queue.told = info;
                self.outputs.push_back(Output::Queue(info));
            }
        }
        None
    }

    fn number_mutations(&mut self) {
        loop {
            let queue = &self.queue;
            let next = queue.least(|at, it| {
                (it.sequence == 0 && !it.settled && queue.is_first(at)).then_some(it.id)
            });
            let Some(at) = next else { return };
            let Some(sequence) = self.calls.session.take_sequence() else { return };
            let mutation = &mut self.queue.list[at];
            (mutation.sequence, mutation.safe, mutation.dirty) = (sequence, false, true);
        }
    }

    fn send_mutations(&mut self) {
        loop {
            let next = self
                .queue
                .least(|_, it| (it.safe && it.call == 0 && !it.settled).then_some(it.sequence));
            let Some(at) = next else { return };
            let kind = self.queue.list[at].kind;
            let (class, freshness) = (Class::Write, Freshness::Linearizable);
            let inserted = self.calls.insert(kind, class, Millis::NEVER, freshness);
            let Some(id) = inserted else { return };
            let before = self.beneath(at, &self.queue.list[at].key);
            let mutation = &mut self.queue.list[at];
            mutation.call = id;
            if mutation.sum.is_none() {
                mutation.sum = mutation.sum_with(before.as_deref());
                self.show_sum(at);
            }
            let mutation = &self.queue.list[at];
            self.calls.body(id).extend_from_slice(&mutation.body);
            self.calls.count_body(id);
            let renumber = planted::is_awake("row-under-another-number");
            let other = if renumber { self.calls.session.take_sequence() } else { None };
            let limit = self.link.limits().map_or(usize::MAX, |it| it.frame_bytes as usize);
            let Some(call) = self.calls.find(id) else { return };
            call.sequence = other.unwrap_or(mutation.sequence);
            (call.doubtful, call.queued) = (mutation.doubtful, true);
            if call.frame_bytes() > limit {
                self.calls.settle(id, &mut self.joining);
                self.fail_mutation(at, too_large_to_send());
            }
        }
    }

    /// The server's reply to a mutation.
    pub(crate) fn mutation_answered(&mut self, call: u32, body: Vec<u8>) {
        let Some(at) = self.queue.of_call(call) else { return };
        let Some((revision, status, entry)) = read_reply(self.queue.list[at].kind, &body) else {
            let error = Error::told(Code::Protocol, MALFORMED);
            return self.fail_mutation(at, error.with_outcome(Outcome::Unknown));
        };
        let mut word = Box::new(Word { revision, entry: None });
        if status == APPLIED {
            let before = self.beneath(at, &self.queue.list[at].key);
            let mutation = &mut self.queue.list[at];
            if let Ok(sum) = entry {
                mutation.sum = Some(sum);
            }
            word.entry = mutation.effect(before.as_deref(), revision);
            self.follow_edit(at, revision);
        } else if status == REFUSED
            && let Err(Some(stored)) = entry
        {
            word.revision = Stored::read(stored).map_or(revision, |it| it.modified);
            word.entry = Some(stored.to_vec());
        }
        self.settle_mutation(at, Ok(body), Some(word));
    }

    /// A mutation was applied: the next one of its key that was made upon the same is made upon it.
    fn follow_edit(&mut self, at: usize, revision: u64) {
        let Mutations { list, .. } = &mut self.queue;
        let (done, rest) = list.split_at_mut(at + 1);
        let done = &done[at];
        let next = rest.iter_mut().find(|it| it.key != done.key || !it.settled);
        if let Some(next) = next
            && next.key == done.key
            && next.sequence == 0
            && next.condition() == Some(done.base)
        {
            next.set_condition(revision);
            next.dirty = true;
        }
    }

    /// The end of a mutation, and what the server said of its key.
    pub(crate) fn settle_mutation(
        &mut self,
        at: usize,
        result: Result<Vec<u8>, Error>,
        word: Option<Box<Word>>,
    ) {
        let key = self.queue.list[at].key.clone();
        let word = word.filter(|word| self.is_news(at, &key, word));
        if word.is_some() {
            let from = self.queue.from(&key);
            self.queue.list[from..at].iter_mut().for_each(|it| it.word = None);
        }
        let rolled_back = word.is_some() || result.is_err();
        let mutation = &mut self.queue.list[at];
        (mutation.settled, mutation.call, mutation.word) = (true, 0, word);
        mutation.dirty = mutation.stored;
        let (id, kind, sequence) = (MutationId(mutation.id), mutation.kind, mutation.sequence);
        if !mutation.stored && mutation.writing == Writing::Nothing {
            self.free_number(sequence);
        }
        self.queue.stirred = true;
        if !(rolled_back && planted::is_awake("conflict-not-rolled-back")) {
            self.show_everywhere(&key);
        }
        self.outputs.push_back(Output::Settled { mutation: id, kind, key, result });
    }

    /// The end of a mutation without a word from the server on its key.
    #[inline(never)]
    pub(crate) fn fail_mutation(&mut self, at: usize, error: Error) {
        self.settle_mutation(at, Err(error), None);
    }

    /// An increment shows the same sum in all views from now on; the first one does already.
    fn show_sum(&mut self, at: usize) {
        let mutation = &self.queue.list[at];
        if mutation.sum.is_some()
            && let Some(first) = self.watches.next_view_of(0, &mutation.key)
            && self.watches.next_view_of(first + 1, &mutation.key).is_some()
        {
            self.show_mutation(at);
        }
    }

    /// Tells all views what a mutation's key is now.
    fn show_mutation(&mut self, at: usize) {
        let key = self.queue.list[at].key.clone();
        self.show_everywhere(&key);
    }

    /// Notes which views show what the server said already; whether there is one that does not.
    fn is_news(&mut self, at: usize, key: &[u8], word: &Word) -> bool {
        let said = word.entry.as_deref().and_then(Stored::read).map(|it| it.modified);
        let (mut from, mut is_news) = (0, false);
        while let Some(slot) = self.watches.next_view_of(from, key) {
            let known = self.stored_in(slot, key).and_then(Stored::read).map(|it| it.modified);
            let old = match (said, known) {
                (Some(said), Some(known)) => known < said,
                (said, known) => said.is_some() || known.is_some(),
            };
            let view = self.watches.id(slot);
            if !old {
                self.queue.noticed(view, key, word.revision);
            }
            is_news |= self.queue.list[at].seen_by(view) < word.revision;
            from = slot + 1;
        }
        is_news
    }

    /// A number of this session waits for nothing any more.
    fn free_number(&mut self, sequence: u64) {
        if sequence > 0 && !self.queue.held {
            self.calls.session.settle(sequence);
        }
    }

    /// Words that no view waits for are forgotten.
    pub(crate) fn forget_words(&mut self) {
        let Core { queue, watches, .. } = self;
        for mutation in queue.list.iter_mut().filter(|it| it.word.is_some()) {
            let mut views = watches.next_view_of(0, &mutation.key);
            while let Some(slot) = views
                && mutation.word_for(watches.id(slot)).is_none()
            {
                views = watches.next_view_of(slot + 1, &mutation.key);
            }
            if views.is_none() {
                mutation.word = None;
                queue.stirred = true;
            }
        }
    }

    /// The connection is gone: mutations that were under way wait for the next one.
    pub(crate) fn recall_mutations(&mut self) {
        for mutation in self.queue.list.iter_mut().filter(|it| it.call > 0) {
            let id = core::mem::take(&mut mutation.call);
            if let Some(call) = self.calls.find(id) {
                mutation.doubtful |= call.doubtful || call.stage == Stage::Sent;
            }
            self.calls.settle(id, &mut self.joining);
        }
    }

    /// The server has greeted: whether the queue belongs to its store, and to this session.
    pub(crate) fn meet_store(&mut self) {
        let given = self.calls.session.known();
        let store = self.link.server.as_ref().map(|server| &server.store_id);
        let queue = &mut self.queue;
        let same_store = queue.store.as_ref() == store;
        let ours = queue.store.is_none() || same_store || queue.info().waiting == 0;
        let held = queue.broken || given.is_none() || !ours;
        let was_held = core::mem::replace(&mut queue.held, held);
        queue.stirred |= !held;
        if !(held || same_store && queue.session.as_ref() == given) {
            (queue.store, queue.session) = (store.copied(), given.copied());
            (queue.life, queue.head_dirty) = (0, true);
            for at in 0..self.queue.list.len() {
                let mutation = &mut self.queue.list[at];
                let numbered = core::mem::take(&mut mutation.sequence) > 0;
                mutation.safe = false;
                if mutation.settled || !numbered {
                    continue;
                }
                mutation.dirty = true;
                if mutation.doubtful {
                    self.fail_mutation(at, replay::forgotten());
                }
            }
        }
        if held != was_held {
            self.show_mutations();
        }
    }

    fn show_mutations(&mut self) {
        for at in 0..self.queue.list.len() {
            self.show_mutation(at);
        }
    }

    /// The last batch is durable.
    pub(super) fn rows_stored(&mut self) {
        let queue = &mut self.queue;
        (queue.outstanding, queue.failing, queue.head_writing) = (false, false, false);
        queue.stirred = true;
        for at in 0..queue.list.len() {
            let queue = &mut self.queue;
            let mutation = &mut queue.list[at];
            match core::mem::replace(&mut mutation.writing, Writing::Nothing) {
                Writing::Nothing => {}
                Writing::Row => {
                    if !mutation.stored && queue.durable {
                        let mutation = MutationId(mutation.id);
                        self.outputs.push_back(Output::Queued { mutation });
                    }
                    mutation.stored = true;
                    mutation.dirty |= mutation.settled;
                    mutation.safe = mutation.sequence > 0 && !mutation.dirty;
                }
                Writing::Removal => {
                    mutation.stored = false;
                    let sequence = mutation.sequence;
                    self.free_number(sequence);
                    self.tell_taken(at);
                }
            }
        }
        self.opened();
    }

    /// Nothing of the last batch is durable.
    pub(super) fn rows_failed(&mut self, why: &str) {
        let queue = &mut self.queue;
        (queue.outstanding, queue.failing, queue.resting) = (false, true, true);
        queue.stirred = true;
        queue.head_dirty |= core::mem::take(&mut queue.head_writing);
        self.timers.set(Timer::Rows, self.now.after(REST_MS));
        for at in 0..self.queue.list.len() {
            let mutation = &mut self.queue.list[at];
            let writing = core::mem::replace(&mut mutation.writing, Writing::Nothing);
            if writing == Writing::Row && !mutation.stored {
                mutation.dirty = false;
                if mutation.settled {
                    self.tell_taken(at);
                } else {
                    let error = Error::told(Code::Storage, why);
                    self.fail_mutation(at, error);
                }
            } else if writing != Writing::Nothing {
                mutation.dirty = true;
            }
        }
        if self.queue.opening {
            // Its numbers could be given twice: this life does without the session.
            (self.queue.broken, self.queue.held, self.queue.head_dirty) = (true, true, false);
            self.calls.session.begin(None);
            self.show_mutations();
        }
        self.opened();
    }

    /// The life is stored, or is not going to be: what waited for it goes on.
    fn opened(&mut self) {
        if core::mem::take(&mut self.queue.opening) && core::mem::take(&mut self.queue.wanted) {
            self.connect(self.now);
        }
    }

    /// The core is closed: what has no row is lost.
    pub(super) fn leave_queue(&mut self) {
        self.recall_mutations();
        for at in 0..self.queue.list.len() {
            let Mutation { settled, stored, doubtful, writing, taken, .. } = self.queue.list[at];
            if taken.is_some() {
                self.queue.list[at].taken = Some(Outcome::Unknown);
                self.tell_taken(at);
            } else if !(settled || stored && self.queue.durable) {
                // Its row may be on its way, and is found by the next life then.
                let doubtful = doubtful || writing != Writing::Nothing;
                let outcome = replay::outcome_when_given_up(Class::Write, doubtful);
                self.fail_mutation(at, closed().with_outcome(outcome));
            }
        }
    }
}

/// What a reply says: its revision, how it was decided, and the sum or the entry that it bears.
#[expect(clippy::type_complexity, reason = "it is taken apart where it is made")]
fn read_reply(kind: u8, body: &[u8]) -> Option<(u64, u64, Result<i64, Option<&[u8]>>)> {
    let mut rest = Reader::new(body);
    let (revision, second) = (rest.number(), rest.number());
    if kind == Increment::SPEC.kind {
        let sum = (second >> 1) as i64 ^ -((second & 1) as i64);
        return rest.so_far((revision, APPLIED, Ok(sum)));
    }
    let entry = rest.flag().then(|| rest.rest());
    rest.so_far((revision, second, Err(entry)))
}
