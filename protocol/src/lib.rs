//! The words of Tidekeep: every byte that a client and a server exchange is defined here, and
//! nothing else is. Dry: `no_std`, no clock, no socket, no randomness. `docs/protocol.md` draws the
//! same bytes for those who write a client in another language.
//!
//! ```text
//! byte 0        4      5       6         8       12            12+ext_len
//!      | len u32 | kind | flags | ext_len | id u32 | extensions | body (postcard) |
//!      len counts everything after itself; integers are little-endian
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`frame`] | the envelope: header, extensions, incremental decoding, chunked bodies |
//! | [`hello`] | preface, handshake, heartbeats, going away |
//! | [`op`] | the table of operations, and a file for each of them |
//! | [`session`] | what tells writes apart over connections: sessions and numbers |
//! | [`entry`], [`condition`], [`range`], [`cursor`] | the parts that operations share |
//! | [`freshness`] | how new what a read shows must be |
//! | [`slot`] | which slot a key falls into, which group owns a slot |
//! | [`error`], [`limits`] | what can be refused, and where the bounds are |
//! | [`planted`] | bugs for the tests to find; asleep in what is built to be used |
//! | [`codec`] | postcard bodies, from and to bounded slices |
//! | [`plain`] | the few of them that a page reads and writes, without serde |
#![no_std]

extern crate alloc;

pub mod codec;
pub mod condition;
pub mod cursor;
pub mod entry;
pub mod error;
pub mod frame;
pub mod freshness;
pub mod hello;
pub mod limits;
pub mod op;
pub mod plain;
pub mod planted;
pub mod range;
pub mod session;
pub mod slot;

/// The protocol version that this crate speaks.
pub const VERSION: u16 = 1;

/// The oldest protocol version that this crate still understands.
pub const OLDEST_VERSION: u16 = 1;
