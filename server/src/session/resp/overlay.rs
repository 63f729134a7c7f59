//! What a program sees: the entries that it reads, as they are now, and over them what it wrote. When
//! it is done, all it wrote becomes one native request under the condition that all it read is still
//! so. If it is not, the program is run again; somebody else's write went through meanwhile.

use std::collections::BTreeMap;

use tidekeep_log::{Commit, Elsewhere, Entry, Reply, Scratch};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::txn::LIST_MAX;
use tidekeep_protocol::op::{
    Compare, Delete, DeleteRange, Increment, Put, Request, Touch, Txn, TxnOp, WriteStatus,
};
use tidekeep_protocol::range::Range;

use super::fail::Fail;
use super::fetched::Fetched;
use super::plan::{At, Planned};

/// What a key was when it was read: the revision of its last write, or that it was not there.
pub(crate) type Seen = Option<u64>;

/// A write that applied, to be done again for good.
enum Op {
    Put { key: Vec<u8>, value: Vec<u8>, expiry: Expiry },
    Delete { key: Vec<u8> },
    Touch { key: Vec<u8>, expiry: Expiry },
    Increment { key: Vec<u8>, by: i64, expiry: Expiry },
    Flush,
}

/// The entries that a program reads and writes.
pub(crate) struct Overlay<'c> {
    commit: &'c dyn Commit,
    /// What others keep and was asked for.
    fetched: &'c mut Fetched,
    limits: &'c Limits,
    scratch: Scratch,
    /// Every key that is in the scratch, with what was read of it if it was.
    known: BTreeMap<Vec<u8>, Option<Seen>>,
    ops: Vec<Op>,
    /// Whether everything was removed: what is not known is not there.
    flushed: bool,
}

impl<'c> Overlay<'c> {
    pub(super) fn new(
        commit: &'c dyn Commit,
        fetched: &'c mut Fetched,
        limits: &'c Limits,
        at: At,
    ) -> Self {
        let (known, ops) = (BTreeMap::new(), Vec::new());
        Self { commit, fetched, limits, scratch: Scratch::new(at.0), known, ops, flushed: false }
    }

    /// When the program runs.
    pub(crate) fn at(&self) -> At {
        At(self.scratch.now_ms())
    }

    /// The bounds of what it may write.
    pub(crate) fn limits(&self) -> &'c Limits {
        self.limits
    }

    /// The entry of a key.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&Entry> {
        self.load(key);
        self.scratch.get(key)
    }

    /// Runs a command that is one request.
    pub(crate) fn run(&mut self, planned: &Planned<'_>) -> Result<Reply, Refusal> {
        planned.check(self.limits)?;
        self.request(&planned.request)
    }

    /// Sets a key, whatever it was.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), Fail> {
        let condition = Condition::Always;
        self.write(Request::Put(Put { key, value, condition, expiry, previous: false }))
    }

    /// Removes a key.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), Fail> {
        let condition = Condition::Always;
        self.write(Request::Delete(Delete { key, condition, previous: false }))
    }

    /// Moves a key's end.
    pub(crate) fn touch(&mut self, key: &[u8], expiry: Expiry) -> Result<(), Fail> {
        self.write(Request::Touch(Touch { key, expiry, condition: Condition::Always }))
    }

    /// Removes everything.
    pub(crate) fn flush(&mut self) {
        let keys: Vec<Vec<u8>> = self.known.keys().cloned().collect();
        for key in keys {
            let delete = Delete { key: &key, condition: Condition::Always, previous: false };
            // A delete is never refused.
            let _ = self.scratch.run(&Request::Delete(delete));
        }
        self.flushed = true;
        self.ops.push(Op::Flush);
    }

    fn write(&mut self, request: Request<'_>) -> Result<(), Fail> {
        request.check(self.limits).map_err(|refusal| Fail::from(&refusal))?;
        self.request(&request).map(|_| ()).map_err(|refusal| Fail::from(&refusal))
    }

    fn request(&mut self, request: &Request<'_>) -> Result<Reply, Refusal> {
        match request {
            Request::Get(get) => self.load(get.key),
            Request::Put(put) if is_blind(put) => self.know(put.key),
            Request::Put(put) => self.load(put.key),
            Request::Delete(delete) => self.load(delete.key),
            Request::Touch(touch) => self.load(touch.key),
            Request::Increment(increment) => self.load(increment.key),
            Request::Txn(txn) => {
                txn.compares.iter().for_each(|compare| self.load(compare.key));
                txn.then.iter().for_each(|op| self.load_op(op));
            }
            _ => return Err(Refusal::new(Code::Internal, "no command of a program is this")),
        }
        let reply = self.scratch.run(request)?;
        self.note(request, &reply);
        Ok(reply)
    }

    fn load_op(&mut self, op: &TxnOp<'_>) {
        match op {
            TxnOp::Get(get) => self.load(get.key),
            TxnOp::Put(put) if is_blind(put) => self.know(put.key),
            TxnOp::Put(put) => self.load(put.key),
            TxnOp::Delete(delete) => self.load(delete.key),
            TxnOp::Touch(touch) => self.load(touch.key),
            TxnOp::Increment(increment) => self.load(increment.key),
            TxnOp::DeleteRange(_) => {}
        }
    }

    /// Reads a key, unless it is known.
    fn load(&mut self, key: &[u8]) {
        if self.known.contains_key(key) {
            return;
        }
        if self.flushed {
            return self.know(key);
        }
        let entry = match self.commit.peek(key) {
            Ok(entry) => entry,
            Err(Elsewhere) => self.fetched.get_or_want(key),
        };
        self.known.insert(key.to_vec(), Some(entry.as_ref().map(Entry::modified)));
        if let Some(entry) = entry {
            self.scratch.load(entry);
        }
    }

    /// Notes that it does not matter what a key was.
    fn know(&mut self, key: &[u8]) {
        if !self.known.contains_key(key) {
            self.known.insert(key.to_vec(), None);
        }
    }

    /// Notes what a request did.
    fn note(&mut self, request: &Request<'_>, reply: &Reply) {
        match (request, reply) {
            (Request::Txn(txn), Reply::Txn(done)) if done.succeeded => {
                for (op, result) in txn.then.iter().zip(&done.results) {
                    self.ops.extend(applied(*op, result));
                }
            }
            (Request::Put(put), reply) => self.ops.extend(applied(TxnOp::Put(*put), reply)),
            (Request::Delete(delete), reply) => {
                self.ops.extend(applied(TxnOp::Delete(*delete), reply));
            }
            (Request::Touch(touch), reply) => self.ops.extend(applied(TxnOp::Touch(*touch), reply)),
            (Request::Increment(increment), reply) => {
                self.ops.extend(applied(TxnOp::Increment(*increment), reply));
            }
            _ => {}
        }
    }

    /// What the program comes to.
    pub(crate) fn outcome(self) -> Outcome {
        let reads = self.known.into_iter().filter_map(|(key, seen)| Some((key, seen?))).collect();
        Outcome { reads, ops: self.ops }
    }
}

