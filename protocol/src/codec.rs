//! Postcard bodies: written into a caller's buffer, read from a bounded slice with keys and values
//! borrowed from it. A body is exactly one value; bytes left over are malformed.

use alloc::vec::Vec;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// Appends the body of `value` to `out`.
///
/// Every type of this crate can be written: the only error of postcard's serializer that a growing
/// buffer leaves is a sequence of unknown length, and no body has one.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Append(out))
        .expect("bodies have known lengths and the buffer grows");
}

/// Reads one value that borrows from `body` and fills it exactly.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

/// The body is not what its kind says: cut short, followed by more, or with an unknown variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the body does not decode as its kind says")
    }
}

impl core::error::Error for Malformed {}

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
