//! What the native client promises beyond the core: it moves bytes over TCP and WebSocket, gives up
//! what nobody waits for, ends when nobody holds it, and turns replies into typed values. Against a
//! scripted server over real sockets; `tests/live` has the real one.

mod connection;
mod leases;
mod script;
mod values;
mod watching;