fn is_blind(put: &Put<'_>) -> bool {
    put.condition == Condition::Always && put.expiry != Expiry::Keep && !put.previous
}

/// The write that an operation was, if it applied.
fn applied(op: TxnOp<'_>, reply: &Reply) -> Option<Op> {
    match (op, reply) {
        (TxnOp::Put(put), Reply::Put(written)) if written.status == WriteStatus::Applied => {
            let Put { key, value, expiry, .. } = put;
            Some(Op::Put { key: key.to_vec(), value: value.to_vec(), expiry })
        }
        (TxnOp::Delete(delete), Reply::Delete(written))
            if written.status == WriteStatus::Applied =>
        {
            Some(Op::Delete { key: delete.key.to_vec() })
        }
        (TxnOp::Touch(touch), Reply::Touch(touched)) if touched.status == WriteStatus::Applied => {
            Some(Op::Touch { key: touch.key.to_vec(), expiry: touch.expiry })
        }
        (TxnOp::Increment(increment), Reply::Increment(_)) => {
            let Increment { key, by, expiry } = increment;
            Some(Op::Increment { key: key.to_vec(), by, expiry })
        }
        _ => None,
    }
}

/// What a program read and wrote.
pub(crate) struct Outcome {
    reads: Vec<(Vec<u8>, Seen)>,
    ops: Vec<Op>,
}

impl Outcome {
    /// Makes it depend on keys that were read earlier.
    pub(crate) fn watch(&mut self, watched: &[(Vec<u8>, Seen)]) {
        self.reads.extend_from_slice(watched);
    }

    /// Whether it neither depends on anything nor changes anything.
    pub(crate) fn is_nothing(&self) -> bool {
        self.reads.is_empty() && self.ops.is_empty()
    }

    /// Whether it fits into one transaction.
    pub(crate) fn fits(&self) -> bool {
        self.reads.len() <= LIST_MAX && self.ops.len() <= LIST_MAX
    }

    /// The request that makes it so, if all that was read is still as it was.
    pub(crate) fn request(&self) -> Request<'_> {
        if let ([(read, seen)], [op]) = (&self.reads[..], &self.ops[..]) {
            let condition = condition(*seen);
            match op {
                Op::Put { key, value, expiry } if key == read => {
                    let (expiry, previous) = (*expiry, false);
                    return Request::Put(Put { key, value, condition, expiry, previous });
                }
                Op::Delete { key } if key == read => {
                    return Request::Delete(Delete { key, condition, previous: false });
                }
                Op::Touch { key, expiry } if key == read => {
                    return Request::Touch(Touch { key, expiry: *expiry, condition });
                }
                _ => {}
            }
        }
        let compares = self.reads.iter();
        let compares = compares.map(|(key, seen)| Compare { key, condition: condition(*seen) });
        let then = self.ops.iter().map(Op::again);
        Request::Txn(Txn {
            compares: compares.collect(),
            then: then.collect(),
            otherwise: Vec::new(),
        })
    }
}

fn condition(seen: Seen) -> Condition<'static> {
    seen.map_or(Condition::Absent, Condition::Revision)
}

/// Whether what a program read was no longer so.
pub(crate) fn is_stale(reply: &Reply) -> bool {
    match reply {
        Reply::Txn(done) => !done.succeeded,
        Reply::Put(written) | Reply::Delete(written) => written.status != WriteStatus::Applied,
        Reply::Touch(touched) => touched.status != WriteStatus::Applied,
        _ => false,
    }
}

impl Op {
    /// The operation, without the condition that held.
    fn again(&self) -> TxnOp<'_> {
        let condition = Condition::Always;
        match self {
            Self::Put { key, value, expiry } => {
                TxnOp::Put(Put { key, value, condition, expiry: *expiry, previous: false })
            }
            Self::Delete { key } => TxnOp::Delete(Delete { key, condition, previous: false }),
            Self::Touch { key, expiry } => TxnOp::Touch(Touch { key, expiry: *expiry, condition }),
            Self::Increment { key, by, expiry } => {
                TxnOp::Increment(Increment { key, by: *by, expiry: *expiry })
            }
            Self::Flush => {
                TxnOp::DeleteRange(DeleteRange { range: Range::default(), limit: u32::MAX })
            }
        }
    }
}
