//! Tidekeep's client for Rust programs, on tokio. One connection, over TCP or WebSocket; all calls
//! share it, reconnecting and resuming are the client's business.
//!
//! ```no_run
//! use tidekeep_client::{Client, Condition, KeyRange, Options, PutOptions, WatchEvent, WatchOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tidekeep_client::Error> {
//! let client = Client::connect("127.0.0.1:8080", Options::default()).await?;
//!
//! client.put("name", "John Doe", PutOptions::default()).await?;
//! let entry = client.get("name").await?.expect("it was just put");
//! println!("{:?} since revision {}", entry.text(), entry.modified);
//!
//! let only_then = PutOptions { condition: Condition::Revision(entry.modified), ..Default::default() };
//! client.put("name", "Jane Doe", only_then).await?;
//!
//! let mut watch = client.watch(&KeyRange::prefix(b"name"), WatchOptions::default());
//! while let Some(event) = watch.next().await {
//!     if let WatchEvent::Changes { changes, .. } = event? {
//!         println!("{} changes", changes.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **A call is made when its method is called**, not when its future is first polled, so that
//! several futures made one after the other travel together. Dropping a future gives the call up
//! and tells the server; a write that was already sent may still be applied.
//!
//! **Every call settles**: with its reply, or with an [`Error`] that bears a stable [`Code`], whether
//! trying again can help, and what became of a write ([`Outcome`]). While there is no connection,
//! calls wait for one until their deadlines. After a broken connection they are sent again: a write
//! bears a number by which the server knows it, so that it is applied once. It ends with
//! [`Outcome::Unknown`] only if it was given up after it was sent, or the server has another history
//! by then or knows no numbers.
//!
//! | file | holds |
//! |---|---|
//! | `client` | [`Client`]: connecting, states, closing |
//! | `verbs` | its operations, typed |
//! | `backup` | the pieces of a backup |
//! | `lease` | leases that are kept alive; locks and elections |
//! | `queue`, `offline` | mutations, which show at once and outlive the process; their file |
//! | `view` | ranges that are kept and read without asking |
//! | `call`, `scan`, `watch`, `txn` | the futures, streams and builders that they return |
//! | `shared`, `driver` | the core behind a lock; the one task that moves bytes |
//! | `address`, `transport` | where the server is; TCP and WebSocket |

mod address;
mod backup;
mod call;
mod client;
mod driver;
mod entry;
mod error;
mod lease;
mod offline;
mod options;
mod queue;
mod scan;
mod shared;
mod transport;
mod txn;
mod verbs;
mod view;
mod watch;

pub use tidekeep_client_core::{Config, Queue, QueueInfo, Resync, ServerInfo, State, Text};
pub use tidekeep_protocol as protocol;
pub use tidekeep_protocol::condition::Expiry;
pub use tidekeep_protocol::error::{Code, Outcome};
pub use tidekeep_protocol::freshness::Freshness;
pub use tidekeep_protocol::op::{Delivery, Order};
pub use tidekeep_protocol::range::KeyRange;

pub use crate::backup::BackupPiece;
pub use crate::call::{Call, Pending, Reply};
pub use crate::client::Client;
pub use crate::entry::{Child, Entry, Incremented, Status, Touched, Written};
pub use crate::error::Error;
pub use crate::lease::{Lease, Lock};
pub use crate::options::{
    Condition, DeleteOptions, Options, PutOptions, ScanOptions, WatchOptions,
};
pub use crate::queue::{Applied, Mutation, Settlement};
pub use crate::scan::Scan;
pub use crate::txn::{Txn, TxnDone, TxnResult, TxnStep};
pub use crate::view::{View, ViewEntry, ViewState};
pub use crate::watch::{Change, ChangeKind, Watch, WatchEvent};
