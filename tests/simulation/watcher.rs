//! A consumer of a watch that believes what it is told and checks that it may: no gap, no repetition,
//! whole transactions, and in the end exactly what the store holds.

use std::collections::BTreeMap;

use tidekeep_client_core::WatchId;
use tidekeep_log::{Entry, EventKind};
use tidekeep_protocol::codec;
use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::op::{Delivery, Event, WatchMessage};
use tidekeep_protocol::range::KeyRange;

use crate::history::History;
use crate::reading::Wall;

/// A key's value and metadata, as the consumer was told.
type Fold = BTreeMap<Vec<u8>, (Vec<u8>, Meta)>;

/// A watch of one client, and what it was told.
pub(crate) struct Watcher {
    pub(crate) watch: WatchId,
    pub(crate) range: KeyRange,
    pub(crate) previous: bool,
    pub(crate) paused: bool,
    /// Where the last message said that it may be resumed.
    pub(crate) cursor: Option<Vec<u8>>,
    /// The revision that it has got to; none in the middle of content.
    position: Option<u64>,
    /// What the range holds, as far as it was told; none while only changes are known.
    fold: Option<Fold>,
    /// The newest revision that any reply had shown when it began anew.
    floor: u64,
    /// Whether a gap may be told as a difference.
    tracks: bool,
    /// Whether it is told only what changes come to.
    latest: bool,
    /// A difference is complete at this revision, but for the mark.
    swept: Option<u64>,
    /// Messages that it got.
    pub(crate) messages: u64,
}

impl Watcher {
    /// A watch that begins with the content, or with the next change.
    pub(crate) fn new(
        watch: WatchId,
        range: KeyRange,
        content: bool,
        previous: bool,
        tracks: bool,
    ) -> Self {
        Self {
            watch,
            range,
            previous,
            paused: false,
            cursor: None,
            position: None,
            fold: content.then(Fold::new),
            floor: 0,
            tracks,
            latest: false,
            swept: None,
            messages: 0,
        }
    }

    /// The same watch, begun behind everything that a reply had shown before.
    pub(crate) fn after(mut self, floor: u64) -> Self {
        self.floor = floor;
        self
    }

    /// The same watch, told only what changes come to.
    pub(crate) fn conflated(mut self, latest: bool) -> Self {
        self.latest = latest;
        self
    }

    /// How it is told of changes.
    pub(crate) fn delivery(&self) -> Delivery {
        if self.latest { Delivery::Latest } else { Delivery::Every }
    }

    /// A watch that goes on where this one was.
    pub(crate) fn resumed(self, watch: WatchId) -> Self {
        Self { watch, paused: false, tracks: false, ..self }
    }

    /// What was told is to be forgotten.
    pub(crate) fn reset(&mut self) {
        self.fold = Some(Fold::new());
        self.position = None;
    }

    /// Whether it was told everything that happened to its range.
    pub(crate) fn is_complete(&self, history: &History) -> bool {
        let newest = history.revision();
        let told = |at| match self.latest {
            true => self.check_untold(at, newest, &[], history).is_ok(),
            false => history.next_in(&self.range, at).is_none(),
        };
        self.position.is_some_and(told)
    }

    /// Takes a message.
    pub(crate) fn take(
        &mut self,
        body: &[u8],
        history: &History,
        wall: Wall,
    ) -> Result<(), String> {
        self.messages += 1;
        let message = codec::decode(body).map_err(|_| "a malformed message".to_owned())?;
        match message {
            WatchMessage::Content(entries) => {
                self.gap()?;
                let fold = self.fold.as_mut().ok_or("content where none was asked for")?;
                for entry in entries {
                    let told = (entry.stored.value.to_vec(), entry.stored.meta);
                    if fold.insert(entry.key.to_vec(), told.clone()) == Some(told) {
                        return Err(format!("content brings {:?} as it was", entry.key));
                    }
                }
                Ok(())
            }
            WatchMessage::CaughtUp { revision, cursor } => {
                self.cursor = Some(cursor.to_vec());
                if self.position.is_some() {
                    let advanced = self.advance(revision, history);
                    if advanced.is_ok() || !self.tracks {
                        return advanced;
                    }
                    // A difference may say that all is as it was.
                    self.gap()?;
                }
                self.begin(revision, history, wall)
            }
            WatchMessage::Bookmark { revision, cursor } => {
                self.cursor = Some(cursor.to_vec());
                self.advance(revision, history)
            }
            WatchMessage::Events { revision, cursor, events } => {
                self.cursor = Some(cursor.to_vec());
                if self.position.is_none() && self.fold.is_some() {
                    return self.take_difference(revision, &events);
                }
                let taken = self.take_events(revision, &events, history);
                if taken.is_ok() || !self.tracks {
                    return taken;
                }
                // A difference in which no entry is new begins with what is gone.
                self.gap()?;
                self.take_difference(revision, &events).or(taken)
            }
        }
    }

    /// It was told what there was at a revision.
    fn begin(&mut self, revision: u64, history: &History, wall: Wall) -> Result<(), String> {
        let floor = self.floor;
        if revision > history.revision() || revision < floor {
            return Err(format!("begins at {revision}, not safe or before {floor}"));
        }
        if self.swept.take().is_some_and(|swept| swept != revision) {
            return Err(format!("begins at {revision} behind deletes at another revision"));
        }
        self.position = Some(revision);
        self.check_content(revision, history, wall)
    }

    /// Content comes again: what changed meanwhile is told as a difference to what it knows.
    fn gap(&mut self) -> Result<(), String> {
        let Some(position) = self.position.take() else { return Ok(()) };
        self.floor = self.floor.max(position);
        match self.tracks {
            true => Ok(()),
            false => Err("a difference where none was asked for".to_owned()),
        }
    }

