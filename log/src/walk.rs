//! Reads a segment record by record, and judges where the log ends.
//!
//! A power cut may leave the last writes missing, torn or out of order; that is a torn tail,
//! nothing in it was confirmed, and it is cut. A bad record *before* bytes that were durable is
//! damage, and starting would lose what was confirmed. Every record says up to where the segment
//! was durable when it was written, so after a bad record we look for any later valid header: if
//! it vouches for the bad place, this is damage and we refuse. In all segments but the last
//! nothing can be torn, since each is synced before the next begins.

use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::envelope::{self, Kind};
use crate::error::OpenError;
use crate::recover::at;
use crate::segment::{self, Header};
use crate::shared::Kept;
use crate::writer::Tail;
use tidekeep_protocol::planted;

/// A segment file and its header.
pub(crate) struct Found {
    pub(crate) name: String,
    file: Arc<dyn File>,
    bytes: u64,
    pub(crate) header: Header,
    crc: u32,
}

impl Found {
    pub(crate) fn open(disk: &dyn Disk, name: &str, store_id: u128) -> Result<Self, OpenError> {
        let file = disk.open(name).map_err(at("open", name))?;
        let bytes = file.len().map_err(at("measure", name))?;
        let mut start = [0; segment::HEADER];
        let mut found = Self {
            name: name.into(),
            file,
            bytes,
            header: Header { store_id, sequence: 0, epoch: 0, first_index: 0, chain: 0 },
            crc: 0,
        };
        if !(segment::HEADER as u64..=segment::MAX_BYTES).contains(&bytes) {
            return Err(found.damaged(0, 0, "the file has an impossible length"));
        }
        found.file.read_at(&mut start, 0).map_err(at("read", name))?;
        (found.header, found.crc) = Header::decode(&start, name, store_id)?;
        Ok(found)
    }

    pub(crate) fn read(&self) -> Result<Vec<u8>, OpenError> {
        let mut content = vec![0; self.bytes as usize];
        self.file.read_at(&mut content, 0).map_err(at("read", &self.name))?;
        // A read that strays to another place must not pass for a log without records.
        let strayed = !content.starts_with(&self.header.encode().0);
        if strayed && !planted::is_awake("stray-read-accepted") {
            return Err(self.damaged(0, 0, "it reads differently from one moment to the next"));
        }
        Ok(content)
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept { sequence: self.header.sequence, first_index: self.header.first_index }
    }

    pub(crate) fn tail(&self, walk: &Walk<'_>) -> Tail {
        Tail {
            file: Arc::clone(&self.file),
            sequence: self.header.sequence,
            epoch: self.header.epoch,
            bytes: self.bytes,
            at: walk.at as u64,
            prev: walk.prev,
            last_index: walk.next_index - 1,
            marked: walk.marked,
        }
    }

    pub(crate) fn damaged(&self, offset: u64, last: u64, what: &'static str) -> OpenError {
        let first = self.header.first_index;
        OpenError::Damaged { file: self.name.clone(), offset, first, last: last.max(first), what }
    }
}

/// Goes from record to record for as long as each is valid and belongs where it stands.
pub(crate) struct Walk<'a> {
    found: &'a Found,
    content: &'a [u8],
    at: usize,
    prev: u32,
    next_index: u64,
    marked: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(found: &'a Found, content: &'a [u8]) -> Self {
        let next_index = found.header.first_index;
        Self { found, content, at: segment::HEADER, prev: found.crc, next_index, marked: true }
    }

    pub(crate) fn next(&mut self) -> Option<(envelope::Header, &'a [u8])> {
        let rest = self.content.get(self.at..)?;
        let header = envelope::Header::open(rest, self.found.header.epoch)?;
        let expected = match header.kind {
            Kind::Entry => self.next_index,
            Kind::Mark => self.next_index - 1,
        };
        if header.index != expected || header.prev != self.prev {
            return None;
        }
        let payload = header.payload(rest)?;
        self.at += header.size();
        self.prev = header.crc;
        self.marked = header.kind == Kind::Mark;
        self.next_index += u64::from(!self.marked);
        Some((header, payload))
    }

    /// The segment was complete before `next` was begun: it must end where that one goes on.
    pub(crate) fn must_lead_to(&self, next: &Found) -> Result<(), OpenError> {
        let follows = self.next_index == next.header.first_index;
        if follows && self.prev == next.header.chain {
            return Ok(());
        }
        Err(self.damaged(next.header.first_index - 1, "a record is lost that a later file needs"))
    }

    /// Judges what follows the last good record of the last segment. Returns the number of bytes
    /// to cut, up to the last one that is not zero.
    pub(crate) fn end_of_log(&self) -> Result<u64, OpenError> {
        let rest = &self.content[self.at.min(self.content.len())..];
        let Some(end) = rest.iter().rposition(|&byte| byte != 0) else { return Ok(0) };
        for ahead in (envelope::ALIGN..=end).step_by(envelope::ALIGN) {
            if let Some(later) = envelope::Header::open(&rest[ahead..], self.found.header.epoch)
                && later.synced as usize > self.at
                && !planted::is_awake("hole-in-the-log-accepted")
            {
                return Err(self.damaged(later.index, "a record is bad that was durable before"));
            }
        }
        Ok(end as u64 + 1)
    }

    /// Offset of what comes next, or of what is bad.
    pub(crate) fn position(&self) -> u64 {
        self.at as u64
    }

    /// That what comes next is bad, where nothing can be torn.
    pub(crate) fn bad_record(&self) -> OpenError {
        self.damaged(0, "a record is bad")
    }

    /// Passes over what is bad, to the next whole record of an index up to `index`, if there is one.
    /// For those who have a snapshot that makes up for what lies between.
    pub(crate) fn resume_through(&mut self, index: u64) -> bool {
        let rest = self.content.get(self.at..).unwrap_or_default();
        for ahead in (envelope::ALIGN..rest.len()).step_by(envelope::ALIGN) {
            let later = &rest[ahead..];
            if let Some(header) = envelope::Header::open(later, self.found.header.epoch)
                && (self.next_index..=index).contains(&header.index)
                && header.payload(later).is_some()
            {
                self.at += ahead;
                self.prev = header.prev;
                self.next_index = header.index + u64::from(header.kind == Kind::Mark);
                return true;
            }
        }
        false
    }

    /// Whole records after what is bad, with their indices, whether or not they belong there.
    pub(crate) fn beyond(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let rest = self.content.get(self.at..).unwrap_or_default();
        let epoch = self.found.header.epoch;
        (envelope::ALIGN..rest.len()).step_by(envelope::ALIGN).filter_map(move |ahead| {
            let header = envelope::Header::open(&rest[ahead..], epoch)?;
            (header.kind == Kind::Entry).then_some(())?;
            Some((header.index, header.payload(&rest[ahead..])?))
        })
    }

    fn damaged(&self, last: u64, what: &'static str) -> OpenError {
        let (first, offset) = (self.next_index, self.at as u64);
        let file = self.found.name.clone();
        OpenError::Damaged { file, offset, first, last: last.max(first), what }
    }
}
