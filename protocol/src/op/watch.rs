//! `watch`: what a range holds, then every change to it, in order, until the client cancels.
//!
//! The stream is a run of messages with the request's id: pages of the content if they were asked
//! for, then [`WatchMessage::CaughtUp`], then one [`WatchMessage::Events`] for each revision that
//! touched the range, with bookmarks between them. The last message of a stream that the server ends
//! is an error frame with the same id.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec::Malformed;
use crate::entry::{Entry, Stored};
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};
use crate::plain::{self, Reader};
use crate::range::Range;

/// Asks for the changes of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch<'a> {
    /// The keys to follow.
    #[serde(borrow)]
    pub range: Range<'a>,
    /// Where to begin.
    #[serde(borrow)]
    pub from: WatchFrom<'a>,
    /// Whether events shall bear the entry as it was before.
    pub previous: bool,
    /// Which changes are sent.
    pub delivery: Delivery,
}

impl<'a> Watch<'a> {
    /// Reads the body, as [`crate::codec::decode`] does.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let mut from = Reader::new(body);
        let start = from.bytes();
        let end = from.flag().then(|| from.bytes());
        let watch = Self {
            range: Range { start, end },
            from: match from.variant(3) {
                0 => WatchFrom::Now,
                1 => WatchFrom::Content,
                _ => WatchFrom::Cursor(from.bytes()),
            },
            previous: from.flag(),
            delivery: match from.variant(2) {
                0 => Delivery::Every,
                _ => Delivery::Latest,
            },
        };
        from.end(watch)
    }

    /// Appends the body, as [`crate::codec::encode`] does.
    pub fn write(&self, out: &mut Vec<u8>) {
        plain::push_bytes(out, self.range.start);
        plain::push_option(out, self.range.end);
        match self.from {
            WatchFrom::Now => out.push(0),
            WatchFrom::Content => out.push(1),
            WatchFrom::Cursor(cursor) => {
                out.push(2);
                plain::push_bytes(out, cursor);
            }
        }
        out.push(self.previous.into());
        out.push((self.delivery == Delivery::Latest).into());
    }
}

/// Which changes a watch sends to a client that is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Every one.
    #[default]
    Every,
    /// The last one of each key: revisions that the client has not had yet are sent as one message,
    /// whole ones only. The entry before is that before the first of them; a key that has come and
    /// gone in between is left out.
    Latest,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchFrom<'a> {
    /// With the next change.
    Now,
    /// With what the range holds, then with the next change after that.
    Content,
    /// With the first change after a cursor of an earlier watch. If the server no longer knows
    /// them, the answer is the error `cursor-too-old`. One of no bytes stands before all changes that
    /// the server still knows.
    #[serde(borrow)]
    Cursor(#[serde(with = "serde_bytes")] &'a [u8]),
}

/// One message of the stream. A cursor stands for everything up to and with the message it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchMessage<'a> {
    /// A page of what the range holds, in byte order, all pages at one revision.
    #[serde(borrow)]
    Content(Vec<Entry<'a>>),
    /// The content, or the changes since the cursor, are complete; from here on it is live.
    CaughtUp {
        /// The revision up to which everything was sent.
        revision: u64,
        /// Resumes here.
        #[serde(borrow, with = "serde_bytes")]
        cursor: &'a [u8],
    },
    /// All changes that one revision made to the range. Where only the latest are delivered: the
    /// last change of each key in the revisions after the last message, up to and with this one.
    Events {
        /// The revision.
        revision: u64,
        /// Resumes here.
        #[serde(borrow, with = "serde_bytes")]
        cursor: &'a [u8],
        /// The changes, in the order in which they were made.
        #[serde(borrow)]
        events: Vec<Event<'a>>,
    },
    /// Nothing in the range changed up to this revision.
    Bookmark {
        /// The revision.
        revision: u64,
        /// Resumes here.
        #[serde(borrow, with = "serde_bytes")]
        cursor: &'a [u8],
    },
}

/// The head of a [`WatchMessage`], in the same encoding: what a client must know to resume a watch,
/// without the entries and events behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchHead<'a> {
    /// A page of content.
    Content,
    /// The content, or the changes since the cursor, are complete.
    CaughtUp {
        /// The revision up to which everything was sent.
        revision: u64,
        /// Resumes here.
        cursor: &'a [u8],
    },
    /// Changes that one revision made.
    Events {
        /// The revision.
        revision: u64,
        /// Resumes here.
        cursor: &'a [u8],
    },
    /// Nothing in the range changed up to this revision.
    Bookmark {
        /// The revision.
        revision: u64,
        /// Resumes here.
        cursor: &'a [u8],
    },
}

impl<'a> WatchHead<'a> {
    /// Reads the head of a message's body. What follows it is not looked at.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(body);
        let mut read = || {
            let what = from.variant(4);
            if what == 0 {
                return Self::Content;
            }
            let (revision, cursor) = (from.number(), from.bytes());
            match what {
                1 => Self::CaughtUp { revision, cursor },
                2 => Self::Events { revision, cursor },
                _ => Self::Bookmark { revision, cursor },
            }
        };
        let head = read();
        from.so_far(head).ok_or(Malformed)
    }
}

/// A change to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event<'a> {
    /// The key was set, touched or incremented.
    Put {
        /// The entry as it is now.
        #[serde(borrow)]
        entry: Entry<'a>,
        /// The entry as it was, if it was asked for and there was one.
        #[serde(borrow)]
        previous: Option<Stored<'a>>,
    },
    /// The key was removed by a client.
    Delete {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// The entry as it was, if it was asked for.
        #[serde(borrow)]
        previous: Option<Stored<'a>>,
    },
    /// The key's time was over.
    Expire {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// The entry as it was, if it was asked for.
        #[serde(borrow)]
        previous: Option<Stored<'a>>,
    },
    /// The server removed the key to make room below its memory limit.
    Evict {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// The entry as it was, if it was asked for.
        #[serde(borrow)]
        previous: Option<Stored<'a>>,
    },
}

impl Bounded for Watch<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        self.range.check(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn encoded(message: &WatchMessage<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        codec::encode(message, &mut body);
        body
    }

    #[test]
    fn the_head_of_every_message_is_what_the_message_says() {
        let (revision, cursor) = (300, &b"cursor"[..]);
        let events = alloc::vec![Event::Delete { key: b"k", previous: None }; 3];
        let content = encoded(&WatchMessage::Content(Vec::new()));
        assert_eq!(WatchHead::decode(&content), Ok(WatchHead::Content));
        let caught_up = encoded(&WatchMessage::CaughtUp { revision, cursor });
        assert_eq!(WatchHead::decode(&caught_up), Ok(WatchHead::CaughtUp { revision, cursor }));
        let events = encoded(&WatchMessage::Events { revision, cursor, events });
        assert_eq!(WatchHead::decode(&events), Ok(WatchHead::Events { revision, cursor }));
        let bookmark = encoded(&WatchMessage::Bookmark { revision, cursor });
        assert_eq!(WatchHead::decode(&bookmark), Ok(WatchHead::Bookmark { revision, cursor }));
        assert_eq!(WatchHead::decode(&caught_up[..5]), Err(Malformed));
        assert_eq!(WatchHead::decode(&[4]), Err(Malformed));
        assert_eq!(WatchHead::decode(b""), Err(Malformed));
    }
}
