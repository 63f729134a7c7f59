//! What nodes of a cluster say to a group beside clients' requests: commands of a record like theirs, answered
//! with bytes that nodes alone read. Every step may be run again: whoever asked and heard nothing asks anew.
//!
//! Kinds are 0xC0 to 0xDF, so no frame of a client is one. A store alone has nobody who could ask for a step.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use tidekeep_protocol::codec::{self, Malformed};

macro_rules! steps {
    ($($name:ident = $kind:literal;)+) => {
        /// A step of any kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented where its body is")]
        pub enum Step { $($name($name),)+ }

        impl Step {
            /// Reads the body of a step of this kind; `None` for a kind that is no step.
            pub fn decode(kind: u8, body: &[u8]) -> Option<Result<Self, Malformed>> {
                match kind {
                    $($kind => Some(codec::decode(body).map(Self::$name)),)+
                    _ => None,
                }
            }

            /// Its kind in a record.
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name(_) => $kind,)+ }
            }

            /// Appends its body.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $(Self::$name(body) => codec::encode(body, out),)+ }
            }
        }
    };
}

steps! {
    AdoptLease = 0xC0;
}

/// Makes a lease that another group of the store has granted: it is there under the same number in every
/// group, so that keys of any group can go with it. Answered as a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptLease {
    /// Its number in the whole store.
    pub lease: u64,
    /// Its time to live from now on, in milliseconds.
    pub ttl_ms: u64,
}
