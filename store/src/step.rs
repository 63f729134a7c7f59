//! What nodes of a cluster say to a group beside clients' requests: commands of a record like theirs, answered
//! with bytes that nodes alone read. Every step may be run again: whoever asked and heard nothing asks anew.
//!
//! Kinds are 0xC0 to 0xDF, so no frame of a client is one. A store alone has nobody who could ask for a step.
//!
//! ```text
//! a transaction over groups:   Prepare at all ─▶ Decide at its home ─▶ Finish at the others ─▶ Forget at home
//! one that was left behind:    Resolve at its home ─▶ Finish where it holds locks
//! a backup of all groups:      Hold at all ─▶ a cut of each ─▶ Release at all
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use tidekeep_protocol::codec::{self, Malformed};
use tidekeep_protocol::op::LeaseReply;
use tidekeep_protocol::session::{Number, SessionId};

use crate::holds::Held;
use crate::reply::{Encoded, Reply};
use crate::sessions::Numbered;

macro_rules! steps {
    ($($name:ident = $kind:literal => $reply:ty;)+) => {
        /// A step of any kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented where its body is")]
        pub enum Step { $($name($name),)+ }

        impl Step {
            /// Reads the body of a step of this kind; `None` for a kind that is no step.
            pub fn decode(kind: u8, body: &[u8]) -> Option<Result<Self, Malformed>> {
                match kind {
                    $($kind => Some(codec::decode(body).map(Self::$name)),)+
                    _ => None,
                }
            }

            /// Its kind in a record.
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name(_) => $kind,)+ }
            }

            /// Appends its body.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $(Self::$name(body) => codec::encode(body, out),)+ }
            }
        }

        $(impl Asks for $name {
            const KIND: u8 = $kind;
            type Reply = $reply;

            fn step(self) -> Step {
                Step::$name(self)
            }
        })+
    };
}

/// The body of a step, tied to its reply.
pub trait Asks {
    /// The step's kind in a record.
    const KIND: u8;
    /// What it is answered.
    type Reply: Serialize + for<'a> Deserialize<'a>;

    /// The step.
    fn step(self) -> Step;
}

steps! {
    AdoptLease = 0xC0 => LeaseReply;
    Prepare = 0xC1 => Prepared;
    Decide = 0xC2 => Decided;
    Finish = 0xC3 => Finished;
    Resolve = 0xC4 => Outcome;
    Forget = 0xC5 => ();
    GrantLease = 0xC6 => Granted;
    Hold = 0xC7 => Held;
    Release = 0xC8 => Option<Held>;
}

/// Makes a lease that another group of the store has granted: it is there under the same number in every
/// group, so that keys of any group can go with it. Answered as a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptLease {
    /// Its number in the whole store.
    pub lease: u64,
    /// Its time to live from now on, in milliseconds.
    pub ttl_ms: u64,
}

/// Grants a lease of a store of several groups: its number says which group has granted it, and no other
/// group grants the same. The others adopt it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLease {
    /// Its time to live, in milliseconds.
    pub ttl_ms: u64,
    /// How many groups there are.
    pub groups: u16,
    /// The group that this is asked of.
    pub home: u16,
    /// The client's number; none if it gave none.
    pub number: Option<GrantNumber>,
}

/// The number under which a lease is granted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantNumber {
    /// The client's session.
    pub session: [u8; 16],
    /// Which write of the session.
    pub sequence: u64,
    /// The lowest sequence of which the client still awaits the answer.
    pub oldest: u64,
    /// Whether an earlier copy may have been run.
    pub retry: bool,
}

/// What became of a [`GrantLease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Granted {
    /// The lease, granted now or before.
    Lease(LeaseReply),
    /// It was granted before, and its time is over.
    Over(LeaseReply),
    /// Nobody knows whether it was granted.
    Unknown,
    /// The number is that of another write.
    Reused,
}

impl GrantNumber {
    /// The same as clients' numbers are kept.
    pub fn numbered(&self) -> Numbered {
        let Self { session, sequence, oldest, retry } = *self;
        Numbered { session: SessionId(session), number: Number { sequence, oldest }, retry }
    }
}

impl From<Numbered> for GrantNumber {
    fn from(Numbered { session, number, retry }: Numbered) -> Self {
        let Number { sequence, oldest } = number;
        Self { session: session.0, sequence, oldest, retry }
    }
}

/// Names one try of a transaction over groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxnId {
    /// Whose transaction it is: a client's session, or one of a node.
    pub session: [u8; 16],
    /// Which write of the session.
    pub sequence: u64,
    /// Which try. No two tries of any nodes have the same.
    pub attempt: u64,
}

impl TxnId {
    /// The number under which it is decided. An earlier copy may have been run.
    pub(crate) fn numbered(&self) -> Numbered {
        let number = Number { sequence: self.sequence, oldest: self.sequence };
        Numbered { session: SessionId(self.session), number, retry: true }
    }
}