    /// The end of a difference: keys that are gone.
    fn take_difference(&mut self, revision: u64, events: &[Event<'_>]) -> Result<(), String> {
        let fold = self.fold.as_mut().filter(|_| self.tracks && self.swept.is_none());
        let fold = fold.ok_or("changes before the content was complete")?;
        for event in events {
            let Event::Delete { key, previous: None } = event else {
                return Err(format!("a difference of {event:?}"));
            };
            if fold.remove(*key).is_none() {
                return Err(format!("a difference without {key:?}, which was not there"));
            }
        }
        self.swept = Some(revision);
        Ok(())
    }

    /// It was told that nothing is missing up to a revision.
    fn advance(&mut self, revision: u64, history: &History) -> Result<(), String> {
        let position = self.position.ok_or("a position before the content")?;
        if revision < position || revision > history.revision() {
            return Err(format!("goes from {position} to {revision}"));
        }
        if self.latest {
            self.check_untold(position, revision, &[], history)?;
            self.position = Some(revision);
            return Ok(());
        }
        let next = history.next_in(&self.range, position).map(|change| change.revision);
        if next.is_some_and(|next| next <= revision) {
            return Err(format!("says that nothing is missing up to {revision}, but {next:?} is"));
        }
        self.position = Some(revision);
        Ok(())
    }

    fn take_events(
        &mut self,
        revision: u64,
        events: &[Event<'_>],
        history: &History,
    ) -> Result<(), String> {
        let position = self.position.ok_or("changes before the content")?;
        if self.latest {
            return self.take_latest(position, revision, events, history);
        }
        let range = self.range.as_range();
        let next = history.next_in(&self.range, position);
        let next = next.ok_or_else(|| format!("revision {revision} behind {position}"))?;
        if next.revision != revision {
            let expected = next.revision;
            return Err(format!("revision {revision} behind {position}, not {expected}"));
        }
        let inside = next.events.iter().filter(|event| range.contains(event.key()));
        let expected: Vec<Event<'_>> = inside.clone().map(|e| e.to_wire(self.previous)).collect();
        if expected != events {
            return Err(format!("revision {revision} as {events:?}, not {expected:?}"));
        }
        if let Some(fold) = &mut self.fold {
            for event in inside {
                let key = event.key().to_vec();
                match event.kind {
                    EventKind::Put | EventKind::Touch => {
                        fold.insert(key, (event.entry.value().to_vec(), event.entry.meta()));
                    }
                    EventKind::Delete | EventKind::Expire | EventKind::Evict => {
                        fold.remove(&key);
                    }
                }
            }
        }
        self.position = Some(revision);
        Ok(())
    }

    /// Takes what the changes up to a revision come to.
    fn take_latest(
        &mut self,
        position: u64,
        revision: u64,
        events: &[Event<'_>],
        history: &History,
    ) -> Result<(), String> {
        if revision <= position || revision > history.revision() {
            return Err(format!("goes from {position} to {revision}"));
        }
        let mut told = Vec::new();
        for event in events {
            let (key, stored) = match event {
                Event::Put { entry, .. } => (entry.key, Some(entry.stored)),
                Event::Delete { key, .. }
                | Event::Expire { key, .. }
                | Event::Evict { key, .. } => (*key, None),
            };
            let state = history.state(key, revision).map(Entry::stored);
            if state != stored || told.contains(&key) {
                return Err(format!("{event:?} at {revision}, where there is {state:?}"));
            }
            told.push(key);
            if let Some(fold) = &mut self.fold {
                match stored {
                    Some(stored) => {
                        fold.insert(key.to_vec(), (stored.value.to_vec(), stored.meta));
                    }
                    None => drop(fold.remove(key)),
                }
            }
        }
        self.check_untold(position, revision, &told, history)?;
        self.position = Some(revision);
        Ok(())
    }

    /// Between two revisions, no other keys than these have become different.
    fn check_untold(
        &self,
        from: u64,
        to: u64,
        told: &[&[u8]],
        history: &History,
    ) -> Result<(), String> {
        let range = self.range.as_range();
        let changes = (from + 1..=to).filter_map(|revision| history.change(revision));
        let mut keys = changes.flat_map(|change| &change.events).map(|event| event.key());
        let differs = |key: &&[u8]| history.state(key, from) != history.state(key, to);
        match keys.find(|key| range.contains(key) && !told.contains(key) && differs(key)) {
            Some(key) => Err(format!("goes from {from} to {to} without a word of {key:?}")),
            None => Ok(()),
        }
    }

    fn check_content(&self, at: u64, history: &History, wall: Wall) -> Result<(), String> {
        let Some(fold) = &self.fold else { return Ok(()) };
        let content = history.content(&self.range, at);
        for entry in &content {
            match fold.get(entry.key()) {
                Some((value, meta)) if entry.value() == value && entry.meta() == *meta => {}
                Some(told) => return Err(format!("content at {at}: {told:?}, not {entry:?}")),
                None if wall.must_show(entry, at, history) => {
                    return Err(format!("content at {at} is without {entry:?}"));
                }
                None => {}
            }
        }
        let there = |key: &Vec<u8>| content.iter().any(|entry| entry.key() == key.as_slice());
        match fold.keys().find(|key| !there(key)) {
            Some(key) => Err(format!("content at {at} has {key:?}, which is not there")),
            None => Ok(()),
        }
    }

    /// At the end: the fold is what the store holds.
    pub(crate) fn check_end(&self, history: &History, wall: Wall) -> Result<(), String> {
        if !self.is_complete(history) {
            return Err(format!("is at {:?} of {}", self.position, history.revision()));
        }
        self.check_content(history.revision(), history, wall)
    }
}
