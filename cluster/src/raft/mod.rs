//! The only folder that names openraft: its types, filled in ([`types`]); its log, on the node's own
//! ([`journal`], [`storage`], [`telling`]); its state machine, a [`tidekeep_log::Replica`] ([`machine`]); its network
//! ([`network`], [`serving`], [`message`]); what a replica is that is yet to be filled ([`filling`]); and what the
//! rest of the node sees of it all ([`member`], [`membership`], [`reading`]).

mod aside;
mod beat;
mod filling;
mod item;
mod journal;
mod machine;
mod member;
mod membership;
mod message;
mod network;
mod opening;
mod reached;
mod reading;
mod recovered;
mod serving;
mod splitting;
mod storage;
mod telling;
mod told;
mod types;

pub use openraft::Instant;
pub use openraft::type_config::AsyncRuntime as Runtime;
pub use openraft_rt_tokio::TokioRuntime;

pub(crate) use filling::{Abstains, ask_given};
pub(crate) use item::Given;
pub use journal::{Cut, Journal, JournalOptions};
pub use member::{Audit, Config, Member, Proposed, Standing, WriteError};
pub use membership::MembershipError;
pub(crate) use message::{Refused, group_of, refusal};
pub use opening::Opened;
pub use reading::ReadPolicy;
pub use types::{Beside, Types};
