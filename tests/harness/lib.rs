//! What whole-product tests stand on: the built binaries, a server as a real process, a terminal
//! command as a real process. Nothing here knows how the product works inside.

pub mod binaries;
#[path = "../checker/mod.rs"]
pub mod checker;
pub mod cluster;
pub mod command;
pub mod deadline;
pub mod network;
pub mod port;
pub mod proxy;
pub mod server;
pub mod standing;
pub mod wall_clock;

pub use cluster::Cluster;
pub use command::{Run, tidekeep};
pub use deadline::{eventually, within};
pub use network::Network;
pub use proxy::Proxy;
pub use server::ServerProcess;
pub use wall_clock::WallClock;
