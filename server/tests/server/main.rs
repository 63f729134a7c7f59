//! What a visitor gets from the server, over real sockets: one module for each kind of promise.
#![expect(unreachable_pub, reason = "modules of one test binary")]

mod allocations;
mod backup;
mod bad_input;
mod drain;
mod folder;
mod handshake;
mod harness;
mod http;
mod limits;
mod requests;
mod resp;
mod retries;
mod scan;
mod sessions;
mod slow;
mod watch;
mod web_socket;
