//! Where visitors' bytes come in: the accept loop, telling visitors apart by their first bytes, and
//! a driver for each transport that moves bytes between a socket and a session.

mod accept;
mod cluster;
mod connection;
mod driver;
mod encoding;
mod ending;
mod exchange;
mod folder;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gate;
mod http;
mod input;
mod lingering;
mod news;
mod page;
mod request;
mod resp;
mod resp_exchange;
mod response;
mod sessions;
mod sniff;
mod tcp;
mod transport;
mod upgrade;
mod ws;

pub(crate) use accept::serve;
pub(crate) use exchange::{Exchange, input_limit};
pub(crate) use folder::Folder;
pub(crate) use gate::Gate;
pub(crate) use input::Input;
pub(crate) use resp_exchange::RespExchange;
pub(crate) use upgrade::Hosts;
