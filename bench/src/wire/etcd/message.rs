//! The messages of etcd's `Put` and `Range`, as protobuf has them, and what the answers say.
//!
//! ```text
//! PutRequest     { 1: key, 2: value }      RangeRequest  { 1: key }
//! PutResponse    { 1: header }             RangeResponse { 1: header, 2: kvs, 4: count }
//! KeyValue       { 1: key, 5: value, … }   before each in a stream: 0, length u32
//! ```

use crate::wire::{Answer, Broken};

const PREFIX_BYTES: usize = 5;
/// A field of bytes, by its number.
const BYTES: u64 = 2;
const KEY: u64 = 1;
const PUT_VALUE: u64 = 2;
const ENTRIES: u64 = 2;
const COUNT: u64 = 4;
const ENTRY_VALUE: u64 = 5;

pub(super) fn range(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, KEY, key);
    out
}

pub(super) fn put(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = range(key);
    bytes(&mut out, PUT_VALUE, value);
    out
}

/// The message as a stream carries it, not compressed.
pub(super) fn prefixed(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// What the one message in `payload` says: of a put nothing but a header comes back.
pub(super) fn answer(payload: &[u8]) -> Result<Answer<'_>, Broken> {
    let Some((prefix, message)) = payload.split_at_checked(PREFIX_BYTES) else {
        return Err(Broken::protocol("half a message"));
    };
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || length as usize != message.len() {
        return Err(Broken::protocol("a message that is compressed or in pieces"));
    }
    match field(message, ENTRIES)? {
        Some(Field::Bytes(entry)) => match field(entry, ENTRY_VALUE)? {
            Some(Field::Bytes(value)) => Ok(Answer::Value(value)),
            _ => Ok(Answer::Value(&[])),
        },
        _ if field(message, COUNT)?.is_some() => Err(Broken::protocol("a count without entries")),
        _ => Ok(Answer::Written),
    }
}

/// A field's content.
enum Field<'a> {
    Number,
    Bytes(&'a [u8]),
}

/// The first field with this number.
fn field(mut message: &[u8], wanted: u64) -> Result<Option<Field<'_>>, Broken> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let field = match tag & 7 {
            0 => {
                varint(&mut message)?;
                Field::Number
            }
            BYTES => {
                let length = varint(&mut message)? as usize;
                let (bytes, rest) = message.split_at_checked(length).ok_or_else(cut_off)?;
                message = rest;
                Field::Bytes(bytes)
            }
            _ => return Err(Broken::protocol("a field that these messages do not have")),
        };
        if tag >> 3 == wanted {
            return Ok(Some(field));
        }
    }
    Ok(None)
}

fn bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    push_varint(out, number << 3 | BYTES);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Broken> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(cut_off)?;
        *bytes = rest;
        number |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Broken::protocol("a number that does not end"))
}

fn cut_off() -> Broken {
    Broken::protocol("a message that is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_behind_the_header() {
        let mut entry = range(b"key");
        push_varint(&mut entry, 2 << 3);
        push_varint(&mut entry, 1 << 40);
        bytes(&mut entry, ENTRY_VALUE, b"value");
        let mut message = Vec::new();
        bytes(&mut message, 1, b"\x08\x01");
        bytes(&mut message, ENTRIES, &entry);
        let payload = prefixed(&message);
        assert_eq!(answer(&payload).unwrap(), Answer::Value(b"value"));
        for cut in 1..payload.len() {
            assert!(answer(&payload[..cut]).is_err(), "{cut} bytes are taken for a message");
        }
    }

    #[test]
    fn a_header_alone_is_an_answer_without_an_entry() {
        let mut message = Vec::new();
        bytes(&mut message, 1, b"\x08\x01");
        assert_eq!(answer(&prefixed(&message)).unwrap(), Answer::Written);
        assert!(answer(&prefixed(b"\x0A\x05ab")).is_err());
        assert!(answer(&prefixed(&[0xFF; 12])).is_err());
    }
}