/// Evaluates a group's part of a transaction and locks its keys, so that what was found stays true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The transaction.
    pub txn: TxnId,
    /// The lowest sequence of which the session's owner still awaits the answer.
    pub oldest: u64,
    /// Whether the transaction may have been run already.
    pub retry: bool,
    /// The group that decides.
    pub home: u16,
    /// All groups that take part, that one included.
    pub groups: Vec<u16>,
    /// The time of a group after which it is neither prepared nor decided there, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The body of a transaction: compares and operations of this group alone.
    #[serde(with = "serde_bytes")]
    pub part: Vec<u8>,
}

/// What became of a [`Prepare`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prepared {
    /// The part is locked, and this is what holds until it is finished.
    Locked(Votes),
    /// Another transaction has a lock that this one needs. Nothing was locked.
    Conflict(Lock),
    /// The transaction was committed before, and this is what it did here.
    Done(Part),
    /// The deadline is over at this time of the group, or the try was given up.
    Late {
        /// The group's time, in milliseconds since 1970.
        now_ms: u64,
    },
    /// The number cannot be run: the answer that is told instead.
    Refused(Fault),
    /// All keys are held for a moment. Nothing was locked, and whoever has locked something elsewhere is to let
    /// it go: the one who holds waits for that.
    Held,
    /// The number was decided when the store had a single group: the reply of then.
    Whole {
        /// The kind of the request that it answers.
        kind: u8,
        /// The newest revision that it shows something of.
        shows: u64,
        /// Its body.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
}

/// What a group's part comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    /// Whether its compares hold.
    pub holds: bool,
    /// What is in the way of the first list of operations, and which of them.
    pub then: Option<(u32, Fault)>,
    /// The same of the second list.
    pub otherwise: Option<(u32, Fault)>,
}

/// A refusal between nodes: an error's number and its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The number of a [`tidekeep_protocol::error::Code`].
    pub code: u16,
    /// One sentence for people.
    pub message: String,
}

/// A lock in somebody's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who holds it.
    pub txn: TxnId,
    /// The group that knows what becomes of that.
    pub home: u16,
    /// The deadline of that.
    pub deadline_ms: u64,
    /// For how long it has been held.
    pub age_ms: u64,
}

/// What a committed transaction did in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The try that was committed.
    pub attempt: u64,
    /// The body of the reply to the part, as if it had been a transaction of this group.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Which list of operations ran.
    pub outcome: Outcome,
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing of it is done.
    Aborted,
    /// All groups do their first list of operations.
    Then,
    /// All groups do their second list.
    Otherwise,
}

/// Commits a transaction, at its home: the one point at which that is decided. Does the home's own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    /// The transaction, which all its groups have prepared.
    pub txn: TxnId,
    /// Whether all compares hold.
    pub succeeded: bool,
}

/// What became of a [`Decide`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decided {
    /// It is committed, now or before.
    Committed(Part),
    /// Somebody has given it up, or it is too late.
    Aborted,
    /// It may have been committed; the answer is no longer known.
    Forgotten,
}

/// Does a group's part of a transaction as it was decided, and lets its locks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The transaction.
    pub txn: TxnId,
    /// What was decided.
    pub outcome: Outcome,
}

/// What became of a [`Finish`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finished {
    /// The part is done, now or before.
    Done(Part),
    /// There is nothing of it here, and nothing that says what it did.
    Nothing,
}

/// Asks a transaction's home what becomes of it, and gives it up if that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// The transaction.
    pub txn: TxnId,
    /// Its deadline.
    pub deadline_ms: u64,
}

/// Lets the home forget what it decided, when all groups have finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// The transaction.
    pub txn: TxnId,
}

/// Keeps all keys of a group as they are, from now on and for a moment at most. A transaction that was prepared
/// before goes on to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name, which no other has.
    pub hold: TxnId,
    /// For how long at most, in milliseconds.
    pub for_ms: u32,
}

/// Ends a hold; answered with what it was, unless it had ended before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub hold: TxnId,
}

impl Encoded {
    /// The answer to a step `S`, read by whoever asked for it.
    ///
    /// # Errors
    /// [`Malformed`]: it is no such answer.
    pub fn read<S: Asks>(&self) -> Result<S::Reply, Malformed> {
        match self.kind {
            kind if kind == S::KIND => codec::decode(&self.body),
            _ => Err(Malformed),
        }
    }

    /// The answer to a step `S`.
    pub(crate) fn answer<S: Asks>(reply: &S::Reply, shows: u64) -> Reply {
        let mut body = Vec::new();
        codec::encode(reply, &mut body);
        Reply::Encoded(Self { shows, kind: S::KIND, body: body.into() })
    }
}
