//! RESP, the language of Redis clients, on the same port: over real sockets, byte by byte, and the
//! same script of commands beside Redis itself where it is installed.

pub mod client;
mod events;
mod likeness;
mod protocol;
mod scan;
mod transactions;
