//! Steps through the keys of a watch message without decoding the rest of it, for clients that must
//! know what a message changes and hand it on as it is. Same encoding as [`super::watch`], written
//! by hand so that it stays small in a page; the tests hold it to the derived one.

use alloc::vec::Vec;

use crate::codec::Malformed;
use crate::plain::{Reader, push_bytes, push_number};

/// What a message says of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Revision of its last write; none when the key is gone.
    pub modified: Option<u64>,
    /// The encoded value with its metadata; empty when the key is gone.
    pub stored: &'a [u8],
    /// The encoded entry or event.
    pub item: &'a [u8],
}

/// The numbers of variants, as the derived encoding counts them.
mod variant {
    pub(super) const CONTENT: u8 = 0;
    pub(super) const EVENTS: u8 = 2;
    pub(super) const PUT: u8 = 0;
    pub(super) const DELETE: u8 = 1;
}

/// The entries or events of a watch message, in order; none of one that bears neither. Where it is
/// malformed they end with that, behind those that could be read.
#[derive(Debug, Clone)]
pub struct Steps<'a> {
    rest: Reader<'a>,
    left: u64,
    events: bool,
}

/// Steps through the body of a watch message. An iterator rather than a way to be called: a module
/// for a page has no other use for a table of functions.
pub fn steps(body: &[u8]) -> Result<Steps<'_>, Malformed> {
    let mut rest = Reader::new(body);
    let what = rest.number();
    let events = what == variant::EVENTS.into();
    if events {
        let _revision = rest.number();
        let _cursor = rest.bytes();
    } else if what != variant::CONTENT.into() {
        return Ok(Steps { rest: Reader::new(&[]), left: 0, events });
    }
    let left = rest.number();
    rest.so_far(Steps { rest, left, events }).ok_or(Malformed)
}

impl Steps<'_> {
    /// How many are still to come, as the message says.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Result<Step<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.rest.rest();
        if self.left == 0 && before.is_empty() {
            return None;
        }
        let step = self.left.checked_sub(1).and_then(|left| {
            self.left = left;
            let (key, modified, stored) = item(&mut self.rest, self.events);
            let item = &before[..before.len() - self.rest.rest().len()];
            self.rest.so_far(Step { key, modified, stored, item })
        });
        if step.is_none() {
            self.left = 0;
            self.rest.fail();
        }
        Some(step.ok_or(Malformed))
    }
}

/// The body of a content message with so many entries, encoded as [`Step::item`] bears them.
pub fn content(count: u64, items: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(items.len() + 11);
    body.push(variant::CONTENT);
    push_number(&mut body, count);
    body.extend_from_slice(items);
    body
}

/// The body of an events message that says of these keys that they were deleted.
pub fn deletes(revision: u64, cursor: &[u8], keys: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut body = Vec::new();
    body.push(variant::EVENTS);
    push_number(&mut body, revision);
    push_bytes(&mut body, cursor);
    push_number(&mut body, keys.len() as u64);
    for key in keys {
        body.push(variant::DELETE);
        push_bytes(&mut body, key.as_ref());
        // No previous entry.
        body.push(0);
    }
    body
}

/// The key of an entry or event, the revision of its last write, and its encoded value with metadata.
fn item<'a>(from: &mut Reader<'a>, event: bool) -> (&'a [u8], Option<u64>, &'a [u8]) {
    let what = if event { from.variant(4) } else { variant::PUT.into() };
    let key = from.bytes();
    let before = from.rest();
    let modified = (what == variant::PUT.into()).then(|| stored(from));
    let value = &before[..before.len() - from.rest().len()];
    if event && from.flag() {
        stored(from);
    }
    (key, modified, value)
}

/// Skips a value with its metadata; the revision of its last write.
pub fn stored(from: &mut Reader<'_>) -> u64 {
    let _created = from.number();
    let modified = from.number();
    let _version = from.number();
    let _expires_at = from.optional_number();
    let _lease = from.optional_number();
    let _value = from.bytes();
    modified
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::codec;
    use crate::entry::{Entry, Meta, Stored};
    use crate::op::{Event, WatchMessage};

    fn encoded(message: &WatchMessage<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        codec::encode(message, &mut body);
        body
    }

    fn entry(key: &'static [u8], modified: u64, option: Option<u64>) -> Entry<'static> {
        let meta = Meta {
            created: 1,
            modified,
            version: 300,
            expires_at: option,
            lease: option.map(|it| it / 2),
        };
        Entry { key, stored: Stored { meta, value: &[0x80; 200] } }
    }

    fn steps(body: &[u8]) -> Result<Vec<Step<'_>>, Malformed> {
        let steps = super::steps(body)?;
        let count = steps.left();
        let steps: Vec<_> = steps.collect::<Result<_, _>>()?;
        assert_eq!(count, steps.len() as u64);
        Ok(steps)
    }

    fn messages() -> [Vec<u8>; 4] {
        let entries = vec![
            entry(b"", 5, None),
            entry(b"some key", u64::MAX, Some(u64::MAX)),
            entry(&[0xFF; 200], 128, Some(0)),
        ];
        let (revision, cursor) = (1 << 40, &[7; 20][..]);
        let previous = Some(entries[1].stored);
        let key = b"gone";
        let events = vec![
            Event::Put { entry: entries[1], previous },
            Event::Put { entry: entries[2], previous: None },
            Event::Delete { key, previous },
            Event::Expire { key, previous: None },
            Event::Evict { key, previous },
        ];
        [
            encoded(&WatchMessage::Content(entries)),
            encoded(&WatchMessage::Events { revision, cursor, events }),
            encoded(&WatchMessage::CaughtUp { revision, cursor }),
            encoded(&WatchMessage::Bookmark { revision, cursor }),
        ]
    }

    #[test]
    fn steps_are_what_the_message_says() {
        let [content, events, caught_up, bookmark] = messages();
        let told = |body| steps(body).unwrap().iter().map(|it| it.modified).collect::<Vec<_>>();
        assert_eq!(told(&content), [Some(5), Some(u64::MAX), Some(128)]);
        assert_eq!(told(&events), [Some(u64::MAX), Some(128), None, None, None]);
        assert_eq!(steps(&content).unwrap()[1].key, b"some key");
        assert!(steps(&events).unwrap()[2..].iter().all(|step| step.key == b"gone"));
        assert_eq!((told(&caught_up), told(&bookmark)), (vec![], vec![]));
        let items =
            steps(&content).unwrap().iter().flat_map(|it| it.item.to_vec()).collect::<Vec<_>>();
        assert_eq!(super::content(3, &items), content);
    }

    #[test]
    fn deletes_are_an_events_message() {
        let keys = [&b"a"[..], b"", &[1; 300]];
        let events = keys.iter().map(|key| Event::Delete { key, previous: None }).collect();
        let message = WatchMessage::Events { revision: 300, cursor: b"cursor", events };
        assert_eq!(deletes(300, b"cursor", &keys), encoded(&message));
    }

    #[test]
    fn whatever_is_cut_or_too_long_is_malformed_here_too() {
        for body in &messages()[..2] {
            for length in 0..body.len() {
                assert_eq!(steps(&body[..length]), Err(Malformed));
            }
            let long = [&body[..], &[0]].concat();
            assert_eq!(steps(&long), Err(Malformed));
        }
        assert_eq!(steps(&[0x80; 12]), Err(Malformed));
        assert_eq!(steps(&[2, 1, 0, 1, 4, 0, 0]), Err(Malformed), "no such event");
        assert_eq!(steps(&[2, 1, 0, 1, 1, 0, 2]), Err(Malformed), "neither there nor not");
    }
}
