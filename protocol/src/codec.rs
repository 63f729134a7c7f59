//! Postcard bodies: written into a caller's buffer, read from a bounded slice with keys and values
//! borrowed from it. A body is exactly one value; bytes left over are malformed.

use alloc::vec::Vec;
use core::marker::PhantomData;

use postcard::ser_flavors::Flavor;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Appends the body of `value` to `out`.
///
/// Every type of this crate can be written: the only error of postcard's serializer that a growing
/// buffer leaves is a sequence of unknown length, and no body has one.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Append(out))
        .expect("bodies have known lengths and the buffer grows");
}

/// How many bytes [`encode`] appends for `value`.
pub fn encoded_bytes<T: Serialize + ?Sized>(value: &T) -> usize {
    postcard::serialize_with_flavor(value, Count(0)).expect("bodies have known lengths")
}

/// Reads one value that borrows from `body` and fills it exactly.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

/// Reads a list of at most `MAX` items. An item can take far more memory than bytes on the wire, so
/// lists that come from clients are bounded while they are read.
pub(crate) fn bounded_list<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_seq(BoundedList::<T, MAX>(PhantomData))
}

struct BoundedList<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedList<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        // Postcard gives no hint when the list claims more items than there are bytes left.
        let claimed = list.size_hint().unwrap_or(0);
        if claimed > MAX {
            return Err(A::Error::invalid_length(claimed, &self));
        }
        let mut items = Vec::with_capacity(claimed);
        while let Some(item) = list.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// The body is not what its kind says: cut short, followed by more, with an unknown
/// variant or with a list that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the body does not decode as its kind says")
    }
}

impl core::error::Error for Malformed {}

/// Room for a [`Head`]: what its longest user needs, and the width in which numbers are written.
const HEAD_BYTES: usize = 88;

/// Appends the beginning of a body, as `write` puts it together, and what stands behind it.
#[inline(always)]
pub(crate) fn append(out: &mut Vec<u8>, rest: &[u8], write: impl FnOnce(&mut Head<'_>)) {
    let start = out.len();
    out.reserve(HEAD_BYTES + rest.len());
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let bytes = out.last_chunk_mut().expect("so many were appended");
    let mut head = Head { bytes, length: 0 };
    write(&mut head);
    let end = start + head.length;
    out.truncate(end);
    out.extend_from_slice(rest);
}

/// The beginning of a body of which very many are written. Its numbers are those of postcard, seven bits
/// in a byte and the least first, but made all at once instead of byte by byte; and they are written
/// where they stay: to read them again while they are on their way to memory would take longer.
pub(crate) struct Head<'a> {
    bytes: &'a mut [u8; HEAD_BYTES],
    length: usize,
}

impl Head<'_> {
    /// Adds a number.
    #[inline(always)]
    pub(crate) fn number(&mut self, value: u64) {
        if value < 1 << 7 {
            self.put([value as u8], 1);
        } else if value < 1 << 28 {
            let value = value as u32;
            // Halves into two bytes each, those into one.
            let halves = value & 0x3FFF | (value & 0x0FFF_C000) << 2;
            let bytes = halves & 0x007F_007F | (halves & 0x3F80_3F80) << 1;
            let count = 2 + usize::from(value >> 14 != 0) + usize::from(value >> 21 != 0);
            // Every byte but the last says that there is another.
            let others = 0x0080_8080_u32 >> (8 * (4 - count));
            self.put((bytes | others).to_le_bytes(), count);
        } else {
            self.long_number(value);
        }
    }

    /// Adds a number that may be missing.
    #[inline(always)]
    pub(crate) fn option(&mut self, value: Option<u64>) {
        match value {
            None => self.put([0], 1),
            Some(value) => {
                self.put([1], 1);
                self.number(value);
            }
        }
    }

    fn long_number(&mut self, mut value: u64) {
        while value >= 1 << 7 {
            self.put([value as u8 | 0x80], 1);
            value >>= 7;
        }
        self.put([value as u8], 1);
    }

    /// Puts bytes behind the others, of which the first `count` are to stay.
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N], count: usize) {
        self.bytes[self.length..][..N].copy_from_slice(&bytes);
        self.length += count;
    }
}

/// The bytes that a body begins with, behind their length, and what follows them; none if their length
/// takes more than two bytes, or they are cut short.
#[inline]
pub(crate) fn short_bytes(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&low, rest) = body.split_first()?;
    if low < 1 << 7 {
        return rest.split_at_checked(low.into());
    }
    let (&high, rest) = rest.split_first()?;
    let length = usize::from(low & 0x7F) | usize::from(high) << 7;
    if high < 1 << 7 { rest.split_at_checked(length) } else { None }
}

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        // A number's few bytes are quicker one by one than through a copy of any length.
        if data.len() <= 5 {
            data.iter().for_each(|byte| self.0.push(*byte));
        } else {
            self.0.extend_from_slice(data);
        }
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

struct Count(usize);

impl Flavor for Count {
    type Output = usize;

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0 += data.len();
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, _: u8) -> postcard::Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_as_many_bytes_as_are_counted() {
        let mut out = Vec::new();
        let value = (7_u8, u64::MAX, "text", [300_u32; 5]);
        encode(&value, &mut out);
        assert_eq!(encoded_bytes(&value), out.len());
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Three(#[serde(deserialize_with = "bounded_list::<_, _, 3>")] Vec<u8>);

    #[test]
    fn a_list_is_read_up_to_its_bound() {
        assert_eq!(decode(&[3, 7, 8, 9]), Ok(Three(alloc::vec![7, 8, 9])));
        assert_eq!(decode::<Three>(&[4, 7, 8, 9, 10]), Err(Malformed));
        // 2^32 items claimed in ten bytes.
        assert_eq!(decode::<Three>(&[0x80, 0x80, 0x80, 0x80, 0x10, 1, 2, 3, 4, 5]), Err(Malformed));
    }

    #[test]
    fn a_body_is_exactly_one_value() {
        assert_eq!(decode::<u8>(&[5]), Ok(5));
        assert_eq!(decode::<u8>(&[5, 0]), Err(Malformed));
        assert_eq!(decode::<u8>(&[]), Err(Malformed));
    }
}
