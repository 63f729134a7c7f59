//! Bodies read and written by hand, in the same encoding as [`crate::codec`] (postcard's). A client in
//! a page needs a handful of them, and serde's code for these would be a tenth of what the page
//! downloads. Whatever is read or written here is held to the derived encoding by tests.

use alloc::vec::Vec;

/// Reads a body from its beginning. What is not as it should be reads as 0 or as nothing, and so does
/// all behind it: whoever reads asks in the end, by [`Reader::end`] or [`Reader::so_far`]. An option for every
/// field would take twice the code.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body, failed: false }
    }

    /// What was not read yet; nothing once something was not as it should be.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A number: seven bits a byte, lowest first, the eighth says that more follow.
    pub fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else { break };
            self.rest = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                // Of the last byte only one bit is left.
                if shift == 63 && byte > 1 {
                    break;
                }
                return value;
            }
        }
        self.fail();
        0
    }

    /// A number of at most 32 bits.
    pub fn small(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or_else(|_| {
            self.fail();
            0
        })
    }

    /// The number of a variant: below `count`.
    pub fn variant(&mut self, count: u32) -> u32 {
        let number = self.small();
        if number < count {
            return number;
        }
        self.fail();
        0
    }

    /// Whether something is there, or true: one byte.
    pub fn flag(&mut self) -> bool {
        match self.take(1) {
            [0] => false,
            [1] => true,
            _ => {
                self.fail();
                false
            }
        }
    }

    /// A number that may be missing.
    pub fn optional_number(&mut self) -> Option<u64> {
        self.flag().then(|| self.number())
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.small();
        self.take(length as usize)
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            self.fail();
            return &[];
        };
        self.rest = rest;
        bytes
    }

    /// An array of bytes, which has no length before it.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    /// Whatever is read from here on is not as it should be.
    pub fn fail(&mut self) {
        (self.rest, self.failed) = (&[], true);
    }

    /// The value, if all was as it should be.
    pub fn so_far<T>(&self, value: T) -> Option<T> {
        (!self.failed).then_some(value)
    }

    /// The value, if all was as it should be and nothing is left behind it.
    pub fn end<T>(&self, value: T) -> Option<T> {
        (!self.failed && self.rest.is_empty()).then_some(value)
    }
}

/// Appends a number, as [`Reader::number`] reads it.
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes that may be missing.
pub fn push_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(bytes.is_some().into());
    if let Some(bytes) = bytes {
        push_bytes(out, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::hello::{GoingAway, Hello};
    use crate::op::{Delivery, LeaseKeepAlive, Watch, WatchFrom};
    use crate::range::Range;

    fn encoded<T: serde::Serialize>(value: &T) -> Vec<u8> {
        let mut body = Vec::new();
        codec::encode(value, &mut body);
        body
    }

    /// Holds a reader to the derived one.
    fn held<'a, T>(bodies: &'a [Vec<u8>], read: impl Fn(&'a [u8]) -> Option<T>)
    where
        T: serde::Deserialize<'a> + PartialEq + core::fmt::Debug,
    {
        for body in bodies {
            assert_eq!(read(body), codec::decode::<T>(body).ok(), "{body:?}");
        }
    }

    /// A body, every beginning of it, a byte more, and every byte made another.
    fn broken(body: &[u8]) -> Vec<Vec<u8>> {
        let cut = (0..body.len()).map(|length| body[..length].to_vec());
        let long = [body, &[0]].concat();
        let other = (0..body.len()).flat_map(|place| {
            [1, 2, 0x7F, 0x80, 0xFF].map(|bits: u8| {
                let mut body = body.to_vec();
                body[place] ^= bits;
                body
            })
        });
        cut.chain([long, body.to_vec()]).chain(other).collect()
    }

    #[test]
    fn notices_are_read_as_they_are_derived() {
        held(&broken(&encoded(&GoingAway { reconnect_after_ms: 70_000 })), GoingAway::read);
    }

    #[test]
    fn watches_are_read_and_written_as_they_are_derived() {
        let ranges = [Range::default(), Range { start: b"a", end: Some(&[7; 200]) }];
        let froms = [WatchFrom::Now, WatchFrom::Content, WatchFrom::Cursor(&[9; 20])];
        for (range, from) in ranges.into_iter().flat_map(|range| froms.map(|from| (range, from))) {
            for delivery in [Delivery::Every, Delivery::Latest] {
                let watch = Watch { range, from, previous: range.end.is_some(), delivery };
                let mut written = Vec::new();
                watch.write(&mut written);
                assert_eq!(written, encoded(&watch));
                held(&broken(&written), Watch::read);
            }
        }
    }

    #[test]
    fn hellos_and_keep_alives_are_written_as_they_are_derived() {
        let hello =
            Hello { version_min: 1, version_max: 300, features: u64::MAX, software: "é; 1.0" };
        let mut written = Vec::new();
        hello.write(&mut written);
        assert_eq!(written, encoded(&hello));
        let mut written = Vec::new();
        push_number(&mut written, u64::MAX);
        assert_eq!(written, encoded(&LeaseKeepAlive { lease: u64::MAX }));
    }
}
