//! The table of operations: number, name and class of each, one file per operation. Everything
//! between the socket and the store is generic over this table.

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

pub mod backup;
pub mod children;
pub mod cluster;
pub mod cluster_status;
pub mod delete;
pub mod delete_range;
pub mod get;
pub mod increment;
pub mod lease_grant;
pub mod lease_keep_alive;
pub mod lease_revoke;
pub mod leases;
pub mod put;
pub mod scan;
pub mod sessions;
pub mod status;
pub mod touch;
pub mod txn;
pub mod watch;
pub mod watch_walk;

pub use backup::{Backup, BackupReply};
pub use children::{Child, Children, ChildrenReply};
pub use cluster::{Cluster, ClusterReply};
pub use delete::Delete;
pub use delete_range::{DeleteRange, DeleteRangeReply};
pub use get::{Get, GetReply};
pub use increment::{Increment, IncrementReply};
pub use lease_grant::{LeaseGrant, LeaseReply};
pub use lease_keep_alive::LeaseKeepAlive;
pub use lease_revoke::{LeaseRevoke, LeaseRevokeReply};
pub use leases::{Lease, Leases, LeasesReply};
pub use put::{Put, WriteReply, WriteStatus};
pub use scan::{Order, Projection, Scan, ScanReply};
pub use sessions::{Connected, Sessions, SessionsReply};
pub use status::{Figure, Status, StatusReply};
pub use touch::{Touch, TouchReply};
pub use txn::{Compare, Txn, TxnOp, TxnReply, TxnResult};
pub use watch::{Delivery, Event, Watch, WatchFrom, WatchHead, WatchMessage};

/// What an operation does to the store, which decides its way through the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Looks and changes nothing.
    Read,
    /// Changes entries; is ordered and logged.
    Write,
    /// Opens a stream of messages.
    Watch,
    /// Is answered by the server itself.
    Server,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    /// The request's frame kind. Frozen.
    pub kind: u8,
    /// The name in metrics, logs and documents.
    pub name: &'static str,
    /// What it does to the store.
    pub class: Class,
}

/// A request's body, tied to its row and to its reply's body.
pub trait Operation: Serialize + Bounded {
    /// The operation's row.
    const SPEC: &'static Spec;
    /// The body of the reply.
    type Reply<'a>: Serialize + Deserialize<'a>;
}

macro_rules! operations {
    ($($name:ident $(<$life:lifetime>)? = $kind:literal, $text:literal, $class:ident => $reply:ty;)+) => {
        /// Every operation, in the order of their numbers.
        pub const OPERATIONS: &[Spec] =
            &[$(Spec { kind: $kind, name: $text, class: Class::$class }),+];

        /// The class of the operation whose request has this frame kind.
        pub fn class(kind: u8) -> Option<Class> {
            match kind { $($kind => Some(Class::$class),)+ _ => None }
        }

        $(impl$(<$life>)? Operation for $name$(<$life>)? {
            const SPEC: &'static Spec =
                &Spec { kind: $kind, name: $text, class: Class::$class };
            type Reply<'r> = $reply;
        })+

        /// A request of any kind, its keys and values borrowed from the frame.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented where its body is")]
        pub enum Request<'r> { $($name(operations!(@body $name $(<$life>)?)),)+ }

        impl<'r> Request<'r> {
            /// Reads the body of a request of this kind; `None` for a kind that is no operation.
            pub fn decode(kind: u8, body: &'r [u8]) -> Option<Result<Self, Malformed>> {
                match kind {
                    $($kind => Some(operations!(@decode $name body).map(Self::$name)),)+
                    _ => None,
                }
            }

            /// The request's row.
            pub fn spec(&self) -> &'static Spec {
                match self { $(Self::$name(body) => spec_of(body),)+ }
            }

            /// Refuses a request that is over a limit or makes no sense whatever the store holds.
            pub fn check(&self, limits: &Limits) -> Result<(), Refusal> {
                match self { $(Self::$name(body) => body.check(limits),)+ }
            }

            /// How many bytes the request's body takes.
            pub fn encoded_bytes(&self) -> usize {
                match self { $(Self::$name(body) => codec::encoded_bytes(body),)+ }
            }

            /// Appends the request's body.
            pub fn encode(&self, out: &mut alloc::vec::Vec<u8>) {
                match self { $(Self::$name(body) => codec::encode(body, out),)+ }
            }
        }
    };
    (@body $name:ident <$life:lifetime>) => { $name<'r> };
    (@body $name:ident) => { $name };
    (@decode Put $body:ident) => { Put::decode($body) };
    (@decode $name:ident $body:ident) => { codec::decode($body) };
}

operations! {
    Get<'a> = 0x10, "get", Read => GetReply<'r>;
    Put<'a> = 0x11, "put", Write => WriteReply<'r>;
    Delete<'a> = 0x12, "delete", Write => WriteReply<'r>;
    Scan<'a> = 0x13, "scan", Read => ScanReply<'r>;
    Children<'a> = 0x14, "children", Read => ChildrenReply<'r>;
    Touch<'a> = 0x15, "touch", Write => TouchReply;
    Increment<'a> = 0x16, "increment", Write => IncrementReply;
    Txn<'a> = 0x17, "txn", Write => TxnReply<'r>;
    DeleteRange<'a> = 0x18, "delete_range", Write => DeleteRangeReply;
    Watch<'a> = 0x19, "watch", Watch => WatchMessage<'r>;
    Status = 0x1A, "status", Server => StatusReply<'r>;
    LeaseGrant = 0x1B, "lease_grant", Write => LeaseReply;
    LeaseKeepAlive = 0x1C, "lease_keep_alive", Write => LeaseReply;
    LeaseRevoke = 0x1D, "lease_revoke", Write => LeaseRevokeReply;
    Leases = 0x1E, "leases", Read => LeasesReply;
    Backup = 0x20, "backup", Server => BackupReply<'r>;
    Cluster<'a> = 0x21, "cluster", Server => ClusterReply<'r>;
    Sessions = 0x22, "sessions", Server => SessionsReply<'r>;
}

/// The row of the operation whose request has this frame kind. Who wants its class alone takes
/// [`class`], which is without the names.
pub fn spec(kind: u8) -> Option<&'static Spec> {
    OPERATIONS.iter().find(|spec| spec.kind == kind)
}

fn spec_of<T: Operation>(_: &T) -> &'static Spec {
    T::SPEC
}
