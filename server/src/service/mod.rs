//! What is done with requests: held against the limits, sorted by their class from the table of
//! operations, and handed to the commit. Adding an operation changes nothing here.

mod backup;
mod clients;
mod dispatch;
mod facts;
mod hub;
mod owners;
mod roster;
mod status;

pub(crate) use backup::Underway;
pub(crate) use clients::{Client, Clients, Seat};
pub(crate) use dispatch::Service;
pub(crate) use facts::Facts;
pub(crate) use hub::{Hub, Mailbox, Topic};
pub(crate) use owners::{Owner, Owners};
pub(crate) use roster::Presence;
pub(crate) use status::Status;
