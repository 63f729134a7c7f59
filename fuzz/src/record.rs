//! Records as a start finds them in the log: read or refused, applied without a panic, with the
//! same result however the keys are spread, and with accounts that add up.
//!
//! ```text
//! | flags u8 | record … |    flags: 1 writes the records' headers, as a store would
//! record: | length u16 | content |
//! ```

use std::cell::RefCell;

use tidekeep_protocol::op::Request;
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::{Stamp, apply};
use tidekeep_store::change::Change;
use tidekeep_store::entry::Entry;
use tidekeep_store::record::{self, Command, Record};
use tidekeep_store::reply::Reply;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Footprint, Spread, Writing};
use tidekeep_store::view::View;

use crate::replies;
use crate::script::Script;

/// Headers are written here: what follows are commands alone.
pub const HEADED: u8 = 1;

/// The bytes are records.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte().unwrap_or(0);
    let (mut one, mut many) = (Group::new(1, 7), Group::new(5, 99));
    let mut now_ms = 1_000;
    while let Some(content) = script.chunk() {
        let mut bytes = Vec::new();
        if flags & HEADED != 0 {
            now_ms += 10;
            record::begin(Stamp { now_ms, revision: one.revision }, &mut bytes);
        }
        bytes.extend_from_slice(content);
        let Ok(record) = Record::decode(&bytes) else { return };
        // A start refuses a record that does not follow the one before it.
        if record.stamp.revision != one.revision {
            return;
        }
        for command in record.commands() {
            let Ok(command) = command else { return };
            let done = one.apply(record.stamp.now_ms, &command);
            assert_eq!(done, many.apply(record.stamp.now_ms, &command));
            assert_eq!((one.revision, one.digest()), (many.revision, many.digest()));
            if let Some((Some(reply), _)) = done {
                reads_back(&command, &reply);
            }
        }
    }
    one.adds_up();
    many.adds_up();
}

type Done = Option<(Option<Reply>, Option<Change>)>;

struct Group {
    shards: Vec<RefCell<Shard>>,
    spread: Spread,
    revision: u64,
}

impl Group {
    fn new(shards: usize, seed: u64) -> Self {
        let spread = Spread::new(seed, shards);
        Self { shards: (0..shards).map(|_| RefCell::default()).collect(), spread, revision: 0 }
    }

    fn apply(&mut self, now_ms: u64, command: &Command<'_>) -> Done {
        let footprint = match command {
            Command::Request(request) => self.spread.footprint(request),
            Command::Expire(_) => Footprint::All,
        };
        let indexes = footprint.indexes(self.shards.len());
        let mut guards: Vec<_> = indexes.map(|at| (at, self.shards[at].borrow_mut())).collect();
        let stamp = Stamp { now_ms, revision: self.revision };
        let done = apply(&mut Writing::new(self.spread, &mut guards), stamp, command).ok()?;
        if let (_, Some(change)) = &done {
            assert_eq!(change.revision, self.revision + 1);
            self.revision = change.revision;
        }
        Some(done)
    }

    fn digest(&self) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.borrow().digest()))
    }

    fn adds_up(&self) {
        for shard in &self.shards {
            let shard = shard.borrow();
            let view = View::freeze([&*shard], &KeyRange::all(), 0, self.revision);
            let content: Vec<Entry> = view.entries().cloned().collect();
            assert!(content.is_sorted_by(|a, b| a.key() < b.key()));
            assert_eq!(shard.keys(), content.len());
            assert_eq!(shard.bytes(), content.iter().map(Entry::cost).sum::<usize>());
            let ends = content.iter().filter_map(Entry::expires_at).min();
            assert_eq!(shard.next_due(), ends);
        }
    }
}

fn reads_back(command: &Command<'_>, reply: &Reply) {
    let Command::Request(request) = command else { panic!("only a request has a reply") };
    let mut body = Vec::new();
    reply.encode(&mut body);
    assert!(body.len() <= reply.body_bytes());
    let kind = Request::spec(request).kind;
    assert!(replies::reply(kind, &body).is_some(), "{reply:?}");
}
