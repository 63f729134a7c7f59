//! What `cargo xtask bench` measures with: a load generator that speaks RESP and native frames and
//! believes no reply, and a bare store to hold the server against. It imports the protocol alone,
//! so nothing that is measured is used to measure.
//!
//! | module | holds |
//! |---|---|
//! | [`content`] | the keys, and the values that belong to them |
//! | [`wire`] | requests and replies of each protocol |
//! | [`load`] | the generator: connections, loops, verdict, report |
//! | [`bare`] | the least that a store with native frames can do |

pub mod bare;
pub mod content;
pub mod load;
pub mod wire;
