//! openraft's types, filled in. The runtime is left open: tokio where a node serves, a simulated one
//! where a whole cluster runs under a seed.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use openraft::RaftTypeConfig;
use openraft::batch::InlineBatch;
use openraft::impls::{BoxedErrorSource, OneshotResponder, Vote, leader_id_adv};
use openraft::type_config::AsyncRuntime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use tidekeep_log::{Answer, Applying};

use crate::link::PeerAddress;
use crate::placement::NodeId;

/// A leader: its term and who it is.
pub(crate) type LeaderId = leader_id_adv::LeaderId<u64, NodeId>;
/// The place of an entry in a group's order.
pub(crate) type LogId = openraft::LogId<LeaderId>;
/// What an entry carries.
pub(crate) type Payload = openraft::EntryPayload<Proposal, NodeId, PeerAddress>;
/// An entry of a group's order.
pub(crate) type Entry = openraft::Entry<LeaderId, Payload>;
/// What a node promised to a candidate or a leader.
pub(crate) type Promise = Vote<LeaderId>;
/// Who takes part in a group, and since which entry.
pub(crate) type Membership = openraft::StoredMembership<LeaderId, NodeId, PeerAddress>;

/// openraft's types on the runtime `R`.
pub struct Types<R>(PhantomData<fn() -> R>);

impl<R: AsyncRuntime> RaftTypeConfig for Types<R> {
    type D = Proposal;
    type R = Applied;
    type NodeId = NodeId;
    type Node = PeerAddress;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Promise;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = R;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

// Derived, these would ask the same of `R`.
impl<R> Clone for Types<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Types<R> {}

impl<R> Default for Types<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R> fmt::Debug for Types<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl<R> PartialEq for Types<R> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<R> Eq for Types<R> {}

impl<R> PartialOrd for Types<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Types<R> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// A record of `store` on its way into a group's order. Many clients' writes share one.
#[derive(Clone)]
pub struct Proposal {
    pub(crate) record: Arc<[u8]>,
    /// What becomes of it on the node that ordered it. It does not travel.
    pub(crate) beside: Option<Arc<dyn Beside>>,
}

/// Takes part in the applying of a record on the node that ordered it for its clients.
pub trait Beside: Send + Sync {
    /// The record is about to be applied, behind entry `index - 1`.
    fn apply(&self, index: u64, applying: Applying<'_>);
}

impl Proposal {
    pub(crate) fn new(record: Vec<u8>) -> Self {
        Self { record: Arc::from(record), beside: None }
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for Proposal {}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record of {} bytes", self.record.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.record)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: &serde_bytes::Bytes = Deserialize::deserialize(deserializer)?;
        Ok(Self { record: Arc::from(&**bytes), beside: None })
    }
}

/// The answers to the clients' commands of a record, in their order. They stay on the node that asked for
/// them, though openraft wants all its types fit to travel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Applied {
    #[serde(skip)]
    pub(crate) answers: Vec<Answer>,
    /// Whether nothing of the record was applied, since the group was split: others have its keys.
    #[serde(skip)]
    pub(crate) passed_over: bool,
}
