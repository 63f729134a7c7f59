//! The disk of Tidekeep: one ordered log, the snapshots that shorten it, and the way back from
//! both after a crash; and on top of it the group, the only door to the data.
//!
//! Two halves. The log itself ([`Log`], [`Recovery`], `writer`, `segment`, `snapshot`) knows payloads
//! as opaque bytes. The state half ([`Commit`], [`Solo`], `batch`, `turn`, `group`, `load`) puts
//! `store`'s commands into it, and shows nothing that is not safe yet.
//!
//! # What a reply promises
//! | [`Durability`] | a confirmed write survives the process | … a power cut |
//! |---|---|---|
//! | `Always` | yes | yes: `fdatasync` has returned |
//! | `Interval(d)` | all but the last writes not yet handed to the system | but for the last `d` |
//! | `None` | likewise | as the system pleases |
//! | `Memory` | no | no |
//!
//! What is not yet handed to the system is of the last two milliseconds, unless the disk is slower.
//!
//! # The way of a record
//! [`Log::admit`] reserves room, in memory and on disk → [`Log::append`] copies bytes under the
//! caller's lock, and a turn hands a long record over as it built it (`pieces`) → the writer thread
//! seals, writes and syncs what has gathered → [`Ticket`]s resolve in order. At start [`Recovery`] goes the other way.
//!
//! # The bytes on disk
//! Drawn field by field in docs/disk.md, and in the modules `segment`, `envelope`, `snapshot` and
//! `manifest`.

mod alarm;
mod background;
pub mod backup;
mod batch;
pub mod clock;
mod coming;
pub mod commit;
pub mod disk;
mod envelope;
mod error;
mod eviction;
mod expiry;
mod feed;
mod figures;
mod gets;
mod group;
#[cfg(all(test, loom))]
mod interleavings;
mod lags;
mod load;
mod log;
mod manifest;
mod memory;
pub mod offline;
mod options;
mod pace;
mod pieces;
mod portion;
mod positions;
mod prepare;
mod recover;
mod replay;
mod replica;
mod segment;
mod shared;
pub mod snapshot;
mod snapshot_tally;
mod snapshots;
mod solo;
mod state;
mod sync;
mod tail;
mod ticket;
mod turn;
mod walk;
mod writer;

pub use backup::{Backup, Chunks, Fed};
pub use commit::{
    Answer, Answers, Call, Commit, Counted, Elsewhere, Failed, Identity, Lost, Pending,
    PendingBackup, Promise, Sampled, Standing, collect,
};
pub use envelope::MAX_PAYLOAD;
pub use error::{BoxError, Failure, OpenError, Refused, SnapshotError};
pub use feed::{Changed, Changes, Feed, PendingView, PendingViews, TooOld, reach, views};
pub use log::{Log, Permit};
pub use manifest::Manifest;
pub use memory::{Eviction, MemoryOptions};
pub use options::{Durability, Options, Stats, Upkeep};
pub use portion::{NotStill, Portion, PortionRows, PortionTables};
pub use recover::{Recovery, Report};
pub use replica::{Applying, Dividing, Frozen, FrozenChunks, Part, Replica, ReplicaOptions};
pub use snapshot::{Published, SnapshotInfo};
pub use snapshot_tally::SnapshotTally;
pub use snapshots::giving_way;
pub use solo::{Solo, SoloOptions};
pub use ticket::Ticket;
pub use tidekeep_store::change::{Change, Event, EventKind};
pub use tidekeep_store::entry::Entry;
pub use tidekeep_store::reply::{Found, Reply};
pub use tidekeep_store::scratch::Scratch;
pub use tidekeep_store::sessions::Numbered;
pub use tidekeep_store::view::View;
